//! What failed attempts to connect mean.

use std::error::Error as _;
use std::fmt;
use std::io;

use portolan_core::{Attempt, Endpoint, Error, Failure, Host, Kind, Phase};

/// Why no address of an endpoint could be reached: the one cause that all attempts share, or each
/// address with its own.
#[derive(Debug)]
struct NoConnection(Vec<Attempt>);

impl std::error::Error for NoConnection {}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = || self.0.iter().filter_map(|a| Some((a.address, a.failure.as_ref()?)));
        let Some((_, first)) = failures().next() else { return f.write_str("no address") };
        if failures().all(|(_, failure)| failure == first) {
            return first.fmt(f);
        }
        for (index, (address, failure)) in failures().enumerate() {
            write!(f, "{}{} {failure}", if index == 0 { "" } else { ", " }, address.ip())?;
        }
        Ok(())
    }
}

/// The error for an endpoint to which every attempt failed.
pub(crate) fn no_connection(endpoint: &Endpoint, attempts: Vec<Attempt>) -> Error {
    let failures: Vec<_> = attempts.iter().filter_map(|attempt| attempt.failure.clone()).collect();
    let is_timeout = failures.iter().all(|failure| failure.kind == io::ErrorKind::TimedOut);
    let kind = if is_timeout { Kind::Timeout } else { Kind::Connect };
    let error = Error::new(kind, format!("could not connect to {endpoint}"))
        .with_source(NoConnection(attempts));
    match failures.last() {
        Some(failure) => error.with_hint(hint(failure, endpoint)),
        None => error,
    }
}

/// What to do about a connection that did not come about.
pub(crate) fn hint(failure: &Failure, endpoint: &Endpoint) -> String {
    use io::ErrorKind as K;
    let is_unix = matches!(endpoint.host, Host::Path(_) | Host::Abstract(_));
    let port = endpoint.port;
    match failure.kind {
        K::ConnectionRefused if is_unix => {
            "the socket is there but nobody listens on it: start the service".to_owned()
        }
        K::ConnectionRefused => format!(
            "nothing listens on port {port} there, or a firewall rejects it: start the service, \
             or check the port"
        ),
        K::NotFound => "there is no such socket: start the service, or check the path".to_owned(),
        K::PermissionDenied if is_unix => {
            "this user may not write to the socket: check its owner and mode".to_owned()
        }
        K::PermissionDenied => "a local firewall or policy forbids it, or --interface needs \
                                privilege"
            .to_owned(),
        K::TimedOut => silence(Phase::CONNECT).to_owned(),
        _ if failure.words.contains("no such device") => {
            "there is no such network interface here: `ip link` shows those there are".to_owned()
        }
        K::NetworkUnreachable | K::HostUnreachable => {
            "there is no route to it: check the address, the interface and the VPN".to_owned()
        }
        K::AddrNotAvailable => "the source address is not one of this machine, or all its ports \
                                are in use"
            .to_owned(),
        K::ConnectionReset => "something at that port, or a firewall on the way, ended the \
                               connection at once"
            .to_owned(),
        _ if failure.words.contains("open files") => {
            "raise the limit with `ulimit -n`, or lower --concurrency".to_owned()
        }
        _ => "check the address and the network".to_owned(),
    }
}

/// Says of a dial that timed out what was being done, to whom, and what to do about it.
pub(crate) fn say_silence(error: Error, endpoint: &Endpoint) -> Error {
    let (Kind::Timeout, None, Some(phase)) = (error.kind(), error.hint(), error.phase()) else {
        return error;
    };
    // The messages of a proxy's establishment name it already.
    if error.source().is_some() {
        return error.with_hint(silence(phase));
    }
    let message = match phase {
        Phase::RESOLVE => format!("could not resolve {}", endpoint.host),
        Phase::TLS => format!("could not set up TLS with {endpoint}"),
        _ => format!("could not connect to {endpoint}"),
    };
    Error::new(Kind::Timeout, message)
        .with_phase(phase)
        .with_hint(silence(phase))
        .with_source(error)
}

/// What to do about somebody who says nothing at all in this phase of a dial.
fn silence(phase: Phase) -> &'static str {
    match phase {
        Phase::RESOLVE => "the resolver does not answer: check /etc/resolv.conf and the network",
        Phase::PROXY => "the proxy took the connection and does not answer: is it one, and alive?",
        Phase::TLS => {
            "it took the connection and does not answer the handshake: does it speak TLS?"
        }
        _ => "packets are dropped on the way: a firewall, a wrong address, or the host is down",
    }
}

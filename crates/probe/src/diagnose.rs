//! From what happened to what to do.

use std::io;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use portolan_core::units::show_duration;
use portolan_core::{
    Attempt, Error, Failure, Kind, Phase, Scheme, Timeouts, Timings, Transport, Url,
};
use portolan_http::{HttpError, Speaks};
use portolan_net::{Context, Dialer, tls};

use crate::{Answer, protocols};

/// Certificates with fewer days left are worth a note.
const DAYS_WORTH_A_NOTE: i64 = 15;
/// How long a second look at a peer may take: the user is waiting.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// What works, but should be known.
pub(crate) fn notes(answer: &Answer, timings: &Timings, now: SystemTime) -> Vec<String> {
    let mut notes = answer.notes.clone();
    notes.extend(fallback(timings.attempts()));
    if let Some(tls) = &answer.tls {
        notes.extend(tls.distrust.as_ref().map(|reason| format!("not verified: {reason}")));
        notes.extend(expires_soon(tls, now));
    }
    match timings.retries() {
        0 => {}
        1 => notes.push("worked at the second try".to_owned()),
        failed => notes.push(format!("worked after {failed} failed tries")),
    }
    notes
}

/// One family failed and the other answered: `IPv6 timed out; IPv4 answered in 12 ms`.
fn fallback(attempts: &[Attempt]) -> Option<String> {
    let won = attempts.iter().find(|attempt| attempt.failure.is_none())?;
    let lost = attempts.iter().find(|attempt| {
        attempt.failure.is_some() && attempt.address.is_ipv6() != won.address.is_ipv6()
    })?;
    let (family, other) = if won.address.is_ipv6() { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
    let failure = words(lost.failure.as_ref()?);
    let elapsed = show_duration(won.elapsed);
    Some(format!("{other} {failure}; {family} answered in {elapsed}"))
}

fn words(failure: &Failure) -> &str {
    match failure.kind {
        io::ErrorKind::TimedOut => "timed out",
        io::ErrorKind::ConnectionRefused => "refused",
        _ => &failure.words,
    }
}

fn expires_soon(tls: &tls::Info, now: SystemTime) -> Option<String> {
    let days = tls.chain.first()?.days_left(now);
    match days {
        0 => Some("the certificate expires today".to_owned()),
        1 => Some("the certificate expires tomorrow".to_owned()),
        2..DAYS_WORTH_A_NOTE => Some(format!("the certificate expires in {days} days")),
        _ => None,
    }
}

/// Gives an error the best hint there is: one that needs a second look at the peer, or else the
/// one that it has.
pub(crate) async fn advise(error: Error, url: &Url, dialer: &Dialer) -> Error {
    // Where something else answers for the endpoint, its other ports tell nothing.
    let is_direct = dialer.proxy_for(url).is_none() && !dialer.redirects(&url.endpoint());
    if is_direct
        && let Some(failure) = closed_port(&error)
        && let Some(open) = open_neighbour(url, dialer).await
    {
        return error.with_hint(format!("port {} {failure}; {open} is open", url.port()));
    }
    match other_scheme(&error, url, dialer).await {
        Some(other) => error.with_hint(format!("try {other}")),
        None => error,
    }
}

/// What a port did that is closed or walled off; `None` where the failure tells nothing about it.
fn closed_port(error: &Error) -> Option<&'static str> {
    let is_refusal = |attempt: &Attempt| {
        let failure = attempt.failure.as_ref();
        failure.is_some_and(|failure| failure.kind == io::ErrorKind::ConnectionRefused)
    };
    let attempts = error.attempts();
    match error.kind() {
        _ if error.phase() != Some(Phase::CONNECT) => None,
        Kind::Timeout => Some("does not answer"),
        Kind::Connect if !attempts.is_empty() && attempts.iter().all(is_refusal) => Some("refused"),
        _ => None,
    }
}

/// The same place with or without TLS, where the peer shows that this is what it speaks.
async fn other_scheme(error: &Error, url: &Url, dialer: &Dialer) -> Option<Url> {
    let is_clear = matches!(error.find(), Some(tls::HandshakeError::NotTls));
    let is_tls = match error.find() {
        Some(HttpError::NotHttp(Speaks::Tls)) => true,
        // Many servers of TLS hang up on clear text.
        Some(HttpError::NoAnswer) if url.scheme() == Scheme::Http => speaks_tls(url, dialer).await,
        _ => false,
    };
    let scheme = match url.scheme() {
        Scheme::Https if is_clear => Scheme::Http,
        Scheme::Wss if is_clear => Scheme::Ws,
        Scheme::Tls if is_clear => Scheme::Tcp,
        Scheme::Http if is_tls => Scheme::Https,
        _ => return None,
    };
    let other = Url::from_endpoint(scheme, &url.endpoint());
    if scheme.has_path() { other.with_path(url.path_and_query()).ok() } else { Some(other) }
}

/// Whether the peer takes part in a handshake, trusted or not.
async fn speaks_tls(url: &Url, dialer: &Dialer) -> bool {
    let endpoint = url.endpoint().with_transport(Transport::Tls);
    match dialer.dial(&endpoint, &second_look()).await {
        Ok(_) => true,
        Err(error) => error.kind() == Kind::Untrusted,
    }
}

/// The first of the ports where the same service might be instead, if it is open.
async fn open_neighbour(url: &Url, dialer: &Dialer) -> Option<u16> {
    let attempts = protocols::neighbours(url.scheme())
        .iter()
        .filter(|port| **port != url.port())
        .map(|port| async move {
            let mut endpoint = url.endpoint().with_transport(Transport::Tcp);
            endpoint.port = *port;
            dialer.dial(&endpoint, &second_look()).await.ok().map(|_| *port)
        });
    join_all(attempts).await.into_iter().flatten().next()
}

fn second_look() -> Context {
    Context::new(Timeouts::default()).limited(Some(SECOND_LOOK))
}

#[cfg(test)]
mod tests;

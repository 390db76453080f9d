//! The PROXY protocol, versions 1 and 2: how a proxy says for whom it connects.
//!
//! The header stands before everything else on the connection, before TLS too. This module prints
//! and parses it ([`ProxyHeader`], no I/O), and reads it from a stream without taking a byte of
//! what follows. TLVs are skipped. Whoever may connect can claim to be anybody: expect the header
//! only where none but proxies can connect.
//!
//! The source is haproxy's `doc/proxy-protocol.txt`, to whose sections the comments refer.
//!
//! ```
//! use std::net::SocketAddr;
//! use portolan_core::Endpoint;
//! use portolan_net::proxy_protocol::{Parsed, ProxyHeader};
//!
//! let client = Endpoint::from("192.0.2.1:56324".parse::<SocketAddr>()?);
//! let server = Endpoint::from("192.0.2.11:443".parse::<SocketAddr>()?);
//! let header = ProxyHeader::new(&client, &server);
//! assert_eq!(header.v1(), b"PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n");
//! assert_eq!(ProxyHeader::parse(&header.v2())?, Parsed::Header(header, 28));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use portolan_core::{Endpoint, Error, Host, Kind, Transport};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most bytes that a header may have after the fixed part of version 2.
pub const BODY_MAX: usize = 4096;

/// The longest line of version 1, with its end (section 2.1).
const LINE_MAX: usize = 107;
/// What version 1 begins with.
const PREFIX: &[u8] = b"PROXY ";
/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, and after it the command, the family and the length.
const FIXED: usize = SIGNATURE.len() + 4;
/// What a socket's path takes in version 2.
const PATH: usize = 108;

/// For whom a proxy connects: where the client came from, and where it connected to. Or for
/// nobody: the proxy's own connection, or addresses that it cannot tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHeader(Option<Addresses>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Addresses {
    source: Endpoint,
    destination: Endpoint,
}

/// What bytes are, as the beginning of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A header, and how many bytes it has.
    Header(ProxyHeader, usize),
    /// The beginning of one; at least so many more bytes belong to it.
    Needs(usize),
}

/// Why bytes are not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// They begin otherwise.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// They begin like one.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// The line of version 1 has no end within 107 bytes, or version 2 has more than
    /// [`BODY_MAX`] after its fixed part.
    #[error("the PROXY header is too long")]
    TooLong,
}

impl ProxyHeader {
    /// A connection for the client at `source`, which connected to `destination`. Where the two
    /// are not both IP addresses or both Unix sockets, it is [`local`](Self::local).
    #[must_use]
    pub fn new(source: &Endpoint, destination: &Endpoint) -> Self {
        let (from, to) = match (source.host.ip(), destination.host.ip()) {
            (Some(from), Some(to)) => one_family(from, to),
            (None, None) if is_unix(source) && is_unix(destination) => {
                let destination = destination.clone().with_transport(source.transport);
                return Self(Some(Addresses { source: source.clone(), destination }));
            }
            _ => return Self::local(),
        };
        let transport = match source.transport {
            Transport::Udp => Transport::Udp,
            _ => Transport::Tcp,
        };
        let inet = |ip, port| Endpoint::from(SocketAddr::new(ip, port)).with_transport(transport);
        Self(Some(Addresses {
            source: inet(from, source.port),
            destination: inet(to, destination.port),
        }))
    }

    /// The proxy's own connection, such as a health check: it counts as one without a header.
    #[must_use]
    pub const fn local() -> Self {
        Self(None)
    }

    /// Where the client came from; `None` for a [`local`](Self::local) connection.
    #[must_use]
    pub fn source(&self) -> Option<&Endpoint> {
        self.0.as_ref().map(|ends| &ends.source)
    }

    /// Where the client connected to; `None` for a [`local`](Self::local) connection.
    #[must_use]
    pub fn destination(&self) -> Option<&Endpoint> {
        self.0.as_ref().map(|ends| &ends.destination)
    }

    /// The header in version 1, a line of text: `UNKNOWN` for all but TCP.
    #[must_use]
    pub fn v1(&self) -> Vec<u8> {
        let inet = self.0.as_ref().and_then(|Addresses { source, destination }| {
            let (from, to) = (source.host.ip()?, destination.host.ip()?);
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from_port, to_port) = (source.port, destination.port);
            (source.transport == Transport::Tcp)
                .then(|| format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n"))
        });
        inet.unwrap_or_else(|| "PROXY UNKNOWN\r\n".to_owned()).into_bytes()
    }

    /// The header in version 2, in binary: `LOCAL` where there are no addresses, or where a Unix
    /// socket's path is longer than the 108 bytes that it has room for.
    #[must_use]
    pub fn v2(&self) -> Vec<u8> {
        let (command, family, body) = match self.0.as_ref().and_then(Addresses::body) {
            Some((family, body)) => (0x21, family, body),
            None => (0x20, 0, Vec::new()),
        };
        let length = u16::try_from(body.len()).unwrap_or_default();
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// Parses the header that `bytes` begin with, in either version.
    ///
    /// # Errors
    /// [`ProxyHeaderError`], as early as the bytes show it.
    pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
        if bytes.starts_with(SIGNATURE) {
            return parse_v2(bytes);
        }
        if bytes.starts_with(PREFIX) {
            return parse_v1(bytes);
        }
        let begins = |whole: &[u8]| whole.starts_with(bytes);
        if begins(SIGNATURE) || begins(PREFIX) {
            // The shortest header of all is longer than the signature of version 2.
            return Ok(Parsed::Needs(SIGNATURE.len() - bytes.len()));
        }
        Err(ProxyHeaderError::Missing)
    }

    /// Reads the header and not one byte of what follows.
    ///
    /// # Errors
    /// [`Kind::Protocol`] with a [`ProxyHeaderError`], and [`Kind::Lost`] where the connection
    /// ends before the header does.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, Error> {
        let mut bytes = Vec::with_capacity(LINE_MAX + 1);
        loop {
            let needed = match Self::parse(&bytes).map_err(not_a_header)? {
                Parsed::Header(header, _) => return Ok(header),
                Parsed::Needs(needed) => needed,
            };
            // As it comes, and not all that is needed: what is no header shows early.
            let read = stream.take(needed as u64).read_buf(&mut bytes).await;
            if read.map_err(lost)? == 0 {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

fn not_a_header(error: ProxyHeaderError) -> Error {
    Error::new(Kind::Protocol, "could not read the PROXY header")
        .with_hint("only a proxy that sends the header may connect here (haproxy: send-proxy)")
        .with_source(error)
}

fn lost(error: io::Error) -> Error {
    Error::new(Kind::Lost, "could not read the PROXY header").with_source(error)
}

/// Both addresses as IPv4, where both are, and otherwise both as IPv6: a header has one family.
const fn one_family(from: IpAddr, to: IpAddr) -> (IpAddr, IpAddr) {
    match (from.to_canonical(), to.to_canonical()) {
        (IpAddr::V4(from), IpAddr::V6(to)) => (IpAddr::V6(from.to_ipv6_mapped()), IpAddr::V6(to)),
        (IpAddr::V6(from), IpAddr::V4(to)) => (IpAddr::V6(from), IpAddr::V6(to.to_ipv6_mapped())),
        both => both,
    }
}

const fn is_unix(endpoint: &Endpoint) -> bool {
    matches!(endpoint.host, Host::Path(_) | Host::Abstract(_))
}

impl Addresses {
    /// The byte of version 2 that names family and protocol, and the address block.
    fn body(&self) -> Option<(u8, Vec<u8>)> {
        let is_datagram = matches!(self.source.transport, Transport::Udp | Transport::UnixDatagram);
        let protocol = if is_datagram { 2 } else { 1 };
        let mut body = Vec::new();
        let family = match (self.source.host.ip(), self.destination.host.ip()) {
            (Some(IpAddr::V4(from)), Some(IpAddr::V4(to))) => {
                body.extend(from.octets());
                body.extend(to.octets());
                0x10
            }
            (Some(IpAddr::V6(from)), Some(IpAddr::V6(to))) => {
                body.extend(from.octets());
                body.extend(to.octets());
                0x20
            }
            _ => {
                body.extend(path_bytes(&self.source.host)?);
                body.extend(path_bytes(&self.destination.host)?);
                return Some((0x30 | protocol, body));
            }
        };
        body.extend(self.source.port.to_be_bytes());
        body.extend(self.destination.port.to_be_bytes());
        Some((family | protocol, body))
    }
}

/// A socket's path or abstract name as `sun_path` holds it (unix(7)), filled up with NULs.
fn path_bytes(host: &Host) -> Option<[u8; PATH]> {
    let mut bytes = [0; PATH];
    let (start, name) = match host {
        Host::Path(path) => (0, path.as_os_str().as_bytes()),
        Host::Abstract(name) => (1, name.as_bytes()),
        _ => return None,
    };
    bytes.get_mut(start..start + name.len())?.copy_from_slice(name);
    Some(bytes)
}

/// The socket that `sun_path` names. What is not UTF-8 in an abstract name is replaced.
fn path_host(bytes: &[u8]) -> Host {
    let until_nul = |bytes: &[u8]| bytes.iter().position(|byte| *byte == 0);
    match bytes {
        [0, name @ ..] if name.iter().any(|byte| *byte != 0) => {
            let end = until_nul(name).unwrap_or(name.len());
            Host::Abstract(String::from_utf8_lossy(&name[..end]).into_owned())
        }
        _ => {
            let end = until_nul(bytes).unwrap_or(bytes.len());
            Host::Path(OsStr::from_bytes(&bytes[..end]).into())
        }
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let within = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        let needed = if within.ends_with(b"\r") { 1 } else { 2 };
        if within.len() + needed > LINE_MAX {
            return Err(ProxyHeaderError::TooLong);
        }
        return Ok(Parsed::Needs(needed));
    };
    let header = parse_line(&bytes[PREFIX.len()..end]).ok_or(ProxyHeaderError::Malformed)?;
    Ok(Parsed::Header(header, end + 2))
}

/// Parses what stands between `PROXY ` and the end of the line.
fn parse_line(line: &[u8]) -> Option<ProxyHeader> {
    // What follows this word is to be ignored, whatever it is.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(ProxyHeader::local());
    }
    let mut fields = std::str::from_utf8(line).ok()?.split(' ');
    let family = fields.next()?;
    let mut address = || -> Option<IpAddr> {
        match family {
            "TCP4" => fields.next()?.parse().ok().map(IpAddr::V4),
            "TCP6" => fields.next()?.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (from, to) = (address()?, address()?);
    let (from_port, to_port) = (parse_port(fields.next()?)?, parse_port(fields.next()?)?);
    if fields.next().is_some() {
        return None;
    }
    Some(ProxyHeader::new(
        &SocketAddr::new(from, from_port).into(),
        &SocketAddr::new(to, to_port).into(),
    ))
}

/// A decimal number without a sign or leading zeros.
fn parse_port(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port.to_string() == text).then_some(port)
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let Some(fixed) = bytes.get(SIGNATURE.len()..FIXED) else {
        return Ok(Parsed::Needs(FIXED - bytes.len()));
    };
    let (command, family) = (fixed[0], fixed[1]);
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError::Malformed),
    };
    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if length > BODY_MAX {
        return Err(ProxyHeaderError::TooLong);
    }
    let Some(body) = bytes.get(FIXED..FIXED + length) else {
        return Ok(Parsed::Needs(FIXED + length - bytes.len()));
    };
    let header = if is_local {
        // The family is to be ignored, whatever it is.
        ProxyHeader::local()
    } else {
        parse_body(family, body).ok_or(ProxyHeaderError::Malformed)?
    };
    Ok(Parsed::Header(header, FIXED + length))
}

/// Parses the address block of version 2; TLVs that follow it are skipped.
fn parse_body(family: u8, body: &[u8]) -> Option<ProxyHeader> {
    let is_datagram = match family & 0xf {
        // Of this protocol, addresses are to be ignored.
        0 => return (family >> 4 <= 3).then(ProxyHeader::local),
        1 => false,
        2 => true,
        _ => return None,
    };
    let (source, destination) = match family >> 4 {
        0 => return Some(ProxyHeader::local()),
        1 => {
            let (from, body) = body.split_first_chunk::<4>()?;
            let (to, body) = body.split_first_chunk::<4>()?;
            inet_ends((*from).into(), (*to).into(), body)?
        }
        2 => {
            let (from, body) = body.split_first_chunk::<16>()?;
            let (to, body) = body.split_first_chunk::<16>()?;
            inet_ends(Ipv6Addr::from(*from).into(), Ipv6Addr::from(*to).into(), body)?
        }
        3 => {
            let (from, body) = body.split_first_chunk::<PATH>()?;
            let (to, _) = body.split_first_chunk::<PATH>()?;
            let unix = |host| Endpoint { transport: Transport::Unix, host, port: 0 };
            (unix(path_host(from)), unix(path_host(to)))
        }
        _ => return None,
    };
    let transport = match (is_datagram, source.transport) {
        (true, Transport::Unix) => Transport::UnixDatagram,
        (true, _) => Transport::Udp,
        (false, transport) => transport,
    };
    let [source, destination] = [source, destination].map(|end| end.with_transport(transport));
    Some(ProxyHeader::new(&source, &destination))
}

fn inet_ends(from: IpAddr, to: IpAddr, ports: &[u8]) -> Option<(Endpoint, Endpoint)> {
    let (from_port, rest) = ports.split_first_chunk()?;
    let (to_port, _) = rest.split_first_chunk()?;
    let end = |ip, port: &[u8; 2]| SocketAddr::new(ip, u16::from_be_bytes(*port)).into();
    Some((end(from, from_port), end(to, to_port)))
}

#[cfg(test)]
mod tests;

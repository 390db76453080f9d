//! Where to dial or to listen: a transport, a host and a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

/// What in a socket's path or name would be read as something else in a URL.
const SOCKET_NAME: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'@');

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A TCP stream.
    Tcp,
    /// TLS over a TCP stream.
    Tls,
    /// UDP datagrams.
    Udp,
    /// A Unix domain stream socket.
    Unix,
    /// A Unix domain datagram socket.
    UnixDatagram,
}

impl Transport {
    /// Whether this transport runs over IP, and so has a port and may need a name resolved.
    #[must_use]
    pub const fn is_inet(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::Udp)
    }
}

/// The host part of an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name in its ASCII form, lower case (RFC 5890).
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address and, where it is link-local, its zone (RFC 4007).
    V6(Ipv6Addr, Option<String>),
    /// The path of a Unix domain socket.
    Path(PathBuf),
    /// A name in Linux's abstract socket namespace, without the leading NUL.
    Abstract(String),
}

/// Why a text is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is no text.
    #[error("the host is empty")]
    Empty,
    /// It is neither an address nor a name that DNS or IDNA allows.
    #[error("the host is not a valid name or address")]
    Invalid,
    /// It looks like an IPv6 address that stands without brackets.
    #[error("an IPv6 address must stand in brackets, as in [::1]")]
    Unbracketed,
}

impl Host {
    /// Reads a host as it stands in a URL: a name (Unicode or not), an IPv4 address, or an IPv6
    /// address in brackets with an optional zone (RFC 3986 section 3.2.2, RFC 6874).
    ///
    /// # Errors
    /// [`HostError`] says what is wrong; the text itself is not repeated.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return Self::parse_v6(inner);
        }
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(HostError::Unbracketed);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::V4(address));
        }
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        let name = Uts46::new()
            .to_ascii(&bytes, AsciiDenyList::URL, Hyphens::Allow, DnsLength::VerifyAllowRootDot)
            .map_err(|_| HostError::Invalid)?;
        // Decoding or IDNA may have produced an address (full-width digits, for one).
        match name.parse() {
            Ok(address) => Ok(Self::V4(address)),
            Err(_) if ends_in_number(&name) => Err(HostError::Invalid),
            Err(_) => Ok(Self::Name(name.into_owned())),
        }
    }

    fn parse_v6(inner: &str) -> Result<Self, HostError> {
        let (address, zone) = match inner.split_once('%') {
            Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
            None => (inner, None),
        };
        let address = address.parse().map_err(|_| HostError::Invalid)?;
        let is_zone = |zone: &str| {
            !zone.is_empty()
                && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        };
        match zone {
            Some(zone) if !is_zone(zone) => Err(HostError::Invalid),
            zone => Ok(Self::V6(address, zone.map(str::to_owned))),
        }
    }

    /// The IP address, where the host is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address, _) => Some(IpAddr::V6(*address)),
            Self::Name(_) | Self::Path(_) | Self::Abstract(_) => None,
        }
    }

    /// The name or the address without brackets and zone, as TLS and resolvers want it; empty for
    /// a Unix socket.
    #[must_use]
    pub fn bare(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::V4(address) => address.to_string(),
            Self::V6(address, _) => address.to_string(),
            Self::Path(_) | Self::Abstract(_) => String::new(),
        }
    }

    /// Whether this is the loopback address, or `localhost` or a name below it (RFC 6761).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => {
                let name = name.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
            other => other.ip().is_some_and(|ip| ip.is_loopback()),
        }
    }
}

/// Whether the last label is a number, which no top-level domain is (RFC 3696 section 2): this was
/// meant to be an address.
fn ends_in_number(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    last.bytes().all(|byte| byte.is_ascii_digit())
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address, None),
        }
    }
}

impl fmt::Display for Host {
    /// As it stands in a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address, None) => write!(f, "[{address}]"),
            Self::V6(address, Some(zone)) => write!(f, "[{address}%25{zone}]"),
            Self::Path(path) => {
                percent_encode(path.as_os_str().as_encoded_bytes(), SOCKET_NAME).fmt(f)
            }
            Self::Abstract(name) => write!(f, "@{}", percent_encode(name.as_bytes(), SOCKET_NAME)),
        }
    }
}

/// Where to dial or to listen.
///
/// ```
/// use portolan_core::{Endpoint, Transport};
///
/// let endpoint = Endpoint::from("[::1]:80".parse::<std::net::SocketAddr>()?);
/// assert_eq!(endpoint.transport, Transport::Tcp);
/// assert_eq!(endpoint.to_string(), "[::1]:80");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// What carries the bytes.
    pub transport: Transport,
    /// The name, address, or socket path.
    pub host: Host,
    /// The port; 0 for Unix sockets, and for "any free port" when listening.
    pub port: u16,
}

impl Endpoint {
    /// A TCP endpoint.
    #[must_use]
    pub const fn tcp(host: Host, port: u16) -> Self {
        Self { transport: Transport::Tcp, host, port }
    }

    /// The Unix stream socket at `path`.
    #[must_use]
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self { transport: Transport::Unix, host: Host::Path(path.as_ref().to_owned()), port: 0 }
    }

    /// The same place over another transport.
    #[must_use]
    pub const fn with_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }
}

impl From<SocketAddr> for Endpoint {
    /// The TCP endpoint at this address.
    fn from(address: SocketAddr) -> Self {
        let mut host = Host::from(address.ip());
        if let (SocketAddr::V6(v6), Host::V6(_, zone)) = (address, &mut host)
            && v6.scope_id() != 0
        {
            *zone = Some(v6.scope_id().to_string());
        }
        Self::tcp(host, address.port())
    }
}

impl fmt::Display for Endpoint {
    /// `host:port`, or `unix:` with the socket's path or abstract name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            host @ (Host::Path(_) | Host::Abstract(_)) => write!(f, "unix:{host}"),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

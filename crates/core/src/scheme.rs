//! URL schemes: the words before the colon, and what follows from each.

use std::fmt;
use std::str::FromStr;

use crate::{Transport, UrlError};

/// The scheme of a [`Url`](crate::Url): which protocol to speak, over which transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// A TCP stream.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// A Unix domain stream socket: `unix:/path` or, for an abstract name, `unix:@name`.
    Unix,
    /// TLS over TCP.
    Tls,
    /// HTTP in the clear (RFC 9110).
    Http,
    /// HTTP over TLS (RFC 9110 section 4.2.2).
    Https,
    /// WebSocket in the clear (RFC 6455).
    Ws,
    /// WebSocket over TLS (RFC 6455).
    Wss,
    /// FTP (RFC 959).
    Ftp,
    /// FTP over implicit TLS.
    Ftps,
    /// SFTP over SSH.
    Sftp,
    /// Mail submission (RFC 6409).
    Smtp,
    /// Mail submission over implicit TLS (RFC 8314).
    Smtps,
    /// DNS over UDP, and over TCP when an answer is truncated (RFC 1035).
    Dns,
    /// DNS over TCP (RFC 7766).
    DnsTcp,
    /// DNS over TLS (RFC 7858).
    DnsTls,
    /// DNS over HTTPS (RFC 8484).
    DnsHttps,
    /// DNS over QUIC (RFC 9250).
    DnsQuic,
    /// A SOCKS5 proxy that is given resolved addresses (RFC 1928).
    Socks5,
    /// A SOCKS5 proxy that is given names to resolve itself.
    Socks5h,
}

impl Scheme {
    /// Every scheme, in the order of the reference.
    pub const ALL: [Self; 20] = [
        Self::Tcp,
        Self::Udp,
        Self::Unix,
        Self::Tls,
        Self::Http,
        Self::Https,
        Self::Ws,
        Self::Wss,
        Self::Ftp,
        Self::Ftps,
        Self::Sftp,
        Self::Smtp,
        Self::Smtps,
        Self::Dns,
        Self::DnsTcp,
        Self::DnsTls,
        Self::DnsHttps,
        Self::DnsQuic,
        Self::Socks5,
        Self::Socks5h,
    ];

    /// The scheme as it stands in a URL, without the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// The port of a URL that names none, or `None` where a port must be given.
    #[must_use]
    pub const fn default_port(self) -> Option<u16> {
        self.facts().1
    }

    /// What carries the protocol; [`Transport::Tls`] where TLS begins with the first byte.
    #[must_use]
    pub const fn transport(self) -> Transport {
        self.facts().2
    }

    /// Whether a URL of this scheme has a path and a query.
    #[must_use]
    pub const fn has_path(self) -> bool {
        matches!(
            self,
            Self::Http
                | Self::Https
                | Self::Ws
                | Self::Wss
                | Self::Ftp
                | Self::Ftps
                | Self::Sftp
                | Self::DnsHttps
        )
    }

    /// The one table that the public questions read.
    const fn facts(self) -> (&'static str, Option<u16>, Transport) {
        use Transport::{Tcp, Tls, Udp, Unix};
        match self {
            Self::Tcp => ("tcp", None, Tcp),
            Self::Udp => ("udp", None, Udp),
            Self::Unix => ("unix", None, Unix),
            Self::Tls => ("tls", None, Tls),
            Self::Http => ("http", Some(80), Tcp),
            Self::Https => ("https", Some(443), Tls),
            Self::Ws => ("ws", Some(80), Tcp),
            Self::Wss => ("wss", Some(443), Tls),
            Self::Ftp => ("ftp", Some(21), Tcp),
            Self::Ftps => ("ftps", Some(990), Tls),
            Self::Sftp => ("sftp", Some(22), Tcp),
            Self::Smtp => ("smtp", Some(587), Tcp),
            Self::Smtps => ("smtps", Some(465), Tls),
            Self::Dns => ("dns", Some(53), Udp),
            Self::DnsTcp => ("dns+tcp", Some(53), Tcp),
            Self::DnsTls => ("tls+dns", Some(853), Tls),
            Self::DnsHttps => ("https+dns", Some(443), Tls),
            Self::DnsQuic => ("quic+dns", Some(853), Udp),
            Self::Socks5 => ("socks5", Some(1080), Tcp),
            Self::Socks5h => ("socks5h", Some(1080), Tcp),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheme {
    type Err = UrlError;

    /// Reads a scheme name in any case (RFC 3986 section 3.1).
    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.name().eq_ignore_ascii_case(text))
            .ok_or(UrlError::UnknownScheme)
    }
}

//! SOCKS5 (RFC 1928), with a user name and a password where the proxy wants them (RFC 1929).

use std::io;
use std::net::SocketAddr;

use fast_socks5::client::{Config, Socks5Stream};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{AuthenticationMethod, SocksError, consts};
use portolan_core::{Endpoint, Kind, Url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ProxyError, closed};
use crate::Stream;

/// Why a SOCKS5 proxy did not connect (RFC 1928 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reply {
    /// 1.
    #[error("general SOCKS server failure")]
    GeneralFailure,
    /// 2.
    #[error("connection not allowed by ruleset")]
    NotAllowed,
    /// 3.
    #[error("network unreachable")]
    NetworkUnreachable,
    /// 4.
    #[error("host unreachable")]
    HostUnreachable,
    /// 5.
    #[error("connection refused")]
    ConnectionRefused,
    /// 6.
    #[error("TTL expired")]
    TtlExpired,
    /// 7.
    #[error("command not supported")]
    CommandNotSupported,
    /// 8.
    #[error("address type not supported")]
    AddressTypeNotSupported,
    /// A code that RFC 1928 gives no meaning.
    #[error("unassigned reply {0}")]
    Unassigned(u8),
}

impl Reply {
    /// The reply with this code; `None` is success.
    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            consts::SOCKS5_REPLY_SUCCEEDED => return None,
            consts::SOCKS5_REPLY_GENERAL_FAILURE => Self::GeneralFailure,
            consts::SOCKS5_REPLY_CONNECTION_NOT_ALLOWED => Self::NotAllowed,
            consts::SOCKS5_REPLY_NETWORK_UNREACHABLE => Self::NetworkUnreachable,
            consts::SOCKS5_REPLY_HOST_UNREACHABLE => Self::HostUnreachable,
            consts::SOCKS5_REPLY_CONNECTION_REFUSED => Self::ConnectionRefused,
            consts::SOCKS5_REPLY_TTL_EXPIRED => Self::TtlExpired,
            consts::SOCKS5_REPLY_COMMAND_NOT_SUPPORTED => Self::CommandNotSupported,
            consts::SOCKS5_REPLY_ADDRESS_TYPE_NOT_SUPPORTED => Self::AddressTypeNotSupported,
            code => Self::Unassigned(code),
        })
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::GeneralFailure
            | Self::NetworkUnreachable
            | Self::HostUnreachable
            | Self::ConnectionRefused
            | Self::TtlExpired => Kind::Connect,
            Self::NotAllowed | Self::CommandNotSupported | Self::AddressTypeNotSupported => {
                Kind::Denied
            }
            Self::Unassigned(_) => Kind::Protocol,
        }
    }
}

pub(super) async fn tunnel(
    stream: Stream,
    proxy: &Url,
    target: &Endpoint,
) -> Result<Stream, ProxyError> {
    let login = credentials(proxy)?;
    let greeted = Socks5Stream::use_stream(stream, login, Config::default()).await;
    let mut stream = greeted.map_err(cause)?.get_socket();
    stream.write_all(&request(target)?).await?;
    stream.flush().await?;
    read_reply(&mut stream).await?;
    Ok(stream)
}

/// RFC 1929 counts both in one byte, and the library would cut what is longer.
fn credentials(proxy: &Url) -> Result<Option<AuthenticationMethod>, ProxyError> {
    let Some(username) = proxy.user().map(str::to_owned) else { return Ok(None) };
    let password = proxy.password().unwrap_or_default().to_owned();
    if username.is_empty() || username.len() > 255 || password.len() > 255 {
        return Err(ProxyError::Credentials);
    }
    Ok(Some(AuthenticationMethod::Password { username, password }))
}

/// The library's errors repeat the user name; ours must not.
fn cause(error: SocksError) -> ProxyError {
    match error {
        SocksError::AuthMethodUnacceptable(_) | SocksError::AuthenticationRejected(_) => {
            ProxyError::Login
        }
        SocksError::Other(error) => match error.downcast::<io::Error>() {
            Ok(error) => end_of_stream(error),
            Err(_) => ProxyError::NotSocks,
        },
        _ => ProxyError::NotSocks,
    }
}

fn end_of_stream(error: io::Error) -> ProxyError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ProxyError::Io(closed()),
        _ => ProxyError::Io(error),
    }
}

fn request(target: &Endpoint) -> Result<Vec<u8>, ProxyError> {
    let address = match target.host.ip() {
        Some(ip) => TargetAddr::Ip(SocketAddr::new(ip, target.port)),
        None => TargetAddr::Domain(target.host.bare(), target.port),
    };
    let head = [consts::SOCKS5_VERSION, consts::SOCKS5_CMD_TCP_CONNECT, 0];
    let address = address.to_be_bytes().map_err(|error| {
        ProxyError::Io(io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))
    })?;
    Ok([&head[..], &address].concat())
}

/// Reads the reply and no byte more: what follows is the target's. The library's own reader
/// panics on a code that RFC 1928 gives no meaning.
async fn read_reply(stream: &mut Stream) -> Result<(), ProxyError> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(end_of_stream)?;
    let [version, code, _reserved, kind_of_address] = head;
    if version != consts::SOCKS5_VERSION {
        return Err(ProxyError::NotSocks);
    }
    if let Some(reply) = Reply::from_code(code) {
        return Err(ProxyError::Reply(reply));
    }
    let address = match kind_of_address {
        consts::SOCKS5_ADDR_TYPE_IPV4 => 4,
        consts::SOCKS5_ADDR_TYPE_IPV6 => 16,
        consts::SOCKS5_ADDR_TYPE_DOMAIN_NAME => {
            usize::from(stream.read_u8().await.map_err(end_of_stream)?)
        }
        _ => return Err(ProxyError::NotSocks),
    };
    // Where the proxy connects from is of no use to us; the port has two bytes.
    let mut bound = [0; 255 + 2];
    stream.read_exact(&mut bound[..address + 2]).await.map_err(end_of_stream)?;
    Ok(())
}

//! Proxies: which one for which URL, and how each is asked for the target.
//!
//! [`Proxies`] holds the rules of `--proxy`, `--noproxy` and the environment variables, as curl
//! reads them. The dialer asks it, connects to the proxy, and has a tunnel made: HTTP `CONNECT`
//! (RFC 9110 section 9.3.6) or SOCKS5 (RFC 1928, RFC 1929). Requests to a proxy that are not
//! tunnelled, UDP through SOCKS, and proxy scripts are not done here.
//!
//! ```
//! use portolan_net::proxy::Proxies;
//!
//! let lookup = |name: &str| match name {
//!     "https_proxy" => Some("proxy.test:3128".to_owned()),
//!     "no_proxy" => Some("internal.test, 10.0.0.0/8".to_owned()),
//!     _ => None,
//! };
//! let proxies = Proxies::from_env(lookup)?;
//! let proxy = |url: &str| Ok::<_, portolan_core::UrlError>(proxies.for_url(&url.parse()?).cloned());
//! assert_eq!(proxy("https://example.com")?, Some("http://proxy.test:3128".parse()?));
//! assert_eq!(proxy("https://db.internal.test")?, None);
//! assert_eq!(proxy("https://10.1.2.3")?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod connect;
mod rules;
mod socks5;

use std::io;

use portolan_core::{Blame, Endpoint, Error, Host, Kind, Phase, Scheme, Url};

pub use self::rules::{Proxies, ProxyUrlError};
pub use self::socks5::Reply;

use crate::{Context, Stream};

/// Why a proxy did not make the tunnel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// It wants a user name and a password, or other ones (HTTP 407, RFC 1929 section 2).
    #[error("the proxy refused the login")]
    Login,
    /// It answered with this HTTP status.
    #[error("the proxy answered {0}")]
    Status(connect::Status),
    /// It answered with this SOCKS5 reply.
    #[error("the proxy answered '{0}'")]
    Reply(Reply),
    /// It does not speak HTTP.
    #[error(transparent)]
    Head(#[from] connect::HeadError),
    /// It does not speak SOCKS5.
    #[error("the proxy's answer is not SOCKS5")]
    NotSocks,
    /// The URL's user name is empty, or it or the password has more than 255 bytes.
    #[error("a SOCKS5 user name has 1 to 255 bytes, a password at most 255")]
    Credentials,
    /// The connection to it failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ProxyError {
    const fn kind(&self) -> Kind {
        match self {
            Self::Login => Kind::Denied,
            Self::Status(status) if status.code >= 500 => Kind::Connect,
            Self::Status(_) => Kind::Denied,
            Self::Reply(reply) => reply.kind(),
            Self::Head(_) | Self::NotSocks => Kind::Protocol,
            Self::Credentials => Kind::Usage,
            Self::Io(_) => Kind::Lost,
        }
    }

    /// The error of having asked `proxy` for `target` in vain.
    #[must_use]
    pub fn into_error(self, proxy: &Url, target: &Endpoint) -> Error {
        let error = Error::new(self.kind(), unreached(target, proxy));
        let error = match self.hint(proxy) {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        match self {
            Self::Io(cause) => error.with_source(cause),
            cause => error.with_source(cause),
        }
    }

    fn hint(&self, proxy: &Url) -> Option<String> {
        let scheme = proxy.scheme();
        match self {
            Self::Login if proxy.user().is_none() => Some(
                "put a user name and a password into the proxy's URL, before the host".to_owned(),
            ),
            Self::Login => Some("check the user name and password in the proxy's URL".to_owned()),
            Self::Head(_) | Self::NotSocks => {
                Some(format!("check that {} is a proxy for {scheme}:", proxy.authority()))
            }
            Self::Reply(Reply::AddressTypeNotSupported) if scheme == Scheme::Socks5h => {
                Some("with socks5: in place of socks5h: names are resolved here".to_owned())
            }
            Self::Status(_) | Self::Reply(_) => match self.kind() {
                Kind::Denied => Some(
                    "the proxy's rules forbid it: go without with --noproxy, or \
                     ask whoever runs the proxy"
                        .to_owned(),
                ),
                _ => Some(
                    "the proxy works; see whether the target can be reached from there".to_owned(),
                ),
            },
            Self::Credentials | Self::Io(_) => None,
        }
    }
}

/// The message of a failure at `proxy`, which was to lead to `target`.
fn unreached(target: &Endpoint, proxy: &Url) -> String {
    format!("could not reach {target} through the proxy {proxy}")
}

/// Asks the proxy at the other end of `stream` for `target`; what comes back is the target's.
///
/// # Errors
/// [`Kind::Connect`] where the proxy could not reach the target, [`Kind::Denied`] where it would
/// not, [`Kind::Protocol`], [`Kind::Lost`], [`Kind::Timeout`], and [`Kind::Usage`] for credentials
/// that SOCKS5 cannot carry; all in phase `proxy`.
pub(crate) async fn tunnel(
    stream: Stream,
    proxy: &Url,
    target: &Endpoint,
    cx: &Context,
) -> Result<Stream, Error> {
    let ask = async {
        cx.fact(Phase::PROXY, "proxy", proxy.to_string());
        let asked = match proxy.scheme() {
            Scheme::Socks5 | Scheme::Socks5h => socks5::tunnel(stream, proxy, target).await,
            _ => connect::tunnel(stream, proxy, target).await,
        };
        asked.map_err(|cause| cause.into_error(proxy, target))
    };
    cx.within(Phase::PROXY, ask).await.map_err(|error| match error.kind() {
        Kind::Timeout => Error::new(Kind::Timeout, unreached(target, proxy))
            .with_blame(Blame::Peer)
            .with_phase(Phase::PROXY)
            .with_source(error),
        _ => error,
    })
}

/// The target as a proxy wants it: a zone means nothing on another machine.
fn without_zone(host: &Host) -> Host {
    match host {
        Host::V6(address, _) => Host::V6(*address, None),
        other => other.clone(),
    }
}

/// The end of the stream before the end of the answer.
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the proxy closed the connection")
}

#[cfg(test)]
mod tests;

//! Turning names into addresses.

use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;

use portolan_core::{Error, Kind};

/// A resolver of host names. Portolan's DNS client implements it too.
pub trait Resolve: Send + Sync {
    /// The addresses of `name`, in the order of preference; never empty.
    ///
    /// # Errors
    /// [`Kind::Resolve`].
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Error>> + Send + 'a>>;
}

/// The system's resolver (`getaddrinfo`): the hosts file, DNS, and whatever else is configured.
///
/// It runs on a thread of its own for each look-up, so a deadline ends the wait, though not the
/// thread. Names under `.invalid` never have an address, and nobody is asked for one (RFC 6761,
/// section 6.4).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Error>> + Send + 'a>> {
        Box::pin(async move {
            if is_invalid(name) {
                return Err(not_found(name).with_source(NoAddress(INVALID.to_owned())));
            }
            let question = name.to_owned();
            let looked_up = tokio::task::spawn_blocking(move || look_up(&question)).await;
            let answer = looked_up.unwrap_or_else(|panic| Err(io::Error::other(panic)));
            match answer {
                Ok(addresses) if !addresses.is_empty() => Ok(addresses),
                Ok(_) => Err(not_found(name)),
                Err(error) => {
                    let cause = NoAddress::from(&error);
                    let is_temporary = cause.0.contains("temporary failure");
                    let error = not_found(name).with_source(cause);
                    Err(if is_temporary { error.with_hint(NO_RESOLVER) } else { error })
                }
            }
        })
    }
}

/// What to do about a failure that getaddrinfo(3) calls temporary (`EAI_AGAIN`).
const NO_RESOLVER: &str = "no resolver gave an answer: check the network and /etc/resolv.conf";

const INVALID: &str = "no name under .invalid has an address";

fn is_invalid(name: &str) -> bool {
    let last = name.trim_end_matches('.').rsplit('.').next();
    last.is_some_and(|label| label.eq_ignore_ascii_case("invalid"))
}

fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for address in (name, 0).to_socket_addrs()? {
        // One entry a socket type comes back from some systems.
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

fn not_found(name: &str) -> Error {
    Error::new(Kind::Resolve, format!("could not resolve {name}"))
        .with_hint("check the spelling of the name, and the resolvers in /etc/resolv.conf")
}

/// Why the system's resolver has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct NoAddress(String);

impl From<&io::Error> for NoAddress {
    fn from(error: &io::Error) -> Self {
        let words = error.to_string();
        let words = words.trim_start_matches("failed to lookup address information: ");
        Self(words.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_asked_for_what_is_invalid() {
        for name in ["invalid", "nowhere.invalid", "a.b.INVALID."] {
            let error = SystemResolver.resolve(name).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Resolve);
            assert_eq!(format!("{error:#}"), format!("could not resolve {name}: {INVALID}"));
        }
        for name in ["localhost", "invalid.test", "notinvalid"] {
            assert!(!is_invalid(name), "{name}");
        }
    }
}

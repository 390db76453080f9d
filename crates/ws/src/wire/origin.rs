//! Whose pages may connect (RFC 6455 section 10.2). A browser lets any page open a WebSocket
//! anywhere, with the rights of who sits before it; only `Origin` says whose page it is.

use portolan_core::Host;

/// The origins (RFC 6454) of which pages may connect to a server. Clients that are no browsers name
/// none, and may always connect.
///
/// # Defaults
/// The server's own alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All of them.
    Any,
    /// The server's own, which has the host and the port that the request is for. Whoever owns a
    /// name may let it lead here (DNS rebinding): the host must be an address, `localhost` or a
    /// known name.
    Own {
        /// The names of the server.
        names: Vec<String>,
        /// Further origins, as `https://host[:port]`.
        others: Vec<String>,
    },
}

impl Default for Origins {
    fn default() -> Self {
        Self::Own { names: Vec::new(), others: Vec::new() }
    }
}

impl Origins {
    /// Whether a page of `origin` may connect by a request for `host`, which is the value of its
    /// `Host`.
    #[must_use]
    pub fn admit(&self, origin: &str, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Own { names, others } => {
                let is_origin = |other: &String| other.eq_ignore_ascii_case(origin);
                others.iter().any(is_origin) || is_own(origin, host, names)
            }
        }
    }
}

fn is_own(origin: &str, host: &str, names: &[String]) -> bool {
    let Some((scheme, origin)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let [origin, host] = [origin, host].map(|at| at.strip_suffix(default_port).unwrap_or(at));
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    let is_known = Host::parse(name).is_ok_and(|host| host.ip().is_some() || host.is_loopback())
        || names.iter().any(|known| known.eq_ignore_ascii_case(name));
    is_known && origin.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_server_itself_may_connect() {
        let origins = Origins::Own { names: vec!["chat.lan".to_owned()], others: Vec::new() };
        for (origin, host) in [
            ("http://127.0.0.1:8000", "127.0.0.1:8000"),
            ("http://[::1]:8000", "[::1]:8000"),
            ("http://[::1]", "[::1]"),
            ("http://localhost", "LOCALHOST:80"),
            ("https://localhost:443", "localhost"),
            ("http://a.localhost:1", "a.localhost:1"),
            ("https://chat.lan", "chat.lan"),
        ] {
            assert!(origins.admit(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn a_page_of_anybody_else_may_not() {
        for (origin, host) in [
            ("https://evil.example", "127.0.0.1:8000"),
            ("http://127.0.0.1", "127.0.0.1:8000"),
            ("http://127.0.0.1:8001", "127.0.0.1:8000"),
            // The name was made to lead here.
            ("http://evil.example:8000", "evil.example:8000"),
            ("http://localhost.evil.example", "localhost.evil.example"),
            ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example"),
            ("http://evil.example", "evil.example@127.0.0.1"),
            ("file://", ""),
            ("null", "null"),
            ("", ""),
        ] {
            assert!(!Origins::default().admit(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn others_are_let_in_by_name() {
        let others = vec!["https://a.example".to_owned(), "null".to_owned()];
        let origins = Origins::Own { names: Vec::new(), others };
        assert!(origins.admit("https://A.example", "b.example"));
        assert!(origins.admit("null", "b.example"));
        assert!(!origins.admit("http://a.example", "b.example"));
        assert!(Origins::Any.admit("https://evil.example", "b.example"));
    }
}

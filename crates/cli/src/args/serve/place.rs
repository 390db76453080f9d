//! Where a server of one protocol listens.

use portolan::{Endpoint, Scheme, Url, UrlError};

use crate::args::values::{without_login, without_path};

/// What is spoken at a place.
#[derive(Debug, PartialEq, Eq)]
pub struct Spoken {
    plain: Scheme,
    on_tls: Scheme,
    /// Who listens, with the verb.
    who: &'static str,
    /// What is added where a login is refused.
    login: &'static str,
}

/// HTTP.
pub const HTTP: Spoken = Spoken {
    plain: Scheme::Http,
    on_tls: Scheme::Https,
    who: "HTTP listens",
    login: ": --auth asks for one",
};

/// WebSocket.
pub const WEBSOCKET: Spoken =
    Spoken { plain: Scheme::Ws, on_tls: Scheme::Wss, who: "WebSockets listen", login: "" };

impl Spoken {
    /// The schemes that a place can have.
    #[must_use]
    pub const fn schemes(&self) -> [Scheme; 3] {
        [self.plain, self.on_tls, Scheme::Unix]
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// With its scheme.
    Url(Url),
    /// Without: whether TLS is spoken is for other flags to say.
    Bare(Endpoint, &'static Spoken),
}

impl Place {
    /// The port where none is given.
    const PORT: u16 = 8000;

    /// Reads a URL, an address, a port, or both.
    pub(super) fn parse(text: &str, spoken: &'static Spoken) -> Result<Self, String> {
        let parsed = text.parse::<Url>();
        let is_bare = parsed == Err(UrlError::NoScheme);
        let url = if is_bare { bare(text) } else { parsed };
        let url = without_login(url.map_err(|error| error.to_string())?)
            .map_err(|why| format!("{why}{}", spoken.login))?;
        match url.scheme() {
            _ if is_bare => Ok(Self::Bare(url.endpoint(), spoken)),
            Scheme::Unix => Ok(Self::Url(url)),
            scheme if spoken.schemes().contains(&scheme) => without_path(url).map(Self::Url),
            scheme => {
                let Spoken { plain, on_tls, who, .. } = spoken;
                Err(format!("{who} on {plain}:, {on_tls}: or unix:, not on {scheme}:"))
            }
        }
    }

    /// The URL of this place.
    #[must_use]
    pub fn url(&self, has_tls: bool) -> Url {
        match self {
            Self::Url(url) => url.clone(),
            Self::Bare(endpoint, spoken) if has_tls => Url::from_endpoint(spoken.on_tls, endpoint),
            Self::Bare(endpoint, spoken) => Url::from_endpoint(spoken.plain, endpoint),
        }
    }
}

/// Reads an address, a port, or both, as a URL of a scheme that has no port of its own.
fn bare(text: &str) -> Result<Url, UrlError> {
    let parse = |text: &str| Url::parse_as(text, Scheme::Tcp);
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return parse(&format!("127.0.0.1:{port}"));
    }
    match parse(text) {
        Err(UrlError::MissingPort(_)) => parse(&format!("{text}:{}", Place::PORT)),
        url => url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_url_an_address_or_a_port() {
        let url = |text: &str, spoken, has_tls| {
            Place::parse(text, spoken).unwrap().url(has_tls).to_string()
        };
        assert_eq!(url("8080", &HTTP, false), "http://127.0.0.1:8080/");
        assert_eq!(url(":0", &HTTP, false), "http://127.0.0.1:0/");
        assert_eq!(url("0.0.0.0", &HTTP, false), "http://0.0.0.0:8000/");
        assert_eq!(url("[::1]:8443", &HTTP, true), "https://[::1]:8443/");
        assert_eq!(url("http://localhost:9000", &HTTP, true), "http://localhost:9000/");
        assert_eq!(url("unix:/run/site.sock", &HTTP, false), "unix:/run/site.sock");
        assert_eq!(url(":0", &WEBSOCKET, false), "ws://127.0.0.1:0/");
        assert_eq!(url("0.0.0.0", &WEBSOCKET, true), "wss://0.0.0.0:8000/");
        assert_eq!(url("ws:9000", &WEBSOCKET, true), "ws://127.0.0.1:9000/");
        assert_eq!(url("wss://[::1]:8443", &WEBSOCKET, false), "wss://[::1]:8443/");
        assert_eq!(url("unix:/run/chat.sock", &WEBSOCKET, true), "unix:/run/chat.sock");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        let refused = |text: &str, spoken| Place::parse(text, spoken).unwrap_err();
        assert_eq!(
            refused("ftp://127.0.0.1", &HTTP),
            "HTTP listens on http:, https: or unix:, not on ftp:"
        );
        assert!(refused("http://127.0.0.1", &WEBSOCKET).contains("not on http:"));
        assert!(refused("http://127.0.0.1/a", &HTTP).contains("no path"));
        assert!(refused("ws://127.0.0.1/chat", &WEBSOCKET).contains("no path"));
        for with_login in ["http://ann:secret@127.0.0.1:0", "ann:secret@127.0.0.1:0"] {
            let refusal = refused(with_login, &HTTP);
            assert_eq!(refusal, "where to listen has no login: --auth asks for one");
        }
        let with_login = "ws://ann:secret@127.0.0.1:0";
        assert_eq!(refused(with_login, &WEBSOCKET), "where to listen has no login");
        let refusal = refused("127.0.0.1:99999", &HTTP);
        assert!(refusal.contains("port"), "{refusal}");
    }
}

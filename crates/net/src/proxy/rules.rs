//! Which proxy for which URL: `--proxy`, `--noproxy` and the environment, by curl's rules.

use std::sync::Arc;

use portolan_core::{Endpoint, Error, Host, Kind, Scheme, Transport, Url};

use crate::Network;

/// The proxies to use, and for what not to use them.
///
/// Cheap to clone. Unix sockets and datagrams never go through a proxy; loopback does, unless the
/// rules say otherwise, as with curl.
///
/// # Defaults
/// No proxy.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<Rules>);

#[derive(Clone, Debug, Default)]
struct Rules {
    by_scheme: Vec<(Scheme, Url)>,
    all: Option<Url>,
    exempt: Vec<Exempt>,
}

/// Why a URL is not one of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a proxy's scheme is http, https, socks5 or socks5h, not {0}")]
pub struct ProxyUrlError(pub Scheme);

impl Proxies {
    /// No proxy for anything.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// This proxy for everything. Its scheme says how to speak to it: `http`, `https` (TLS to the
    /// proxy), `socks5` (given addresses) or `socks5h` (given names).
    ///
    /// # Errors
    /// [`Kind::Usage`] for another scheme.
    pub fn all(url: Url) -> Result<Self, Error> {
        let message = format!("could not use {url} as a proxy");
        let url =
            check(url).map_err(|error| Error::new(Kind::Usage, message).with_source(error))?;
        Ok(Self(Arc::new(Rules { all: Some(url), ..Rules::default() })))
    }

    /// The proxies that environment variables name: for a URL's scheme `http_proxy`,
    /// `https_proxy`, `ftp_proxy` and so on, for others `all_proxy`, and `no_proxy` for
    /// exceptions. Each is looked up in lower case, then in upper case, but for `HTTP_PROXY`: in a
    /// CGI program it is what a client sent in a `Proxy` header. `ws` and `wss` follow `http` and
    /// `https`, as does DNS over HTTPS. A value without a scheme is an HTTP proxy; an empty one is
    /// as none.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a value that is no proxy's URL; it names the variable.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let value = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let find = |name: &str| {
            let upper = name.to_ascii_uppercase();
            let names = [Some(name), Some(&*upper).filter(|name| *name != "HTTP_PROXY")];
            let mut found = names.into_iter().flatten();
            found.find_map(|name| Some((name.to_owned(), value(name)?)))
        };
        let proxy = |name: &str| match find(name) {
            Some((name, value)) => read(&name, value.trim()).map(Some),
            None => Ok(None),
        };
        let mut rules = Rules { all: proxy("all_proxy")?, ..Rules::default() };
        for scheme in Scheme::ALL {
            for name in variables(scheme) {
                if let Some(url) = proxy(&format!("{name}_proxy"))? {
                    rules.by_scheme.push((scheme, url));
                    break;
                }
            }
        }
        let proxies = Self(Arc::new(rules));
        Ok(match find("no_proxy") {
            Some((_, list)) => proxies.with_no_proxy(&list),
            None => proxies,
        })
    }

    /// The same proxies, but not for what `list` names; it takes the place of an earlier list.
    ///
    /// Names, addresses and networks (`10.0.0.0/8`) stand between commas or spaces, each perhaps
    /// with a `:port`. A name covers the names below it, with or without a dot in front; `*`
    /// covers everything.
    #[must_use]
    pub fn with_no_proxy(mut self, list: &str) -> Self {
        let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
        Arc::make_mut(&mut self.0).exempt = entries.map(Exempt::parse).collect();
        self
    }

    /// The proxy for `url`; its scheme decides too.
    #[must_use]
    pub fn for_url(&self, url: &Url) -> Option<&Url> {
        let by_scheme = self.0.by_scheme.iter().find(|(scheme, _)| *scheme == url.scheme());
        let proxy = by_scheme.map(|(_, proxy)| proxy).or(self.0.all.as_ref())?;
        self.0.allow(&url.endpoint()).then_some(proxy)
    }

    /// The proxy for `endpoint`: the one that is for everything.
    #[must_use]
    pub fn for_endpoint(&self, endpoint: &Endpoint) -> Option<&Url> {
        self.0.all.as_ref().filter(|_| self.0.allow(endpoint))
    }
}

impl Rules {
    fn allow(&self, endpoint: &Endpoint) -> bool {
        let is_stream = matches!(endpoint.transport, Transport::Tcp | Transport::Tls);
        is_stream && !self.exempt.iter().any(|exempt| exempt.covers(&endpoint.host, endpoint.port))
    }
}

/// The variables for a scheme, without `_proxy`: its own, and those that it follows.
fn variables(scheme: Scheme) -> &'static [&'static str] {
    match scheme {
        Scheme::Tcp => &["tcp"],
        Scheme::Tls => &["tls"],
        Scheme::Http => &["http"],
        Scheme::Https | Scheme::DnsHttps => &["https"],
        Scheme::Ws => &["ws", "http"],
        Scheme::Wss => &["wss", "https"],
        Scheme::Ftp => &["ftp"],
        Scheme::Ftps => &["ftps"],
        Scheme::Sftp => &["sftp"],
        Scheme::Smtp => &["smtp"],
        Scheme::Smtps => &["smtps"],
        _ => &[],
    }
}

fn read(variable: &str, value: &str) -> Result<Url, Error> {
    // The value is not repeated: where it is malformed, nothing tells what of it is a password.
    let usage = || Error::new(Kind::Usage, format!("could not use {variable} as a proxy"));
    let url = Url::parse_as(value, Scheme::Http).map_err(|error| usage().with_source(error))?;
    check(url).map_err(|error| usage().with_source(error))
}

fn check(url: Url) -> Result<Url, ProxyUrlError> {
    match url.scheme() {
        Scheme::Http | Scheme::Https | Scheme::Socks5 | Scheme::Socks5h => Ok(url),
        other => Err(ProxyUrlError(other)),
    }
}

/// One entry of a list of exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exempt {
    place: Place,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Any,
    Network(Network),
    /// A name in lower case, without dots at its ends.
    Name(String),
}

impl Exempt {
    fn parse(entry: &str) -> Self {
        let whole = Self { place: Place::parse(entry), port: None };
        // An IPv6 address is full of colons itself.
        if !matches!(whole.place, Place::Name(_)) {
            return whole;
        }
        match entry.rsplit_once(':').map(|(place, port)| (place, port.parse())) {
            Some((place, Ok(port))) => Self { place: Place::parse(place), port: Some(port) },
            _ => whole,
        }
    }

    fn covers(&self, host: &Host, port: u16) -> bool {
        self.port.is_none_or(|exempt| exempt == port) && self.place.covers(host)
    }
}

impl Place {
    fn parse(text: &str) -> Self {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if text == "*" {
            Self::Any
        } else if let Ok(network) = bare.parse() {
            Self::Network(network)
        } else {
            Self::Name(text.trim_matches('.').to_ascii_lowercase())
        }
    }

    fn covers(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Network(network), host) => host.ip().is_some_and(|ip| network.contains(ip)),
            (Self::Name(name), Host::Name(host)) => {
                let above = host.trim_end_matches('.').strip_suffix(&**name);
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            (Self::Name(_), _) => false,
        }
    }
}

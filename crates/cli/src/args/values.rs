//! Values of arguments that need reading, without any I/O.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use portolan::net::Place;
use portolan::probe::{ExpectError, Expectation};
use portolan::units::{self, UnitError};
use portolan::{Host, Scheme, Url, UrlError};

/// The longest name of a network interface on Linux, without its NUL.
const INTERFACE_MAX: usize = 15;

/// Reads a duration such as `250ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, UnitError> {
    units::duration(text)
}

/// Reads a size such as `10MB`.
pub(crate) fn size(text: &str) -> Result<u64, UnitError> {
    units::size(text)
}

/// Reads a rate such as `1MB/s`.
pub(crate) fn byte_rate(text: &str) -> Result<u64, UnitError> {
    units::byte_rate(text)
}

/// Reads a duration that is not zero.
pub(crate) fn interval(text: &str) -> Result<Duration, &'static str> {
    match units::duration(text) {
        Ok(duration) if duration >= Duration::from_millis(1) => Ok(duration),
        _ => Err("not a duration of at least 1ms, such as 30s"),
    }
}

/// Reads a number between two others.
pub(crate) fn number<T: FromStr + PartialOrd + Display>(
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("not a number from {} to {}", range.start(), range.end()))
}

/// Reads an IP address.
pub(crate) fn address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "not an address such as 192.0.2.1 or 2001:db8::1")
}

/// Reads a URL; `host:port` is one of TCP, and a host without a port, or with a path, of HTTPS.
pub(crate) fn target(text: &str) -> Result<Url, UrlError> {
    match (text.parse::<Url>(), Url::parse_as(text, Scheme::Tcp)) {
        (Err(UrlError::NoScheme), Err(UrlError::MissingPort(_) | UrlError::Path(_))) => {
            Url::parse_as(text, Scheme::Https)
        }
        (_, url) => url,
    }
}

/// Reads where to listen, as a target is read.
pub(crate) fn listen_url(text: &str) -> Result<Url, String> {
    let url = without_login(target(text).map_err(|error| error.to_string())?)?;
    match url.scheme() {
        Scheme::Ws | Scheme::Wss => without_path(url),
        _ => Ok(url),
    }
}

/// Refuses a path in the URL of a place to listen: all paths are served.
pub(crate) fn without_path(url: Url) -> Result<Url, String> {
    if url.path_and_query() == "/" {
        Ok(url)
    } else {
        Err("where to listen has no path".to_owned())
    }
}

/// Refuses a login in the URL of a place to listen: it would keep nobody out.
pub(crate) fn without_login(url: Url) -> Result<Url, String> {
    if url.user().is_none() { Ok(url) } else { Err("where to listen has no login".to_owned()) }
}

/// Reads a URL of HTTP; without a scheme, as in a browser's address bar of old, it is `http:`.
pub(crate) fn web_target(text: &str) -> Result<Url, String> {
    let url = Url::parse_as(text, Scheme::Http).map_err(|error| error.to_string())?;
    match url.scheme() {
        Scheme::Http | Scheme::Https => Ok(url),
        scheme => Err(format!("this verb is for http: and https:, not for {scheme}:")),
    }
}

/// Reads a proxy's URL; `host:port` is an HTTP proxy.
pub(crate) fn proxy(text: &str) -> Result<Url, String> {
    const ALLOWED: &str = "a proxy is http:, https:, socks5: or socks5h:";
    let url = Url::parse_as(text, Scheme::Http).map_err(|error| match error {
        UrlError::UnknownScheme => ALLOWED.to_owned(),
        error => error.to_string(),
    })?;
    match url.scheme() {
        Scheme::Http | Scheme::Https | Scheme::Socks5 | Scheme::Socks5h => Ok(url),
        _ => Err(ALLOWED.to_owned()),
    }
}

/// Reads an address to listen on; a lone port, or one after a colon, is on loopback.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    let port = text.strip_prefix(':').unwrap_or(text);
    match port.parse() {
        Ok(port) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        Err(_) => text.parse().map_err(|_| "not an address such as 127.0.0.1:9100 or [::1]:9100"),
    }
}

/// Reads the name of a network interface.
pub(crate) fn interface(text: &str) -> Result<String, &'static str> {
    let is_name = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b':';
    match text {
        name if !(1..=INTERFACE_MAX).contains(&name.len()) || !name.bytes().all(is_name) => {
            Err("not the name of a network interface, such as eth0")
        }
        name => Ok(name.to_owned()),
    }
}

/// Reads a name for SNI, which cannot be an address (RFC 6066 section 3).
pub(crate) fn server_name(text: &str) -> Result<String, &'static str> {
    match Host::parse(text) {
        Ok(Host::Name(name)) => Ok(name),
        _ => Err("not a host name such as example.org"),
    }
}

/// Reads a token (RFC 9110 section 5.6.2), such as the name of a subprotocol.
pub(crate) fn token(text: &str) -> Result<String, &'static str> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match !text.is_empty() && text.bytes().all(is_token) {
        true => Ok(text.to_owned()),
        false => Err("not a name such as chat or graphql-ws"),
    }
}

/// Reads an origin as browsers write it (RFC 6454 section 6.2), or `*`.
pub(crate) fn origin(text: &str) -> Result<String, &'static str> {
    if matches!(text, "*" | "null") {
        return Ok(text.to_owned());
    }
    let wrong = "not an origin such as https://a.example:8443, nor *";
    let (scheme, host) = text.split_once("://").ok_or(wrong)?;
    if !matches!(scheme, "http" | "https") {
        // Browsers' extensions have schemes of their own.
        let is_origin = !scheme.is_empty() && !host.is_empty() && !host.contains('/');
        return if is_origin { Ok(text.to_owned()) } else { Err(wrong) };
    }
    let url: Url = text.parse().map_err(|_| wrong)?;
    match url.path_and_query() == "/" && url.user().is_none() && !host.contains(['#', '?']) {
        true => Ok(format!("{scheme}://{}", url.authority())),
        false => Err(wrong),
    }
}

/// A header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
}

/// The fields that say how a response is sent, which only the server knows.
const FRAMING: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (name, value) = text.split_once(':')?;
            Some(Self { name: name.parse().ok()?, value: value.trim().parse().ok()? })
        };
        match read() {
            Some(Self { name, .. }) if FRAMING.contains(&name) => {
                Err(format!("HTTP itself decides on {name}"))
            }
            Some(field) => Ok(field),
            None => Err("not NAME:VALUE, such as Cache-Control:no-store".to_owned()),
        }
    }
}

/// What `--expect` lists, with commas between.
#[derive(Clone, Debug)]
pub struct Expectations(pub Vec<Expectation>);

impl FromStr for Expectations {
    type Err = ExpectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Expectation::parse_list(text).map(Self)
    }
}

/// The addresses to take for a host and port: `HOST:PORT:ADDR[,ADDR…]`, and `*` for any host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveTo {
    /// The host; any where `None`.
    pub host: Option<Host>,
    /// The port.
    pub port: u16,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

impl FromStr for ResolveTo {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (host, rest) = split_host(text)?;
            let (port, addresses) = rest.split_once(':')?;
            let host = if host == "*" { None } else { Some(Host::parse(host).ok()?) };
            let addresses = addresses.split(',').map(bracketed).collect::<Option<_>>()?;
            Some(Self { host, port: port.parse().ok()?, addresses })
        };
        read().ok_or("not HOST:PORT:ADDR, such as example.org:443:127.0.0.1 or a:80:[::1]")
    }
}

/// Where to go in place of somewhere else: `HOST:PORT:HOST:PORT`. An empty part of the first
/// place means any; of the second, the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    /// In place of which.
    pub from: Place,
    /// Where to.
    pub to: Place,
}

impl FromStr for ConnectTo {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (from_host, rest) = split_host(text)?;
            let (from_port, rest) = rest.split_once(':')?;
            let (to_host, to_port) = split_host(rest)?;
            Some(Self { from: place(from_host, from_port)?, to: place(to_host, to_port)? })
        };
        read().ok_or("not HOST:PORT:HOST:PORT, such as example.org:443:127.0.0.1:7443")
    }
}

/// Reads an address that may stand in brackets if it is one of IPv6.
fn bracketed(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(text) => text.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

fn place(host: &str, port: &str) -> Option<Place> {
    let host = part(host, |host| Host::parse(host).ok())?;
    Some(Place { host, port: part(port, |port| port.parse().ok())? })
}

/// A part that may be empty, but not wrong.
fn part<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

/// Splits `host:rest`, where an IPv6 host stands in brackets.
fn split_host(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':')? };
    Some((&text[..end], text[end..].strip_prefix(':')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_without_a_scheme() {
        let read = |text| target(text).map(|url| url.to_string());
        assert_eq!(read("db.test:5432"), Ok("tcp://db.test:5432".to_owned()));
        assert_eq!(read("web.test"), Ok("https://web.test/".to_owned()));
        assert_eq!(read("web.test:8443/up"), Ok("https://web.test:8443/up".to_owned()));
        assert_eq!(read("[::1]:80"), Ok("tcp://[::1]:80".to_owned()));
        assert_eq!(read("tcp://web.test"), Err(UrlError::MissingPort(Scheme::Tcp)));
        assert_eq!(read("web.test:http"), Err(UrlError::Port));
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        let read = |text: &str| origin(text).unwrap();
        assert_eq!(read("https://A.example:443/"), "https://a.example");
        assert_eq!(read("http://[::1]:8000"), "http://[::1]:8000");
        for same in ["*", "null", "chrome-extension://abc"] {
            assert_eq!(read(same), same);
        }
        for bad in ["", "a.example", "https://", "https://a/b", "https://u@a", "x://a/b"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_for_hosts() {
        let read = |text: &str| text.parse::<ResolveTo>();
        let v6 = read("[::1]:443:[2001:db8::1]").unwrap();
        let addresses = |list: &[&str]| -> Vec<IpAddr> {
            list.iter().map(|address| address.parse().unwrap()).collect()
        };
        assert_eq!(v6.host, Some(Host::parse("[::1]").unwrap()));
        assert_eq!(v6.addresses, addresses(&["2001:db8::1"]));
        let several = read("a.test:80:::1,127.0.0.1,[::2]").unwrap();
        assert_eq!((several.host, several.port), (Some(Host::parse("a.test").unwrap()), 80));
        assert_eq!(several.addresses, addresses(&["::1", "127.0.0.1", "::2"]));
        assert_eq!(read("*:80:127.0.0.1").unwrap().host, None);
        for bad in [
            "",
            "a.test",
            "a.test:80",
            "a.test:80:",
            "a.test:80:b.test",
            "a.test:80:127.0.0.1,",
            "a.test:80:[127.0.0.1]",
            "a.test:http:127.0.0.1",
            "[::1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_for_places() {
        let read = |text: &str| text.parse::<ConnectTo>();
        let all = read("[::1]:443:localhost:7443").unwrap();
        let place = |host, port| Place { host: Some(Host::parse(host).unwrap()), port: Some(port) };
        assert_eq!(all, ConnectTo { from: place("[::1]", 443), to: place("localhost", 7443) });
        let any = read(":::7443").unwrap();
        assert_eq!(any.from, Place::default());
        assert_eq!(any.to, Place { host: None, port: Some(7443) });
        for bad in ["", "::", "a.test:80:b.test", "a.test:80:b.test:x", "a b:80:c:1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn proxies_have_four_schemes() {
        assert_eq!(proxy("localhost:3128").unwrap().scheme(), Scheme::Http);
        assert_eq!(proxy("socks5h://[::1]").unwrap().port(), 1080);
        for bad in ["ftp://localhost", "gopher://localhost", "tcp:1"] {
            assert!(proxy(bad).unwrap_err().contains("socks5h"), "{bad}");
        }
    }

    #[test]
    fn small_values() {
        assert_eq!(number("3", 1..=3), Ok(3));
        assert_eq!(number("4", 1..=3).unwrap_err(), "not a number from 1 to 3");
        assert!(number::<u8>("three", 1..=3).is_err());
        assert!(address("::1").is_ok() && address("localhost").is_err());
        assert_eq!(listen_address(":9100").unwrap().to_string(), "127.0.0.1:9100");
        assert_eq!(listen_address("[::]:1").unwrap().to_string(), "[::]:1");
        assert!(listen_address("9100x").is_err());
        assert!(interval("0").is_err());
        assert!(interface("eth0").is_ok());
        assert!(interface("../../etc/passwd").is_err() && interface("").is_err());
        assert_eq!(server_name("Bücher.example").unwrap(), "xn--bcher-kva.example");
        assert!(server_name("127.0.0.1").is_err());
        assert_eq!(target("localhost:80").unwrap().scheme(), Scheme::Tcp);
    }

    #[test]
    fn a_field_has_a_name_and_a_value() {
        let field: Field = "Cache-Control: no-store".parse().unwrap();
        assert_eq!(
            (field.name.as_str(), field.value.as_bytes()),
            ("cache-control", &b"no-store"[..])
        );
        for bad in ["no-store", ":no-store", "a b:c", "a:b\nc", "Content-Length: 1"] {
            assert!(bad.parse::<Field>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_subprotocol_is_a_token() {
        assert_eq!(token("graphql-ws"), Ok("graphql-ws".to_owned()));
        for bad in ["", "a b", "a,b", "é"] {
            assert!(token(bad).is_err(), "{bad}");
        }
    }
}

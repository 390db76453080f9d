//! URLs of every scheme that Portolan speaks (RFC 3986), parsed once at the edge.

mod join;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode,
};

use crate::{Endpoint, Host, HostError, Scheme, Transport};

/// What may not stand bare in a path or query; a `%` is taken as already encoded.
const PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}').add(b'\\');
/// Everything but the unreserved characters (RFC 3986 section 2.3).
const USERINFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The longest path that `sockaddr_un` holds, with its final NUL.
const UNIX_PATH_MAX: usize = 108;
/// The longest URL that is read; longer ones are mistakes or attacks.
const URL_MAX: usize = 64 * 1024;

/// A parsed URL. It prints itself without its user name and password: those come only from
/// [`user`](Self::user), [`password`](Self::password) and [`with_secrets`](Self::with_secrets).
///
/// A fragment is dropped, since it never reaches a peer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: Scheme,
    user: Option<String>,
    password: Option<String>,
    host: Host,
    port: u16,
    /// Percent-encoded path and query; empty where the scheme has none.
    path_and_query: String,
}

/// Why a text is not a URL. The text is never repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// There is no scheme.
    #[error("there is no scheme, as in tcp://host:port or https://host")]
    NoScheme,
    /// The scheme is not one of [`Scheme::ALL`].
    #[error("the scheme is not one of {}", Schemes)]
    UnknownScheme,
    /// The host is missing or malformed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The port is not a number from 0 to 65535.
    #[error("the port must be a number up to 65535")]
    Port,
    /// The scheme has no default port and none was given.
    #[error("a {0}: URL needs a port, as in {0}://host:port")]
    MissingPort(Scheme),
    /// The scheme has neither path nor query, and there was one.
    #[error("a {0}: URL has no path or query")]
    Path(Scheme),
    /// A Unix socket's path or name is empty, too long, or holds a NUL.
    #[error(
        "a unix: URL needs a path (unix:/path) or an abstract name (unix:@name) of 1 to 107 bytes"
    )]
    UnixPath,
    /// A percent-encoding does not decode to UTF-8.
    #[error("a percent-encoding is not UTF-8")]
    Encoding,
    /// The URL holds white space or control characters, or is longer than 64 KiB.
    #[error("there are control characters, or more than 64 KiB")]
    Malformed,
}

/// Prints the names of all schemes.
struct Schemes;

impl fmt::Display for Schemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Scheme::ALL.iter().map(|scheme| scheme.name()).collect();
        f.write_str(&names.join(" "))
    }
}

impl Url {
    /// Reads `text` as [`FromStr`] does, and text without a scheme as a URL of scheme `bare`.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse_as(text: &str, bare: Scheme) -> Result<Self, UrlError> {
        match split_scheme(text) {
            Err(UrlError::NoScheme) => Self::parse_rest(bare, text),
            Err(error) => Err(error),
            Ok((scheme, rest)) => Self::parse_rest(scheme, rest),
        }
    }

    /// A URL of `scheme` for `endpoint`'s host and port, with the path `/` where one belongs.
    #[must_use]
    pub fn from_endpoint(scheme: Scheme, endpoint: &Endpoint) -> Self {
        let path = if scheme.has_path() { "/" } else { "" };
        Self {
            scheme,
            user: None,
            password: None,
            host: endpoint.host.clone(),
            port: endpoint.port,
            path_and_query: path.to_owned(),
        }
    }

    /// The same URL with another path (and query), which is percent-encoded where it must be.
    ///
    /// # Errors
    /// [`UrlError::Path`] if the scheme has no path.
    pub fn with_path(mut self, path: &str) -> Result<Self, UrlError> {
        self.path_and_query = parse_path(self.scheme, path)?;
        Ok(self)
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port: the one given, or else the scheme's default; 0 for Unix sockets.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The user name, percent-decoded.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, percent-decoded.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The path and the query, percent-encoded, as HTTP's origin-form wants them.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// The host, and the port where it is not the scheme's default: what a `Host` header holds.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.scheme.default_port() == Some(self.port) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Where to dial or to listen for this URL.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { transport: self.scheme.transport(), host: self.host.clone(), port: self.port }
    }

    /// Prints the URL with its user name and password, for programs that need it whole.
    #[must_use]
    pub fn with_secrets(&self) -> String {
        let userinfo = match (&self.user, &self.password) {
            (None, _) => String::new(),
            (Some(user), None) => format!("{}@", utf8_percent_encode(user, USERINFO)),
            (Some(user), Some(password)) => format!(
                "{}:{}@",
                utf8_percent_encode(user, USERINFO),
                utf8_percent_encode(password, USERINFO)
            ),
        };
        self.print(&userinfo)
    }

    fn print(&self, userinfo: &str) -> String {
        match self.host {
            Host::Path(_) | Host::Abstract(_) => {
                let name = self.host.to_string();
                // Two slashes would be read as those before an authority.
                let slashes = if name.starts_with("//") { "//" } else { "" };
                format!("{}:{slashes}{name}", self.scheme)
            }
            _ => format!("{}://{userinfo}{}{}", self.scheme, self.authority(), self.path_and_query),
        }
    }

    fn parse_rest(scheme: Scheme, rest: &str) -> Result<Self, UrlError> {
        if rest.len() > URL_MAX || rest.chars().any(char::is_control) {
            return Err(UrlError::Malformed);
        }
        if scheme.transport() == Transport::Unix {
            return Self::parse_unix(scheme, rest);
        }
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, password, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => {
                let (user, password) = match userinfo.split_once(':') {
                    Some((user, password)) => (user, Some(decode(password)?)),
                    None => (userinfo, None),
                };
                (Some(decode(user)?), password, place)
            }
            None => (None, None, authority),
        };
        let (host, port) = parse_place(scheme, place)?;
        let path_and_query = parse_path(scheme, path)?;
        Ok(Self { scheme, user, password, host, port, path_and_query })
    }

    fn parse_unix(scheme: Scheme, rest: &str) -> Result<Self, UrlError> {
        let name = decode(rest.strip_prefix("//").unwrap_or(rest))?;
        let host = match name.strip_prefix('@') {
            // A literal `@` at the start of a path is written `%40` or `./@`.
            Some(name) if rest.trim_start_matches('/').starts_with('@') => {
                Host::Abstract(name.to_owned())
            }
            _ => Host::Path(PathBuf::from(&name)),
        };
        let is_empty = name.trim_start_matches('@').is_empty();
        if is_empty || name.len() >= UNIX_PATH_MAX || name.contains('\0') {
            return Err(UrlError::UnixPath);
        }
        Ok(Self {
            scheme,
            user: None,
            password: None,
            host,
            port: 0,
            path_and_query: String::new(),
        })
    }
}

/// Splits `scheme:rest`. `host:port` has no scheme; `word:rest` and `word://rest` have an unknown
/// one.
fn split_scheme(text: &str) -> Result<(Scheme, &str), UrlError> {
    let (before, rest) = text.split_once(':').ok_or(UrlError::NoScheme)?;
    let is_word = before.starts_with(|c: char| c.is_ascii_alphabetic())
        && before.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    match before.parse() {
        Ok(scheme) => Ok((scheme, rest)),
        Err(error) if is_word && rest.starts_with("//") => Err(error),
        Err(_) => Err(UrlError::NoScheme),
    }
}

/// Reads `host:port`, `host` where the scheme has a default port, and `port` or `:port` for
/// loopback.
fn parse_place(scheme: Scheme, place: &str) -> Result<(Host, u16), UrlError> {
    let after_bracket = place.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match place[after_bracket..].rfind(':') {
        // Two colons outside brackets: let the host's own error speak.
        Some(at) if !place[after_bracket..after_bracket + at].contains(':') => {
            (&place[..after_bracket + at], Some(&place[after_bracket + at + 1..]))
        }
        _ => (place, None),
    };
    let (host, port) = match port {
        None if is_number(host) => ("127.0.0.1", Some(host)),
        Some(port) if host.is_empty() => ("127.0.0.1", Some(port)),
        port => (host, port),
    };
    let host = Host::parse(host)?;
    let port = match port {
        Some(port) if is_number(port) => port.parse().map_err(|_| UrlError::Port)?,
        Some(_) => return Err(UrlError::Port),
        None => scheme.default_port().ok_or(UrlError::MissingPort(scheme))?,
    };
    Ok((host, port))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn parse_path(scheme: Scheme, path: &str) -> Result<String, UrlError> {
    match path {
        "" | "/" => Ok(if scheme.has_path() { "/" } else { "" }.to_owned()),
        _ if !scheme.has_path() => Err(UrlError::Path(scheme)),
        path => {
            let slash = if path.starts_with('/') { "" } else { "/" };
            Ok(format!("{slash}{}", utf8_percent_encode(path, PATH)))
        }
    }
}

fn decode(text: &str) -> Result<String, UrlError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| UrlError::Encoding)?;
    Ok(text.into_owned())
}

impl FromStr for Url {
    type Err = UrlError;

    /// Reads a URL: `scheme://[user[:password]@]host[:port][/path][?query]`, `unix:/path` or
    /// `unix:@name`. The slashes may be left out, and a lone port means loopback: `tcp:7001`.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = split_scheme(text)?;
        Self::parse_rest(scheme, rest)
    }
}

impl fmt::Display for Url {
    /// The URL with `***` in place of user name and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(if self.user.is_some() { "***@" } else { "" }))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// Replaces what may be user name and password in words that look like URLs, for text that is
/// about to be printed. A word that is a valid URL is printed as that URL prints itself; in any
/// other, all that may be userinfo goes.
///
/// ```
/// use portolan_core::redact;
///
/// assert_eq!(redact("bad 'http://u:p@h:x'"), "bad 'http://***@h:x'");
/// assert_eq!(redact("try https://h/users/@me"), "try https://h/users/@me");
/// ```
#[must_use]
pub fn redact(text: &str) -> String {
    text.split(' ').map(redact_word).collect::<Vec<_>>().join(" ")
}

/// Replaces user name and password in text that is one URL, or a reference relative to one
/// (RFC 3986 section 4.1), for a log. Of what is relative all stays.
///
/// ```
/// use portolan_core::redact_reference;
///
/// assert_eq!(redact_reference("http://u:p@h/?to=a@b"), "http://***@h/?to=a@b");
/// assert_eq!(redact_reference("/?at=12:30&to=a@b"), "/?at=12:30&to=a@b");
/// ```
#[must_use]
pub fn redact_reference(text: &str) -> String {
    let Some(start) = authority(text) else { return text.to_owned() };
    let rest = &text[start..];
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let in_authority = rest[..end].rfind('@');
    // What is no host and port may be a password with a slash.
    let at = in_authority.or_else(|| rest.rfind('@').filter(|_| !may_be_host(&rest[..end])));
    at.map_or_else(|| text.to_owned(), |at| format!("{}***{}", &text[..start], &rest[at..]))
}

fn may_be_host(text: &str) -> bool {
    text.rsplit_once(':').is_none_or(|(_, port)| {
        port.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Where the authority of a reference begins, if it has one.
fn authority(reference: &str) -> Option<usize> {
    let slashes = reference.find("//")?;
    let scheme = &reference[..slashes];
    let is_scheme = scheme.strip_suffix(':').is_some_and(|scheme| {
        scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    });
    (scheme.is_empty() || is_scheme).then_some(slashes + 2)
}

fn redact_word(word: &str) -> String {
    let Some(at) = word.rfind('@') else { return word.to_owned() };
    let is_mark = |c: char| matches!(c, '\'' | '"' | '(' | ')' | ',' | ';');
    match word.trim_matches(is_mark).parse::<Url>() {
        Ok(url) if url.user.is_none() => return word.to_owned(),
        _ => {}
    }
    let start = match (word.find("://"), word.find(':')) {
        (Some(slashes), _) if slashes < at => slashes + 3,
        (_, Some(colon)) if colon < at => {
            let scheme = word[..colon].trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            if scheme.parse::<Scheme>().is_ok() { colon + 1 } else { 0 }
        }
        _ => return word.to_owned(),
    };
    format!("{}***{}", &word[..start], &word[at..])
}

#[cfg(test)]
mod tests;

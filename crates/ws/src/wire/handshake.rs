//! The opening handshake (RFC 6455 section 4), pure: requests and responses are made and checked.
//!
//! A server gives the [`answer`] to a request, a client makes the [`request`] and [`check`]s the
//! response.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};

use super::deflate::{NAME, Offer};
use super::head::HeadError;
use super::mask::fill;
use super::{Deflate, Parameters};
use crate::Config;

/// What the key is hashed with (RFC 6455 section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const VERSION: HeaderValue = HeaderValue::from_static("13");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");
/// What the handshake itself says in a request or a response.
const OWN: [HeaderName; 8] = [
    header::HOST,
    header::UPGRADE,
    header::CONNECTION,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

/// What both ends agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The subprotocol.
    pub subprotocol: Option<String>,
    /// How messages are compressed.
    pub deflate: Option<Parameters>,
}

/// Why a server refuses a request to upgrade.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is a request for something else.
    #[error("this is a WebSocket endpoint: ask for an upgrade")]
    NoUpgrade,
    /// The request is not a `GET`.
    #[error("a WebSocket is opened by GET")]
    Method,
    /// The request is older than HTTP/1.1.
    #[error("a WebSocket is opened by HTTP/1.1")]
    HttpVersion,
    /// The request has no `Host`, several, or one that is none.
    #[error("the request needs one Host")]
    Host,
    /// A body follows the request, which would be read as frames.
    #[error("a request to upgrade has no body")]
    Body,
    /// The client speaks another version than 13.
    #[error("only version 13 of WebSocket is spoken here")]
    Version,
    /// The key is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    /// Pages of this origin may not connect.
    #[error("pages of this origin may not connect")]
    Origin,
    /// The client knows none of the subprotocols that are spoken.
    #[error("none of the subprotocols asked for is spoken here: {}", .0.join(", "))]
    Subprotocol(Vec<String>),
    /// The head is not one.
    #[error("the request cannot be read: {0}")]
    Head(#[from] HeadError),
    /// The server has a reason of its own.
    #[error("{reason}")]
    Other {
        /// The status of the response.
        status: StatusCode,
        /// Why.
        reason: String,
    },
}

impl Refusal {
    /// The status of the response (RFC 6455 section 4.2.2).
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Head(HeadError::Version) => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Head(HeadError::TooLong) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Other { status, .. } => *status,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The response that says so, after which the connection ends.
    #[must_use]
    pub fn response(&self) -> Response<String> {
        let mut response = Response::new(format!("{self}\n"));
        *response.status_mut() = self.status();
        let length = response.body().len();
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, plain);
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        match self.status() {
            StatusCode::UPGRADE_REQUIRED => {
                // A field that is for this connection alone is named (RFC 9110 section 7.8).
                headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade, close"));
                headers.insert(header::UPGRADE, WEBSOCKET);
                headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            _ => {}
        }
        response
    }
}

/// Why a client does not take a response that switches protocols.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// It is older than HTTP/1.1, which cannot switch protocols.
    #[error("the peer switches protocols by HTTP/1.0, which cannot")]
    HttpVersion,
    /// It does not switch to WebSocket.
    #[error("the peer switches protocols, but not to WebSocket")]
    Upgrade,
    /// `Sec-WebSocket-Accept` does not fit the key: the answer is not to our request.
    #[error("the peer's Sec-WebSocket-Accept does not fit our key")]
    Accept,
    /// The server chose a subprotocol that was not offered.
    #[error("the peer chose the subprotocol \"{0}\", which was not offered")]
    Subprotocol(String),
    /// The server agreed to an extension that was not offered, or not like this.
    #[error("the peer agreed to the extension \"{0}\", which was not offered like this")]
    Extension(String),
}

/// A key for [`request`]: 16 random bytes in base64.
#[must_use]
pub fn new_key() -> String {
    let mut key = [0; 16];
    fill(&mut key);
    BASE64_STANDARD.encode(key)
}

/// The proof that a server has read the request with this key.
#[must_use]
pub fn accept_of(key: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    BASE64_STANDARD.encode(hash.finish())
}

/// Puts the handshake's own header fields into `request`, with those of `config`, for a server that
/// answers to the name `host`.
///
/// # Errors
/// The header field of `config` that the handshake makes itself.
pub fn request(
    target: http::Uri,
    host: HeaderValue,
    key: &str,
    config: &Config,
) -> Result<Request<()>, HeaderName> {
    if let Some(name) = config.headers.keys().find(|name| OWN.contains(name)) {
        return Err(name.clone());
    }
    let mut request = Request::new(());
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    headers.insert(header::HOST, host);
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::CONNECTION, UPGRADE);
    headers.extend(HeaderValue::from_str(key).map(|key| (header::SEC_WEBSOCKET_KEY, key)));
    headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
    let subprotocols = HeaderValue::from_str(&config.subprotocols.join(", "));
    if let Ok(subprotocols) = subprotocols
        && !subprotocols.is_empty()
    {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocols);
    }
    if let Some(deflate) = &config.deflate {
        let offer = HeaderValue::try_from(Offer::of_client(deflate).to_string());
        headers.extend(offer.map(|offer| (header::SEC_WEBSOCKET_EXTENSIONS, offer)));
    }
    headers.extend(config.headers.clone());
    Ok(request)
}

/// What a server with this `config` answers to `request`: the response that switches protocols.
///
/// # Errors
/// [`Refusal`], which knows the response that says no.
pub fn answer<T>(request: &Request<T>, config: &Config) -> Result<(Response<()>, Agreed), Refusal> {
    let key = admit(request, config)?;
    let agreed =
        Agreed { subprotocol: choose_subprotocol(request.headers(), config)?, deflate: None };
    let (deflate, extension) = choose_deflate(request.headers(), config.deflate.as_ref()).unzip();
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::CONNECTION, UPGRADE);
    let accept = HeaderValue::try_from(accept_of(key));
    headers.extend(accept.map(|accept| (header::SEC_WEBSOCKET_ACCEPT, accept)));
    if let Some(name) = &agreed.subprotocol {
        headers
            .extend(HeaderValue::from_str(name).map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name)));
    }
    if let Some(extension) = extension {
        let value = HeaderValue::try_from(extension.to_string());
        headers.extend(value.map(|value| (header::SEC_WEBSOCKET_EXTENSIONS, value)));
    }
    for (name, value) in config.headers.iter().filter(|(name, _)| !OWN.contains(name)) {
        headers.append(name, value.clone());
    }
    Ok((response, Agreed { deflate, ..agreed }))
}

/// Whether `request` may be upgraded (RFC 6455 section 4.2.1); gives its key.
fn admit<'a, T>(request: &'a Request<T>, config: &Config) -> Result<&'a str, Refusal> {
    let headers = request.headers();
    if !has_token(headers, &header::UPGRADE, "websocket")
        || !has_token(headers, &header::CONNECTION, "upgrade")
    {
        return Err(Refusal::NoUpgrade);
    }
    if request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    if request.version() < Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    let host = only(headers, &header::HOST).filter(|host| host.bytes().all(is_of_host));
    let host = host.ok_or(Refusal::Host)?;
    if has_body(headers) {
        return Err(Refusal::Body);
    }
    if only(headers, &header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::Version);
    }
    if headers.contains_key(header::ORIGIN) {
        let origin = only(headers, &header::ORIGIN).ok_or(Refusal::Origin)?;
        if !config.origins.admit(origin, host) {
            return Err(Refusal::Origin);
        }
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?;
    match BASE64_STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(key),
        _ => Err(Refusal::Key),
    }
}

fn choose_subprotocol(headers: &HeaderMap, config: &Config) -> Result<Option<String>, Refusal> {
    let asked: Vec<_> = items(headers, &header::SEC_WEBSOCKET_PROTOCOL).collect();
    let chosen = config.subprotocols.iter().find(|name| asked.contains(&name.as_str()));
    if chosen.is_none() && !asked.is_empty() && !config.subprotocols.is_empty() {
        return Err(Refusal::Subprotocol(config.subprotocols.clone()));
    }
    Ok(chosen.cloned())
}

/// The first offer of the client that is one, and our answer to it.
fn choose_deflate(headers: &HeaderMap, deflate: Option<&Deflate>) -> Option<(Parameters, Offer)> {
    let deflate = deflate?;
    let offers = items(headers, &header::SEC_WEBSOCKET_EXTENSIONS);
    let offer = offers
        .filter_map(parse_extension)
        .find_map(|(name, offer)| offer.filter(|_| name == NAME))?;
    Some(offer.accept(deflate))
}

/// What a client with this `config` agreed on by its request with `key`, and `response`.
///
/// # Errors
/// [`Mismatch`]. The status is not looked at.
pub fn check<T>(response: &Response<T>, key: &str, config: &Config) -> Result<Agreed, Mismatch> {
    let headers = response.headers();
    if response.version() < Version::HTTP_11 {
        return Err(Mismatch::HttpVersion);
    }
    if !has_token(headers, &header::UPGRADE, "websocket")
        || !has_token(headers, &header::CONNECTION, "upgrade")
    {
        return Err(Mismatch::Upgrade);
    }
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != accept_of(key).as_bytes()) {
        return Err(Mismatch::Accept);
    }
    let mut chosen = items(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let subprotocol = chosen.next().map(str::to_owned);
    let is_ours = |name: &String| config.subprotocols.contains(name);
    if let Some(name) = subprotocol.clone().filter(|name| chosen.next().is_some() || !is_ours(name))
    {
        return Err(Mismatch::Subprotocol(name));
    }
    let mut extensions = items(headers, &header::SEC_WEBSOCKET_EXTENSIONS);
    let Some(extension) = extensions.next() else {
        return Ok(Agreed { subprotocol, deflate: None });
    };
    let agree = |deflate: &Deflate| {
        let (name, answer) = parse_extension(extension)?;
        let answer = answer.filter(|_| name == NAME)?;
        Offer::of_client(deflate).agree(&answer, deflate)
    };
    let deflate = config.deflate.as_ref().and_then(agree);
    match (deflate, extensions.next()) {
        (Some(_), None) => Ok(Agreed { subprotocol, deflate }),
        (None, _) => Err(Mismatch::Extension(extension.to_owned())),
        (Some(_), Some(second)) => Err(Mismatch::Extension(second.to_owned())),
    }
}

/// Whether the request has a body (RFC 9112 section 6.3), or cannot say that it has none.
fn has_body(headers: &HeaderMap) -> bool {
    let is_zero = |length: &str| !length.is_empty() && length.bytes().all(|digit| digit == b'0');
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.contains_key(header::CONTENT_LENGTH)
            && !only(headers, &header::CONTENT_LENGTH).is_some_and(is_zero)
}

/// What a host and a port are made of (RFC 3986 section 3.2).
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

/// The value of a header that must be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

/// The items of a header that is a list (RFC 9110 section 5.6.1).
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

/// The name of an extension, and its parameters where they are those of permessage-deflate.
fn parse_extension(text: &str) -> Option<(&str, Option<Offer>)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?;
    let parameters = parts.map(|part| match part.split_once('=') {
        Some((name, value)) => (name.trim_end(), Some(value.trim_start().trim_matches('"'))),
        None => (part, None),
    });
    Some((name, Offer::parse(parameters)))
}

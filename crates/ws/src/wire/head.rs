//! The heads of the opening handshake: what HTTP/1.1 (RFC 9112 sections 2 to 5) says a request and a
//! response begin with, read as strictly, and as leniently, as `portolan-http` does.

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Version};

use super::Role;

/// The most bytes that a head may have.
pub const HEAD_MAX: usize = 16 * 1024;
/// The most header fields in it.
const FIELDS_MAX: usize = 128;
/// What the head of a response begins with.
const HTTP: &[u8] = b"HTTP/1.";

/// Why bytes are not the head of a request or of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// They are not HTTP/1.
    #[error("it is not HTTP")]
    Malformed,
    /// They are of another version of HTTP.
    #[error("its version of HTTP is not spoken here")]
    Version,
    /// There is no end to it within 16 KiB, or there are too many fields.
    #[error("its head is too long (limits: 16 KiB, 128 fields)")]
    TooLong,
}

/// The end of a head that comes in pieces, without looking at any byte twice.
#[derive(Clone, Debug)]
pub struct Scan {
    role: Role,
    /// Where the head begins, behind empty lines that are ignored.
    start: usize,
    /// Where the line begins that has yet to end.
    line: usize,
    /// How much was looked at.
    seen: usize,
}

impl Scan {
    /// For what `role` receives: a server requests, a client responses.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self { role, start: 0, line: 0, seen: 0 }
    }

    /// The length of the head that `bytes` begin with, its empty line included, and those before a
    /// request; `None` while it is not all there. Then call it again with more: the same bytes, and
    /// those that came since.
    ///
    /// # Errors
    /// [`HeadError`], as soon as the bytes cannot become a head, or become one too large.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        self.skip_empty_lines(bytes);
        if !self.may_begin_with(&bytes[self.start..]) {
            return Err(HeadError::Malformed);
        }
        for end in self.seen..bytes.len() {
            if bytes[end] != b'\n' {
                continue;
            }
            if bytes[end - 1] != b'\r' {
                return Err(HeadError::Malformed);
            }
            let is_empty = end - 1 == self.line;
            self.line = end + 1;
            if is_empty {
                let fits = self.line <= HEAD_MAX;
                return if fits { Ok(Some(self.line)) } else { Err(HeadError::TooLong) };
            }
        }
        self.seen = bytes.len();
        if self.seen >= HEAD_MAX { Err(HeadError::TooLong) } else { Ok(None) }
    }

    /// Ignores what some clients put before a request (RFC 9112 section 2.2).
    fn skip_empty_lines(&mut self, bytes: &[u8]) {
        while self.role == Role::Server
            && self.line == self.start
            && bytes[self.start..].starts_with(b"\r\n")
        {
            self.start += 2;
            self.line = self.start;
            self.seen = self.start;
        }
    }

    fn may_begin_with(&self, bytes: &[u8]) -> bool {
        match self.role {
            Role::Server => bytes.first().is_none_or(|first| is_token(*first)) || bytes == b"\r",
            Role::Client => bytes.iter().zip(HTTP).all(|(byte, known)| byte == known),
        }
    }
}

/// Whether a method may begin with it (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads the head of a request that `bytes` begin with, perhaps behind empty lines, and gives the
/// length of all of it; `None` where there is more to come.
///
/// # Errors
/// [`HeadError`], as early as the bytes show it.
pub fn parse_request(bytes: &[u8]) -> Result<Option<(Request<()>, usize)>, HeadError> {
    let mut scan = Scan::new(Role::Server);
    let Some(length) = scan.end(bytes)? else { return Ok(None) };
    let bytes = settle_version(&bytes[scan.start..length]);
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    check(head.parse(&bytes), bytes.len())?;
    let mut request = Request::new(());
    let method = head.method.unwrap_or_default().parse();
    *request.method_mut() = method.map_err(|_| HeadError::Malformed)?;
    let target = head.path.unwrap_or_default();
    // RFC 9112 section 3.2: a path or a URL; a fragment is of neither.
    if !(target.starts_with('/') || target.contains("://")) || target.contains('#') {
        return Err(HeadError::Malformed);
    }
    *request.uri_mut() = target.parse().map_err(|_| HeadError::Malformed)?;
    *request.version_mut() = version(head.version);
    *request.headers_mut() = headers(head.headers)?;
    Ok(Some((request, length)))
}

/// A head of a later minor version is read as one of 1.1 (RFC 9110 section 2.5).
fn settle_version(head: &[u8]) -> Cow<'_, [u8]> {
    let end = head.iter().position(|byte| *byte == b'\r').unwrap_or_default();
    match &head[..end] {
        [line @ .., b'2'..=b'9'] if line.ends_with(b" HTTP/1.") => {
            Cow::Owned([line, b"1", &head[end..]].concat())
        }
        _ => Cow::Borrowed(head),
    }
}

/// Reads the head of a response that `bytes` begin with, and gives its length; `None` where there
/// is more to come.
///
/// # Errors
/// [`HeadError`], as early as the bytes show it.
pub fn parse_response(bytes: &[u8]) -> Result<Option<(Response<()>, usize)>, HeadError> {
    let Some(length) = Scan::new(Role::Client).end(bytes)? else { return Ok(None) };
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    check(head.parse(&bytes[..length]), length)?;
    let mut response = Response::new(());
    let status = StatusCode::from_u16(head.code.unwrap_or_default());
    *response.status_mut() = status.map_err(|_| HeadError::Malformed)?;
    *response.version_mut() = version(head.version);
    *response.headers_mut() = headers(head.headers)?;
    Ok(Some((response, length)))
}

/// Whether all of a head of this length was read.
fn check(parsed: httparse::Result<usize>, length: usize) -> Result<(), HeadError> {
    match parsed {
        Ok(httparse::Status::Complete(read)) if read == length => Ok(()),
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooLong),
        Err(httparse::Error::Version) => Err(HeadError::Version),
        _ => Err(HeadError::Malformed),
    }
}

const fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    }
}

fn headers(fields: &[httparse::Header<'_>]) -> Result<HeaderMap, HeadError> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        headers.append(
            name.map_err(|_| HeadError::Malformed)?,
            value.map_err(|_| HeadError::Malformed)?,
        );
    }
    Ok(headers)
}

/// Writes the head of a request.
#[must_use]
pub fn write_request(request: &Request<()>) -> Vec<u8> {
    let line = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri());
    write_head(line, request.headers())
}

/// Writes the head of a response.
#[must_use]
pub fn write_response<T>(response: &Response<T>) -> Vec<u8> {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    write_head(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()), response.headers())
}

fn write_head(line: String, headers: &HeaderMap) -> Vec<u8> {
    let mut bytes = line.into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

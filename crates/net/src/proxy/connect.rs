//! HTTP `CONNECT` (RFC 9110 section 9.3.6): the request, and the head of the response.

use std::fmt;
use std::io::Cursor;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use portolan_core::{Endpoint, Url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ProxyError, closed, without_zone};
use crate::Stream;

/// The most bytes that the heads of a proxy's responses may have, all together.
pub const HEAD_MAX: usize = 16 * 1024;
/// The most header fields of a response.
const FIELDS_MAX: usize = 128;
/// How much of the reason phrase is kept.
const REASON_MAX: usize = 100;

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its status.
    pub status: Status,
    /// How many bytes it has, with the empty line that ends it.
    pub length: usize,
}

/// The status of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The status code (RFC 9110 section 15).
    pub code: u16,
    /// The reason phrase; may be empty.
    pub reason: String,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.reason {
            "" => self.code.fmt(f),
            reason => write!(f, "{} {reason}", self.code),
        }
    }
}

/// Why bytes are not the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// They are not HTTP/1.1.
    #[error("the proxy's answer is not HTTP")]
    Malformed,
    /// There is no end to it within [`HEAD_MAX`] bytes, or there are too many fields.
    #[error("the head of the proxy's answer is too long")]
    TooLong,
}

/// Reads the head of a response that `bytes` begin with; `None` where there is more to come.
///
/// # Errors
/// [`HeadError`], as early as the bytes show it.
///
/// ```
/// use portolan_net::proxy::connect::parse_head;
///
/// let head = parse_head(b"HTTP/1.1 407 Login, please\r\n\r\nbody")?.ok_or("unfinished")?;
/// assert_eq!(head.status.to_string(), "407 Login, please");
/// assert_eq!(head.length, 30);
/// assert_eq!(parse_head(b"HTTP/1.1 200 OK\r\n"), Ok(None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parse_head(bytes: &[u8]) -> Result<Option<Head>, HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(HeadError::TooLong);
        }
        Err(_) => return Err(HeadError::Malformed),
    };
    let code = response.code.filter(|code| *code >= 100).ok_or(HeadError::Malformed)?;
    let reason = response.reason.unwrap_or_default().chars().take(REASON_MAX).collect();
    Ok(Some(Head { status: Status { code, reason }, length }))
}

pub(super) async fn tunnel(
    mut stream: Stream,
    proxy: &Url,
    target: &Endpoint,
) -> Result<Stream, ProxyError> {
    stream.write_all(request(proxy, target).as_bytes()).await?;
    stream.flush().await?;
    let (status, rest) = read_response(&mut stream).await?;
    match status.code {
        200..300 if rest.is_empty() => Ok(stream),
        200..300 => {
            // The target spoke first, and its words came along with the head.
            let tap = stream.tap().cloned();
            let (reader, writer) = tokio::io::split(stream);
            let rejoined = tokio::io::join(Cursor::new(rest).chain(reader), writer);
            Ok(Stream::boxed(rejoined).over(tap))
        }
        // tinyproxy answers a wrong login with 401, where 407 belongs.
        401 | 407 => Err(ProxyError::Login),
        _ => Err(ProxyError::Status(status)),
    }
}

fn request(proxy: &Url, target: &Endpoint) -> String {
    let authority = format!("{}:{}", without_zone(&target.host), target.port);
    let login = proxy.user().map_or_else(String::new, |user| {
        let login = format!("{user}:{}", proxy.password().unwrap_or_default());
        format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(login))
    });
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{login}\r\n")
}

/// Reads up to the final response's end of head; gives the status, and what came after the head.
async fn read_response(stream: &mut Stream) -> Result<(Status, Vec<u8>), ProxyError> {
    let mut bytes = Vec::with_capacity(1024);
    let mut start = 0;
    loop {
        match parse_head(&bytes[start..])? {
            // Interim responses (RFC 9110 section 15.2) say nothing about the tunnel.
            Some(head) if head.status.code < 200 => start += head.length,
            Some(head) => return Ok((head.status, bytes.split_off(start + head.length))),
            None if bytes.len() >= HEAD_MAX => return Err(HeadError::TooLong.into()),
            None if stream.read_buf(&mut bytes).await? == 0 => return Err(closed().into()),
            None => {}
        }
    }
}

//! What goes wrong in HTTP, and in what words.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use portolan_core::{Error, Kind};

use crate::watch::Watch;

/// A fact about a failed exchange: the source of its [`Error`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The peer's first bytes are not HTTP.
    #[error("the peer does not speak HTTP: {0}")]
    NotHttp(Speaks),
    /// The head of the response has more lines or bytes than we take.
    #[error("the head of the response is too large (limits: 64 KiB, 256 header lines)")]
    HeadTooLarge,
    /// The connection ended before the response began.
    #[error("the peer closed the connection without an answer")]
    NoAnswer,
    /// The body ended before its stated end.
    #[error("the body ended after {received} bytes{}", Of(*expected))]
    Truncated {
        /// Bytes that came.
        received: u64,
        /// Bytes that were announced.
        expected: Option<u64>,
    },
    /// The framing or the head breaks RFC 9112 or RFC 9113.
    #[error("{0}")]
    Malformed(String),
    /// HTTP/2 ended the stream or the connection with this code (RFC 9113 section 7).
    #[error("the peer ended the HTTP/2 exchange: {0}")]
    Http2(h2::Reason),
}

/// What a peer speaks that does not speak HTTP, by its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// TLS: it answered with a record of that protocol.
    Tls,
    /// SSH, with this identification.
    Ssh(String),
    /// A protocol that greets with a code or a word: FTP, SMTP, POP3, IMAP and such.
    Greeting(String),
    /// Anything else.
    Unknown(String),
}

impl Speaks {
    fn by(greeting: &[u8]) -> Self {
        let line = greeting.split(|byte| *byte == b'\r' || *byte == b'\n').next();
        let line = line.unwrap_or_default().escape_ascii().to_string();
        match greeting {
            // A handshake or an alert record of any version of TLS.
            [0x15 | 0x16, 3, ..] => Self::Tls,
            [b'S', b'S', b'H', b'-', ..] => Self::Ssh(line),
            [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..]
            | [b'+', b'O', b'K', ..]
            | [b'*', b' ', b'O', b'K', ..] => Self::Greeting(line),
            _ => Self::Unknown(line),
        }
    }
}

impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls => f.write_str("it speaks TLS"),
            Self::Ssh(line) => write!(f, "it is an SSH server (\"{line}\")"),
            Self::Greeting(line) | Self::Unknown(line) => write!(f, "it says \"{line}\""),
        }
    }
}

/// Prints ` of N`, where N is known.
struct Of(Option<u64>);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |total| write!(f, " of {total}"))
    }
}

/// The error of an exchange that failed before the head of its response was there.
pub(crate) fn explain(error: &hyper::Error, watch: &Watch) -> Error {
    let greeting = watch.greeting();
    let (kind, cause) = if error.is_parse_too_large() {
        (Kind::Protocol, HttpError::HeadTooLarge)
    } else if let Some(http2) = find::<h2::Error>(error).filter(|e| !e.is_io()) {
        (Kind::Protocol, http2_error(http2))
    } else if error.is_parse() && !greeting.starts_with(b"HTTP/") {
        (Kind::Protocol, HttpError::NotHttp(Speaks::by(&greeting)))
    } else if error.is_parse() {
        (Kind::Protocol, HttpError::Malformed(words(error)))
    } else if let Some(io) = find::<io::Error>(error) {
        return lost(io);
    } else if greeting.is_empty() {
        (Kind::Lost, HttpError::NoAnswer)
    } else {
        // Half a head, or rubbish that ended before its first line did.
        (Kind::Protocol, HttpError::NotHttp(Speaks::by(&greeting)))
    };
    let hint = hint(&cause);
    let error = Error::new(kind, "could not get an answer").with_source(cause);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The error of a body that could not be read to its end.
pub(crate) fn explain_body(error: &hyper::Error, received: u64, expected: Option<u64>) -> Error {
    let truncated = HttpError::Truncated { received, expected };
    let message = "could not read the whole body";
    if let Some(http2) = find::<h2::Error>(error).filter(|e| !e.is_io()) {
        return Error::new(Kind::Protocol, message).with_source(http2_error(http2));
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            Error::new(Kind::Lost, message)
                .with_hint("the connection was reset while the body came")
                .with_source(truncated)
        }
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            Error::new(Kind::Protocol, message).with_source(HttpError::Malformed(words(error)))
        }
        _ => Error::new(Kind::Partial, message)
            .with_hint("the server or a proxy gave up in the middle: look at its log")
            .with_source(truncated),
    }
}

fn http2_error(error: &h2::Error) -> HttpError {
    error.reason().map_or_else(|| HttpError::Malformed(error.to_string()), HttpError::Http2)
}

/// The error of a connection that broke while we waited.
fn lost(cause: &io::Error) -> Error {
    if let Some(refusal) = portolan_net::tls::refusal_of(cause) {
        return refusal;
    }
    Error::new(Kind::Lost, "could not get an answer")
        .with_hint("the peer gave up on the request: look at its log")
        .with_source(io::Error::new(cause.kind(), cause.to_string()))
}

fn hint(cause: &HttpError) -> Option<&'static str> {
    match cause {
        HttpError::NotHttp(Speaks::Tls) => Some("try the same with https:"),
        HttpError::NotHttp(_) => Some("another service uses this port: check the port"),
        HttpError::NoAnswer => Some("the service accepts and hangs up: look at its log"),
        HttpError::HeadTooLarge
        | HttpError::Truncated { .. }
        | HttpError::Malformed(_)
        | HttpError::Http2(_) => None,
    }
}

/// The innermost words of a chain of errors: the outer ones say "http error".
fn words(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

fn find<T: StdError + 'static>(error: &hyper::Error) -> Option<&T> {
    causes(error).find_map(<dyn StdError>::downcast_ref)
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

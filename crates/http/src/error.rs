//! What goes wrong in HTTP, and in what words.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Instant;

use portolan_core::units::show_duration;
use portolan_core::{Error, Kind};
use portolan_net::now;

use crate::watch::Watch;

/// The largest head of a response, and the most header lines in it.
pub(crate) const HEAD_MAX: usize = 64 * 1024;
pub(crate) const HEADERS_MAX: usize = 256;

/// What to do about a peer that broke off before it answered.
const GAVE_UP: &str = "the peer gave up on the request: look at its log";

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
    /// The body inflates beyond all measure.
    #[error("{received} bytes inflate to more than {inflated}: this may be a decompression bomb")]
    Bomb {
        /// Bytes that came.
        received: u64,
        /// Bytes that they became so far.
        inflated: u64,
    },
    /// The peer switches to another protocol (status 101), which nobody asked for.
    #[error("the peer switches protocols without being asked")]
    Unasked,
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

/// The error of an exchange with `peer` that failed before the head of its response was there.
pub(crate) fn explain(error: &hyper::Error, peer: &str, watch: &Watch) -> Error {
    if error.is_user()
        && let Some(io) = find::<io::Error>(error)
    {
        return Error::new(Kind::Read, format!("could not send the body to {peer}"))
            .with_source(io::Error::new(io.kind(), io.to_string()));
    }
    let greeting = watch.greeting();
    let is_too_large = error.is_parse_too_large() && watch.has_seen(HEAD_MAX, HEADERS_MAX);
    let (kind, cause) = if is_too_large || watch.is_flooded() {
        (Kind::Protocol, HttpError::HeadTooLarge)
    } else if error.is_parse_too_large() {
        (Kind::Protocol, HttpError::Malformed("no body has this Content-Length".to_owned()))
    } else if let Some(http2) = find::<h2::Error>(error).filter(|e| !e.is_io()) {
        http2_error(http2, Kind::Lost)
    } else if error.is_parse() && !speaks_http(&greeting) {
        (Kind::Protocol, HttpError::NotHttp(Speaks::by(&greeting)))
    } else if error.is_parse() {
        (Kind::Protocol, HttpError::Malformed(words(error)))
    } else if let Some(io) = find::<io::Error>(error) {
        return lost(io, peer);
    } else if greeting.is_empty() {
        (Kind::Lost, HttpError::NoAnswer)
    } else if speaks_http(&greeting) {
        // Half a head, or an answer before the question.
        (Kind::Protocol, HttpError::Malformed(words(error)))
    } else {
        // Rubbish that ended before its first line did.
        (Kind::Protocol, HttpError::NotHttp(Speaks::by(&greeting)))
    };
    let hint = hint(&cause);
    let error = Error::new(kind, unanswered(peer)).with_source(cause);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Whether this is a status line, or the SETTINGS with which HTTP/2 begins (RFC 9113 section 3.4).
const fn speaks_http(greeting: &[u8]) -> bool {
    matches!(greeting, [b'H', b'T', b'T', b'P', b'/', ..] | [_, _, _, 4, 0, 0, 0, 0, 0, ..])
}

/// The message of a request to `peer` that was not answered.
pub(crate) fn unanswered(peer: &str) -> String {
    format!("could not get an answer from {peer}")
}

/// The error of a body that could not be read to its end.
pub(crate) fn explain_body(error: &hyper::Error, received: u64, expected: Option<u64>) -> Error {
    if let Some(http2) = find::<h2::Error>(error).filter(|e| !e.is_io()) {
        return broken_body(http2_error(http2, Kind::Partial));
    }
    let truncated = HttpError::Truncated { received, expected };
    broken_body(match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => (Kind::Lost, truncated),
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            (Kind::Protocol, HttpError::Malformed(words(error)))
        }
        _ => (Kind::Partial, truncated),
    })
}

/// The error of a body whose stream ended well, but too early.
pub(crate) fn cut_short(received: u64, expected: Option<u64>) -> Error {
    broken_body((Kind::Partial, HttpError::Truncated { received, expected }))
}

/// The error of a body whose connection was reset.
pub(crate) fn reset_body(received: u64, expected: Option<u64>) -> Error {
    broken_body((Kind::Lost, HttpError::Truncated { received, expected }))
}

fn broken_body((kind, cause): (Kind, HttpError)) -> Error {
    let error = Error::new(kind, "could not read the whole body").with_source(cause);
    match kind {
        Kind::Lost => error.with_hint("the connection was reset while the body came"),
        Kind::Partial => {
            error.with_hint("the server or a proxy gave up in the middle: look at its log")
        }
        _ => error,
    }
}

/// The error of a body that did not end in time.
pub(crate) fn late_body(started: Instant, received: u64, expected: Option<u64>) -> Error {
    let elapsed = show_duration(now().saturating_duration_since(started));
    let progress = match expected {
        Some(total) => format!("{received} of {total} bytes"),
        None => format!("{received} bytes"),
    };
    Error::new(Kind::Timeout, format!("the body was not complete after {elapsed}: {progress}"))
        .with_hint("the peer is slow or hangs: look at its log, or allow more time")
}

/// An exchange that HTTP/2 ended is `ended` where the peer did it, and the peer's breach of the
/// protocol where our side did.
fn http2_error(error: &h2::Error, ended: Kind) -> (Kind, HttpError) {
    match error.reason() {
        Some(reason) if error.is_remote() => (ended, HttpError::Http2(reason)),
        _ => (Kind::Protocol, HttpError::Malformed(error.to_string())),
    }
}

/// The error of a connection that broke while we waited.
fn lost(cause: &io::Error, peer: &str) -> Error {
    if let Some(refusal) = portolan_net::tls::refusal_of(cause) {
        return refusal;
    }
    Error::new(Kind::Lost, unanswered(peer))
        .with_hint(GAVE_UP)
        .with_source(io::Error::new(cause.kind(), cause.to_string()))
}

fn hint(cause: &HttpError) -> Option<&'static str> {
    match cause {
        HttpError::NotHttp(Speaks::Tls) => Some("try the same with https:"),
        HttpError::NotHttp(_) => Some("another service uses this port: check the port"),
        HttpError::NoAnswer => Some("the service accepts and hangs up: look at its log"),
        HttpError::Http2(_) => Some(GAVE_UP),
        HttpError::HeadTooLarge
        | HttpError::Truncated { .. }
        | HttpError::Bomb { .. }
        | HttpError::Malformed(_)
        | HttpError::Unasked => None,
    }
}

/// The innermost words of a chain of errors, in the house's lower case: the outer ones say "http
/// error".
fn words(error: &(dyn StdError + 'static)) -> String {
    let words = causes(error).last().unwrap_or(error).to_string();
    let mut letters = words.chars();
    match (letters.next(), letters.clone().next()) {
        // `Invalid chunk size line`, but not `HTTP/…`.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => words,
    }
}

fn find<T: StdError + 'static>(error: &hyper::Error) -> Option<&T> {
    causes(error).find_map(<dyn StdError>::downcast_ref)
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

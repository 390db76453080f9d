//! What goes wrong in WebSocket, and in what words.

use std::fmt;
use std::io;
use std::time::Duration;

use portolan_core::units::show_duration;
use portolan_core::{Error, Kind};

use crate::wire::handshake::{Mismatch, Refusal};
use crate::wire::head::HeadError;
use crate::wire::{Close, Violation, printable};

/// A fact about a connection that failed: the source of its [`Error`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WsError {
    /// The peer broke the protocol, or a limit of ours.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The server did not switch protocols.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The peer's answer is not one that we can read.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The server switched protocols, but not as was asked for.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// We, the server, refused the request.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The connection ended before the server answered.
    #[error("the server closed the connection without an answer")]
    NoAnswer,
    /// The connection was closed already.
    #[error("the connection was closed{}", Because(.0.as_ref()))]
    Closed(Option<Close>),
    /// The connection ended without a close frame (code 1006).
    #[error("the connection ended without a close frame")]
    Abnormal,
    /// The peer is taken for dead.
    #[error("the peer answered no ping within {}", show_duration(*.0))]
    PingUnanswered(Duration),
    /// The peer did not take part in the closing handshake.
    #[error("the peer did not answer the close frame within {}", show_duration(*.0))]
    CloseUnanswered(Duration),
    /// More came before a pong than is held back.
    #[error("too many messages came before the pong")]
    NoPong,
    /// The member of a room was too slow.
    #[error("the peer is too slow for what is sent to all")]
    TooSlow,
}

/// A response that does not switch protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status code (RFC 9110 section 15).
    pub status: http::StatusCode,
    /// Where the server sends us instead.
    pub location: Option<String>,
    /// How the body begins, as far as it is text; nothing of a page of HTML.
    pub body: String,
}

impl Refused {
    /// The kind of error that it is.
    pub(crate) const fn kind(&self) -> Kind {
        match self.status.as_u16() {
            401 => Kind::Login,
            404 | 410 => Kind::NotFound,
            400.. => Kind::Denied,
            // It neither refuses nor does what it was asked for.
            _ => Kind::Protocol,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match (self.status.as_u16(), &self.location) {
            // Whoever shows it leaves out what looks like a login in a URL.
            (401, _) => {
                Some("put a user name and a password before the host of the URL".to_owned())
            }
            (403, _) => Some("servers often refuse origins that they do not know".to_owned()),
            (301..=308, Some(location)) => Some(format!("the server sends you to {location}")),
            (200, _) => Some("this path is served by HTTP: check the path".to_owned()),
            _ => None,
        }
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        match &*printable(&self.body) {
            "" => Ok(()),
            body => write!(f, ": {body}"),
        }
    }
}

/// Prints ` with CODE`, where there is one.
struct Because<'a>(Option<&'a Close>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |close| write!(f, " with {close}"))
    }
}

/// The error of a peer that broke the protocol.
pub(crate) fn violated(violation: Violation) -> Error {
    Error::new(Kind::Protocol, "could not receive a message")
        .with_source(WsError::Violation(violation))
}

/// The error of a connection that ended without a close frame.
pub(crate) fn lost(cause: Option<&io::Error>) -> Error {
    let error = Error::new(Kind::Lost, "lost the connection");
    match cause {
        Some(cause) => error.with_source(io::Error::new(cause.kind(), cause.to_string())),
        None => error.with_source(WsError::Abnormal),
    }
}

/// The error of a message that cannot be sent any more.
pub(crate) fn closed(close: Option<&Close>) -> Error {
    Error::new(Kind::Lost, "could not send a message").with_source(WsError::Closed(close.cloned()))
}

/// The same error, for the other half of a connection.
pub(crate) fn again(error: &Error) -> Error {
    let again = Error::new(error.kind(), error.to_string());
    match (error.find::<WsError>(), error.find::<io::Error>()) {
        (Some(cause), _) => again.with_source(cause.clone()),
        (None, Some(cause)) => again.with_source(io::Error::new(cause.kind(), cause.to_string())),
        (None, None) => again,
    }
}

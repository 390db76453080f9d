//! What happens during an operation, as it happens.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Endpoint, Error, Phase};

/// One thing that happened. An observer gets it together with its instant.
///
/// Everything that reports time reads this one stream: verbose output, JSON, `probe`, load
/// statistics and the tests.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A phase began.
    Started(Phase),
    /// Something was learnt during a phase that runs.
    Fact(Phase, &'static str, Value),
    /// One attempt to connect ended.
    Attempted(Attempt),
    /// A phase ended; the failure is `None` where it went well.
    Finished(Phase, Option<String>),
    /// A line of the protocol passed.
    Line(Direction, String),
    /// A message passed, or a frame that says something about the connection.
    Frame(Direction, Frame),
    /// The operation failed and begins anew after this pause.
    Retrying(Duration),
    /// A server's listener could not accept for the moment.
    AcceptFailed(Failure),
    /// A server answered a request of HTTP.
    Answered(Box<Answered>),
    /// A server's peer came.
    Opened {
        /// The peer.
        peer: Endpoint,
        /// The proxy that it came through, where one said who the peer is.
        via: Option<Endpoint>,
    },
    /// A server sent away who came.
    Refused {
        /// Who came.
        peer: Endpoint,
        /// Why.
        reason: Refusal,
    },
    /// A server's peer went.
    Closed {
        /// The peer.
        peer: Endpoint,
        /// The proxy that it came through, where one said who the peer is.
        via: Option<Endpoint>,
        /// Bytes that it sent.
        bytes_in: u64,
        /// Bytes that were sent to it.
        bytes_out: u64,
        /// From accept to close.
        elapsed: Duration,
        /// Why it ended, where it was not a plain close.
        failure: Option<Arc<Error>>,
    },
}

/// A request of HTTP that was answered: what an access log tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Who asked.
    pub peer: Endpoint,
    /// The user who was let in by a login, where one was asked for.
    pub user: Option<String>,
    /// The method; nothing where the request could not be read.
    pub method: String,
    /// The target as it was sent, over HTTP/2 path and query; nothing where the request could not be
    /// read.
    pub target: String,
    /// The version of HTTP, such as `1.1` or `2.0`; nothing where the request could not be read.
    pub version: &'static str,
    /// The status of the answer; 499 where the client was gone before there was one, as nginx has
    /// it.
    pub status: u16,
    /// The bytes of the answer's body that were sent.
    pub bytes: u64,
    /// From the end of the request's head to the end of the answer.
    pub elapsed: Duration,
    /// What the request's `Referer` said.
    pub referer: Option<String>,
    /// What the request's `User-Agent` said.
    pub agent: Option<String>,
    /// What the system said, where the server could not do what was asked for; the peer is not
    /// told.
    pub failure: Option<String>,
}

/// Why a server sends somebody away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer is not among those who may come.
    Denied,
    /// There are as many connections as the server takes.
    Full,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "not allowed to connect",
            Self::Full => "too many connections",
        })
    }
}

/// Which way a line of protocol went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From us to the peer.
    Sent,
    /// From the peer to us.
    Received,
}

/// A message of a protocol that has such, or a frame that says something about the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is, in the protocol's own word: `text`, `ping`.
    pub kind: &'static str,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// One attempt to connect to one address. The ones that failed are kept too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The address that was tried.
    pub address: SocketAddr,
    /// How long it took.
    pub elapsed: Duration,
    /// Why it failed; `None` where it succeeded.
    pub failure: Option<Failure>,
}

/// Why a system call failed, in a form that can be kept and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub kind: io::ErrorKind,
    /// The cause in words: lower case, without an error number.
    pub words: String,
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        Self { kind: error.kind(), words: io_words(error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// An I/O error's cause in the house's voice: lower case and without `(os error 111)`.
pub(crate) fn io_words(error: &io::Error) -> String {
    let words = error.to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    let mut rest = words.chars();
    match (rest.next(), rest.clone().next()) {
        // `Connection refused`, but not `TLS …`.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(rest).collect()
        }
        _ => words.to_owned(),
    }
}

/// A fact's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Words.
    Text(String),
    /// A count or a size in bytes.
    Count(u64),
    /// A measure, in the unit that the fact's name ends with.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// Several.
    List(Vec<Self>),
    /// Named parts, in order.
    Record(Vec<(&'static str, Self)>),
}

impl Value {
    /// A list of texts.
    pub fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(|item| Self::Text(item.to_string())).collect())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl fmt::Display for Value {
    /// For people: lists with commas, records as `name value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Count(count) => count.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::Record(parts) => {
                for (index, (name, value)) in parts.iter().enumerate() {
                    write!(f, "{}{name} {value}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

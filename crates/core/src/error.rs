//! The one error type of the house.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::event::io_words;
use crate::{Attempt, Endpoint, Phase};

/// What went wrong, as a script needs to know it: one kind for each exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An expectation that the user stated was not met.
    Unmet,
    /// The call or the command line makes no sense.
    Usage,
    /// A name has no address.
    Resolve,
    /// No connection came about.
    Connect,
    /// The peer broke the protocol.
    Protocol,
    /// The peer refused, or the system denied.
    Denied,
    /// The peer ended a transfer before its stated end.
    Partial,
    /// The peer answered with an HTTP status that was asked to count as a failure.
    Status,
    /// Writing a local file or stream failed.
    Write,
    /// Reading a local file or stream failed.
    Read,
    /// A time limit ran out.
    Timeout,
    /// The TLS handshake failed.
    Tls,
    /// There were more redirects than allowed.
    Redirects,
    /// An established connection was lost.
    Lost,
    /// The peer's certificate is not trusted.
    Untrusted,
    /// The peer refused the login.
    Login,
    /// The remote file does not exist.
    NotFound,
    /// The user interrupted the operation.
    Interrupted,
}

impl Kind {
    /// The kind's stable name, as JSON shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// The command's exit code: curl's number where curl has one.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        self.facts().1
    }

    const fn facts(self) -> (&'static str, u8) {
        match self {
            Self::Unmet => ("unmet", 1),
            Self::Usage => ("usage", 2),
            Self::Resolve => ("resolve", 6),
            Self::Connect => ("connect", 7),
            Self::Protocol => ("protocol", 8),
            Self::Denied => ("denied", 9),
            Self::Partial => ("partial", 18),
            Self::Status => ("status", 22),
            Self::Write => ("write", 23),
            Self::Read => ("read", 26),
            Self::Timeout => ("timeout", 28),
            Self::Tls => ("tls", 35),
            Self::Redirects => ("redirects", 47),
            Self::Lost => ("lost", 56),
            Self::Untrusted => ("untrusted", 60),
            Self::Login => ("login", 67),
            Self::NotFound => ("not-found", 78),
            Self::Interrupted => ("interrupted", 130),
        }
    }
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// This program or this machine.
    Us,
    /// The other end.
    Peer,
    /// Something in between, or it cannot be told.
    Network,
    /// What the user gave.
    Input,
}

/// An error: what was being done, to whom, and why it failed. One word wide.
///
/// `{}` prints what was being done; `{:#}` adds the causes, each once, after colons. Facts of a
/// protocol are carried as the [`source`](StdError::source) and found with
/// [`find`](Self::find). The hint stands apart.
///
/// ```
/// use portolan_core::{Error, Kind};
///
/// let cause = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
/// let error = Error::new(Kind::Connect, "could not connect to 127.0.0.1:9").with_source(cause);
/// assert_eq!(format!("{error:#}"), "could not connect to 127.0.0.1:9: connection refused");
/// assert_eq!(error.kind().exit_code(), 7);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    blame: Blame,
    message: String,
    phase: Option<Phase>,
    endpoint: Option<Endpoint>,
    attempts: Vec<Attempt>,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind. The message says what was being done, to whom: lower case, no full
    /// stop, without the cause. The blame follows from the kind until
    /// [`with_blame`](Self::with_blame) says otherwise.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let blame = match kind {
            Kind::Usage | Kind::NotFound | Kind::Login => Blame::Input,
            Kind::Write | Kind::Read | Kind::Interrupted => Blame::Us,
            Kind::Resolve | Kind::Connect | Kind::Timeout | Kind::Lost => Blame::Network,
            Kind::Unmet
            | Kind::Protocol
            | Kind::Denied
            | Kind::Partial
            | Kind::Status
            | Kind::Tls
            | Kind::Redirects
            | Kind::Untrusted => Blame::Peer,
        };
        Self(Box::new(Inner {
            kind,
            blame,
            message: message.into(),
            phase: None,
            endpoint: None,
            attempts: Vec::new(),
            hint: None,
            source: None,
        }))
    }

    /// Says whose fault it is.
    #[must_use]
    pub fn with_blame(mut self, blame: Blame) -> Self {
        self.0.blame = blame;
        self
    }

    /// Says in which phase it happened, unless that is known already.
    #[must_use]
    pub fn with_phase(mut self, phase: Phase) -> Self {
        self.0.phase.get_or_insert(phase);
        self
    }

    /// Says with whom it happened, unless that is known already.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: &Endpoint) -> Self {
        self.0.endpoint.get_or_insert_with(|| endpoint.clone());
        self
    }

    /// Keeps every failed attempt.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says why.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        self.0.blame
    }

    /// In which phase it happened.
    #[must_use]
    pub const fn phase(&self) -> Option<Phase> {
        self.0.phase
    }

    /// With whom it happened.
    #[must_use]
    pub const fn endpoint(&self) -> Option<&Endpoint> {
        self.0.endpoint.as_ref()
    }

    /// The attempts that failed, in the order in which they ended.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The first cause of type `T` in the chain of sources.
    #[must_use]
    pub fn find<T: StdError + 'static>(&self) -> Option<&T> {
        causes(self).find_map(<dyn StdError>::downcast_ref)
    }
}

/// The causes of an error, nearest first.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if f.alternate() {
            let mut last = String::new();
            for cause in causes(self) {
                let words = match cause.downcast_ref::<io::Error>() {
                    Some(error) => io_words(error),
                    None => cause.to_string(),
                };
                // Wrappers often repeat the words of what they wrap.
                if !words.is_empty() && !last.ends_with(&words) {
                    write!(f, ": {words}")?;
                }
                last = words;
            }
        }
        Ok(())
    }
}

/// Errors are equal that are told in the same words.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        let facts = |error: &Self| {
            let Inner { kind, blame, phase, endpoint, attempts, hint, .. } = &*error.0;
            (*kind, *blame, *phase, endpoint.clone(), attempts.clone(), hint.clone())
        };
        facts(self) == facts(other) && format!("{self:#}") == format!("{other:#}")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("blame", &self.0.blame)
            .field("message", &self.0.message)
            .field("phase", &self.0.phase)
            .field("endpoint", &self.0.endpoint)
            .field("attempts", &self.0.attempts)
            .field("hint", &self.0.hint)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn causes_are_printed_once_and_in_the_house_voice() {
        let cause = io::Error::from_raw_os_error(111);
        let wrapped = io::Error::new(cause.kind(), cause);
        let error = Error::new(Kind::Connect, "could not connect to [::1]:9").with_source(wrapped);
        assert_eq!(error.to_string(), "could not connect to [::1]:9");
        assert_eq!(format!("{error:#}"), "could not connect to [::1]:9: connection refused");
    }

    #[test]
    fn facts_are_found_in_the_chain() {
        let inner = Error::new(Kind::Tls, "handshake").with_source(fmt::Error);
        let outer = Error::new(Kind::Connect, "dial").with_source(inner);
        assert!(outer.find::<fmt::Error>().is_some());
        assert!(outer.find::<io::Error>().is_none());
    }

    #[test]
    fn the_first_phase_and_endpoint_stay() {
        let error = Error::new(Kind::Timeout, "x")
            .with_phase(Phase::CONNECT)
            .with_phase(Phase::TLS)
            .with_endpoint(&Endpoint::unix("/a"))
            .with_endpoint(&Endpoint::unix("/b"));
        assert_eq!(error.phase(), Some(Phase::CONNECT));
        assert_eq!(error.endpoint(), Some(&Endpoint::unix("/a")));
    }
}

//! When an operation must be over.

use std::time::{Duration, Instant};

/// The absolute end of an operation, or none.
///
/// It holds an instant and never reads a clock: whoever asks hands in `now`.
///
/// ```
/// use portolan_core::Deadline;
/// use std::time::{Duration, Instant};
///
/// # #[expect(clippy::disallowed_methods, reason = "the example is the clock's owner")]
/// let now = Instant::now();
/// let whole = Deadline::after(now, Duration::from_secs(30));
/// let connect = Deadline::after(now, Duration::from_secs(10));
/// assert_eq!(whole.earlier(connect), connect);
/// assert_eq!(connect.remaining(now), Some(Duration::from_secs(10)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No end.
    pub const NEVER: Self = Self(None);

    /// The end `limit` after `now`. A limit beyond what the clock can hold means no end.
    #[must_use]
    pub fn after(now: Instant, limit: Duration) -> Self {
        Self(now.checked_add(limit))
    }

    /// The end `limit` after `now`, or no end without a limit.
    #[must_use]
    pub fn after_limit(now: Instant, limit: Option<Duration>) -> Self {
        limit.map_or(Self::NEVER, |limit| Self::after(now, limit))
    }

    /// The earlier of the two.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (a, b) => Self(a.or(b)),
        }
    }

    /// The instant, where there is an end.
    #[must_use]
    pub const fn instant(self) -> Option<Instant> {
        self.0
    }

    /// What is left at `now`: zero once it has passed, `None` where there is no end.
    #[must_use]
    pub fn remaining(self, now: Instant) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(now))
    }
}

/// How long the parts of an operation may take. The smaller of these and of the operation's
/// [`Deadline`] wins.
///
/// # Defaults
/// `connect` 10 s, `operation` and `idle` none: each verb chooses its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first look-up to a usable connection: resolving, connecting, proxy and TLS.
    pub connect: Option<Duration>,
    /// The whole operation.
    pub operation: Option<Duration>,
    /// The longest silence of the peer once connected.
    pub idle: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Some(Duration::from_secs(10)), operation: None, idle: None }
    }
}

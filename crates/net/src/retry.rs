//! Trying again.

use std::future::Future;

use portolan_core::{Backoff, Deadline, Error, Event, Kind};

use crate::{Context, now};

/// How often to try again, and with what pauses.
///
/// # Defaults
/// No retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// How many times, after the first try.
    pub count: u32,
    /// The pauses.
    pub backoff: Backoff,
}

impl Retry {
    /// Whether trying again can help: the network or the peer may be better next time.
    #[must_use]
    pub const fn is_worthwhile(error: &Error) -> bool {
        matches!(
            error.kind(),
            Kind::Resolve | Kind::Connect | Kind::Timeout | Kind::Lost | Kind::Partial
        )
    }
}

/// Runs `operation` until it succeeds, the retries are used up, its error is one that no retry
/// helps, or the context's deadline would pass during the pause.
///
/// # Errors
/// That of the last try.
pub async fn retry<T, F>(
    retry: &Retry,
    cx: &Context,
    mut operation: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut attempt = 0;
    loop {
        let error = match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        attempt += 1;
        let pause = retry.backoff.pause(attempt);
        let resumes = Deadline::after(now(), pause);
        let is_late = resumes.earlier(cx.deadline()) == cx.deadline();
        if attempt > retry.count || !Retry::is_worthwhile(&error) || is_late {
            return Err(error);
        }
        cx.observe(&Event::Retrying(pause));
        cx.sleep(pause).await;
    }
}

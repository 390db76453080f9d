//! The deadline and the observers of one operation.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portolan_core::units::show_duration;
use portolan_core::{Deadline, Endpoint, Error, Event, Kind, Phase, Timeouts, Timings, Value};
use tokio_util::sync::CancellationToken;

/// The instant now, by the clock that tests can pause.
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Sees every [`Event`] of an operation, in order, as it happens.
///
/// It is called on the operation's own task and must not block.
pub trait Observer: Send + Sync {
    /// Takes in one event.
    fn observe(&self, at: Instant, event: &Event);

    /// Whether it has a use for [`Event::Line`], which is costly to tell.
    ///
    /// # Defaults
    /// It has.
    fn reads_lines(&self) -> bool {
        true
    }

    /// The one who sees what happens during one connection of a server, to `peer`, besides this
    /// one: phases of several connections cannot be told from each other otherwise.
    fn of_connection(&self, _peer: &Endpoint) -> Option<Arc<dyn Observer>> {
        None
    }
}

/// An observer that folds what it sees into [`Timings`].
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Timings>);

impl Recorder {
    /// What has happened so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What has happened so far, which is then forgotten.
    pub(crate) fn take(&self) -> Timings {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Recorder {
    fn observe(&self, at: Instant, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record(at, event);
    }

    fn reads_lines(&self) -> bool {
        false
    }
}

/// Deadline, limits and observers of one operation: an explicit argument of everything that waits,
/// and the owner of the only timers: [`within`](Self::within) a phase, and in a part of one
/// [`until_deadline`](Self::until_deadline).
///
/// Cheap to clone; a clone shares the observers and the deadline.
#[derive(Clone)]
pub struct Context {
    deadline: Deadline,
    /// Shared, because each of a server's many connections holds a context or two.
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    timeouts: Timeouts,
    observers: Arc<[Arc<dyn Observer>]>,
    stopping: CancellationToken,
}

impl Context {
    /// An operation that starts now and is bounded by `timeouts`.
    #[must_use]
    pub fn new(timeouts: Timeouts) -> Self {
        let shared =
            Shared { timeouts, observers: Arc::default(), stopping: CancellationToken::new() };
        let deadline = Deadline::after_limit(now(), timeouts.operation);
        Self { deadline, shared: Arc::new(shared) }
    }

    /// Adds an observer.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        shared.observers = shared.observers.iter().cloned().chain([observer]).collect();
        self
    }

    /// The part of a server's operation that is one connection, to `peer`.
    #[must_use]
    pub(crate) fn of_connection(&self, peer: &Endpoint) -> Self {
        let own = self.shared.observers.iter().filter_map(|observer| observer.of_connection(peer));
        own.fold(self.clone(), Self::with_observer)
    }

    /// The same operation, to be told to stop by `token`: what has somebody to take leave of does
    /// so, as a WebSocket that closes with 1001.
    #[must_use]
    pub fn with_stopping(mut self, token: CancellationToken) -> Self {
        Arc::make_mut(&mut self.shared).stopping = token;
        self
    }

    /// A part of this operation that may take `limit` and no longer than the whole.
    #[must_use]
    pub fn limited(&self, limit: Option<Duration>) -> Self {
        let mut part = self.clone();
        part.deadline = self.deadline.earlier(Deadline::after_limit(now(), limit));
        part
    }

    /// The limits that the operation was started with.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.shared.timeouts
    }

    /// The end of this operation.
    #[must_use]
    pub const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// How long a handler that is asked to finish goes on waiting for its peer, 200 ms: what the
    /// peer said before may be under way.
    pub const QUIET: Duration = Duration::from_millis(200);

    /// Waits until a server that is shutting down asks its handlers to finish. Never, for a client.
    pub async fn stopping(&self) {
        self.shared.stopping.cancelled().await;
    }

    /// Runs `future` until it ends, or gives `None` where a server has asked its handlers to finish
    /// and it has not ended within [`QUIET`](Self::QUIET) of that, or of its beginning.
    pub async fn until_stopping<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let stopped = async {
            self.stopping().await;
            tokio::time::sleep(Self::QUIET).await;
        };
        tokio::select! {
            biased;
            output = future => Some(output),
            () = stopped => None,
        }
    }

    /// Whether a server asks its handlers to finish, for those that do not wait.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.is_cancelled()
    }

    /// Whether some observer reads lines: they need not be made for nobody.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.shared.observers.iter().any(|observer| observer.reads_lines())
    }

    /// Tells the observers.
    pub fn observe(&self, event: &Event) {
        let at = now();
        for observer in self.shared.observers.iter() {
            observer.observe(at, event);
        }
    }

    /// Tells the observers what was learnt during `phase`.
    pub fn fact(&self, phase: Phase, name: &'static str, value: impl Into<Value>) {
        self.observe(&Event::Fact(phase, name, value.into()));
    }

    /// Runs `future` as `phase`, until it ends or the deadline passes.
    ///
    /// # Errors
    /// Those of `future`, and [`Kind::Timeout`]; each knows its phase.
    pub async fn within<T>(
        &self,
        phase: Phase,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.observe(&Event::Started(phase));
        let started = now();
        let result = match self.until_deadline(future).await {
            Some(result) => result.map_err(|error| error.with_phase(phase)),
            None => {
                let waited = show_duration(now().saturating_duration_since(started));
                let message = format!("timed out after {waited}");
                Err(Error::new(Kind::Timeout, message).with_phase(phase))
            }
        };
        let failure = result.as_ref().err().map(|error| format!("{error:#}"));
        self.observe(&Event::Finished(phase, failure));
        result
    }

    /// Runs `future` until it ends, or gives `None` once the deadline has passed.
    pub async fn until_deadline<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        match self.deadline.instant() {
            None => Some(future.await),
            Some(end) => tokio::time::timeout_at(end.into(), future).await.ok(),
        }
    }

    /// Waits for `pause`, but not beyond the deadline.
    pub(crate) async fn sleep(&self, pause: Duration) {
        let _ = self.until_deadline(tokio::time::sleep(pause)).await;
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("timeouts", &self.shared.timeouts)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

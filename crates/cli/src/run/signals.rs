//! The signals that end a verb.

use std::time::Duration;

use portolan::net::Context;
use portolan::{Error, Kind, Timeouts};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::console::Console;

/// How long an end may take without a word about it.
const SHORT: Duration = Duration::from_secs(1);

/// SIGINT and SIGTERM, each of which asks for the end.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to catch them.
    ///
    /// # Errors
    /// [`Kind::Denied`].
    pub fn catch() -> Result<Self, Error> {
        let catch = |kind| {
            signal(kind).map_err(|cause| {
                Error::new(Kind::Denied, "could not catch signals").with_source(cause)
            })
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Asks for an end at the first one, and waits for the second: who asks twice does not want to
    /// wait for the end. Where there is something to wait for, that is said.
    pub async fn second(&mut self, end: &CancellationToken, console: &Console) {
        self.next().await;
        end.cancel();
        let at_first = Context::new(Timeouts::default()).limited(Some(SHORT));
        if at_first.until_deadline(self.next()).await.is_none() {
            say_stopping(console);
            self.next().await;
        }
    }
}

/// Says that the end has begun, and how it comes at once.
pub fn say_stopping(console: &Console) {
    console.note("stopping; once more to stop at once");
}

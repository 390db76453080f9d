//! The signals that end a verb.

use portolan::{Error, Kind};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
    /// wait for the end.
    pub async fn second(&mut self, end: &CancellationToken) {
        self.next().await;
        end.cancel();
        self.next().await;
    }
}

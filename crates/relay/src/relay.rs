//! The relay: each connection that comes in is joined to one that it dials.

use portolan_core::{Error, Url};
use portolan_net::{Connection, Context, Dialer, Handler, Listener, join, serve};

/// Joins each connection that is accepted to a connection of its own to one target.
///
/// # Defaults
/// No limit of the rate.
#[derive(Clone, Debug)]
pub struct Relay {
    to: Url,
    dialer: Dialer,
    rate: Option<u64>,
}

impl Relay {
    /// A relay to `to`, which `dialer` dials.
    #[must_use]
    pub const fn new(to: Url, dialer: Dialer) -> Self {
        Self { to, dialer, rate: None }
    }

    /// Carries at most so many bytes a second, each way and for each connection.
    #[must_use]
    pub const fn with_rate(mut self, rate: u64) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Relays what `from` accepts until `shutdown` is ready.
    pub async fn serve(self, from: Listener, shutdown: impl Future<Output = ()>) {
        serve(from, self, shutdown).await;
    }
}

impl Handler for Relay {
    async fn handle(&self, near: Connection, cx: Context) -> Result<(), Error> {
        let far = self.dialer.dial_url(&self.to, &cx).await?;
        join(near.stream, far.stream, self.rate, &cx).await.map(drop)
    }
}

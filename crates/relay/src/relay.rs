//! The relay: each connection that comes in is joined to one that it dials.

use portolan_core::{Error, Url};
use portolan_net::{Connection, Context, Dialer, Handler, Listener, serve};

use crate::{Carry, End};

/// Joins each connection that is accepted to a connection of its own to one target.
///
/// # Defaults
/// Those of [`Carry`].
#[derive(Clone, Debug)]
pub struct Relay {
    to: Url,
    dialer: Dialer,
    carry: Carry,
}

impl Relay {
    /// A relay to `to`, which `dialer` dials.
    #[must_use]
    pub fn new(to: Url, dialer: Dialer) -> Self {
        Self { to, dialer, carry: Carry::default() }
    }

    /// Joins the ends in this way.
    #[must_use]
    pub const fn with_carry(mut self, carry: Carry) -> Self {
        self.carry = carry;
        self
    }

    /// Relays what `from` accepts until `shutdown` is ready.
    pub async fn serve(self, from: Listener, shutdown: impl Future<Output = ()>) {
        serve(from, self, shutdown).await;
    }
}

impl Handler for Relay {
    async fn handle(&self, near: Connection, cx: Context) -> Result<(), Error> {
        let far = End::dial(&self.to, &self.dialer, &cx).await?;
        self.carry.join(End::Stream(near.stream), far, &cx).await.map(drop)
    }
}

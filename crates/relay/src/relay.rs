//! The relay: each connection that comes in is joined to one that it dials.

use std::sync::Arc;

use portolan_core::{Endpoint, Error, Kind, Url};
use portolan_net::proxy_protocol::ProxyHeader;
use portolan_net::{Connection, Context, Dialer, Handler, Retry, Session, retry};
use portolan_ws::{self as ws, CloseCode};

use crate::{Carry, End, Messages};

/// Joins each connection that is accepted to a connection of its own to one target: a handler for
/// [`serve`](portolan_net::serve).
///
/// # Defaults
/// Those of [`Carry`] and, to dial a WebSocket, of [`ws::Config`]; no retry, no PROXY header.
#[derive(Clone, Debug)]
pub struct Relay {
    to: Url,
    dialer: Dialer,
    websocket: Arc<ws::Config>,
    carry: Carry,
    retry: Retry,
    header: Option<HeaderVersion>,
}

/// The version of a PROXY header that is sent (haproxy's `doc/proxy-protocol.txt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl Relay {
    /// A relay to `to`, which `dialer` dials.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a scheme that is not in [`End::SCHEMES`].
    pub fn new(to: Url, dialer: Dialer) -> Result<Self, Error> {
        End::check(to.scheme())?;
        Ok(Self {
            to,
            dialer,
            websocket: Arc::default(),
            carry: Carry::default(),
            retry: Retry::default(),
            header: None,
        })
    }

    /// Opens the target like this, where it is a WebSocket.
    #[must_use]
    pub fn with_websocket(mut self, config: ws::Config) -> Self {
        self.websocket = Arc::new(config);
        self
    }

    /// Joins the ends in this way.
    #[must_use]
    pub const fn with_carry(mut self, carry: Carry) -> Self {
        self.carry = carry;
        self
    }

    /// Dials the target again where it cannot be reached at once.
    #[must_use]
    pub const fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Tells the target by the PROXY protocol who has connected.
    #[must_use]
    pub const fn with_header(mut self, version: HeaderVersion) -> Self {
        self.header = Some(version);
        self
    }

    /// Joins `near`, which has come from `peer` to our address `local`, to the target.
    ///
    /// # Errors
    /// Those of [`End::dial`] and [`Carry::join`].
    pub async fn relay(
        &self,
        near: End,
        peer: &Endpoint,
        local: Option<&Endpoint>,
        cx: &Context,
    ) -> Result<(), Error> {
        self.carry_on(near, self.header_for(peer, local), cx).await
    }

    async fn carry_on(
        &self,
        near: End,
        header: Option<Vec<u8>>,
        cx: &Context,
    ) -> Result<(), Error> {
        // Boxed, so that an established join does not hold the room that dialling takes.
        let Some((near, far)) = Box::pin(self.meet(near, header, cx)).await? else { return Ok(()) };
        self.carry.join(near, far, cx).await.map(drop)
    }

    /// Reaches the target for `near`, which is told where that fails; `None` where the server
    /// stops meanwhile.
    async fn meet(
        &self,
        near: End,
        header: Option<Vec<u8>>,
        cx: &Context,
    ) -> Result<Option<(End, End)>, Error> {
        match cx.until_stopping(self.reach(header, cx)).await {
            Some(Ok(far)) => Ok(Some((near, far))),
            Some(Err(error)) => {
                near.turn_away(CloseCode::BAD_GATEWAY, "the target cannot be reached").await;
                Err(error)
            }
            None => {
                near.turn_away(CloseCode::GOING_AWAY, "the server stops").await;
                Ok(None)
            }
        }
    }

    /// Dials the target, and says who has connected.
    async fn reach(&self, header: Option<Vec<u8>>, cx: &Context) -> Result<End, Error> {
        let dial = || End::dial(&self.to, &self.dialer, &self.websocket, cx);
        let mut far = retry(&self.retry, cx, dial).await?;
        if let Some(header) = header {
            far.begin(&header).await.map_err(|cause| {
                Error::new(Kind::Lost, format!("could not send the PROXY header to {}", self.to))
                    .with_source(cause)
            })?;
        }
        Ok(far)
    }

    fn header_for(&self, peer: &Endpoint, local: Option<&Endpoint>) -> Option<Vec<u8>> {
        let header = local.map_or_else(ProxyHeader::local, |local| ProxyHeader::new(peer, local));
        self.header.map(|version| match version {
            HeaderVersion::V1 => header.v1(),
            HeaderVersion::V2 => header.v2(),
        })
    }
}

impl Handler for Relay {
    fn handle(
        &self,
        near: Connection,
        cx: Context,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let local =
            near.info.destination.map(|it| *it).or_else(|| near.info.local.map(Endpoint::from));
        let header = self.header_for(&near.info.peer, local.as_ref());
        let near = End::Stream(near.stream);
        async move { self.carry_on(near, header, &cx).await }
    }
}

impl Handler<Session> for Relay {
    async fn handle(&self, near: Session, cx: Context) -> Result<(), Error> {
        let header = self.header_for(near.peer(), None);
        self.carry_on(End::Messages(Messages::Session(near)), header, &cx).await
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::Timeouts;
    use portolan_net::Stream;

    use super::*;

    #[test]
    fn a_relayed_connection_takes_little_room() {
        let relay = Relay::new("tcp://127.0.0.1:9".parse().unwrap(), Dialer::new()).unwrap();
        let cx = Context::new(Timeouts::default());
        let near = End::Stream(Stream::boxed(tokio::io::empty()));
        let size = size_of_val(&relay.carry_on(near, None, &cx));
        assert!(size <= 1100, "{size} bytes");
    }
}

//! The relay: each connection that comes in is joined to one that it dials.

use portolan_core::{Endpoint, Error, Kind, Url};
use portolan_net::proxy_protocol::ProxyHeader;
use portolan_net::{Connection, Context, Dialer, Handler, Retry, Session, retry};

use crate::{Carry, End, Messages};

/// Joins each connection that is accepted to a connection of its own to one target: a handler for
/// [`serve`](portolan_net::serve).
///
/// # Defaults
/// Those of [`Carry`]; no retry, no PROXY header.
#[derive(Clone, Debug)]
pub struct Relay {
    to: Url,
    dialer: Dialer,
    carry: Carry,
    retry: Retry,
    header: Option<Header>,
}

/// The version of a PROXY header that is sent (haproxy's `doc/proxy-protocol.txt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
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
        Ok(Self { to, dialer, carry: Carry::default(), retry: Retry::default(), header: None })
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
    pub const fn with_header(mut self, version: Header) -> Self {
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
        let mut far = retry(&self.retry, cx, || End::dial(&self.to, &self.dialer, cx)).await?;
        if let Some(version) = self.header {
            let header = header(version, peer, local);
            far.send(&header).await.map_err(|cause| {
                Error::new(Kind::Lost, format!("could not send the PROXY header to {}", self.to))
                    .with_source(cause)
            })?;
        }
        self.carry.join(near, far, cx).await.map(drop)
    }
}

impl Handler for Relay {
    async fn handle(&self, near: Connection, cx: Context) -> Result<(), Error> {
        let Connection { stream, info, .. } = near;
        let local = info.local.map(Endpoint::from);
        self.relay(End::Stream(stream), &info.peer, local.as_ref(), &cx).await
    }
}

impl Handler<Session> for Relay {
    async fn handle(&self, near: Session, cx: Context) -> Result<(), Error> {
        let peer = near.peer().clone();
        self.relay(End::Messages(Messages::Session(near)), &peer, None, &cx).await
    }
}

fn header(version: Header, peer: &Endpoint, local: Option<&Endpoint>) -> Vec<u8> {
    let header = local.map_or_else(ProxyHeader::local, |local| ProxyHeader::new(peer, local));
    match version {
        Header::V1 => header.v1(),
        Header::V2 => header.v2(),
    }
}

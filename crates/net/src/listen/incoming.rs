//! Connections that were accepted and have yet to become usable.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portolan_core::{Endpoint, Error, Event, Kind, Phase, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::{Faults, Opening};
use crate::proxy_protocol::ProxyHeader;
use crate::{Access, Connection, Context, Info, Meter, Stream, now, tls};

/// How long the system is given to tell somebody who is sent away that it is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection that was accepted and has yet to become usable.
pub struct Incoming {
    pub(super) stream: Stream,
    pub(super) peer: Endpoint,
    pub(super) via: Option<Box<Endpoint>>,
    pub(super) destination: Option<Box<Endpoint>>,
    pub(super) local: Option<SocketAddr>,
    pub(super) accepted: Instant,
    pub(super) meter: Arc<Meter>,
    /// Where a PROXY header is to be read: who may connect.
    pub(super) behind_proxy: Option<Arc<Access>>,
    /// Why it is to be sent away, and how many may be bidden farewell at once.
    pub(super) refusal: Option<Refusal>,
    pub(super) farewells: Arc<Semaphore>,
    pub(super) tls: Option<Arc<tls::Server>>,
    pub(super) faults: Faults,
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

impl Incoming {
    /// Who connected: the proxy, until its header was read.
    #[must_use]
    pub const fn peer(&self) -> &Endpoint {
        &self.peer
    }

    /// The proxy, once its header was read.
    pub(crate) fn via(&self) -> Option<&Endpoint> {
        self.via.as_deref()
    }

    /// Counts the connection's bytes, those of TLS and of a PROXY header included.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    /// The place that the connection takes within the listener's limit, until it is dropped.
    pub(crate) fn take_slot(&mut self) -> Option<OwnedSemaphorePermit> {
        self.slot.take()
    }

    /// Learns who the peer is, and sends it away if it may not come: then the observers see
    /// [`Event::Refused`], and this is false.
    ///
    /// # Errors
    /// As for [`ProxyHeader::read`], and [`Kind::Timeout`].
    pub(crate) async fn admit(&mut self, cx: &Context) -> Result<bool, Error> {
        // Boxed, because it is rare: the futures of all connections hold the room for it.
        if self.refusal.is_none()
            && let Some(access) = self.behind_proxy.take()
        {
            Box::pin(self.identify(cx)).await?;
            if !access.permits(&self.peer) {
                self.refusal = Some(Refusal::Denied);
            }
        }
        let Some(reason) = self.refusal else { return Ok(true) };
        self.slot = None;
        cx.observe(&Event::Refused { peer: self.peer.clone(), reason });
        Box::pin(self.dismiss(cx)).await;
        Ok(false)
    }

    /// Reads for whom the proxy connects.
    async fn identify(&mut self, cx: &Context) -> Result<(), Error> {
        let cx = self.connecting(cx);
        let read = cx.within(Phase::PROXY, ProxyHeader::read(&mut self.stream)).await;
        let header = read.map_err(|error| {
            let peer = &self.peer;
            say_silence(error, format!("could not read the PROXY header of {peer}"), NO_HEADER)
                .with_endpoint(peer)
        })?;
        self.destination = header.destination().cloned().map(Box::new);
        if let Some(source) = header.source() {
            self.via = Some(Box::new(std::mem::replace(&mut self.peer, source.clone())));
        }
        Ok(())
    }

    /// Ends the connection so that the peer sees an orderly end.
    async fn dismiss(&mut self, cx: &Context) {
        // Under a flood the rest must do without.
        match self.farewells.clone().try_acquire_owned() {
            Ok(_one_of_few) => farewell(&mut self.stream, cx).await,
            Err(_) => _ = self.stream.shutdown().await,
        }
    }

    /// Makes the connection usable: hears from a proxy who the peer is and whether it may come,
    /// applies the faults of the opening, then shakes hands by TLS, all within the context's limit
    /// for connecting. `None` means that the peer was refused or that a fault ended it.
    ///
    /// # Errors
    /// [`Kind::Protocol`] without the PROXY header that must be
    /// there, [`Kind::Tls`],
    /// [`Kind::Timeout`].
    pub async fn establish(mut self, cx: &Context) -> Result<Option<Connection>, Error> {
        if !self.admit(cx).await? {
            return Ok(None);
        }
        match self.faults.opening() {
            Opening::Serve => {}
            Opening::Reset => {
                self.stream.abort();
                return Ok(None);
            }
            Opening::Stall => {
                Box::pin(hold(self.stream, cx)).await;
                return Ok(None);
            }
        }
        let connecting = self.tls.is_some().then(|| self.connecting(cx));
        let mut stream = self.faults.wrap(self.stream);
        let mut info = Info::new(self.peer);
        info.via = self.via;
        info.destination = self.destination;
        info.local = self.local;
        if let (Some(server), Some(cx)) = (&self.tls, &connecting) {
            let accepted = Box::pin(server.accept(stream, cx)).await;
            let (secured, facts) = accepted.map_err(|error| {
                let peer = &info.peer;
                say_silence(error, format!("could not set up TLS with {peer}"), NO_HANDSHAKE)
                    .with_endpoint(peer)
            })?;
            stream = secured;
            info.tls = Some(Box::new(facts));
        }
        Ok(Some(Connection { faults: self.faults, ..Connection::new(stream, info) }))
    }

    /// The same operation within what is left of its limit for connecting.
    fn connecting(&self, cx: &Context) -> Context {
        let spent = now().saturating_duration_since(self.accepted);
        cx.limited(cx.timeouts().connect.map(|limit| limit.saturating_sub(spent)))
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// What to do about a client that is silent where it must speak.
const NO_HEADER: &str = "it connected and sent no whole header: is it a proxy that sends one?";
const NO_HANDSHAKE: &str = "it connected and did not finish the handshake: does it speak TLS?";

/// Says of what timed out what was being done, and what to do about it.
fn say_silence(error: Error, message: String, hint: &str) -> Error {
    match (error.kind(), error.phase()) {
        (Kind::Timeout, Some(phase)) => {
            Error::new(Kind::Timeout, message).with_phase(phase).with_hint(hint).with_source(error)
        }
        _ => error,
    }
}

/// Says nothing until the peer goes or the server stops.
async fn hold(mut stream: Stream, cx: &Context) {
    tokio::select! {
        () = until_gone(&mut stream) => {}
        () = cx.stopping() => {}
    }
}

/// Ends a stream. What the peer still sends is read for a while: a connection that is closed with
/// bytes unread is reset.
pub(crate) async fn farewell(stream: &mut Stream, cx: &Context) {
    let gone = async {
        let _ = stream.shutdown().await;
        until_gone(stream).await;
    };
    cx.limited(Some(FAREWELL)).until_deadline(gone).await;
}

/// Reads, for nothing, until the peer has ended.
async fn until_gone(stream: &mut Stream) {
    let mut waste = [0; 1024];
    while matches!(stream.read(&mut waste).await, Ok(1..)) {}
}

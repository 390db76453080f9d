//! The listener: from a URL to connections that come in.
//!
//! It binds ([`Listener::bind`]), accepts, and says who is let in: limits, access by address, the
//! PROXY protocol, TLS, faults. What is done with a connection is the [`Handler`](crate::Handler)'s.

mod bind;
mod incoming;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portolan_core::{
    Backoff, Direction, Endpoint, Error, Event, Failure, Kind, Refusal, Timeouts, Url,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::bind::{Bound, Registered};
use crate::fault::{Faults, Plan};
use crate::pcap::{Capture, Ends, Tap};
use crate::{Access, Meter, Observer, Stream, now, tls};

pub(crate) use self::bind::{SocketFile, bind_addresses, cannot_listen};
pub use self::incoming::Incoming;
pub(crate) use self::incoming::farewell;

/// How many who are refused are bidden farewell at once; more are just closed.
const FAREWELLS: usize = 256;

/// A bound socket that accepts connections.
///
/// # Defaults
/// No limit of connections, everybody may connect, no PROXY protocol, no TLS, no faults, no capture;
/// 10 s until a connection is established, 5 s to drain.
pub struct Listener {
    socket: Registered,
    url: Url,
    pub(crate) settings: Settings,
}

/// What [`serve`](crate::serve) needs to know too. A clone shares the limit and the count.
#[derive(Clone)]
pub(crate) struct Settings {
    limit: Option<Limit>,
    access: Arc<Access>,
    proxy_protocol: bool,
    pub(crate) once: bool,
    tls: Option<Arc<tls::Server>>,
    pub(crate) faults: Plan,
    capture: Option<Capture>,
    pub(crate) timeouts: Timeouts,
    pub(crate) drain: Duration,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
    accepted: Arc<AtomicU64>,
    farewells: Arc<Semaphore>,
}

/// What happens to the next connection when there are as many as there may be.
#[derive(Clone)]
enum Limit {
    /// It waits in the system's queue.
    Wait(Arc<Semaphore>),
    /// It is accepted and sent away.
    Refuse(Arc<Semaphore>),
}

impl Listener {
    /// Binds and listens on the endpoint of `url`. Port 0 takes any free port, a name is resolved,
    /// and a Unix socket's file is removed when the listener is dropped; one that is left over
    /// from a dead process is replaced.
    ///
    /// # Errors
    /// [`Kind::Connect`] where the address is in use or not ours, [`Kind::Denied`] without the
    /// permission, [`Kind::Write`] where a socket's file cannot be made, [`Kind::Resolve`].
    pub async fn bind(url: &Url) -> Result<Self, Error> {
        let bound = Bound::new(&url.endpoint()).await?;
        let mut listener = Share { bound, url: url.clone(), settings: Settings::new() }.listen()?;
        if let Some(address) = listener.socket.address() {
            listener.url = Url::from_endpoint(url.scheme(), &Endpoint::from(address));
        }
        Ok(listener)
    }

    /// Holds at most `connections` at once; further ones wait in the system's queue. Of this and
    /// [`with_max_connections`](Self::with_max_connections), the last one counts.
    #[must_use]
    pub fn with_limit(mut self, connections: usize) -> Self {
        self.settings.limit = Some(Limit::Wait(Arc::new(Semaphore::new(connections))));
        self
    }

    /// Holds at most `connections` at once; further ones are accepted and closed, in an orderly
    /// way, and the observers see [`Event::Refused`]. A place is taken from the accept until the
    /// handler has ended; who says nothing that it must say (a PROXY header, TLS) loses it when the
    /// limit for connecting has passed.
    #[must_use]
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.settings.limit = Some(Limit::Refuse(Arc::new(Semaphore::new(connections))));
        self
    }

    /// Serves one connection: once it is established, nobody else can connect, and
    /// [`serve`](crate::serve) returns when it has ended. Who is refused, or fails at the PROXY
    /// header or the TLS handshake, does not count.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.settings.once = true;
        self
    }

    /// Lets only those connect whom `access` permits. Others are accepted and closed, in an
    /// orderly way, and the observers see [`Event::Refused`]. Behind a PROXY header, the real
    /// client counts.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.settings.access = Arc::new(access);
        self
    }

    /// Requires a header of the PROXY protocol, version 1 or 2, at the beginning of every
    /// connection, before TLS. Then the peer is the client that the header names, and
    /// [`Info::via`](crate::Info::via) the proxy.
    ///
    /// The header is believed: see to it that only proxies can connect.
    #[must_use]
    pub const fn with_proxy_protocol(mut self) -> Self {
        self.settings.proxy_protocol = true;
        self
    }

    /// Speaks TLS with everybody who connects.
    #[must_use]
    pub fn with_tls(mut self, tls: tls::Server) -> Self {
        self.settings.tls = Some(Arc::new(tls));
        self
    }

    /// Sets the limits of each connection; `connect` bounds what comes before it is usable: the
    /// PROXY header and the TLS handshake.
    #[must_use]
    pub const fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = timeouts;
        self
    }

    /// How long connections may go on after the shutdown began.
    #[must_use]
    pub const fn with_drain(mut self, limit: Duration) -> Self {
        self.settings.drain = limit;
        self
    }

    /// Adds an observer of the listener and of every connection.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.settings.observers.push(observer);
        self
    }

    /// Does to connections what `plan` says. A plan that refuses everybody stops the listening.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind): to refuse, the address is bound anew.
    pub fn with_faults(mut self, plan: Plan) -> Result<Self, Error> {
        if plan.refuses_all()
            && let Some(address) = self.socket.address()
        {
            // The old socket must be closed before the new one can have its address.
            self.socket = Registered::Closed;
            self.socket = Bound::refusing(address)?.register().map_err(|e| self.unusable(e))?;
        }
        self.settings.faults = plan;
        Ok(self)
    }

    /// Captures all connections that are accepted from now on; none, where this is `None`.
    #[must_use]
    pub fn with_capture(mut self, capture: impl Into<Option<Capture>>) -> Self {
        self.settings.capture = capture.into();
        self
    }

    /// The URL at which this listener is reached: with the port that was taken.
    #[must_use]
    pub fn local_url(&self) -> Url {
        self.url.clone()
    }

    /// Makes of this listener `count`, each with a socket of its own on the same address
    /// (SO_REUSEPORT, socket(7)), between which the system distributes who connects. They have the
    /// settings of this one, and in common its limit of connections and the count by which faults
    /// choose. One is enough to move a listener to another runtime.
    ///
    /// ```
    /// use portolan_core::Error;
    /// use portolan_net::{Connection, Context, Listener, serve};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = Listener::bind(&"tcp:0".parse()?).await?.with_max_connections(1000);
    /// for share in listener.share(2)? {
    ///     std::thread::spawn(move || {
    ///         let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    ///         runtime.block_on(async {
    ///             let handler = |_: Connection, _: Context| async { Ok::<(), Error>(()) };
    ///             let shutdown = std::future::ready(());
    ///             serve(share.listen()?, handler, shutdown).await;
    ///             Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    ///         })
    ///     });
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Kind::Usage`] for more than one on a Unix socket, [`Kind::Connect`] where the system
    /// refuses.
    pub fn share(self, count: usize) -> Result<Vec<Share>, Error> {
        let mut shares = vec![self.detach()?];
        while shares.len() < count {
            shares.push(shares[0].another()?);
        }
        Ok(shares)
    }

    /// Takes it out of its runtime.
    pub(crate) fn detach(self) -> Result<Share, Error> {
        let Self { socket, url, settings } = self;
        let bound = socket.deregister().map_err(|error| cannot_listen(&url.endpoint(), error))?;
        Ok(Share { bound, url, settings })
    }

    fn unusable(&self, error: io::Error) -> Error {
        cannot_listen(&self.url.endpoint(), error)
    }

    /// Waits for the next connection. This cannot fail: what goes wrong is reported to the
    /// observers, and after a pause the listener goes on.
    pub async fn accept(&self) -> Incoming {
        let settings = &self.settings;
        let waited_for = match &settings.limit {
            Some(Limit::Wait(limit)) => limit.clone().acquire_owned().await.ok(),
            Some(Limit::Refuse(_)) | None => None,
        };
        let (stream, peer, local) = self.accept_stream().await;
        let (slot, refusal) = match settings.take_in(&peer) {
            Ok(slot) => (slot.or(waited_for), None),
            Err(refusal) => (None, Some(refusal)),
        };
        let faults = match refusal {
            Some(_) => Faults::default(),
            None => {
                let number = settings.accepted.fetch_add(1, Ordering::Relaxed) + 1;
                settings.faults.connection(number)
            }
        };
        let meter = Arc::new(Meter::default());
        Incoming {
            stream: stream.metered(meter.clone()),
            peer,
            via: None,
            destination: None,
            local,
            accepted: now(),
            meter,
            behind_proxy: settings.proxy_protocol.then(|| settings.access.clone()),
            refusal,
            farewells: settings.farewells.clone(),
            tls: settings.tls.clone(),
            faults,
            slot,
        }
    }

    /// Accepts, however often it takes.
    async fn accept_stream(&self) -> (Stream, Endpoint, Option<SocketAddr>) {
        let pauses = Backoff {
            first: Duration::from_millis(10),
            max: Duration::from_secs(1),
            ..Backoff::default()
        };
        let mut failures = 0;
        loop {
            match self.accept_once().await {
                Ok(accepted) => return accepted,
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    let event = Event::AcceptFailed(Failure::from(&error));
                    self.settings.observers.iter().for_each(|o| o.observe(now(), &event));
                    failures += 1;
                    tokio::time::sleep(pauses.pause(failures)).await;
                }
            }
        }
    }

    async fn accept_once(&self) -> io::Result<(Stream, Endpoint, Option<SocketAddr>)> {
        match &self.socket {
            Registered::Tcp(listener, address) => {
                let (stream, peer) = listener.accept().await?;
                let local = address.or_else(|| stream.local_addr().ok());
                let ends = local.map(|local| Ends::Inet { local, remote: peer });
                Ok((self.captured(stream.into(), ends), Endpoint::from(peer), local))
            }
            Registered::Unix(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                let path = peer.as_pathname().map_or_else(PathBuf::new, PathBuf::from);
                let ends = Ends::Unix(self.url.to_string());
                Ok((self.captured(stream.into(), Some(ends)), Endpoint::unix(path), None))
            }
            Registered::Refusing(_) | Registered::Closed => std::future::pending().await,
        }
    }

    /// The stream, in the capture where there is one.
    fn captured(&self, stream: Stream, ends: Option<Ends>) -> Stream {
        match (&self.settings.capture, ends) {
            (Some(capture), Some(ends)) => {
                stream.tapped(Tap::open(capture.clone(), ends, Direction::Received))
            }
            _ => stream,
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Settings {
    fn new() -> Self {
        Self {
            limit: None,
            access: Arc::default(),
            proxy_protocol: false,
            once: false,
            tls: None,
            faults: Plan::default(),
            capture: None,
            timeouts: Timeouts::default(),
            drain: Duration::from_secs(5),
            observers: Vec::new(),
            accepted: Arc::default(),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
        }
    }

    /// Whether `peer` may come, as far as that is known on accept; and its place, where places are
    /// limited.
    fn take_in(&self, peer: &Endpoint) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        // Behind a proxy, the peer is not known yet.
        if !self.proxy_protocol && !self.access.permits(peer) {
            return Err(Refusal::Denied);
        }
        match &self.limit {
            Some(Limit::Refuse(limit)) => {
                limit.clone().try_acquire_owned().map(Some).map_err(|_| Refusal::Full)
            }
            Some(Limit::Wait(_)) | None => Ok(None),
        }
    }
}

/// A listener that no runtime has seen yet: it becomes one within the runtime that is to serve it.
/// Connections wait in the system's queue meanwhile.
pub struct Share {
    bound: Bound,
    url: Url,
    settings: Settings,
}

impl Share {
    /// Makes it a listener within this runtime.
    ///
    /// # Errors
    /// [`Kind::Connect`] where the system refuses.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn listen(self) -> Result<Listener, Error> {
        let Self { bound, url, settings } = self;
        let socket = bound.register().map_err(|error| cannot_listen(&url.endpoint(), error))?;
        Ok(Listener { socket, url, settings })
    }
}

impl Share {
    fn another(&self) -> Result<Self, Error> {
        let Self { bound, url, settings } = self;
        let another = bound.another().map_err(|error| cannot_listen(&url.endpoint(), error))?;
        let bound = another.ok_or_else(|| {
            Error::new(Kind::Usage, format!("could not share {url}")).with_hint(
                "a Unix socket has one listener: only TCP ports can be shared by several",
            )
        })?;
        Ok(Self { bound, url: url.clone(), settings: settings.clone() })
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Whether a failure to accept concerns only the connection that was about to be accepted
/// (accept(2), "error handling").
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests;

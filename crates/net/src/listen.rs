//! The listener: from a URL to connections that come in.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portolan_core::{
    Backoff, Direction, Endpoint, Error, Event, Failure, Host, Kind, Timeouts, Url,
};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::{Opening, Plan};
use crate::pcap::{Capture, Ends, Tap};
use crate::{
    Connection, Context, Info, Meter, Observer, Resolve, Stream, SystemResolver, now, tls,
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;

/// A bound socket that accepts connections.
///
/// # Defaults
/// No limit of connections, no TLS, no faults, no capture; 10 s for a TLS handshake, 5 s to drain.
pub struct Listener {
    socket: ListenSocket,
    url: Url,
    pub(crate) settings: Settings,
    accepted: AtomicU64,
}

/// What [`serve`](crate::serve) needs to know too.
pub(crate) struct Settings {
    limit: Option<Arc<Semaphore>>,
    tls: Option<tls::Server>,
    faults: Plan,
    capture: Option<Capture>,
    pub(crate) timeouts: Timeouts,
    pub(crate) drain: Duration,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
}

enum ListenSocket {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "dropping it removes the file")] Option<SocketFile>,
    ),
    /// Bound but not listening: the system refuses every connection.
    Refusing(#[expect(dead_code, reason = "it holds the port")] Socket),
    Closed,
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
        let endpoint = url.endpoint();
        let bound = match &endpoint.host {
            Host::Path(path) => bind_path(path),
            Host::Abstract(name) => UnixListener::bind(format!("\0{name}"))
                .map(|socket| ListenSocket::Unix(socket, None)),
            Host::Name(_) | Host::V4(_) | Host::V6(..) => {
                let addresses = bind_addresses(&endpoint).await?;
                bind_tcp(&addresses)
            }
        };
        let socket = bound.map_err(|error| cannot_listen(&endpoint, error))?;
        let mut listener = Self {
            socket,
            url: url.clone(),
            settings: Settings {
                limit: None,
                tls: None,
                faults: Plan::default(),
                capture: None,
                timeouts: Timeouts::default(),
                drain: Duration::from_secs(5),
                observers: Vec::new(),
            },
            accepted: AtomicU64::new(0),
        };
        if let Some(address) = listener.local_address() {
            listener.url = Url::from_endpoint(url.scheme(), &Endpoint::from(address));
        }
        Ok(listener)
    }

    /// Holds at most `connections` at once; further ones wait in the system's queue.
    #[must_use]
    pub fn with_limit(mut self, connections: usize) -> Self {
        self.settings.limit = Some(Arc::new(Semaphore::new(connections)));
        self
    }

    /// Speaks TLS with everybody who connects.
    #[must_use]
    pub fn with_tls(mut self, tls: tls::Server) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// Sets the limits of each connection; `connect` bounds its TLS handshake.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = timeouts;
        self
    }

    /// How long connections may go on after the shutdown began.
    #[must_use]
    pub fn with_drain(mut self, limit: Duration) -> Self {
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
            && let Some(address) = self.local_address()
        {
            // The old socket must be closed before the new one can have its address.
            self.socket = ListenSocket::Closed;
            let socket = bound_socket(address).map_err(|e| cannot_listen(&address.into(), e))?;
            self.socket = ListenSocket::Refusing(socket);
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

    fn local_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            ListenSocket::Tcp(socket) => socket.local_addr().ok(),
            ListenSocket::Unix(..) | ListenSocket::Refusing(_) | ListenSocket::Closed => None,
        }
    }

    /// Waits for the next connection. This cannot fail: what goes wrong is reported to the
    /// observers, and after a pause the listener goes on.
    pub async fn accept(&self) -> Incoming {
        let slot = match &self.settings.limit {
            Some(limit) => limit.clone().acquire_owned().await.ok(),
            None => None,
        };
        let pauses = Backoff {
            first: Duration::from_millis(10),
            max: Duration::from_secs(1),
            ..Backoff::default()
        };
        let mut failures = 0;
        let (stream, peer, local) = loop {
            match self.accept_once().await {
                Ok(accepted) => break accepted,
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    let event = Event::AcceptFailed(Failure::from(&error));
                    self.settings.observers.iter().for_each(|o| o.observe(now(), &event));
                    failures += 1;
                    tokio::time::sleep(pauses.pause(failures)).await;
                }
            }
        };
        let number = self.accepted.fetch_add(1, Ordering::Relaxed) + 1;
        let meter = Arc::new(Meter::default());
        Incoming {
            stream: stream.metered(meter.clone()),
            peer,
            local,
            meter,
            tls: self.settings.tls.clone(),
            faults: self.settings.faults.connection(number),
            slot,
        }
    }

    async fn accept_once(&self) -> io::Result<(Stream, Endpoint, Option<SocketAddr>)> {
        match &self.socket {
            ListenSocket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let local = stream.local_addr().ok();
                let ends = local.map(|local| Ends::Inet { local, remote: peer });
                Ok((self.captured(stream.into(), ends), Endpoint::from(peer), local))
            }
            ListenSocket::Unix(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                let path = peer.as_pathname().map_or_else(PathBuf::new, PathBuf::from);
                let ends = Ends::Unix(self.url.to_string());
                Ok((self.captured(stream.into(), Some(ends)), Endpoint::unix(path), None))
            }
            ListenSocket::Refusing(_) | ListenSocket::Closed => std::future::pending().await,
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

/// A connection that was accepted and has yet to become usable.
pub struct Incoming {
    stream: Stream,
    peer: Endpoint,
    local: Option<SocketAddr>,
    meter: Arc<Meter>,
    tls: Option<tls::Server>,
    faults: crate::fault::Faults,
    slot: Option<OwnedSemaphorePermit>,
}

impl Incoming {
    /// Who connected.
    #[must_use]
    pub const fn peer(&self) -> &Endpoint {
        &self.peer
    }

    /// Counts the connection's bytes, those of TLS included.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    /// The place that the connection takes within the listener's limit, until it is dropped.
    pub(crate) fn take_slot(&mut self) -> Option<OwnedSemaphorePermit> {
        self.slot.take()
    }

    /// Makes the connection usable: applies the faults of its opening, then shakes hands by TLS,
    /// within the context's limit for connecting. `None` means that a fault ended it.
    ///
    /// # Errors
    /// [`Kind::Tls`], [`Kind::Timeout`].
    pub async fn establish(self, cx: &Context) -> Result<Option<Connection>, Error> {
        let mut stream = self.stream;
        match self.faults.opening() {
            Opening::Serve => stream = self.faults.wrap(stream),
            Opening::Reset => {
                stream.abort();
                return Ok(None);
            }
            Opening::Stall => {
                hold(stream, cx).await;
                return Ok(None);
            }
        }
        let mut info = Info::new(self.peer);
        info.local = self.local;
        if let Some(server) = &self.tls {
            let cx = cx.limited(cx.timeouts().connect);
            let (secured, facts) = server.accept(stream, &cx).await?;
            stream = secured;
            info.tls = Some(facts);
        }
        Ok(Some(Connection { stream, info, faults: self.faults }))
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Says nothing until the peer goes or the server stops.
async fn hold(mut stream: Stream, cx: &Context) {
    let mut waste = [0; 1024];
    let until_gone = async { while matches!(stream.read(&mut waste).await, Ok(1..)) {} };
    tokio::select! {
        () = until_gone => {}
        () = cx.stopping() => {}
    }
}

/// A Unix socket's file, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl SocketFile {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Removes the file of a socket on which nobody listens any more.
    pub(crate) fn remove_stale(path: &Path) -> io::Result<()> {
        use std::os::unix::fs::FileTypeExt;
        let is_socket = path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket());
        if !is_socket {
            return Ok(());
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bind_path(path: &Path) -> io::Result<ListenSocket> {
    SocketFile::remove_stale(path)?;
    let socket = UnixListener::bind(path)?;
    Ok(ListenSocket::Unix(socket, Some(SocketFile::new(path.to_owned()))))
}

fn bind_tcp(addresses: &[SocketAddr]) -> io::Result<ListenSocket> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match bound_socket(*address) {
            Ok(socket) => {
                socket.listen(BACKLOG.cast_signed())?;
                return Ok(ListenSocket::Tcp(TcpListener::from_std(socket.into())?));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A TCP socket that is bound and does not listen yet.
fn bound_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    SockRef::from(&socket).set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The addresses to bind for an endpoint over IP.
pub(crate) async fn bind_addresses(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Error> {
    let addresses = match endpoint.host.ip() {
        Some(address) => vec![address],
        None => SystemResolver.resolve(&endpoint.host.bare()).await?,
    };
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, endpoint.port)).collect())
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

/// The error for an endpoint on which one cannot listen.
pub(crate) fn cannot_listen(endpoint: &Endpoint, error: io::Error) -> Error {
    use io::ErrorKind as K;
    let is_unix = matches!(endpoint.host, Host::Path(_) | Host::Abstract(_));
    let (kind, hint) = match error.kind() {
        K::AddrInUse if is_unix => {
            (Kind::Connect, "a file or another server is there: remove it, or choose another path")
        }
        K::AddrInUse => (
            Kind::Connect,
            "another server uses the port: stop it, or choose another one (0 for any)",
        ),
        K::AddrNotAvailable => (Kind::Connect, "the address is not one of this machine"),
        K::PermissionDenied if is_unix => {
            (Kind::Denied, "this user may not write to the socket's directory")
        }
        K::PermissionDenied => {
            (Kind::Denied, "ports below 1024 need privilege: choose a higher one")
        }
        K::NotFound => (Kind::Write, "the socket's directory does not exist: make it first"),
        _ => (Kind::Connect, "check the address"),
    };
    Error::new(kind, format!("could not listen on {endpoint}"))
        .with_blame(portolan_core::Blame::Us)
        .with_endpoint(endpoint)
        .with_hint(hint)
        .with_source(error)
}

#[cfg(test)]
mod tests;

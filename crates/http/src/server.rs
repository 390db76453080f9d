//! The server: axum's routes on any listener.
//!
//! HTTP/1 is read and written here, over every kind of stream alike; HTTP/2 is hyper's.

mod body;
mod buffered;
mod buffers;
mod date;
mod exchange;
mod http2;
mod leading;
mod limits;
mod log;
mod recent;
mod send;
mod turn;
mod upgrade;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::response::Parts;
use http::{Request, StatusCode};
use portolan_core::Error;
use portolan_net::fault::{Faults, Reply};
use portolan_net::{Connection, Context, Handler, Info, Listener, Rest, serve};
use tower::ServiceExt;

pub use self::limits::Limits;
pub use self::upgrade::upgrade;

use self::exchange::{Ended, Exchange};
use self::log::Entry;
use self::recent::{KeyBuffer, Lookup, Recent, Ticket};
use crate::file_slice::FileSlice;
use crate::files::Files;
use crate::wire::Head;

pub(crate) use self::log::{Failure, User};
pub(crate) use self::recent::Repeatable;

/// Answers HTTP/1.1 and HTTP/2 requests with axum's routes.
///
/// Each request carries the [`Info`] and the [`Context`] of its connection as extensions. HTTP/2 is
/// spoken where TLS agreed on it (ALPN), and to clients that begin with it.
///
/// # Defaults
/// Those of [`Limits`]; no access log.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What the connections of a server share.
#[derive(Clone)]
struct Shared {
    routes: Router,
    limits: Limits,
    has_access_log: bool,
    /// How many connections do not rest.
    awake: Arc<AtomicUsize>,
    /// Where the routes are files: these, and the answers of the last moment.
    files: Option<(Files, Arc<Recent>)>,
}

impl Server {
    /// A server of these routes.
    #[must_use]
    pub fn new(routes: Router) -> Self {
        let limits = Limits::default();
        let awake = Arc::default();
        let shared = Shared { routes, limits, has_access_log: false, awake, files: None };
        Self { shared: Arc::new(shared) }
    }

    /// A server that answers every request by this function, or by any other handler of axum's.
    #[must_use]
    pub fn function<T: 'static>(handler: impl axum::handler::Handler<T, ()>) -> Self {
        Self::new(Router::new().fallback(handler))
    }

    /// A server of files. Over HTTP/1 those that are asked for again and again go out by a fast lane:
    /// for 20 ms, 40 at worst, an answer is given again to the same request, unless an upload came
    /// meanwhile. The files of 64 of them are held open, for a second at most.
    #[must_use]
    pub fn files(files: Files) -> Self {
        let routes = files.clone().into_router();
        Self::new(routes).with(|shared| shared.files = Some((files, Arc::default())))
    }

    /// What it puts up with.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        self.with(|shared| shared.limits = limits)
    }

    /// Tells the listener's observers of every answer, by
    /// [`Event::Answered`](portolan_core::Event::Answered).
    #[must_use]
    pub fn with_access_log(self) -> Self {
        self.with(|shared| shared.has_access_log = true)
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }

    /// Serves until `shutdown` is ready; then requests in flight are finished, within the
    /// listener's drain limit.
    pub async fn serve(self, listener: Listener, shutdown: impl Future<Output = ()>) {
        serve(listener, self, shutdown).await;
    }
}

impl Handler for Server {
    async fn handle(&self, connection: Connection, cx: Context) -> Result<(), Error> {
        self.attend(connection, cx, false).await.map(drop)
    }

    fn turn(
        &self,
        connection: Connection,
        cx: Context,
    ) -> impl Future<Output = Result<Option<Rest>, Error>> + Send {
        self.attend(connection, cx, true)
    }
}

impl Server {
    /// Answers requests until the connection ends or, where it may, rests.
    fn attend(
        &self,
        connection: Connection,
        cx: Context,
        may_rest: bool,
    ) -> impl Future<Output = Result<Option<Rest>, Error>> + Send + use<> {
        let Connection { stream, info, faults, note, .. } = connection;
        let faults = faults.has_events().then(|| Box::new(faults));
        let may_rest = may_rest && faults.is_none() && stream.is_plain();
        let visit = Visit { server: self.shared.clone(), info, faults, cx };
        async move {
            let _awake = Awake::begin(&visit.server.awake);
            if visit.alpn() == Some("h2") {
                Box::pin(http2::serve(stream, visit)).await?;
                return Ok(None);
            }
            let ended = {
                let stopping = pin!(visit.cx.stopping());
                let mut exchange = Exchange::new(stream, &visit, note, may_rest);
                let end = exchange.run(stopping).await;
                // Boxed, so that a connection that is idle needs no room for it.
                Box::pin(exchange.finish(end)).await?
            };
            match ended {
                Ended::Closed => Ok(None),
                Ended::Http2(stream) => {
                    Box::pin(http2::serve(stream, visit)).await?;
                    Ok(None)
                }
                Ended::Resting { stream, note, limit } => {
                    let connection = Connection { note, ..Connection::new(stream, visit.info) };
                    Ok(Some(Rest { connection, limit }))
                }
            }
        }
    }
}

/// A connection that does not rest.
struct Awake(Arc<AtomicUsize>);

impl Awake {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection, apart from its bytes.
struct Visit {
    server: Arc<Shared>,
    info: Info,
    /// Where any event is to go wrong.
    faults: Option<Box<Faults>>,
    cx: Context,
}

impl Visit {
    /// Answers one request: by a planned fault, such as `GET /slow`, or else by the routes.
    async fn answer(&self, mut request: Request<Body>) -> Response {
        if let Some(faults) = &self.faults {
            let event = format!("{} {}", request.method(), request.uri().path());
            if let Some(Reply { code, text }) = faults.event(&event).await {
                let status = StatusCode::from_u16(code);
                let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let mut response = (status, text.unwrap_or_default()).into_response();
                if let Some((files, _)) = &self.server.files {
                    files.dress(response.headers_mut());
                }
                return response;
            }
        }
        request.extensions_mut().insert(self.info.clone());
        request.extensions_mut().insert(self.cx.clone());
        let may_change = !request.method().is_safe();
        let Ok(response) = self.server.routes.clone().oneshot(request).await;
        if let Some((_, recent)) = self.server.files.as_ref().filter(|_| may_change) {
            recent.forget();
        }
        response
    }

    /// What there is to answer a request with at once, or to keep its answer for others.
    fn lookup(&self, key: impl FnOnce() -> Option<KeyBuffer>) -> Option<Lookup> {
        let (_, recent) = self.server.files.as_ref()?;
        if self.faults.is_some() || self.cx.is_stopping() {
            return None;
        }
        key().map(|key| recent.find(&key))
    }

    /// Keeps an answer for others.
    fn keep(&self, ticket: Ticket, response: &Parts, slice: &FileSlice) {
        if let Some((_, recent)) = &self.server.files {
            recent.keep(ticket, response, slice);
        }
    }

    /// The protocol that TLS agreed on.
    fn alpn(&self) -> Option<&str> {
        self.info.tls.as_ref().and_then(|tls| tls.alpn.as_deref())
    }

    /// Whether the client may begin with HTTP/2 without having said so.
    fn may_be_http2(&self) -> bool {
        self.alpn().is_none()
    }

    /// What the access log is to be told about a request, where there is one.
    fn log_entry<B>(&self, request: &Request<B>) -> Option<Entry> {
        self.server.has_access_log.then(|| Entry::new(request, &self.info.peer, &self.cx))
    }

    /// What the access log, where there is one, is to be told about a request that is answered at
    /// once.
    fn log_recent(&self, head: &Head<'_>) -> Option<Entry> {
        self.server.has_access_log.then(|| {
            let mut entry = Entry::of_head(head, &self.info.peer, &self.cx);
            entry.has_status(StatusCode::OK);
            entry
        })
    }

    /// Tells the access log, where there is one, of a request that was refused: one without an entry
    /// could not be read.
    fn log_refusal(&self, entry: Option<Entry>, status: StatusCode, bytes: u64) {
        if self.server.has_access_log {
            let entry = entry.unwrap_or_else(|| Entry::unread(&self.info.peer, &self.cx));
            entry.answered(status, bytes);
        }
    }
}

//! The server: axum's routes on any listener.

mod limits;

use std::convert::Infallible;
use std::time::Duration;

pub use self::limits::Limits;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use portolan_core::{Error, Kind};
use portolan_net::fault::{Faults, Reply};
use portolan_net::{Connection, Context, Handler, Info, Listener, Stream, serve};
use tower::ServiceExt;

use crate::file_slice::{FileBody, FileSlice};

/// Answers HTTP/1.1 and HTTP/2 requests with axum's routes.
///
/// Each request carries the [`Info`] and the [`Context`] of its connection as extensions.
///
/// # Defaults
/// 30 s for the head of a request, 64 KiB for its size, 256 HTTP/2 streams a connection.
#[derive(Clone)]
pub struct Server {
    routes: Router,
    limits: Limits,
    has_access_log: bool,
    builder: auto::Builder<TokioExecutor>,
}

impl Server {
    /// A server of these routes.
    #[must_use]
    pub fn new(routes: Router) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(30))
            .max_buf_size(64 * 1024)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(256)
            .max_header_list_size(64 * 1024);
        Self { routes, limits: Limits::default(), has_access_log: false, builder }
    }

    /// A server that answers every request by this function, or by any other handler of axum's.
    #[must_use]
    pub fn function<T: 'static>(handler: impl axum::handler::Handler<T, ()>) -> Self {
        Self::new(Router::new().fallback(handler))
    }

    /// What it puts up with.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Tells the listener's observers of every answer, by [`Event::Answered`].
    ///
    /// [`Event::Answered`]: portolan_core::Event::Answered
    #[must_use]
    pub const fn with_access_log(mut self) -> Self {
        self.has_access_log = true;
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
        let Connection { stream, info, faults } = connection;
        let served = Served { routes: self.routes.clone(), info, faults, cx: cx.clone() };
        let service = service_fn(move |request| served.clone().answer(request));
        let exchange = self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut exchange = std::pin::pin!(exchange);
        let ended = tokio::select! {
            ended = exchange.as_mut() => ended,
            () = cx.stopping() => {
                exchange.as_mut().graceful_shutdown();
                exchange.await
            }
        };
        ended.map_err(|error| {
            Error::new(Kind::Protocol, "could not finish the exchange").with_source(error)
        })
    }
}

/// What the requests of one connection share.
#[derive(Clone)]
struct Served {
    routes: Router,
    info: Info,
    faults: Faults,
    cx: Context,
}

impl Served {
    /// Answers one request: by a planned fault, such as `GET /slow`, or else by the routes.
    async fn answer(self, mut request: Request<Incoming>) -> Result<Response, Infallible> {
        if self.faults.has_events() {
            let event = format!("{} {}", request.method(), request.uri().path());
            if let Some(Reply { code, text }) = self.faults.event(&event).await {
                let status = StatusCode::from_u16(code);
                let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return Ok((status, text.unwrap_or_default()).into_response());
            }
        }
        request.extensions_mut().insert(self.info);
        request.extensions_mut().insert(self.cx);
        let mut response = self.routes.oneshot(request.map(Body::new)).await?;
        if let Some(slice) = response.extensions_mut().remove::<FileSlice>() {
            *response.body_mut() = Body::new(FileBody::new(slice));
        }
        Ok(response)
    }
}

/// Hands the connection of `request` to `then` once the response has switched protocols: after a
/// 101, or after a 2xx to CONNECT. Until then, and if it never does, nothing happens.
pub fn upgrade<F, Fut>(request: Request<Body>, then: F)
where
    F: FnOnce(Stream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            then(Stream::boxed(TokioIo::new(upgraded))).await;
        }
    });
}

//! Connections that go on in another protocol (RFC 9110 sections 7.8 and 9.3.6).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use http::{Method, Request, header};
use hyper_util::rt::TokioIo;
use portolan_net::Stream;

/// What is done with a connection that was handed over.
pub(super) type Then = Box<dyn FnOnce(Stream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The place where who answers leaves what is to be done with the connection.
#[derive(Clone)]
pub(super) struct Upgrade(Arc<Mutex<Option<Then>>>);

impl Upgrade {
    /// A place, for a request that may be answered so.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let may_be =
            request.method() == Method::CONNECT || request.headers().contains_key(header::UPGRADE);
        may_be.then(|| Self(Arc::default()))
    }

    pub(super) fn take(&self) -> Option<Then> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Hands the connection of `request` to `then` once the response has switched protocols: after a
/// 101, or after a 2xx to CONNECT. Until then, and if it never does, nothing happens.
///
/// Over HTTP/1, `then` is a part of the connection's handler: a server that shuts down waits for
/// it, and drops it beyond the drain limit.
pub fn upgrade<F, Fut>(request: Request<Body>, then: F)
where
    F: FnOnce(Stream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    if let Some(Upgrade(place)) = request.extensions().get() {
        let then: Then = Box::new(|stream| Box::pin(then(stream)));
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(then);
        return;
    }
    // A stream of HTTP/2.
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            then(Stream::boxed(TokioIo::new(upgraded))).await;
        }
    });
}

//! HTTP/2 (RFC 9113), which is hyper's.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portolan_core::{Error, Kind};
use portolan_net::Stream;

use super::Visit;
use super::corked::Corked;
use super::log::{Entry, Logged};
use super::recent::{KeyBuffer, Lookup, Ticket};
use crate::file_slice::{FileBody, FileSlice};

/// What a client begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection to its end.
pub(super) async fn serve(stream: Stream, visit: Visit) -> Result<(), Error> {
    let limits = &visit.server.limits;
    let head = u32::try_from(limits.head).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(InPlace);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(head);
    let visit = Arc::new(visit);
    let service = service_fn(|request| {
        let visit = visit.clone();
        async move { Ok::<_, Infallible>(answer(&visit, request).await) }
    });
    let stream = Corked::new(stream);
    let mut exchange = pin!(builder.serve_connection(TokioIo::new(stream.clone()), service));
    let mut stopping = pin!(visit.cx.stopping().fuse());
    poll_fn(|cx| {
        if stopping.as_mut().poll(cx).is_ready() {
            exchange.as_mut().graceful_shutdown();
        }
        let ended = exchange.as_mut().poll(cx).map_err(failure);
        // Now there is nothing else to do.
        match stream.poll_uncork(cx) {
            Poll::Ready(Err(error)) if ended.is_pending() => Poll::Ready(Err(failure(error))),
            _ => ended,
        }
    })
    .await
}

fn failure(error: impl StdError + Send + Sync + 'static) -> Error {
    Error::new(Kind::Protocol, "could not finish the exchange").with_source(error)
}

/// Answers requests in place: only those that have to wait become tasks.
#[derive(Clone)]
struct InPlace;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for InPlace {
    fn execute(&self, answering: F) {
        let mut answering = Box::pin(answering);
        // A task polls it anew, and is then what it wakes.
        if answering.as_mut().poll(&mut Task::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(answering);
        }
    }
}

async fn answer(visit: &Visit, request: Request<Incoming>) -> Response {
    let entry = visit.log_entry(&request);
    let response = match visit.lookup(|| KeyBuffer::of_request(&request)) {
        Some(Lookup::Answer(answer)) => answer.to_response(),
        Some(Lookup::Nothing(ticket)) => respond(visit, request, Some(ticket)).await,
        None => respond(visit, request, None).await,
    };
    match entry {
        None => response,
        Some(entry) => logged(response, entry),
    }
}

/// Has the routes answer.
async fn respond(visit: &Visit, request: Request<Incoming>, ticket: Option<Ticket>) -> Response {
    let is_head = request.method() == Method::HEAD;
    let (mut head, mut body) = visit.answer(request.map(Body::new)).await.into_parts();
    if let Some(slice) = head.extensions.remove::<FileSlice>() {
        if let Some(ticket) = ticket {
            visit.keep(ticket, &head, &slice);
        }
        // In place of the one for the empty body.
        head.headers.insert(header::CONTENT_LENGTH, slice.length().into());
        if !is_head {
            body = Body::new(FileBody::new(slice));
        }
    }
    if head.status == StatusCode::NO_CONTENT || head.status == StatusCode::NOT_MODIFIED {
        // The routes take the length of a body that is not there for that of the content.
        head.headers.remove(header::CONTENT_LENGTH);
    }
    Response::from_parts(head, body)
}

fn logged(response: Response, entry: Entry) -> Response {
    let status = response.status();
    response.map(|body| Body::new(Logged { body, entry: Some(entry), status, sent: 0 }))
}

//! HTTP/2 (RFC 9113), which is hyper's.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portolan_core::{Error, Kind};
use portolan_net::{Context, Stream};

use super::Visit;
use super::log::{Entry, Logged};
use super::recent::{KeyBuffer, Lookup, Ticket};
use crate::file_slice::{FileBody, FileSlice};

/// What a client begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection to its end.
pub(super) async fn serve(stream: Stream, visit: Visit) -> Result<(), Error> {
    let limits = &visit.server.limits;
    let head = u32::try_from(limits.head).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(head);
    let visit = Arc::new(visit);
    let service = service_fn(|request| {
        let visit = visit.clone();
        async move { Ok::<_, Infallible>(answer(&visit, request).await) }
    });
    let mut exchange = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = exchange.as_mut() => ended,
        () = visit.cx.stopping() => {
            exchange.as_mut().graceful_shutdown();
            exchange.await
        }
    };
    ended.map_err(|error| {
        Error::new(Kind::Protocol, "could not finish the exchange").with_source(error)
    })
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
        Some(entry) => logged(response, entry, visit.cx.clone()),
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

fn logged(response: Response, entry: Entry, cx: Context) -> Response {
    let status = response.status();
    response.map(|body| Body::new(Logged { body, entry: Some(entry), status, sent: 0, cx }))
}

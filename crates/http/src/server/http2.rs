//! HTTP/2 (RFC 9113), which is hyper's.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use http::{Method, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portolan_core::{Error, Kind};
use portolan_net::fault::Faults;
use portolan_net::{Context, Info, Stream};

use super::log::{Entry, Logged};
use super::{Server, Visit};
use crate::file_slice::{FileBody, FileSlice};

/// What a client begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection to its end.
pub(super) async fn serve(stream: Stream, visit: &Visit<'_>) -> Result<(), Error> {
    let Visit { server, info, faults, cx } = visit;
    let limits = &server.limits;
    let head = u32::try_from(limits.head).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(head);
    let owned = Owned {
        server: (*server).clone(),
        info: info.clone(),
        faults: faults.clone(),
        cx: cx.clone(),
    };
    let service = service_fn(move |request| owned.clone().answer(request));
    let mut exchange = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
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

/// What the tasks of a connection's requests share.
#[derive(Clone)]
struct Owned {
    server: Server,
    info: Info,
    faults: Faults,
    cx: Context,
}

impl Owned {
    async fn answer(self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let Self { server, info, faults, cx } = self;
        let visit = Visit { server: &server, info, faults, cx };
        let entry = visit.log_entry(&request);
        let is_head = request.method() == Method::HEAD;
        let mut response = visit.answer(request.map(Body::new)).await;
        if let Some(slice) = response.extensions_mut().remove::<FileSlice>() {
            // In place of the one for the empty body.
            response.headers_mut().insert(header::CONTENT_LENGTH, slice.length().into());
            if !is_head {
                *response.body_mut() = Body::new(FileBody::new(slice));
            }
        }
        Ok(match entry {
            None => response,
            Some(entry) => logged(response, entry, visit.cx.clone()),
        })
    }
}

fn logged(response: Response, entry: Entry, cx: Context) -> Response {
    let status = response.status();
    response.map(|body| Body::new(Logged { body, entry: Some(entry), status, sent: 0, cx }))
}

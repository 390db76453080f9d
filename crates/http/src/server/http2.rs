//! HTTP/2 (RFC 9113), which is hyper's.

mod corked;
mod tally;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker, ready};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{Method, Request, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portolan_core::{Error, Kind};
use portolan_net::{Alarm, Stream};

use self::corked::Corked;
use self::tally::{Answer, Asked, InFlight, Tally, Wait};
use super::exchange::FAREWELL;
use super::log::{Entry, Logged};
use super::recent::{KeyBuffer, Lookup, Ticket};
use super::turn::Broken;
use super::{Limits, Visit};
use crate::file_slice::{FileBody, FileSlice};
use crate::wire::BadRequest;

/// What a client begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of an answer is held where the peer takes it but slowly, beside the piece of its body
/// that is under way.
const HELD: usize = 64 * 1024;

/// Serves a connection to its end.
pub(super) async fn serve(stream: Stream, visit: Visit) -> Result<(), Error> {
    let (visit, tally) = (Arc::new(visit), Arc::new(Tally::default()));
    let service = service_fn(|request| {
        let (visit, of) = (visit.clone(), InFlight::begin(&tally));
        async move { Ok::<_, Infallible>(answer(&visit, request, of).await) }
    });
    let mut stream = Corked::new(stream);
    let limits = &visit.server.limits;
    let exchange = builder(limits).serve_connection(TokioIo::new(stream.clone()), service);
    let (mut exchange, mut stopping) = (pin!(exchange), pin!(visit.cx.stopping().fuse()));
    let mut watch = Watch::new(limits);
    let mut is_over = false;
    let ended = poll_fn(|cx| {
        loop {
            let is_last = limits.requests.is_some_and(|most| tally.begun() >= most);
            if stopping.as_mut().poll(cx).is_ready() || is_last {
                watch.leave();
                exchange.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(ended) = exchange.as_mut().poll(cx) {
                is_over = true;
                return Poll::Ready(ended.map_err(|error| failure(Kind::Protocol, error)));
            }
            // Now there is nothing else to do.
            if let Poll::Ready(Err(error)) = stream.poll_uncork(cx) {
                return Poll::Ready(Err(failure(Kind::Lost, error)));
            }
            match ready!(watch.poll(cx, tally.wait(stream.answered(), cx))) {
                Wait::Peer(_) => {
                    return Poll::Ready(Err(failure(Kind::Timeout, Broken::Stalled)));
                }
                _ if watch.is_leaving => return Poll::Ready(Ok(())),
                _ => watch.leave(),
            }
            exchange.as_mut().graceful_shutdown();
        }
    })
    .await;
    if is_over {
        // What the peer still says, of windows and pings, would reset a closed connection, and with
        // it what the peer has not taken yet.
        let mut nowhere = tokio::io::sink();
        let until_gone = tokio::io::copy(&mut stream, &mut nowhere);
        let farewell = visit.cx.limited(Some(FAREWELL));
        let _ = farewell.until_deadline(Box::pin(until_gone)).await;
    }
    ended
}

fn builder(limits: &Limits) -> http2::Builder<InPlace> {
    let mut builder = http2::Builder::new(InPlace);
    builder
        .timer(TokioTimer::new())
        .max_send_buf_size(HELD)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX));
    builder
}

fn failure(kind: Kind, error: impl StdError + Send + Sync + 'static) -> Error {
    Error::new(kind, "could not finish the exchange").with_source(error)
}

/// Sees to it that nothing is waited for too long.
struct Watch<'a> {
    limits: &'a Limits,
    alarm: Alarm,
    waits: Option<Wait>,
    /// Whether the connection was asked to end.
    is_leaving: bool,
}

impl<'a> Watch<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, alarm: Alarm::default(), waits: None, is_leaving: false }
    }

    /// The connection is asked to end: the wait for another request is short from now on.
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.is_leaving, true) {
            self.waits = None;
        }
    }

    /// Ready when something has been waited for longer than it may.
    fn poll(&mut self, cx: &mut Task<'_>, wait: Wait) -> Poll<Wait> {
        let limit = match wait {
            Wait::Nothing => return Poll::Pending,
            Wait::Request(_) if self.is_leaving => FAREWELL,
            Wait::Request(0) => self.limits.head_time,
            Wait::Request(_) => self.limits.keep_alive,
            Wait::Peer(_) => self.limits.stall,
        };
        if self.waits != Some(wait) {
            self.waits = Some(wait);
            self.alarm.set(limit);
        }
        ready!(self.alarm.poll(cx));
        self.waits = None;
        Poll::Ready(wait)
    }
}

/// Answers requests in place: only those that have to wait become tasks.
#[derive(Clone)]
struct InPlace;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for InPlace {
    fn execute(&self, answering: F) {
        let mut answering = Box::pin(answering);
        let mut cx = Task::from_waker(Waker::noop());
        // A panic ends its own stream, as in a task, and not the connection.
        let polled = catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(&mut cx)));
        // A task polls it anew, and is then what it wakes.
        if let Ok(Poll::Pending) = polled {
            tokio::spawn(answering);
        }
    }
}

async fn answer(visit: &Visit, request: Request<Incoming>, of: Arc<InFlight>) -> Response<Answer> {
    let entry = visit.log_entry(&request);
    let response = match visit.lookup(|| KeyBuffer::of_request(&request)) {
        Some(Lookup::Answer(answer)) => answer.to_response(),
        Some(Lookup::Nothing(ticket)) => respond(visit, request, &of, Some(ticket)).await,
        None => respond(visit, request, &of, None).await,
    };
    let response = match entry {
        // What is said to one who has given up is no answer.
        Some(entry) if !of.is_cut() => logged(response, entry),
        _ => response,
    };
    response.map(|body| Answer::new(body, of))
}

/// Has the routes answer a request that keeps to the limits.
async fn respond(
    visit: &Visit,
    request: Request<Incoming>,
    of: &Arc<InFlight>,
    ticket: Option<Ticket>,
) -> Response {
    let limits = &visit.server.limits;
    if let Some(error) = excess(&request, limits) {
        return refuse(error);
    }
    let request = request.map(|body| match body.is_end_stream() {
        true => Body::empty(),
        false => Body::new(Asked::new(body, limits, of.clone())),
    });
    let response = respond_within(visit, request, ticket).await;
    if of.is_too_large() { refuse(BadRequest::BodyTooLarge) } else { response }
}

/// What of a request is more than a server puts up with.
fn excess(request: &Request<Incoming>, limits: &Limits) -> Option<BadRequest> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let body = request.body().size_hint().exact();
    if target > limits.target {
        Some(BadRequest::TargetTooLong)
    } else if request.headers().len() > limits.fields {
        Some(BadRequest::HeadTooLarge)
    } else if limits.body.zip(body).is_some_and(|(most, body)| body > most) {
        Some(BadRequest::BodyTooLarge)
    } else {
        None
    }
}

fn refuse(error: BadRequest) -> Response {
    (error.status(), format!("{error}\n")).into_response()
}

async fn respond_within(visit: &Visit, request: Request<Body>, ticket: Option<Ticket>) -> Response {
    let is_head = request.method() == Method::HEAD;
    let (mut head, mut body) = visit.answer(request).await.into_parts();
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

fn logged(response: Response, mut entry: Entry) -> Response {
    entry.begins(&response);
    response.map(|body| Body::new(Logged::new(body, entry)))
}

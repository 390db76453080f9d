//! One request, and its answer by the routes.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes};
use http::{HeaderValue, Method, Request, header};
use hyper::body::{Body as _, Frame};

use super::Visit;
use super::body::{Feed, body};
use super::buffered::{Buffered, Wait};
use super::exchange::End;
use super::log::Entry;
use super::recent::Ticket;
use super::send::{Asked, Delivery, Plan, write_end};
use super::upgrade::Upgrade;
use crate::file_slice::{FileBody, FileSlice};
use crate::wire::{BadRequest, Framing, Head, list};

/// From this size on the kernel sends a file: below it, a copy behind the head costs less.
const SENDFILE: u64 = 32 * 1024;
/// How much of a body that nobody asked for is read for the sake of the next request.
const UNREAD: usize = 256 * 1024;

/// Why an exchange cannot be finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Bad(#[from] BadRequest),
    #[error("the connection broke")]
    Lost(#[from] io::Error),
    #[error("the request ended before its stated end")]
    Cut,
    #[error("the peer neither sent nor took anything")]
    Stalled,
    #[error("the answer broke off")]
    Answer(#[source] Box<dyn StdError + Send + Sync>),
}

/// What becomes of the connection after an answer.
pub(super) enum After {
    /// It carries the next request.
    Next,
    /// It ends.
    End(End),
}

/// One request, while it is answered.
pub(super) struct Turn<'a> {
    io: &'a mut Buffered,
    visit: &'a Visit,
    feed: Feed,
    asked: Asked,
    /// What the access log is to be told.
    entry: Option<Entry>,
    /// Bytes of the answer's body so far.
    sent: u64,
}

/// A request as it was read, but for its body.
pub(super) struct Begun {
    pub(super) request: Request<()>,
    pub(super) asked: Asked,
    pub(super) framing: Framing,
    pub(super) expects_continue: bool,
    /// Whether the connection may carry another request.
    pub(super) may_persist: bool,
    /// Lets the answer be given again, where it may.
    pub(super) ticket: Option<Ticket>,
}

impl Begun {
    /// The request with this head, which is `bytes`.
    pub(super) fn new(
        head: &Head<'_>,
        bytes: &[u8],
        may_persist: bool,
        ticket: Option<Ticket>,
    ) -> Result<Self, BadRequest> {
        let request = head.to_request(bytes)?;
        let codings = request.headers().get_all(header::TE).iter().map(HeaderValue::as_bytes);
        let asked = Asked {
            version: head.version,
            is_head: request.method() == Method::HEAD,
            is_connect: request.method() == Method::CONNECT,
            takes_trailers: codings
                .flat_map(list)
                .any(|coding| coding.eq_ignore_ascii_case(b"trailers")),
        };
        let Head { framing, expects_continue, .. } = *head;
        Ok(Self { request, asked, framing, expects_continue, may_persist, ticket })
    }
}

/// Answers a request.
///
/// # Errors
/// When the connection cannot be used any more, or its peer cannot tell the end of the answer.
pub(super) async fn answer(
    io: &mut Buffered,
    visit: &Visit,
    begun: Begun,
) -> Result<After, Broken> {
    let Begun { request, asked, framing, expects_continue, may_persist, ticket } = begun;
    let entry = visit.log_entry(&request);
    let (body, mut feed) = match body(framing, expects_continue, &visit.server.limits) {
        Ok(both) => both,
        Err(error) => return Ok(After::End(End::Refuse(error, entry))),
    };
    if let Err(error) = feed.begin(io) {
        return Ok(After::End(End::Refuse(error, entry)));
    }
    let upgrade = Upgrade::of(&request);
    let mut turn = Turn { io, visit, feed, asked, entry, sent: 0 };
    let response = match turn.respond(request.map(|()| Body::new(body)), upgrade.clone()).await {
        Ok(response) => response,
        Err(Broken::Bad(error)) => return Ok(After::End(End::Refuse(error, turn.entry))),
        Err(Broken::Stalled) => {
            return Ok(After::End(End::Refuse(BadRequest::TooSlow, turn.entry)));
        }
        Err(broken) => return Err(broken),
    };
    let plan = turn.send(response, may_persist, ticket).await;
    drop(turn.entry.take());
    let plan = plan?;
    // Another protocol, like another request, begins where this one ends.
    let is_read = turn.finish_reading(plan.persists || plan.switches).await?;
    if plan.switches && is_read {
        let then = upgrade.and_then(|upgrade| upgrade.take());
        return Ok(After::End(then.map_or(End::Close { lingers: false }, End::Upgrade)));
    }
    if plan.persists && is_read {
        return Ok(After::Next);
    }
    // Who wanted to go on, or has more to send, may be sending.
    Ok(After::End(End::Close { lingers: may_persist || !is_read }))
}

impl Turn<'_> {
    /// Does `step`, and meanwhile whatever else the connection can do: writes what is to be
    /// written, reads what of the body is asked for, and notices a peer that is gone.
    /// `is_for_peer` tells whether it is the peer whom the step waits for.
    async fn beside<T>(
        &mut self,
        is_for_peer: bool,
        mut step: impl FnMut(&mut Buffered, &mut Context<'_>) -> Poll<Result<T, Broken>>,
    ) -> Result<T, Broken> {
        poll_fn(|cx| {
            if let Poll::Ready(done) = step(self.io, cx) {
                return Poll::Ready(done);
            }
            let mut waits = is_for_peer;
            if self.feed.poll(self.io, cx, &mut waits)?.is_ready() {
                poll_watch(self.io, cx)?;
            }
            waits |= self.io.poll_flush(cx)?.is_pending();
            if !waits {
                self.io.is_served();
                return Poll::Pending;
            }
            ready!(self.io.poll_limit(cx, Wait::Peer, self.visit.server.limits.stall));
            Poll::Ready(Err(Broken::Stalled))
        })
        .await
    }

    /// Has the routes answer.
    async fn respond(
        &mut self,
        mut request: Request<Body>,
        upgrade: Option<Upgrade>,
    ) -> Result<Response, Broken> {
        if let Some(upgrade) = upgrade {
            request.extensions_mut().insert(upgrade);
        }
        let mut answering = pin!(self.visit.answer(request));
        self.beside(false, |_, cx| answering.as_mut().poll(cx).map(Ok)).await
    }

    async fn send(
        &mut self,
        response: Response,
        may_persist: bool,
        ticket: Option<Ticket>,
    ) -> Result<Plan, Broken> {
        if let Some(entry) = &mut self.entry {
            entry.begins(&response);
        }
        let (mut head, body) = response.into_parts();
        let slice = head.extensions.remove::<FileSlice>();
        let size = slice.as_ref().map(FileSlice::length).or_else(|| body.size_hint().exact());
        // Who still waits for a 100 may or may not send the body: nobody could tell.
        let waits_for_continue = self.feed.withhold_continue();
        let may_persist = may_persist && !waits_for_continue;
        if let (Some(ticket), Some(slice)) = (ticket, &slice) {
            self.visit.keep(ticket, &head, slice);
        }
        let plan = Plan::new(self.asked, &head, size, may_persist && !self.visit.cx.is_stopping());
        plan.write_head(self.asked, &head, self.io.output());
        match (plan.delivery, &slice) {
            (Delivery::Nothing, _) => {}
            (_, Some(slice)) if slice.length >= SENDFILE && self.io.stream.is_plain() => {
                self.send_file(slice.clone()).await?;
            }
            (delivery, Some(slice)) => {
                self.send_body(delivery, FileBody::new(slice.clone())).await?;
            }
            (delivery, None) => self.send_body(delivery, body).await?,
        }
        Ok(plan)
    }

    /// Sends a body, piece by piece.
    async fn send_body<B>(&mut self, delivery: Delivery, body: B) -> Result<(), Broken>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut body = pin!(body);
        let mut trailers = None;
        loop {
            let frame = self.beside(false, |io, cx| poll_frame(body.as_mut(), io, cx)).await;
            let frame = match frame {
                Err(Broken::Answer(error)) => {
                    self.flush().await?;
                    return Err(Broken::Answer(error));
                }
                frame => frame?,
            };
            match frame.map(Frame::into_data) {
                None => break,
                Some(Ok(data)) => self.send_data(delivery, data).await?,
                Some(Err(frame)) => trailers = frame.into_trailers().ok(),
            }
        }
        match delivery {
            Delivery::Length(length) if self.sent < length => {
                self.flush().await?;
                Err(Broken::Answer("its body is shorter than it said".into()))
            }
            Delivery::Chunked => {
                let trailers = trailers.as_ref().filter(|_| self.asked.takes_trailers);
                write_end(trailers, self.io.output());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn send_data(&mut self, delivery: Delivery, data: Bytes) -> Result<(), Broken> {
        if data.is_empty() {
            return Ok(());
        }
        self.sent += data.len() as u64;
        if let Some(entry) = &mut self.entry {
            entry.has_sent(self.sent);
        }
        match delivery {
            Delivery::Length(length) if self.sent > length => {
                Err(Broken::Answer("its body is longer than it said".into()))
            }
            Delivery::Chunked => {
                let _ = write!(self.io.output().writer(), "{:x}\r\n", data.len());
                self.io.push(data);
                if self.io.is_full() {
                    self.flush().await?;
                }
                self.io.output().extend_from_slice(b"\r\n");
                Ok(())
            }
            _ => {
                self.io.push(data);
                Ok(())
            }
        }
    }

    /// Has the kernel send a file behind the head.
    async fn send_file(&mut self, mut slice: FileSlice) -> Result<(), Broken> {
        let length = slice.length;
        let mut entry = self.entry.take();
        let sending = self.beside(true, |io, cx| {
            let sending = io.poll_send_file(cx, &mut slice);
            if let Some(entry) = &mut entry {
                entry.has_sent(length - slice.length);
            }
            sending.map(Ok)
        });
        let sending = sending.await;
        (self.entry, self.sent) = (entry, length - slice.length);
        match sending? {
            // Not every file system lets it.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.send_body(Delivery::Length(length), FileBody::new(slice)).await
            }
            sent => Ok(sent?),
        }
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        self.beside(true, |io, cx| io.poll_flush(cx).map_err(Broken::from)).await
    }

    /// Reads what nobody asked for, if it is not much. Whether that was all of the request.
    async fn finish_reading(&mut self, persists: bool) -> Result<bool, Broken> {
        if self.feed.is_at_end() || !persists {
            return Ok(self.feed.is_at_end());
        }
        let mut limit = UNREAD;
        let stall = self.visit.server.limits.stall;
        poll_fn(|cx| {
            if let Poll::Ready(done) = self.feed.poll_drain(self.io, cx, &mut limit) {
                return Poll::Ready(done);
            }
            let _ = self.io.poll_flush(cx)?;
            ready!(self.io.poll_limit(cx, Wait::Peer, stall));
            Poll::Ready(Ok(false))
        })
        .await
    }
}

/// The next piece of a body, once there is room for it.
fn poll_frame<B>(
    body: Pin<&mut B>,
    io: &mut Buffered,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Frame<Bytes>>, Broken>>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    if io.is_full() {
        ready!(io.poll_flush(cx))?;
    }
    let frame = ready!(body.poll_frame(cx)).transpose();
    Poll::Ready(frame.map_err(|error| Broken::Answer(error.into())))
}

/// Notices that the peer is gone, and keeps what it says meanwhile. One that has only said all is
/// answered.
fn poll_watch(io: &mut Buffered, cx: &mut Context<'_>) -> Result<(), Broken> {
    while !io.has_ended() && io.input.len() < super::buffers::SIZE {
        match io.poll_fill(cx, super::buffers::SIZE) {
            Poll::Ready(read) => drop(read?),
            Poll::Pending => break,
        }
    }
    Ok(())
}

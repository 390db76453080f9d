//! The requests of an HTTP/1 connection (RFC 9112 section 9), one after the other.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut};
use portolan_core::{Error, Kind};
use portolan_net::Stream;
use tokio::io::AsyncWriteExt;

use super::buffered::{Buffered, Wait};
use super::date::write_date;
use super::leading::leading;
use super::log::Entry;
use super::recent::{KeyBuffer, Lookup};
use super::send::write_status;
use super::turn::{After, Begun, Broken, answer};
use super::upgrade::Then;
use super::{Visit, buffers, http2};
use crate::file_slice::FileSlice;
use crate::wire::{BadRequest, Fields, Head, Scan, settle_version};

/// How long a peer that is sent away is listened to: a connection that is closed with bytes unread
/// is reset, and the peer would not learn why (RFC 9112 section 9.6).
pub(super) const FAREWELL: Duration = Duration::from_secs(2);
/// How long a connection is silent before it rests, which saves memory and costs some calls of the
/// system; not at all where more connections than this are awake, but for the time that the runtime
/// needs to look what has come: who rested before that would wake, and rest, without end.
const SILENCE: Duration = Duration::from_secs(1);
const MANY_AWAKE: usize = 512;
const LOOK: Duration = Duration::from_millis(1);

/// A connection, and how far its next request was read.
pub(super) struct Exchange<'a> {
    visit: &'a Visit,
    io: Buffered,
    /// What is to be sent after that.
    sending: Option<Sending>,
    scan: Scan,
    /// Requests so far.
    count: u64,
    may_rest: bool,
    /// Whether no request has come since the connection began, or woke.
    is_fresh: bool,
    /// Whether blank lines came since the last request: a rest would begin the limit anew.
    has_blank: bool,
}

/// A file that is sent behind what is in the buffer.
struct Sending {
    left: FileSlice,
    /// What the access log is told of it, and how long it is.
    entry: Option<Box<Entry>>,
    length: u64,
}

/// What a connection comes to next.
enum Next {
    Request(Box<Begun>),
    End(End),
}

/// How a connection ends.
pub(super) enum End {
    /// By a close; whether the peer may still be sending.
    Close { lingers: bool },
    /// By a refusal, of a request that is to be logged where its head was read.
    Refuse(BadRequest, Option<Entry>),
    /// It goes on in another protocol.
    Upgrade(Then),
    /// It goes on in HTTP/2.
    Http2,
    /// It rests, and for no longer than this.
    Rest(Duration),
    /// It is of no use any more.
    Broken(Broken),
}

/// What is left of a connection.
pub(super) enum Ended {
    /// Nothing.
    Closed,
    /// A stream that goes on in HTTP/2.
    Http2(Stream),
    /// A stream that rests, after so many requests and for no longer than `limit`.
    Resting { stream: Stream, note: u64, limit: Duration },
}

/// What begins in the buffer.
enum Begin {
    /// Less than a head.
    Part,
    /// A request, which was answered at once.
    Answered,
    Request(Box<Begun>),
}

/// What is in the buffer.
enum Found {
    /// Less than a request.
    Part,
    /// Perhaps more, when there is room for answers again.
    Full,
    Next(Next),
}

impl<'a> Exchange<'a> {
    /// A connection that has carried `count` requests.
    pub(super) fn new(stream: Stream, visit: &'a Visit, count: u64, may_rest: bool) -> Self {
        let (io, scan) = (Buffered::new(stream), Scan::default());
        let (is_fresh, has_blank) = (true, false);
        Self { visit, io, sending: None, scan, count, may_rest, is_fresh, has_blank }
    }

    /// Answers requests, until there will be no other: the server stops and none is under way, or
    /// the connection ends, which is left to do.
    pub(super) async fn run(&mut self, mut stopping: Pin<&mut impl Future<Output = ()>>) -> End {
        loop {
            let next = poll_fn(|cx| self.poll_next(cx, stopping.as_mut())).await;
            let begun = match next {
                Next::Request(begun) => begun,
                Next::End(end) => return end,
            };
            // Boxed, so that a connection that is idle needs no room for it.
            match Box::pin(answer(&mut self.io, self.visit, *begun)).await {
                Ok(After::Next) => {}
                Ok(After::End(end)) => return end,
                Err(broken) => return End::Broken(broken),
            }
        }
    }

    /// What comes next. What can be answered at once is, and what was answered is sent before more
    /// is read.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        stopping: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<Next> {
        loop {
            let found = self.find();
            if let Found::Next(next) = found {
                return Poll::Ready(next);
            }
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Next::End(End::Broken(error.into())));
                }
                Poll::Pending => {
                    let stall = self.visit.server.limits.stall;
                    ready!(self.io.poll_limit(cx, Wait::Peer, stall));
                    return Poll::Ready(Next::End(End::Broken(Broken::Stalled)));
                }
            }
            if matches!(found, Found::Full) {
                continue;
            }
            match self.io.poll_fill(cx, buffers::SIZE) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(ended) => return Poll::Ready(Next::End(self.ended(ended.err()))),
                Poll::Pending => return self.poll_idle(cx, stopping),
            }
        }
    }

    /// Sends what is to be sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if let Some(Sending { left, entry, length }) = &mut self.sending {
            let sent = self.io.poll_send_file(cx, left);
            if let Some(entry) = entry {
                entry.has_sent(*length - left.length());
            }
            ready!(sent)?;
            self.sending = None;
        }
        self.io.poll_flush(cx)
    }

    /// Waits for the first byte of a request, or for the end of its head.
    fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
        stopping: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<Next> {
        let limits = &self.visit.server.limits;
        if !self.io.input.is_empty() {
            ready!(self.io.poll_limit(cx, Wait::Head, limits.head_time));
            return Poll::Ready(Next::End(End::Refuse(BadRequest::TooSlow, None)));
        }
        if self.visit.cx.is_stopping() || stopping.poll(cx).is_ready() {
            // Blank lines begin no request, and renew no limit.
            if !self.has_blank {
                ready!(self.io.poll_limit(cx, Wait::Last, portolan_net::Context::QUIET));
            }
            return Poll::Ready(Next::End(End::Close { lingers: false }));
        }
        let limit = if self.count == 0 { limits.head_time } else { limits.keep_alive };
        let is_crowded = self.visit.server.awake.load(Ordering::Relaxed) > MANY_AWAKE;
        let silence = match is_crowded {
            true if self.is_fresh => LOOK,
            true => Duration::ZERO,
            false => SILENCE,
        };
        let may_rest = self.may_rest && !self.has_blank;
        let rest = Some(silence).filter(|silence| may_rest && *silence < limit);
        if rest != Some(Duration::ZERO) {
            ready!(self.io.poll_limit(cx, Wait::Request, rest.unwrap_or(limit)));
        }
        Poll::Ready(Next::End(match rest {
            Some(silence) => End::Rest(limit - silence),
            None => End::Close { lingers: false },
        }))
    }

    /// The peer has said all, or is gone. Between two requests it may.
    fn ended(&self, error: Option<std::io::Error>) -> End {
        match error {
            _ if self.io.input.is_empty() => End::Close { lingers: false },
            None => End::Broken(Broken::Cut),
            Some(error) => End::Broken(error.into()),
        }
    }

    /// Looks for requests in the buffer, and answers those that can be answered at once.
    fn find(&mut self) -> Found {
        loop {
            if self.io.is_full() || self.sending.is_some() {
                return Found::Full;
            }
            while self.io.input.starts_with(b"\r\n") {
                self.io.input.advance(2);
                self.has_blank = true;
            }
            if matches!(&self.io.input[..], [] | [b'\r']) {
                return Found::Part;
            }
            if let Some(found) = self.find_http2() {
                return found;
            }
            match self.begin() {
                Ok(Begin::Part) => return Found::Part,
                Ok(Begin::Answered) => {}
                Ok(Begin::Request(begun)) => return Found::Next(Next::Request(begun)),
                Err(error) => return Found::Next(Next::End(End::Refuse(error, None))),
            }
        }
    }

    /// Whether the client begins with HTTP/2, where it may.
    fn find_http2(&self) -> Option<Found> {
        let input = &self.io.input[..];
        let length = input.len().min(http2::PREFACE.len());
        // Four bytes and fewer could be the method of a request.
        let may_be = self.count == 0 && length > 4 && self.visit.may_be_http2();
        if !may_be || input[..length] != http2::PREFACE[..length] {
            return None;
        }
        let is_whole = length == http2::PREFACE.len();
        Some(if is_whole { Found::Next(Next::End(End::Http2)) } else { Found::Part })
    }

    /// Takes a request off the buffer, once all of its head is there.
    fn begin(&mut self) -> Result<Begin, BadRequest> {
        let limits = &self.visit.server.limits;
        let Buffered { stream, input, output, .. } = &mut self.io;
        let Some(end) = self.scan.end(input, limits)? else { return Ok(Begin::Part) };
        settle_version(&mut input[..end]);
        let mut fields = Fields::new();
        let head = Head::parse(&input[..end], &mut fields, limits)?;
        self.scan = Scan::default();
        (self.is_fresh, self.has_blank) = (false, false);
        self.count += 1;
        let may_persist =
            head.is_persistent && limits.requests.is_none_or(|most| self.count < most);
        let mut begin = Begin::Answered;
        let key = || KeyBuffer::of_head(&head).filter(|_| may_persist);
        match self.visit.lookup(key) {
            Some(Lookup::Answer(answer)) if answer.is_small() || stream.is_plain() => {
                let (entry, length) = (self.visit.log_recent(&head), answer.length());
                match (answer.write(buffers::provide(output)), entry) {
                    (Some(left), entry) => {
                        let entry = entry.map(Box::new);
                        self.sending = Some(Sending { left, entry, length });
                    }
                    (None, Some(mut entry)) => entry.has_sent(length),
                    (None, None) => {}
                }
            }
            lookup => {
                let ticket = match lookup {
                    Some(Lookup::Nothing(ticket)) => Some(ticket),
                    _ => None,
                };
                let begun = Begun::new(&head, &input[..end], may_persist, ticket)?;
                begin = Begin::Request(Box::new(begun));
            }
        }
        input.advance(end);
        self.io.is_served();
        Ok(begin)
    }

    /// Brings the connection to its end, or gives what is left of it.
    pub(super) async fn finish(mut self, end: End) -> Result<Ended, Error> {
        match end {
            End::Http2 => return Ok(Ended::Http2(leading(self.io.input, self.io.stream))),
            End::Rest(limit) => {
                return Ok(Ended::Resting { stream: self.io.stream, note: self.count, limit });
            }
            End::Upgrade(then) => {
                self.flush().await.map_err(failure)?;
                then(leading(self.io.input, self.io.stream)).await;
            }
            End::Refuse(error, entry) => {
                self.refuse(error, entry);
                self.close(true).await;
                return Err(failure(error.into()));
            }
            End::Close { lingers } => self.close(lingers).await,
            End::Broken(broken) => {
                if !matches!(broken, Broken::Lost(_) | Broken::Stalled) {
                    self.close(false).await;
                }
                return Err(failure(broken));
            }
        }
        Ok(Ended::Closed)
    }

    /// Says why there is no other answer.
    fn refuse(&mut self, error: BadRequest, entry: Option<Entry>) {
        let status = error.status();
        let text = format!("{error}\n");
        let output = self.io.output();
        write_status(status, output);
        let fields = "content-type: text/plain; charset=utf-8\r\nconnection: close\r\n";
        output.put_slice(fields.as_bytes());
        output.put_slice(format!("content-length: {}\r\n", text.len()).as_bytes());
        write_date(output);
        output.put_slice(format!("\r\n{text}").as_bytes());
        self.visit.log_refusal(entry, status, text.len() as u64);
    }

    /// Sends what is to be sent, and ends the stream. One that `lingers` is read from for a while.
    async fn close(&mut self, lingers: bool) {
        if self.flush().await.is_err() {
            return;
        }
        let farewell = self.visit.cx.limited(Some(FAREWELL));
        let shut = farewell.until_deadline(self.io.stream.shutdown()).await;
        if !matches!(shut, Some(Ok(()))) || !lingers {
            return;
        }
        let until_gone = poll_fn(|cx| {
            loop {
                self.io.input.clear();
                match ready!(self.io.poll_fill(cx, buffers::SIZE)) {
                    Ok(1..) => {}
                    _ => return Poll::Ready(()),
                }
            }
        });
        farewell.until_deadline(until_gone).await;
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        poll_fn(|cx| {
            if let Poll::Ready(done) = self.io.poll_flush(cx) {
                return Poll::Ready(done.map_err(Broken::from));
            }
            ready!(self.io.poll_limit(cx, Wait::Peer, self.visit.server.limits.stall));
            Poll::Ready(Err(Broken::Stalled))
        })
        .await
    }
}

/// The failure of a connection, for those who watch the server.
fn failure(broken: Broken) -> Error {
    match &broken {
        Broken::Bad(_) => Error::new(Kind::Protocol, "could not read the request"),
        Broken::Stalled => Error::new(Kind::Timeout, "could not finish the exchange"),
        Broken::Lost(_) | Broken::Cut => Error::new(Kind::Lost, "could not finish the exchange"),
        Broken::Answer(_) => Error::new(Kind::Partial, "could not finish the answer"),
    }
    .with_source(broken)
}

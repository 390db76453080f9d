//! One way of a join: what is read from one stream is written to another.
//!
//! Small pieces are copied, by way of the stack; what a socket cannot take at once is kept, and
//! nothing is read meanwhile. Between plain sockets, big pieces stay in the kernel.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use super::pace::Pace;
use crate::pipe::{Pipe, is_unsupported};
use crate::{Stream, now};

/// The most that is copied at once.
const PIECE: usize = 64 * 1024;
/// A piece of this size is a big one: then a pipe costs less than a copy.
const BIG: usize = 16 * 1024;

/// One way, between two of a join's streams or back to the same.
pub(super) struct Flow {
    from: usize,
    to: usize,
    held: Held,
    carried: u64,
    /// Whether the kernel can move the bytes, as far as is known.
    can_splice: bool,
    /// Whether the last piece was a big one: the next is likely to be so, too.
    is_big: bool,
    is_flushed: bool,
    has_ended: bool,
    /// Why the source broke, until the sink has what came before.
    broken: Option<io::Error>,
    /// Whether the end came without TLS's goodbye.
    is_cut: bool,
    pace: Option<Box<Pace>>,
    /// When the pace lets more pass, where nothing but that is waited for.
    paused_until: Option<Instant>,
}

/// What was read and has yet to be written.
enum Held {
    Nothing,
    Bytes(Bytes),
    Piped(Pipe, usize),
}

/// An end that broke: which stream it is, and why.
pub(super) struct Break {
    pub(super) stream: usize,
    pub(super) cause: io::Error,
}

/// Why what came may not be all.
#[derive(Debug, thiserror::Error)]
#[error("it ended without TLS's close_notify, so that more may have been cut off")]
struct Cut;

impl Flow {
    pub(super) fn new(streams: &[Stream], from: usize, to: usize, rate: Option<u64>) -> Self {
        Self {
            from,
            to,
            held: Held::Nothing,
            carried: 0,
            can_splice: streams[from].raw().is_some() && streams[to].raw().is_some(),
            is_big: false,
            is_flushed: true,
            has_ended: false,
            broken: None,
            is_cut: false,
            pace: rate.map(|rate| Box::new(Pace::new(rate, now()))),
            paused_until: None,
        }
    }

    /// How many bytes were read.
    pub(super) const fn carried(&self) -> u64 {
        self.carried
    }

    /// Whether something was read that has yet to be written, or to leave the sink's own buffer.
    pub(super) const fn holds(&self) -> bool {
        !matches!(self.held, Held::Nothing) || !self.is_flushed
    }

    /// Whether the source has said all.
    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How the source broke, where it has said all but not that this is all.
    pub(super) fn cut(&self) -> Option<Break> {
        let cause = || io::Error::new(io::ErrorKind::UnexpectedEof, Cut);
        self.is_cut.then(|| Break { stream: self.from, cause: cause() })
    }

    /// When to poll again, if nothing else asks for it before.
    pub(super) const fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Moves what can be moved now. Ready once the source has said all, and the sink knows it; or
    /// has broken, and the sink has what came before. On the last way a socket learns the end by its
    /// close, which follows at once.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        streams: &mut [Stream],
        is_last: bool,
    ) -> Poll<Result<(), Break>> {
        let to = self.to;
        let broken = |stream| move |cause| Break { stream, cause };
        loop {
            ready!(self.poll_deliver(cx, &mut streams[to])).map_err(broken(to))?;
            if self.has_ended {
                ready!(self.poll_flush(cx, &mut streams[to])).map_err(broken(to))?;
                if is_last && streams[to].raw().is_some() {
                    return Poll::Ready(Ok(()));
                }
                return poll_shutdown(cx, &mut streams[to]).map_err(broken(to));
            }
            if self.broken.is_some() {
                // The first break is the one that counts.
                let _ = ready!(self.poll_flush(cx, &mut streams[to]));
                return Poll::Ready(
                    self.broken.take().map_or(Ok(()), |it| Err(broken(self.from)(it))),
                );
            }
            match self.poll_take(cx, streams) {
                Ok(Poll::Ready(())) => {}
                Ok(Poll::Pending) => {
                    // Nothing more comes now: what a stream kept back for company must go.
                    let _ = self.poll_flush(cx, &mut streams[to]).map_err(broken(to))?;
                    return Poll::Pending;
                }
                Err(end) if end.stream == self.from => self.broken = Some(end.cause),
                Err(end) => return Poll::Ready(Err(end)),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, sink: &mut Stream) -> Poll<io::Result<()>> {
        if !self.is_flushed {
            ready!(Pin::new(sink).poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is held.
    fn poll_deliver(&mut self, cx: &mut Context<'_>, sink: &mut Stream) -> Poll<io::Result<()>> {
        if let Held::Piped(pipe, count) = &mut self.held {
            match ready!(poll_empty(cx, pipe, count, sink)) {
                Err(cause) if is_unsupported(&cause) => {
                    self.can_splice = false;
                    self.held = Held::Bytes(pipe.copy_out(*count)?.into());
                }
                emptied => emptied?,
            }
        }
        if let Held::Bytes(bytes) = &mut self.held {
            while !bytes.is_empty() {
                let written = ready!(Pin::new(&mut *sink).poll_write(cx, bytes))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                bytes.advance(written);
            }
        }
        if let Held::Piped(pipe, _) = std::mem::replace(&mut self.held, Held::Nothing) {
            pipe.give_back();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, or finds that all was said.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        streams: &mut [Stream],
    ) -> Result<Poll<()>, Break> {
        let coop = match coop::poll_proceed(cx) {
            Poll::Ready(coop) => coop,
            Poll::Pending => return Ok(Poll::Pending),
        };
        let limit = match self.pace.as_mut().map_or(Ok(usize::MAX), |pace| pace.allow(now())) {
            Ok(limit) => limit,
            Err(until) => {
                self.paused_until = Some(until);
                return Ok(Poll::Pending);
            }
        };
        self.paused_until = None;
        let read = match self.poll_read(cx, streams, limit) {
            // A Unix peer that has not read all before it closed; what it said has come.
            Err(broken) if is_reset(&broken.cause) && streams[self.from].is_unix() => {
                Poll::Ready(0)
            }
            // Many programs half-close TLS by half-closing TCP, and wait for an answer.
            Err(broken) if broken.cause.kind() == io::ErrorKind::UnexpectedEof => {
                self.is_cut = true;
                Poll::Ready(0)
            }
            read => read?,
        };
        Ok(match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(count) => {
                coop.made_progress();
                self.count(count);
                Poll::Ready(())
            }
        })
    }

    fn count(&mut self, taken: usize) {
        self.has_ended = taken == 0;
        self.is_big = taken >= BIG;
        self.carried += taken as u64;
        if let Some(pace) = &mut self.pace {
            pace.spend(taken);
        }
    }

    /// Reads at most `limit` bytes; none means that all was said.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        streams: &mut [Stream],
        limit: usize,
    ) -> Result<Poll<usize>, Break> {
        if self.is_big && self.can_splice {
            match self.poll_splice(cx, &streams[self.from], limit) {
                Poll::Ready(Err(cause)) if is_unsupported(&cause) => self.can_splice = false,
                filled => {
                    return lift(filled).map_err(|cause| Break { stream: self.from, cause });
                }
            }
        }
        self.poll_copy(cx, streams, limit)
    }

    /// Takes what waits in the source into a pipe.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        source: &Stream,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let Some((socket, meter)) = source.raw() else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        // While nothing waits there is no pipe.
        let mut pipe = None;
        let filled = socket.poll_read(cx, |socket| match &mut pipe {
            Some(pipe) => Pipe::fill(pipe, socket, limit),
            none => none.insert(Pipe::take()?).fill(socket, limit),
        });
        match (pipe, &filled) {
            (Some(pipe), Poll::Ready(Ok(count @ 1..))) => {
                if let Some(meter) = meter {
                    meter.count_read(*count);
                }
                self.held = Held::Piped(pipe, *count);
            }
            (Some(pipe), _) => pipe.give_back(),
            (None, _) => {}
        }
        filled
    }

    /// Reads into the stack, and writes from there: only what is left is kept.
    #[inline(never)]
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        streams: &mut [Stream],
        limit: usize,
    ) -> Result<Poll<usize>, Break> {
        let mut space = [const { MaybeUninit::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut space[..limit.min(PIECE)]);
        let read = Pin::new(&mut streams[self.from]).poll_read(cx, &mut piece);
        if read.map_err(|cause| Break { stream: self.from, cause })?.is_pending() {
            return Ok(Poll::Pending);
        }
        let bytes = piece.filled();
        if !bytes.is_empty() {
            let written = Pin::new(&mut streams[self.to]).poll_write(cx, bytes);
            let written = written.map_err(|cause| Break { stream: self.to, cause })?;
            let count = if let Poll::Ready(count) = written { count } else { 0 };
            if count < bytes.len() {
                self.held = Held::Bytes(Bytes::copy_from_slice(&bytes[count..]));
            }
            self.is_flushed = false;
        }
        Ok(Poll::Ready(bytes.len()))
    }
}

fn is_reset(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::ConnectionReset
}

fn lift<T>(polled: Poll<io::Result<T>>) -> io::Result<Poll<T>> {
    match polled {
        Poll::Pending => Ok(Poll::Pending),
        Poll::Ready(result) => result.map(Poll::Ready),
    }
}

/// Moves to a socket the bytes that are `left` in a pipe.
fn poll_empty(
    cx: &mut Context<'_>,
    pipe: &Pipe,
    left: &mut usize,
    sink: &Stream,
) -> Poll<io::Result<()>> {
    let Some((socket, meter)) = sink.raw() else {
        return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
    };
    while *left > 0 {
        let moved = ready!(socket.poll_write(cx, |socket| pipe.empty(socket, *left)))?;
        if moved == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        *left -= moved;
        if let Some(meter) = meter {
            meter.count_written(moved);
        }
    }
    Poll::Ready(Ok(()))
}

/// Tells a stream that nothing more comes. That its peer has gone meanwhile is no failure: it has
/// all that was said.
pub(super) fn poll_shutdown(cx: &mut Context<'_>, sink: &mut Stream) -> Poll<io::Result<()>> {
    use io::ErrorKind as K;
    ready!(Pin::new(&mut *sink).poll_flush(cx))?;
    let shut = ready!(Pin::new(sink).poll_shutdown(cx));
    Poll::Ready(match shut {
        Err(error)
            if matches!(error.kind(), K::NotConnected | K::BrokenPipe | K::ConnectionReset) =>
        {
            Ok(())
        }
        shut => shut,
    })
}

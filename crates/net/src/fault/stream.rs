//! The stream decorator: a pipe in front of the real stream, through which what is written passes.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::TaskTracker;

use super::{Delay, Effects, End, EndKind, Faults, Share, mix};
use crate::Stream;

/// The most bytes that are under way; more wait in the writer's hands.
pub(super) const WINDOW: usize = 256 * 1024;
/// Bytes that are due this close together, the timer's own step, travel as one.
const STEP: Duration = Duration::from_millis(1);
/// Paced bytes go in so many pieces a second.
const PIECES_A_SECOND: u64 = 20;

/// A stream whose writes are delayed, paced, corrupted, and cut off. Reads pass untouched until
/// it is reset or stalls.
pub(super) struct FaultyStream {
    /// Gone once the connection is reset.
    inner: Option<Stream>,
    pipe: Pipe,
    end: Option<End>,
    ended: Option<EndKind>,
    timer: Pin<Box<Sleep>>,
    reset: Pin<Box<WaitForCancellationFutureOwned>>,
    wakers: Arc<Wakers>,
    /// Where what is under way is kept when this is dropped.
    under_way: TaskTracker,
}

/// The two who may wait: both move the pipe on, so what the pipe waits for wakes both.
#[derive(Default)]
struct Wakers {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl FaultyStream {
    pub(super) fn new(stream: Stream, faults: &Faults) -> Self {
        Self {
            inner: Some(stream),
            pipe: Pipe::new(&faults.effects, faults.seed),
            end: faults.effects.end,
            ended: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            reset: Box::pin(faults.reset.clone().cancelled_owned()),
            wakers: Arc::default(),
            under_way: faults.under_way.clone(),
        }
    }

    /// Delivers what is due and ends the connection where that is planned. Ready once nothing is
    /// under way.
    fn poll_deliver(&mut self) -> Poll<io::Result<()>> {
        let waker = Waker::from(self.wakers.clone());
        let cx = &mut Context::from_waker(&waker);
        if self.reset.as_mut().poll(cx).is_ready() {
            self.abort();
        }
        while let (Some(due), Some(inner)) = (self.pipe.due(), &mut self.inner) {
            if due > Instant::now() {
                if self.timer.deadline() != due {
                    self.timer.as_mut().reset(due);
                }
                ready!(self.timer.as_mut().poll(cx));
            }
            let count = ready!(Pin::new(inner).poll_write(cx, self.pipe.front()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pipe.advance(count);
        }
        match self.end {
            Some(end) if end.is_reached(&self.pipe) => self.poll_end(cx, end.how),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, how: EndKind) -> Poll<io::Result<()>> {
        match (how, &mut self.inner) {
            (EndKind::Close, Some(inner)) if self.ended.is_none() => {
                ready!(Pin::new(inner).poll_shutdown(cx))?;
            }
            (EndKind::Stall, Some(inner)) if self.ended.is_none() => {
                ready!(Pin::new(inner).poll_flush(cx))?;
            }
            (EndKind::Reset, Some(_)) => self.abort(),
            _ => {}
        }
        self.ended = Some(how);
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {
        if let Some(inner) = self.inner.take() {
            inner.abort();
        }
        self.ended = Some(EndKind::Reset);
    }

    /// The real stream, unless the connection has ended.
    fn live(&mut self) -> Result<Pin<&mut Stream>, EndKind> {
        match (self.ended, &mut self.inner) {
            (None, Some(inner)) => Ok(Pin::new(inner)),
            (ended, _) => Err(ended.unwrap_or(EndKind::Reset)),
        }
    }
}

impl AsyncRead for FaultyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.wakers.reader.register(cx.waker());
        if let Poll::Ready(Err(error)) = self.poll_deliver() {
            return Poll::Ready(Err(error));
        }
        match self.live() {
            Ok(inner) => inner.poll_read(cx, buffer),
            Err(EndKind::Close) => Poll::Ready(Ok(())),
            Err(EndKind::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Err(EndKind::Stall) => Poll::Pending,
        }
    }
}

impl AsyncWrite for FaultyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wakers.writer.register(cx.waker());
        if let Poll::Ready(Err(error)) = self.poll_deliver() {
            return Poll::Ready(Err(error));
        }
        match self.live() {
            Ok(_) => {}
            Err(EndKind::Close) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Err(EndKind::Reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Err(EndKind::Stall) => return Poll::Pending,
        }
        let until_end = self.end.map_or(u64::MAX, |end| end.until(&self.pipe));
        let allowed = usize::try_from(until_end).unwrap_or(usize::MAX);
        let count = self.pipe.take(&bytes[..bytes.len().min(allowed)]);
        if count == 0 && !bytes.is_empty() {
            return Poll::Pending;
        }
        // What is due at once goes on at once: the writer may not come back.
        match self.poll_deliver() {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wakers.writer.register(cx.waker());
        ready!(self.poll_deliver())?;
        match self.live() {
            Ok(inner) => inner.poll_flush(cx),
            // Before a stall all that was taken in was delivered.
            Err(EndKind::Close | EndKind::Stall) => Poll::Ready(Ok(())),
            Err(EndKind::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wakers.writer.register(cx.waker());
        ready!(self.poll_deliver())?;
        match self.live() {
            Ok(inner) => inner.poll_shutdown(cx),
            Err(EndKind::Stall) => Poll::Pending,
            Err(EndKind::Close | EndKind::Reset) => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for FaultyStream {
    /// Delivers what is still under way, as a system does for a socket that is closed.
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        let pipe = std::mem::take(&mut self.pipe);
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(_), Ok(runtime)) = (pipe.due(), runtime) {
            self.under_way.spawn_on(deliver(pipe, inner, self.end), &runtime);
        }
    }
}

async fn deliver(mut pipe: Pipe, mut inner: Stream, end: Option<End>) {
    while let Some(due) = pipe.due() {
        tokio::time::sleep_until(due).await;
        if inner.write_all(pipe.front()).await.is_err() {
            return;
        }
        pipe.advance(pipe.front().len());
    }
    match end {
        Some(end) if end.how == EndKind::Reset && end.is_reached(&pipe) => inner.abort(),
        _ => {
            let _ = inner.shutdown().await;
        }
    }
}

impl End {
    const fn is_reached(self, pipe: &Pipe) -> bool {
        self.until(pipe) == 0
    }

    /// How many bytes may still be taken in.
    const fn until(self, pipe: &Pipe) -> u64 {
        match self.at {
            Some(at) => at.saturating_sub(pipe.taken),
            None => 0,
        }
    }
}

/// The bytes under way, and when each is due.
#[derive(Default)]
struct Pipe {
    bytes: BytesMut,
    marks: VecDeque<Mark>,
    /// How many bytes have ever been taken in.
    taken: u64,
    delay: Delay,
    bandwidth: Option<u64>,
    /// When the last byte so far has left the paced line.
    line_free: Option<Instant>,
    corrupt: Option<Share>,
    delays: fastrand::Rng,
    flips: fastrand::Rng,
}

/// The next `count` bytes are due at `due`.
struct Mark {
    due: Instant,
    count: usize,
}

impl Pipe {
    fn new(effects: &Effects, seed: u64) -> Self {
        Self {
            delay: effects.delay,
            bandwidth: effects.bandwidth,
            corrupt: effects.corrupt,
            delays: fastrand::Rng::with_seed(mix(seed, 1)),
            flips: fastrand::Rng::with_seed(mix(seed, 2)),
            ..Self::default()
        }
    }

    /// Takes in as many of `bytes` as there is room for.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let piece = self.bandwidth.map_or(u64::MAX, |rate| (rate / PIECES_A_SECOND).max(1));
        let piece = usize::try_from(piece).unwrap_or(usize::MAX);
        let room = WINDOW - self.bytes.len();
        let count = bytes.len().min(room).min(piece);
        if count == 0 {
            return 0;
        }
        let due = self.schedule(count);
        match self.marks.back_mut() {
            Some(last) if due < last.due + STEP => last.count += count,
            _ => self.marks.push_back(Mark { due, count }),
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..count]);
        if let Some(share) = self.corrupt {
            corrupt(share, &mut self.flips, &mut self.bytes[start..]);
        }
        self.taken += count as u64;
        count
    }

    /// When the next `count` bytes arrive: after the line has carried them, and the delay.
    fn schedule(&mut self, count: usize) -> Instant {
        let now = Instant::now();
        let mut sent = now;
        if let Some(rate) = self.bandwidth {
            let carried = Duration::from_secs_f64(count as f64 / rate as f64);
            sent = self.line_free.map_or(now, |free| free.max(now)) + carried;
            self.line_free = Some(sent);
        }
        sent + self.delay.draw(&mut self.delays)
    }

    fn due(&self) -> Option<Instant> {
        self.marks.front().map(|mark| mark.due)
    }

    fn front(&self) -> &[u8] {
        let count = self.marks.front().map_or(0, |mark| mark.count);
        &self.bytes[..count]
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(mark) = self.marks.front_mut() {
            mark.count -= count;
            if mark.count == 0 {
                self.marks.pop_front();
            }
        }
    }
}

/// Flips one bit in that share of the bytes.
pub(super) fn corrupt(share: Share, dice: &mut fastrand::Rng, bytes: &mut [u8]) {
    for byte in bytes {
        if share.strikes(dice) {
            *byte ^= 1 << dice.u8(..8);
        }
    }
}

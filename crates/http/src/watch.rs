//! What the client learns by watching the bytes of its stream: when the request was out, and what
//! the peer said first.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use portolan_net::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use crate::error::HEAD_MAX;

/// How much may come before a response begins: its head, what is read beyond it at once, and as much
/// again of interim responses (RFC 9110 section 15.2), of which there may be any number.
const ANSWER_MAX: usize = 4 * HEAD_MAX;
/// How much of the peer's first words is kept.
const GREETING_MAX: usize = 64;

/// A stream that is watched.
pub(crate) struct Watched {
    stream: Stream,
    watch: Arc<Watch>,
    /// Written, but not flushed yet.
    is_dirty: bool,
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Watch {
    flushed: watch::Sender<()>,
    heard: Mutex<Heard>,
}

/// What the peer has said.
#[derive(Default)]
struct Heard {
    greeting: Vec<u8>,
    bytes: usize,
    /// Those in the first bytes, as many as a head may have.
    lines: usize,
    /// Whether a response of HTTP/1.1 has yet to begin.
    is_awaited: bool,
}

impl Watched {
    pub(crate) const fn new(stream: Stream, watch: Arc<Watch>) -> Self {
        Self { stream, watch, is_dirty: false }
    }

    /// The stream, which is watched no longer.
    pub(crate) fn into_inner(self) -> Stream {
        self.stream
    }
}

impl Watch {
    /// Hears, from now on, that what was written has been handed to the system. There are several
    /// who want to know where requests go out together.
    pub(crate) fn flushes(&self) -> watch::Receiver<()> {
        self.flushed.subscribe()
    }

    /// Begins an exchange of HTTP/1.1: what the peer said before does not explain what comes.
    pub(crate) fn await_answer(&self) {
        *self.heard() = Heard { is_awaited: true, ..Heard::default() };
    }

    /// The response has begun.
    pub(crate) fn has_answer(&self) {
        self.heard().is_awaited = false;
    }

    /// Whether the peer has sent too much that is not the response yet.
    pub(crate) fn is_flooded(&self) -> bool {
        let heard = self.heard();
        heard.is_awaited && heard.bytes > ANSWER_MAX
    }

    /// The first bytes that the peer sent.
    pub(crate) fn greeting(&self) -> Vec<u8> {
        self.heard().greeting.clone()
    }

    /// Whether the peer has sent so many bytes, or more than so many lines.
    pub(crate) fn has_seen(&self, bytes: usize, lines: usize) -> bool {
        let heard = self.heard();
        heard.bytes >= bytes || heard.lines > lines
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn take_in(&mut self, bytes: &[u8]) {
        let room = GREETING_MAX - self.greeting.len();
        self.greeting.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let counted = &bytes[..bytes.len().min(HEAD_MAX.saturating_sub(self.bytes))];
        self.lines += counted.iter().filter(|byte| **byte == b'\n').count();
        self.bytes = self.bytes.saturating_add(bytes.len());
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.watch.heard().take_in(&buffer.filled()[before..]);
        if self.watch.is_flooded() {
            return Poll::Ready(Err(io::Error::other("interim responses without end")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_dirty = true;
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_dirty = true;
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if std::mem::take(&mut self.is_dirty) {
            self.watch.flushed.send_replace(());
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn all_whose_requests_went_out_together_hear_of_it() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let watch = Arc::new(Watch::default());
        let mut stream = Watched::new(Stream::boxed(ours), watch.clone());
        let mut both = [watch.flushes(), watch.flushes()];
        stream.write_all(b"ahoy").await.unwrap();
        assert!(both.iter_mut().all(|flushes| flushes.changed().now_or_never().is_none()));
        stream.flush().await.unwrap();
        assert!(both.iter_mut().all(|flushes| flushes.changed().now_or_never().is_some()));
    }
}

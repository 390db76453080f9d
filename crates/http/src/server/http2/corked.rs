//! A stream whose writes are gathered: who writes flushes after every frame, and each would be a
//! record of TLS and a packet of its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use portolan_net::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_write_buf;

use crate::server::buffers;

/// A stream that only seems to be flushed. What is written to it is gathered, up to a limit, until
/// a clone of it is [uncorked](Self::poll_uncork).
#[derive(Clone)]
pub(super) struct Corked(Arc<Mutex<Gathering>>);

struct Gathering {
    stream: Stream,
    output: BytesMut,
    frames: Frames,
    /// How many bytes of answers were gathered that the stream has not taken.
    owed: u64,
    /// How many it took. What acknowledges a ping is none: who only pings takes no answer.
    answered: u64,
}

impl Corked {
    pub(super) fn new(stream: Stream) -> Self {
        let (output, frames) = (BytesMut::new(), Frames::default());
        Self(Arc::new(Mutex::new(Gathering { stream, output, frames, owed: 0, answered: 0 })))
    }

    /// Sends what was gathered.
    pub(super) fn poll_uncork(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_send(cx)
    }

    /// How many bytes of answers were sent, as far as what was written with them can be told apart.
    pub(super) fn answered(&self) -> u64 {
        self.lock().answered
    }

    fn lock(&self) -> MutexGuard<'_, Gathering> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathering {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            match ready!(poll_write_buf(Pin::new(&mut self.stream), cx, &mut self.output))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.wrote(count),
            }
        }
        buffers::give_back(&mut self.output);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Gathers `pieces`, or passes them on where they are too much for that.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        if self.output.len() + length > buffers::SIZE {
            ready!(self.poll_send(cx))?;
        }
        if length > buffers::SIZE {
            let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, pieces))?;
            let mut left = count;
            for piece in pieces {
                let taken = piece.len().min(left);
                self.owed += self.frames.look(&piece[..taken]);
                left -= taken;
            }
            self.wrote(count);
            return Poll::Ready(Ok(count));
        }
        let output = buffers::provide(&mut self.output);
        for piece in pieces {
            self.owed += self.frames.look(piece);
            output.put_slice(piece);
        }
        Poll::Ready(Ok(length))
    }

    /// The stream took so many bytes: of answers, where there were any.
    fn wrote(&mut self, count: usize) {
        let answered = self.owed.min(count as u64);
        self.owed -= answered;
        self.answered += answered;
    }
}

/// Tells the frames apart that are written (RFC 9113 section 4.1).
#[derive(Default)]
struct Frames {
    /// The head of the next one, as far as it is known.
    head: [u8; Self::HEAD],
    known: usize,
    /// How much of a payload is to come, and whether it is of an answer.
    left: usize,
    answers: bool,
}

impl Frames {
    const HEAD: usize = 9;
    /// The types that carry answers (section 6).
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;

    /// Looks at the next bytes; gives how many of them are of answers.
    fn look(&mut self, mut bytes: &[u8]) -> u64 {
        let mut answers = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = self.left.min(bytes.len());
                self.left -= count;
                bytes = &bytes[count..];
                answers += if self.answers { count as u64 } else { 0 };
                continue;
            }
            let count = (Self::HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + count].copy_from_slice(&bytes[..count]);
            self.known += count;
            bytes = &bytes[count..];
            if self.known == Self::HEAD {
                let [high, middle, low, kind, ..] = self.head;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.answers = matches!(kind, Self::DATA | Self::HEADERS);
                self.known = 0;
            }
        }
        answers
    }
}

impl AsyncRead for Corked {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Corked {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_take(cx, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_take(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.lock();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_is_written_waits_for_the_end_of_the_cork() {
        let (ours, mut theirs) = tokio::io::duplex(3 * buffers::SIZE);
        let mut corked = Corked::new(Stream::boxed(ours));
        corked.write_all(b"ahoy, ").await.unwrap();
        corked.flush().await.unwrap();
        corked.write_all(b"there").await.unwrap();
        let mut heard = [0; 11];
        assert!(theirs.read(&mut heard).now_or_never().is_none());
        poll_fn(|cx| corked.poll_uncork(cx)).await.unwrap();
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ahoy, there");
    }

    #[tokio::test]
    async fn answers_are_told_from_what_else_is_written() {
        let (ours, _theirs) = tokio::io::duplex(1024);
        let mut corked = Corked::new(Stream::boxed(ours));
        let frame = |kind: u8, length: u8| {
            [&[0, 0, length, kind, 0, 0, 0, 0, 1], &vec![kind; usize::from(length)][..]].concat()
        };
        let (ping, data) = (frame(6, 8), frame(0, 100));
        for (said, answered) in [(&ping, 0), (&data, 100), (&ping, 100), (&frame(1, 5), 105)] {
            // However it is cut.
            for piece in said.chunks(4) {
                corked.write_all(piece).await.unwrap();
            }
            poll_fn(|cx| corked.poll_uncork(cx)).await.unwrap();
            assert_eq!(corked.answered(), answered);
        }
    }

    #[tokio::test]
    async fn no_more_than_a_buffer_is_gathered_and_order_is_kept() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut corked = Corked::new(Stream::boxed(ours));
        let said: Vec<u8> = (0..5 * buffers::SIZE).map(|at| (at / 7) as u8).collect();
        let (small, large) = said.split_at(2 * buffers::SIZE);
        let say = async {
            for piece in small.chunks(100) {
                corked.write_all(piece).await.unwrap();
                assert!(corked.lock().output.len() <= buffers::SIZE);
            }
            corked.write_all(large).await.unwrap();
            corked.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let (_, read) = tokio::join!(say, theirs.read_to_end(&mut heard));
        read.unwrap();
        assert!(heard == said);
    }
}

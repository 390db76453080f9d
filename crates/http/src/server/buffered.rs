//! A stream, and what was read from it or is to be written to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use portolan_net::{Alarm, Stream};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::buffers;
use crate::file_slice::{FileSlice, shrunk};

/// A beginning of a request that is no longer than this is kept in memory of its size.
const SMALL: usize = 4 * 1024;

/// A stream with buffers, which it has only while there is something in them.
pub(super) struct Buffered {
    pub(super) stream: Stream,
    /// What was read and not yet understood.
    pub(super) input: BytesMut,
    /// What is to be written.
    pub(super) output: BytesMut,
    /// What is to be written after that, without a copy.
    tail: Bytes,
    is_flushed: bool,
    has_ended: bool,
    alarm: Alarm,
    wait: Wait,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Nothing,
    /// The first byte of a request.
    Request,
    /// The same, when the server stops.
    Last,
    /// The end of its head.
    Head,
    /// That the peer sends or takes anything.
    Peer,
}

impl Buffered {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            tail: Bytes::new(),
            is_flushed: true,
            has_ended: false,
            alarm: Alarm::default(),
            wait: Wait::Nothing,
        }
    }

    /// Whether the peer has said all.
    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Reads on, with room for about so many bytes, and says how many came; none at the end.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        if self.has_ended {
            return Poll::Ready(Ok(0));
        }
        self.make_room(room);
        let Poll::Ready(read) = poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input)
        else {
            self.park();
            return Poll::Pending;
        };
        if read.as_ref().is_ok_and(|count| *count == 0) {
            self.has_ended = true;
        }
        self.progress();
        Poll::Ready(read)
    }

    fn make_room(&mut self, room: usize) {
        if self.input.capacity() - self.input.len() >= room / 4 {
            return;
        }
        if room > buffers::SIZE || self.input.len() >= SMALL {
            self.input.reserve(room);
            return;
        }
        let mut roomy = buffers::take();
        roomy.extend_from_slice(&self.input);
        buffers::give_back(&mut self.input);
        self.input = roomy;
    }

    /// Holds no more than what there is.
    fn park(&mut self) {
        if self.input.is_empty() {
            buffers::give_back(&mut self.input);
        } else if self.input.len() < SMALL && self.input.capacity() > SMALL {
            let kept = BytesMut::from(&self.input[..]);
            buffers::give_back(&mut self.input);
            self.input = kept;
        }
    }

    /// Room to write in.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        buffers::provide(&mut self.output)
    }

    /// Adds what is to be written; without a copy where it is large, and then all must be
    /// [flushed](Self::poll_flush) before there is more.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < buffers::SIZE {
            self.output().extend_from_slice(&bytes);
        } else {
            debug_assert!(self.tail.is_empty());
            self.tail = bytes;
        }
    }

    /// Whether so much is to be written that this is to be done before there is more.
    pub(super) fn is_full(&self) -> bool {
        !self.tail.is_empty() || self.output.len() >= 4 * buffers::SIZE
    }

    /// Writes all that is to be written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() || !self.tail.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let written = if self.tail.is_empty() {
                ready!(stream.poll_write(cx, &self.output))?
            } else {
                let both = [IoSlice::new(&self.output), IoSlice::new(&self.tail)];
                ready!(stream.poll_write_vectored(cx, &both))?
            };
            self.written(written)?;
            self.is_flushed = false;
        }
        buffers::give_back(&mut self.output);
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all that is to be written, and then has the kernel send a file, which is what is left
    /// of it in `slice`.
    pub(super) fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        slice: &mut FileSlice,
    ) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(self.stream.poll_write_more(cx, &self.output))?;
            self.written(written)?;
        }
        ready!(self.poll_flush(cx))?;
        while slice.length > 0 {
            let FileSlice { file, offset, length } = &*slice;
            match ready!(self.stream.poll_send_file(cx, file, *offset, *length))? {
                0 => return Poll::Ready(Err(shrunk())),
                count => slice.advance(count as u64),
            }
            self.progress();
        }
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let of_output = count.min(self.output.len());
        self.output.advance(of_output);
        self.tail.advance(count - of_output);
        self.progress();
        Ok(())
    }

    /// The peer has sent or taken something. A head is to come in time as a whole, however.
    pub(super) fn progress(&mut self) {
        if self.wait == Wait::Peer {
            self.wait = Wait::Nothing;
        }
    }

    /// Nothing is waited for any more.
    pub(super) const fn is_served(&mut self) {
        self.wait = Wait::Nothing;
    }

    /// Ready when something has been waited for longer than this.
    pub(super) fn poll_limit(
        &mut self,
        cx: &mut Context<'_>,
        wait: Wait,
        limit: Duration,
    ) -> Poll<()> {
        if self.wait != wait {
            self.wait = wait;
            self.alarm.set(limit);
        }
        self.alarm.poll(cx)
    }
}

//! What a connection tells the capture: its packets, and the secrets of the TLS that runs on it.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::{self, Thread};

use portolan_core::Direction;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Capture;
use super::flow::Flow;
use super::packet::Path;
use super::wire;
use crate::Stream;

/// The most bytes that are written at once, so that as much is captured at once.
pub(crate) const WRITE_MAX: usize = 64 * 1024;
/// The most bytes of packets that are held while a handshake runs; it has done with far less.
const HELD_MAX: usize = 256 * 1024;

/// The ends of a connection, as far as they have addresses.
#[derive(Clone, Debug)]
pub(crate) enum Ends {
    Inet {
        local: SocketAddr,
        remote: SocketAddr,
    },
    /// The socket's name.
    Unix(String),
}

/// A connection in a capture. A clone is the same connection, which ends with the last one.
#[derive(Clone)]
pub(crate) struct Tap(Arc<Inner>);

struct Inner {
    capture: Capture,
    /// Who waits to read; who waits to write has the next.
    number: u64,
    state: Mutex<State>,
}

struct State {
    flow: Flow,
    held: Option<Held>,
}

/// What is not in the capture yet.
#[derive(Default)]
struct Held {
    packets: Vec<u8>,
    secrets: String,
}

impl Tap {
    /// Opens a connection, by us where it was dialled, or else by the peer.
    pub(crate) fn open(capture: Capture, ends: Ends, opener: Direction) -> Self {
        let number = capture.number();
        let (path, comment) = match ends {
            Ends::Inet { local, remote } => (Path::new(local, remote), None),
            Ends::Unix(name) => {
                let path = Path::unix(number);
                let path = if opener == Direction::Sent { path } else { path.reversed() };
                (path, Some(format!("{name}, a Unix socket: the addresses are made up")))
            }
        };
        let flow = Flow::new(path, number);
        let state = Mutex::new(State { flow, held: None });
        let tap = Self(Arc::new(Inner { capture, number, state }));
        tap.record(|flow, out| flow.open(out, opener, comment.as_deref()));
        tap
    }

    /// Resets the connection, from this end.
    pub(crate) fn reset(&self) {
        self.record(|flow, out| flow.reset(out, Direction::Sent));
    }

    /// Holds the packets back while a TLS handshake runs, where its secrets are to be captured.
    pub(crate) fn hold(&self) -> Option<Hold> {
        self.0.capture.keeps_secrets().then(|| {
            self.state().held.get_or_insert_default();
            Hold(self.clone())
        })
    }

    /// Takes in a line of a key log.
    pub(crate) fn secret(&self, line: &str) {
        match &mut self.state().held {
            Some(held) => held.secrets.push_str(line),
            None => self.0.capture.append(|out| wire::secrets(out, line.as_bytes())),
        }
    }

    /// Ends what we send.
    pub(crate) fn finish(&self) {
        self.record(|flow, out| flow.finish(out, Direction::Sent));
    }

    /// Takes in what became of moving the bytes in `buffer`: so many of them passed, or none as
    /// the peer has ended, or the connection is lost.
    pub(crate) fn moved(
        &self,
        direction: Direction,
        moved: Result<usize, &io::Error>,
        buffer: &[u8],
    ) {
        self.record(|flow, out| match moved.map_err(io::Error::kind) {
            Ok(0) if direction == Direction::Received => flow.finish(out, direction),
            Ok(count) => flow.data(out, direction, &buffer[..count]),
            Err(io::ErrorKind::ConnectionReset) => flow.reset(out, Direction::Received),
            // Where we have ended, it was we who broke the pipe.
            Err(io::ErrorKind::BrokenPipe) if !flow.is_finished(Direction::Sent) => {
                flow.reset(out, Direction::Received);
            }
            Err(_) => {}
        });
    }

    /// Waits until there is room for more, on a thread that may block.
    pub(crate) fn wait_for_room(&self, direction: Direction) {
        let waker = Waker::from(Arc::new(Parked(thread::current())));
        while self.poll_room(direction, &Context::from_waker(&waker)).is_pending() {
            thread::park();
        }
    }

    fn record(&self, write: impl FnOnce(&mut Flow, &mut Vec<u8>)) {
        let mut state = self.state();
        let State { flow, held } = &mut *state;
        let Some(kept) = held else {
            self.0.capture.append(|out| write(flow, out));
            return;
        };
        write(flow, &mut kept.packets);
        if kept.packets.len() > HELD_MAX {
            self.release(held);
        }
    }

    fn release(&self, held: &mut Option<Held>) {
        let Held { packets, secrets } = mem::take(held).unwrap_or_default();
        self.0.capture.append(|out| {
            if !secrets.is_empty() {
                wire::secrets(out, secrets.as_bytes());
            }
            out.extend_from_slice(&packets);
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_room(&self, direction: Direction, cx: &Context<'_>) -> Poll<()> {
        let number = match direction {
            Direction::Received => self.0.number,
            Direction::Sent => self.0.number + 1,
        };
        self.0.capture.poll_room(number, cx)
    }
}

/// A thread that waits.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Drop for Inner {
    /// The socket is closed with what the last clone belongs to.
    fn drop(&mut self) {
        let State { flow, .. } = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.capture.append(|out| flow.finish(out, Direction::Sent));
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").field("number", &self.0.number).finish_non_exhaustive()
    }
}

/// While this lives, the packets of a connection wait for its secrets.
#[derive(Debug)]
pub(crate) struct Hold(Tap);

impl Hold {
    pub(crate) const fn tap(&self) -> &Tap {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.held.is_some() {
            self.0.release(&mut state.held);
        }
    }
}

/// A stream of which all that passes is captured.
pub(crate) struct Tapped {
    pub(crate) stream: Stream,
    pub(crate) tap: Tap,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, tap } = &mut *self;
        ready!(tap.poll_room(Direction::Received, cx));
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = ready!(Pin::new(stream).poll_read(cx, buffer));
        if room > 0 {
            let bytes = &buffer.filled()[before..];
            let count = read.as_ref().map(|()| bytes.len());
            tap.moved(Direction::Received, count, bytes);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, tap } = &mut *self;
        ready!(tap.poll_room(Direction::Sent, cx));
        let buffer = &buffer[..buffer.len().min(WRITE_MAX)];
        let written = ready!(Pin::new(stream).poll_write(cx, buffer));
        tap.moved(Direction::Sent, written.as_ref().copied(), buffer);
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, tap } = &mut *self;
        let shut = ready!(Pin::new(stream).poll_shutdown(cx));
        if shut.is_ok() {
            tap.finish();
        }
        Poll::Ready(shut)
    }
}

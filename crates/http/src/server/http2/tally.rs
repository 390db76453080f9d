//! What the requests of an HTTP/2 connection wait for: its limits of time are those of HTTP/1, and
//! hold for all of them together.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, Incoming, SizeHint};

use crate::server::Limits;

/// The requests of a connection.
#[derive(Default)]
pub(super) struct Tally {
    /// How many there have been.
    begun: AtomicU64,
    /// How many are in flight, and in how many of them it is the peer who is to go on.
    in_flight: AtomicUsize,
    peers: AtomicUsize,
    /// How often it was the other's turn.
    turns: AtomicU64,
    /// Who wants to know when it is the peer, in all.
    watch: AtomicWaker,
}

/// What a connection waits for, and a number that changes when there is a new reason to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing: answers are being made.
    Nothing,
    /// The next request after so many.
    Request(u64),
    /// That the peer sends or takes something, after so many bytes of answers and turns.
    Peer(u64),
}

impl Tally {
    /// How many requests there have been.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// What is waited for after so many bytes of answers; where it is nothing, `cx` is woken once it
    /// is something.
    pub(super) fn wait(&self, answered: u64, cx: &Context<'_>) -> Wait {
        let wait = self.look(answered);
        if wait != Wait::Nothing {
            return wait;
        }
        self.watch.register(cx.waker());
        self.look(answered)
    }

    fn look(&self, answered: u64) -> Wait {
        match (self.in_flight.load(Ordering::SeqCst), self.peers.load(Ordering::SeqCst)) {
            (0, _) => Wait::Request(self.begun()),
            (in_flight, peers) if peers < in_flight => Wait::Nothing,
            _ => Wait::Peer(answered + self.turns.load(Ordering::SeqCst)),
        }
    }
}

/// A request in flight.
pub(super) struct InFlight {
    tally: Arc<Tally>,
    /// For which of its two bodies it is the peer who is to go on.
    waits: AtomicU8,
    is_too_large: AtomicBool,
}

/// The request's body is to be sent by the peer.
const TO_SEND: u8 = 1;
/// The answer's is to be taken by it.
const TO_TAKE: u8 = 2;

impl InFlight {
    pub(super) fn begin(tally: &Arc<Tally>) -> Arc<Self> {
        tally.begun.fetch_add(1, Ordering::Relaxed);
        tally.in_flight.fetch_add(1, Ordering::SeqCst);
        let (waits, is_too_large) = (AtomicU8::new(0), AtomicBool::new(false));
        Arc::new(Self { tally: tally.clone(), waits, is_too_large })
    }

    /// Whether its body was larger than it may be.
    pub(super) fn is_too_large(&self) -> bool {
        self.is_too_large.load(Ordering::Relaxed)
    }

    /// Whether it is the peer who is to go on with these bodies.
    fn set_waits(&self, bodies: u8, is_peers: bool) {
        let before = match is_peers {
            true => self.waits.fetch_or(bodies, Ordering::SeqCst),
            false => self.waits.fetch_and(!bodies, Ordering::SeqCst),
        };
        let after = if is_peers { before | bodies } else { before & !bodies };
        if before != after {
            self.tally.turns.fetch_add(1, Ordering::SeqCst);
        }
        match (before, after) {
            (0, 1..) => {
                self.tally.peers.fetch_add(1, Ordering::SeqCst);
                self.tally.watch.wake();
            }
            (1.., 0) => _ = self.tally.peers.fetch_sub(1, Ordering::SeqCst),
            _ => {}
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.set_waits(TO_SEND | TO_TAKE, false);
        self.tally.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.tally.watch.wake();
    }
}

/// The body of a request, within the limit of its size.
pub(super) struct Asked {
    body: Incoming,
    /// How much more may come.
    room: u64,
    of: Arc<InFlight>,
}

impl Asked {
    pub(super) fn new(body: Incoming, limits: &Limits, of: Arc<InFlight>) -> Self {
        Self { body, room: limits.body.unwrap_or(u64::MAX), of }
    }
}

impl hyper::body::Body for Asked {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.of.set_waits(TO_SEND, polled.is_pending());
        let Some(frame) = ready!(polled) else { return Poll::Ready(None) };
        let frame = frame?;
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.room.checked_sub(length) {
            Some(room) => self.room = room,
            None => {
                self.of.is_too_large.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err("the body is too large".into())));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.of.set_waits(TO_SEND, false);
    }
}

/// The body of an answer. It is the peer who is to go on as long as it takes no more of it.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) of: Arc<InFlight>,
}

impl Answer {
    pub(super) fn new(body: Body, of: Arc<InFlight>) -> Self {
        of.set_waits(TO_TAKE, true);
        Self { body, of }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.of.set_waits(TO_TAKE, polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

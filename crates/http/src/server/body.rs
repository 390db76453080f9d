//! The body of a request, on its way from the connection to who answers.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::Limits;
use super::buffered::Buffered;
use super::turn::Broken;
use crate::wire::{BadRequest, BodyDecoder, Framing, PIECE, Piece};

/// The body as who answers sees it: read from the connection as it is asked for.
pub(super) struct RequestBody {
    shared: Arc<Mutex<Shared>>,
    /// How much is to come, where the head said so.
    left: Option<u64>,
    has_ended: bool,
}

/// The connection's end of it.
pub(super) struct Feed {
    shared: Arc<Mutex<Shared>>,
    decoder: BodyDecoder,
    /// Whether the client waits for a 100 that was not sent.
    owes_continue: bool,
    is_done: bool,
}

#[derive(Default)]
struct Shared {
    /// What has come and was not taken: at most one piece.
    piece: Option<Result<Piece, io::Error>>,
    is_wanted: bool,
    is_dropped: bool,
    /// Whether no more is handed on.
    is_cut: bool,
    body: Option<Waker>,
    feed: Option<Waker>,
}

/// Both ends of a body.
///
/// # Errors
/// [`BadRequest::BodyTooLarge`], where the head says so.
pub(super) fn body(
    framing: Framing,
    expects_continue: bool,
    limits: &Limits,
) -> Result<(RequestBody, Feed), BadRequest> {
    let decoder = BodyDecoder::new(framing, limits)?;
    let shared = Arc::new(Mutex::new(Shared::default()));
    let left = match framing {
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
    };
    let body = RequestBody { shared: shared.clone(), left, has_ended: false };
    Ok((body, Feed { shared, decoder, owes_continue: expects_continue, is_done: false }))
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// Hands on what is asked for. Ready once nothing is to be done any more; pending with
    /// `waits` set where the peer is waited for.
    ///
    /// # Errors
    /// When the body is refused, or breaks off: who answers sees it, too.
    pub(super) fn poll(
        &mut self,
        io: &mut Buffered,
        cx: &mut Context<'_>,
        waits: &mut bool,
    ) -> Poll<Result<(), Broken>> {
        while !self.is_done {
            let mut shared = lock(&self.shared);
            if shared.is_dropped {
                self.is_done = true;
                break;
            }
            if !shared.is_wanted || shared.piece.is_some() {
                shared.feed = Some(cx.waker().clone());
                return Poll::Pending;
            }
            drop(shared);
            match self.next(io, cx) {
                Poll::Ready(Ok(piece)) => self.hand_on(Ok(piece)),
                Poll::Ready(Err(broken)) => {
                    self.hand_on(Err(io::Error::other(broken.to_string())));
                    return Poll::Ready(Err(broken));
                }
                Poll::Pending => {
                    *waits = true;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what came along with the head, before anybody asks: if it is broken, nobody need.
    pub(super) fn begin(&mut self, io: &mut Buffered) -> Result<(), BadRequest> {
        if let Some(piece) = self.decoder.decode(&mut io.input)? {
            self.hand_on(Ok(piece));
        }
        Ok(())
    }

    fn next(&mut self, io: &mut Buffered, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        loop {
            match self.decoder.decode(&mut io.input) {
                Ok(Some(piece)) => return Poll::Ready(Ok(piece)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            if std::mem::take(&mut self.owes_continue) && io.input.is_empty() {
                io.output().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            match io.poll_fill(cx, PIECE) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Broken::Cut)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn hand_on(&mut self, piece: Result<Piece, io::Error>) {
        self.is_done |= !matches!(piece, Ok(Piece::Data(_)));
        // The one who knows that all has come need not ask for the end.
        self.is_done |= self.decoder.is_at_end();
        let mut shared = lock(&self.shared);
        shared.piece = Some(piece);
        shared.is_wanted = false;
        if let Some(waker) = shared.body.take() {
            waker.wake();
        }
    }

    /// Whether the client will send nothing of it any more, as far as is known.
    pub(super) fn is_at_end(&self) -> bool {
        self.decoder.is_at_end()
    }

    /// Sends no 100 any more, because the answer begins. Whether the client still waits for one.
    pub(super) fn withhold_continue(&mut self) -> bool {
        std::mem::take(&mut self.owes_continue) && !self.is_at_end()
    }

    /// Reads what nobody asked for, up to `limit` bytes, for the sake of the next request. Ready
    /// with whether that was all.
    pub(super) fn poll_drain(
        &mut self,
        io: &mut Buffered,
        cx: &mut Context<'_>,
        limit: &mut usize,
    ) -> Poll<Result<bool, Broken>> {
        loop {
            match std::task::ready!(self.next(io, cx))? {
                Piece::End(_) => return Poll::Ready(Ok(true)),
                Piece::Data(data) => match limit.checked_sub(data.remaining()) {
                    Some(left) => *limit = left,
                    None => return Poll::Ready(Ok(false)),
                },
            }
        }
    }
}

impl Drop for Feed {
    /// Who is still waiting, in a task of its own, does so in vain.
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.is_cut = true;
        if let Some(waker) = shared.body.take() {
            waker.wake();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.has_ended || self.left == Some(0) {
            return Poll::Ready(None);
        }
        let mut shared = lock(&self.shared);
        let piece = shared.piece.take();
        // What is asked for now will be there when the next piece is.
        shared.is_wanted = true;
        if let Some(waker) = shared.feed.take() {
            waker.wake();
        }
        let piece = match piece {
            Some(piece) => piece,
            None if shared.is_cut => Err(io::Error::other(Broken::Cut.to_string())),
            None => {
                shared.body = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        drop(shared);
        Poll::Ready(match piece {
            Ok(Piece::Data(data)) => {
                self.left = self.left.map(|left| left - data.len() as u64);
                Some(Ok(Frame::data(data)))
            }
            Ok(Piece::End(trailers)) => {
                self.has_ended = true;
                (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
            }
            Err(error) => {
                self.has_ended = true;
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.is_dropped = true;
        if let Some(waker) = shared.feed.take() {
            waker.wake();
        }
    }
}

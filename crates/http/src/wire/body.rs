//! The body of a request (RFC 9112 section 6).

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::chunked::Chunked;
use super::head::Framing;
use super::refusal::BadRequest;
use crate::Limits;

/// The most that is in one piece.
pub(crate) const PIECE: usize = 32 * 1024;

/// Takes the body of a request off the bytes that come after its head.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// How much the body may still have.
    allowance: u64,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Chunked(Box<Chunked>),
}

/// What came of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of it.
    Data(Bytes),
    /// Its end, and the fields of its trailer section.
    End(HeaderMap),
}

impl BodyDecoder {
    /// A decoder for the body that a head announces.
    ///
    /// # Errors
    /// [`BadRequest::BodyTooLarge`], where the head says so.
    pub fn new(framing: Framing, limits: &Limits) -> Result<Self, BadRequest> {
        let allowance = limits.body.unwrap_or(u64::MAX);
        let state = match framing {
            Framing::Length(length) if length > allowance => return Err(BadRequest::BodyTooLarge),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Box::new(Chunked::new(limits))),
        };
        Ok(Self { state, allowance })
    }

    /// Whether all of it was taken, as far as that is known without another byte.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        match &self.state {
            State::Length(left) => *left == 0,
            State::Chunked(chunked) => chunked.is_at_end(),
        }
    }

    /// Takes the next piece off the front of `input`; `None` where more must come first. After the
    /// end there is nothing but ends.
    ///
    /// # Errors
    /// [`BadRequest::Chunk`] and [`BadRequest::Field`] for a chunked coding that is broken,
    /// [`BadRequest::BodyTooLarge`] and [`BadRequest::HeadTooLarge`] beyond the limits.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, BadRequest> {
        match &mut self.state {
            State::Length(0) => Ok(Some(Piece::End(HeaderMap::new()))),
            State::Length(left) => Ok(take(left, input).map(Piece::Data)),
            State::Chunked(chunked) => {
                let piece = chunked.decode(input)?;
                if let Some(Piece::Data(data)) = &piece {
                    let left = self.allowance.checked_sub(data.len() as u64);
                    self.allowance = left.ok_or(BadRequest::BodyTooLarge)?;
                }
                Ok(piece)
            }
        }
    }
}

/// Takes what there is off the front of `input`, and no more than is `left`.
pub(super) fn take(left: &mut u64, input: &mut BytesMut) -> Option<Bytes> {
    let count = input.len().min(PIECE).min(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= count as u64;
    (count > 0).then(|| input.split_to(count).freeze())
}

//! The chunked transfer coding (RFC 9112 section 7.1), as it is received.

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::body::{Piece, take};
use super::fields::Fields;
use super::head::{LENGTH_MAX, Scan};
use super::refusal::BadRequest;
use crate::Limits;

/// The longest line of a chunk's size and its extensions.
const LINE_MAX: usize = 1024;
/// What the extensions of all chunks of a body may come to: they are for nobody, and could be more
/// than the body.
const EXTENSIONS_MAX: usize = 16 * 1024;

/// A body in chunks, so far.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of extensions so far.
    extensions: usize,
    limits: Limits,
}

#[derive(Debug)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers(Scan),
    End,
}

impl Chunked {
    pub(super) fn new(limits: &Limits) -> Self {
        // A trailer section has no target.
        let limits = Limits { target: limits.head, ..limits.clone() };
        Self { state: State::Size, extensions: 0, limits }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Takes the next piece off the front of `input`.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, BadRequest> {
        loop {
            match &mut self.state {
                State::Size => match self.size(input)? {
                    None => return Ok(None),
                    Some(0) => self.state = State::Trailers(Scan::default()),
                    Some(size) => self.state = State::Data(size),
                },
                State::Data(0) => self.state = State::DataEnd,
                State::Data(left) => return Ok(take(left, input).map(Piece::Data)),
                State::DataEnd => match &input[..] {
                    [b'\r', b'\n', ..] => {
                        input.advance(2);
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(None),
                    _ => return Err(BadRequest::Chunk),
                },
                State::Trailers(scan) => {
                    let Some(end) = trailers_end(scan, input, &self.limits)? else {
                        return Ok(None);
                    };
                    let trailers = trailers(&input[..end], &self.limits)?;
                    input.advance(end);
                    self.state = State::End;
                    return Ok(Some(Piece::End(trailers)));
                }
                State::End => return Ok(Some(Piece::End(HeaderMap::new()))),
            }
        }
    }

    /// Takes the line of a chunk's size.
    fn size(&mut self, input: &mut BytesMut) -> Result<Option<u64>, BadRequest> {
        let seen = &input[..input.len().min(LINE_MAX)];
        let Some(end) = memchr::memchr(b'\n', seen) else {
            let could_be = input.len() < LINE_MAX && seen.first().is_none_or(u8::is_ascii_hexdigit);
            return if could_be { Ok(None) } else { Err(BadRequest::Chunk) };
        };
        let line = seen[..end].strip_suffix(b"\r").ok_or(BadRequest::Chunk)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, extension) = line.split_at(digits);
        self.extensions += extension.len();
        if !is_extension(extension) || self.extensions > EXTENSIONS_MAX || digits.len() > 16 {
            return Err(BadRequest::Chunk);
        }
        let digits = str::from_utf8(digits).map_err(|_| BadRequest::Chunk)?;
        let size = u64::from_str_radix(digits, 16).ok().filter(|size| *size <= LENGTH_MAX);
        let size = size.ok_or(BadRequest::Chunk)?;
        input.advance(end + 1);
        Ok(Some(size))
    }
}

/// Whether this may follow a size: nothing, or extensions, which are not for us.
fn is_extension(bytes: &[u8]) -> bool {
    let is_text = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    bytes.is_empty() || bytes[0] == b';' && bytes.iter().all(is_text)
}

/// The length of a trailer section with its empty line; `None` while it is not all there.
fn trailers_end(
    scan: &mut Scan,
    input: &[u8],
    limits: &Limits,
) -> Result<Option<usize>, BadRequest> {
    match input {
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [] | [b'\r'] => Ok(None),
        _ => scan.end(input, limits).map_err(|error| match error {
            BadRequest::HeadTooLarge | BadRequest::TargetTooLong => BadRequest::HeadTooLarge,
            _ => BadRequest::Chunk,
        }),
    }
}

fn trailers(section: &[u8], limits: &Limits) -> Result<HeaderMap, BadRequest> {
    let mut room = vec![httparse::EMPTY_HEADER; limits.fields.min(Fields::MAX)];
    let parsed = httparse::parse_headers(section, &mut room).map_err(|error| match error {
        httparse::Error::TooManyHeaders => BadRequest::HeadTooLarge,
        _ => BadRequest::Chunk,
    })?;
    let httparse::Status::Complete((_, fields)) = parsed else { return Err(BadRequest::Chunk) };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else { return Err(BadRequest::Chunk) };
        trailers.append(name, value);
    }
    Ok(trailers)
}

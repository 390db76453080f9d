//! Bodies in chunks: they are read the same in whatever pieces they come, and end where they end.
#![no_main]

use bytes::BytesMut;
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use portolan_http::Limits;
use portolan_http::wire::{BadRequest, BodyDecoder, Framing, Piece};

fuzz_target!(|bytes: &[u8]| {
    let whole = decode(bytes, bytes.len().max(1));
    for size in [1, 2, 7] {
        let pieces = decode(bytes, size);
        assert_eq!(pieces.is_err(), whole.is_err());
        if whole.is_ok() {
            assert_eq!(pieces, whole);
        }
    }
    if let Ok(Some((_, _, length))) = whole {
        assert_eq!(decode(&bytes[..length], length), whole);
        assert_eq!(decode(&bytes[..length - 1], length), Ok(None));
    }
});

/// The body, its trailers and its length on the wire, from pieces of this size.
#[expect(clippy::type_complexity, reason = "three facts that have no name together")]
fn decode(bytes: &[u8], size: usize) -> Result<Option<(Vec<u8>, HeaderMap, usize)>, BadRequest> {
    let limits = Limits { body: Some(1 << 20), ..Limits::default() };
    let mut decoder = BodyDecoder::new(Framing::Chunked, &limits)?;
    let (mut input, mut body, mut fed) = (BytesMut::new(), Vec::new(), 0);
    for piece in bytes.chunks(size) {
        input.extend_from_slice(piece);
        fed += piece.len();
        while let Some(piece) = decoder.decode(&mut input)? {
            match piece {
                Piece::Data(data) => body.extend(data),
                Piece::End(trailers) => return Ok(Some((body, trailers, fed - input.len()))),
            }
        }
    }
    Ok(None)
}

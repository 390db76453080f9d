//! Bytes to fetch and to send, and small values.

use std::ops::Range;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::StreamExt;
use portolan_http::Ranges;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::digest::hex;
use super::request::{Args, Bad, Path, Told, value};
use super::streams::{length, paced};

pub(super) const INDEX: &str = "\
/bytes/{count}[?seed=]                  up to 100 KiB, the same at each request
/range/{count}?chunk_size=&duration=    up to 100 KiB of which ranges can be had
/upload                                 POST or PUT: how much came, and its SHA-256
/base64/{value}                         what this stands for
/uuid                                   a random UUID
";

pub(super) const OCTETS: (HeaderName, HeaderValue) =
    (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));

/// The most that `/bytes`, `/stream-bytes` and `/range` give, as httpbin has it.
const BYTES_MAX: usize = 100 * 1024;

pub(super) fn routes() -> Router {
    Router::new()
        .route("/bytes/{count}", get(bytes))
        .route("/range/{count}", get(range))
        .route("/upload", post(upload).put(upload))
        .route("/base64/{value}", get(base64))
        .route("/uuid", get(async || Told(json!({ "uuid": Uuid::new_v4().to_string() }))))
}

async fn bytes(Path(count): Path<usize>, args: Args) -> Result<impl IntoResponse, Bad> {
    Ok(([OCTETS], filler(&args)?(0..cut(count))))
}

/// How many bytes are given to who asks for so many.
pub(super) fn cut(count: usize) -> usize {
    count.min(BYTES_MAX)
}

/// What makes the bytes of a span, when asked for one after the other: by the seed that the query
/// gives, or without one `00` to `ff` over and over, so that clients can check them.
pub(super) fn filler(args: &Args) -> Result<impl FnMut(Range<usize>) -> Bytes + use<>, Bad> {
    let mut random = args.number("seed")?.map(Rng::with_seed);
    Ok(move |span: Range<usize>| match &mut random {
        Some(random) => span.map(|_| random.u8(..)).collect(),
        None => (0..=255).cycle().skip(span.start % 256).take(span.len()).collect(),
    })
}

async fn range(Path(count): Path<usize>, args: Args, headers: HeaderMap) -> Result<Response, Bad> {
    let tag = format!("\"range{count}\"");
    let about =
        [(header::ETAG, value(&tag)?), (header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))];
    if count == 0 || count > BYTES_MAX {
        let reason = "number of bytes must be in the range (0, 102400]\n";
        return Ok((StatusCode::NOT_FOUND, about, reason).into_response());
    }
    // A range of what the client has another version of is no use to it (RFC 9110 section 13.1.5).
    let is_same = headers.get(header::IF_RANGE).is_none_or(|known| known == &*tag);
    let asked =
        headers.get(header::RANGE).filter(|_| is_same).map_or(&[][..], |asked| asked.as_bytes());
    let span = match Ranges::parse(asked, count as u64) {
        Ranges::Parts(parts) if parts.len() == 1 => parts[0].start as usize..parts[0].end as usize,
        // As httpbin does, it gives all to who asks for several.
        Ranges::Parts(_) | Ranges::Whole => 0..count,
        Ranges::Unsatisfiable => {
            let none = [(header::CONTENT_RANGE, value(&format!("bytes */{count}"))?)];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, about, none).into_response());
        }
    };
    let chunk = args.number("chunk_size")?.unwrap_or(10 * 1024).max(1);
    let duration = args.pause("duration")?.unwrap_or_default();
    let chunks = u32::try_from(count.div_ceil(chunk)).unwrap_or(u32::MAX);
    let (size, first, last) = (span.len(), span.start, span.end - 1);
    let alphabet = |span: Range<usize>| span.map(|at| b'a' + (at % 26) as u8).collect();
    let body = paced(span, chunk, duration / chunks, alphabet);
    let whole = (about, [OCTETS, length(size)], body);
    if size == count {
        return Ok(whole.into_response());
    }
    let part = [(header::CONTENT_RANGE, value(&format!("bytes {first}-{last}/{count}"))?)];
    Ok((StatusCode::PARTIAL_CONTENT, part, whole).into_response())
}

/// Takes any amount and keeps none of it.
async fn upload(body: Body) -> Result<Told<Value>, Bad> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Bad(format!("could not read all: {error}").into()))?;
        hash.update(&chunk);
        size += chunk.len();
    }
    Ok(Told(json!({ "bytes": size, "sha256": hex(&hash.finalize()) })))
}

async fn base64(Path(value): Path<String>) -> Result<Html<Vec<u8>>, Bad> {
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&URL_SAFE, lenient)
        .decode(value)
        .map(Html)
        .map_err(|error| Bad(format!("not base64url: {error}").into()))
}

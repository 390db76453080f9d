//! Responses that take their time or come in pieces.

use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, on};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::METHODS;
use super::data::{OCTETS, cut, filler};
use super::request::{Args, Bad, Path, Seen, Told, field, pause};

pub(super) const INDEX: &str = "\
/delay/{seconds}                        a response after a pause of up to 10 s
/drip?numbytes=&duration=&delay=&code=  bytes one by one, over up to 10 s
/stream/{count}                         up to 100 lines of JSON
/stream-bytes/{count}?seed=&chunk_size= up to 100 KiB in chunks
/sse?count=&interval=                   up to 100 server-sent events; goes on from Last-Event-ID
/trailers?{name}={value}&…              with these trailers, to who asks by TE: trailers
";

/// The most that `/drip` gives, the most pieces that a paced body has, and the most lines or
/// events: as httpbin has them, but for the pieces.
const DRIP_MAX: usize = 10 * 1024 * 1024;
const PIECES_MAX: usize = 1000;
const LINES_MAX: u64 = 100;

pub(super) fn routes() -> Router {
    Router::new()
        .route("/delay/{seconds}", on(METHODS, delay))
        .route("/drip", get(drip))
        .route("/stream/{count}", get(lines))
        .route("/stream-bytes/{count}", get(stream_bytes))
        .route("/sse", get(events))
        .route("/trailers", get(trailers))
}

async fn delay(Path(seconds): Path<f64>, seen: Seen) -> Result<Told<Value>, Bad> {
    tokio::time::sleep(pause(seconds)?).await;
    let mut told = seen.whole().await?;
    told.remove("json");
    Ok(Told(told.into()))
}

async fn drip(args: Args) -> Result<Response, Bad> {
    let count: usize = args.number("numbytes")?.unwrap_or(10).min(DRIP_MAX);
    let code = StatusCode::from_u16(args.number("code")?.unwrap_or(200)).ok();
    let code = code.filter(|code| !code.is_informational());
    let Some(code) = code else { return Err(Bad("code is a status from 200 to 999".into())) };
    if count == 0 {
        return Err(Bad("number of bytes must be positive".into()));
    }
    let duration = args.pause("duration")?.unwrap_or(Duration::from_secs(2));
    tokio::time::sleep(args.pause("delay")?.unwrap_or_default()).await;
    if [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED].contains(&code)
    {
        return Ok(code.into_response());
    }
    let piece = count.div_ceil(PIECES_MAX);
    let gap = duration / u32::try_from(count.div_ceil(piece)).unwrap_or(u32::MAX);
    let body = paced(0..count, piece, gap, |span| vec![b'*'; span.len()].into());
    Ok((code, [OCTETS, length(count)], body).into_response())
}

async fn lines(Path(count): Path<u64>, seen: Seen) -> impl IntoResponse {
    let mut told = seen.summary();
    let lines = stream::iter(0..count.min(LINES_MAX)).map(move |id| {
        told.insert("id".to_owned(), id.into());
        Ok::<_, Infallible>(json!(told).to_string() + "\n")
    });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (kind, Body::from_stream(lines))
}

async fn stream_bytes(Path(count): Path<usize>, args: Args) -> Result<impl IntoResponse, Bad> {
    let chunk = args.number("chunk_size")?.unwrap_or(10 * 1024);
    let body = paced(0..cut(count), chunk, Duration::ZERO, filler(&args)?);
    Ok(([OCTETS], body))
}

/// A body of the bytes of `span`, as `fill` makes them, in chunks of this size with a pause
/// between.
pub(super) fn paced(
    span: Range<usize>,
    chunk: usize,
    pause: Duration,
    fill: impl FnMut(Range<usize>) -> Bytes + Send + 'static,
) -> Body {
    let chunk = chunk.max(1);
    let first = span.start;
    let chunks = stream::unfold((span, fill), move |(span, mut fill)| async move {
        if span.is_empty() {
            return None;
        }
        if span.start > first && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let end = span.end.min(span.start.saturating_add(chunk));
        let bytes = fill(span.start..end);
        Some((Ok::<_, Infallible>(bytes), (end..span.end, fill)))
    });
    Body::from_stream(chunks)
}

pub(super) fn length(count: usize) -> (HeaderName, HeaderValue) {
    (header::CONTENT_LENGTH, HeaderValue::from(count))
}

/// Server-sent events (WHATWG HTML section 9.2), numbered so that a client can go on.
async fn events(args: Args, headers: HeaderMap) -> Result<Response, Bad> {
    let count = args.number("count")?.unwrap_or(10).min(LINES_MAX);
    let gap = args.pause("interval")?.unwrap_or_default();
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let start = last.map_or(0, |last: u64| last.saturating_add(1));
    if last.is_some() && start >= count {
        // This tells a client not to ask again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = stream::iter(start..count).then(move |id| async move {
        if id > start {
            tokio::time::sleep(gap).await;
        }
        let data = json!({ "id": id });
        Ok::<_, Infallible>(format!("event: ping\nid: {id}\ndata: {data}\n\n"))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// The query as trailers. HTTP/1.1 sends them to a client that asks by `TE: trailers`
/// (RFC 9110 section 6.5.1).
async fn trailers(seen: Seen) -> Result<Response, Bad> {
    let mut trailers = HeaderMap::new();
    for (name, text) in seen.args().0 {
        let (name, value) = field(&name, &text)?;
        let appended = trailers.try_append(name, value);
        appended.map_err(|_| Bad("too many trailers".into()))?;
    }
    let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
    let announced =
        HeaderValue::try_from(names.join(", ")).map_err(|_| Bad("not a list".into()))?;
    let announced = (!trailers.is_empty()).then_some((header::TRAILER, announced));
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let told = json!(seen.summary()).to_string() + "\n";
    // A body of known length would go out by Content-Length, which leaves no room for trailers.
    let told = Body::from_stream(stream::iter([Ok::<_, Infallible>(told)]));
    let body = told.with_trailers(async { Some(Ok(trailers)) });
    Ok((kind, AppendHeaders(announced), Body::new(body)).into_response())
}

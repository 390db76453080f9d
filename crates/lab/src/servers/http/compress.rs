//! JSON in each content coding, whatever the client accepts.

use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::request::{Bad, Seen};

pub(super) const INDEX: &str = "\
/gzip  /deflate  /brotli  /zstd         JSON in this content coding
";

pub(super) fn routes() -> Router {
    Router::new()
        .route("/gzip", get(async |seen| coded(seen, "gzip", "gzipped", GzipEncoder::new).await))
        // `deflate` is the zlib format (RFC 9110 section 8.4.1.2).
        .route(
            "/deflate",
            get(async |seen| coded(seen, "deflate", "deflated", ZlibEncoder::new).await),
        )
        .route("/brotli", get(async |seen| coded(seen, "br", "brotli", BrotliEncoder::new).await))
        .route("/zstd", get(async |seen| coded(seen, "zstd", "zstd", ZstdEncoder::new).await))
}

/// The request as JSON in a coding, with `true` under `key`.
async fn coded<E: AsyncRead + Unpin>(
    seen: Seen,
    coding: &'static str,
    key: &str,
    encoder: impl FnOnce(std::io::Cursor<Vec<u8>>) -> E,
) -> Result<Response, Bad> {
    let method = seen.parts.method.as_str();
    let told = json!({
        "headers": seen.headers(), "method": method, "origin": seen.origin(), key: true
    });
    let plain = told.to_string() + "\n";
    let mut body = Vec::new();
    encoder(std::io::Cursor::new(plain.into_bytes()))
        .read_to_end(&mut body)
        .await
        .map_err(|error| Bad(format!("could not compress: {error}").into()))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_ENCODING, HeaderValue::from_static(coding)),
    ];
    Ok((headers, body).into_response())
}

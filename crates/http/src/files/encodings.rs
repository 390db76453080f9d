//! Content codings (RFC 9110 section 8.4) of what is served: files that lie compressed beside the
//! file, and compression while it is sent.

use std::io;

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use axum::body::Body;
use axum::response::Response;
use futures_util::TryStreamExt;
use http::header::{self, HeaderMap, HeaderValue};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::negotiation::accepted_codings;

/// What is smaller is not worth it.
pub(super) const COMPRESSED_MIN: u64 = 1024;
/// How much is compressed before it is sent.
const PIECE: usize = 32 * 1024;
/// Beyond this, brotli is too slow to do while sending.
const BROTLI_LEVEL: i32 = 4;

/// One way in which what is served is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

/// Of files that lie beside the file, the smallest is the best.
pub(super) const STORED: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];
/// Of those made while sending, the fastest.
pub(super) const LIVE: [Coding; 3] = [Coding::Zstd, Coding::Gzip, Coding::Brotli];

impl Coding {
    /// The name in `Content-Encoding`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What is added to the name of a file for that of the one that was made from it.
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// Compresses a body while it is read.
    pub(super) fn encode(self, body: Body) -> Body {
        let source = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
        match self {
            Self::Brotli => {
                streamed(BrotliEncoder::with_quality(source, Level::Precise(BROTLI_LEVEL)))
            }
            Self::Zstd => streamed(ZstdEncoder::new(source)),
            Self::Gzip => streamed(GzipEncoder::new(source)),
        }
    }
}

fn streamed(encoder: impl AsyncRead + Send + 'static) -> Body {
    Body::from_stream(ReaderStream::with_capacity(encoder, PIECE))
}

/// A response of this text, compressed where the client likes that and it is worth it.
pub(super) fn compressed(text: String, asked: &HeaderMap) -> Response {
    let is_large = text.len() as u64 >= COMPRESSED_MIN;
    let codings = accepted_codings(asked, &LIVE);
    let coding = codings.first().filter(|_| is_large);
    let body = Body::from(text);
    let mut response = Response::new(match coding {
        Some(coding) => coding.encode(body),
        None => body,
    });
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    response
}

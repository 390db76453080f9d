//! Content codings (RFC 9110 section 8.4) of what is served: files that lie compressed beside the
//! file, and compression while it is sent.

use std::io;
use std::sync::Arc;

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use async_compression::{brotli, zstd};
use axum::body::Body;
use axum::response::Response;
use futures_util::{StreamExt, TryStreamExt};
use http::header::{self, HeaderMap, HeaderValue};
use tokio::io::AsyncRead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::io::{ReaderStream, StreamReader};

use super::negotiation::accepted_codings;

/// What is smaller is not worth it.
pub(super) const COMPRESSED_MIN: u64 = 1024;
/// How much is compressed before it is sent.
const PIECE: usize = 32 * 1024;
/// Beyond this, brotli is too slow to do while sending.
const BROTLI_LEVEL: i32 = 4;
/// How far back an encoder looks, as a power of two: 512 KiB. What it holds grows with that.
const WINDOW: u32 = 19;

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
}

/// The places for encoders: each holds memory for as long as its client takes to read.
#[derive(Clone, Debug)]
pub(super) struct Encoders(Arc<Semaphore>);

/// One that compresses a body, and has a place.
#[derive(Debug)]
pub(super) struct Encoder {
    coding: Coding,
    place: OwnedSemaphorePermit,
}

impl Encoders {
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))))
    }

    /// An encoder, if there is a place for it.
    pub(super) fn take(&self, coding: Coding) -> Option<Encoder> {
        let place = self.0.clone().try_acquire_owned().ok()?;
        Some(Encoder { coding, place })
    }
}

impl Encoder {
    pub(super) const fn coding(&self) -> Coding {
        self.coding
    }

    /// Compresses a body while it is read.
    pub(super) fn encode(self, body: Body) -> Body {
        let source = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
        match self.coding {
            Coding::Brotli => {
                let params = brotli::EncoderParams::default()
                    .quality(Level::Precise(BROTLI_LEVEL))
                    .window_size(WINDOW as i32);
                self.streamed(BrotliEncoder::with_params(source, params))
            }
            Coding::Zstd => {
                let params = [zstd::CParameter::window_log(WINDOW)];
                let level = Level::Default;
                self.streamed(ZstdEncoder::with_quality_and_params(source, level, &params))
            }
            Coding::Gzip => self.streamed(GzipEncoder::new(source)),
        }
    }

    /// What an encoder makes; its place is free when that is dropped.
    fn streamed(self, encoded: impl AsyncRead + Send + 'static) -> Body {
        let pieces = ReaderStream::with_capacity(encoded, PIECE);
        Body::from_stream(pieces.inspect(move |_| {
            let _held = &self.place;
        }))
    }
}

/// A response of this text, compressed where the client likes that and it is worth it.
pub(super) fn compressed(text: String, asked: &HeaderMap, encoders: &Encoders) -> Response {
    let is_large = text.len() as u64 >= COMPRESSED_MIN;
    let coding = accepted_codings(asked, &LIVE).into_iter().find(|_| is_large);
    let mut response = Response::new(Body::from(text));
    if let Some(encoder) = coding.and_then(|coding| encoders.take(coding)) {
        let name = HeaderValue::from_static(encoder.coding().name());
        response = response.map(|body| encoder.encode(body));
        response.headers_mut().insert(header::CONTENT_ENCODING, name);
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

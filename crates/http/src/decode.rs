//! Content codings (RFC 9110 section 8.4): gzip, deflate, br, zstd.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::header::{self, HeaderMap, HeaderValue};
use portolan_core::{Error, Kind};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use crate::error::HttpError;

/// What is asked for where the caller does not.
pub(crate) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, deflate, br, zstd");

/// How much is read at once.
const PIECE: usize = 64 * 1024;
/// A body may become this large whatever it was before, and beyond it this many times as large as
/// what came: no text is as repetitive, but a bomb is.
const INFLATED_FREE: u64 = 256 * 1024 * 1024;
const RATIO_MAX: u64 = 100;
/// More codings than this, one over the other, serve only to do harm.
const CODINGS_MAX: usize = 4;

/// One way in which a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// The codings of a response, in the order in which they were applied; none where one of them
    /// is unknown, and the body stays as it is.
    pub(crate) fn of(headers: &HeaderMap) -> Vec<Self> {
        let values = headers.get_all(header::CONTENT_ENCODING).iter();
        let names = values.flat_map(|value| value.to_str().unwrap_or("?").split(','));
        let names = names.map(|name| name.trim().to_ascii_lowercase());
        let codings = names.filter(|name| !name.is_empty() && name != "identity");
        let codings: Option<Vec<_>> = codings.map(|name| Self::named(&name)).collect();
        codings.filter(|codings| codings.len() <= CODINGS_MAX).unwrap_or_default()
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }

    async fn decode(self, mut source: Source) -> io::Result<Source> {
        let decoder: Pin<Box<dyn AsyncRead + Send>> = match self {
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(source);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            // Some servers take the name for what RFC 1951 says, others for RFC 1950's format.
            Self::Deflate if is_zlib(source.fill_buf().await?) => {
                Box::pin(ZlibDecoder::new(source))
            }
            Self::Deflate => Box::pin(DeflateDecoder::new(source)),
            Self::Brotli => Box::pin(BrotliDecoder::new(source)),
            Self::Zstd => {
                let mut decoder = ZstdDecoder::new(source);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        };
        Ok(Box::pin(tokio::io::BufReader::new(decoder)))
    }
}

type Source = Pin<Box<dyn AsyncBufRead + Send>>;

/// Whether this begins as zlib does (RFC 1950 section 2.2): method 8, and a checked header.
fn is_zlib(start: &[u8]) -> bool {
    match start {
        [first, second, ..] => {
            first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31)
        }
        [first] => first & 0x0f == 8,
        [] => true,
    }
}

/// A body that is decompressed as it comes.
pub(crate) struct Decoder {
    source: Source,
    /// What has yet to be put over the source, the innermost last.
    pending: Vec<Coding>,
    /// What came over the wire so far.
    received: Arc<AtomicU64>,
    inflated: u64,
}

impl Decoder {
    /// Decodes what `wire` gives, whose errors are [`Error`]s inside those of I/O.
    pub(crate) fn new(
        wire: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        codings: Vec<Coding>,
        received: Arc<AtomicU64>,
    ) -> Self {
        let source = Box::pin(StreamReader::new(Box::pin(wire)));
        Self { source, pending: codings, received, inflated: 0 }
    }

    /// How many bytes came over the wire so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.read().await.map_err(explain)
    }

    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        while let Some(coding) = self.pending.last().copied() {
            // Without a body there is nothing to decode: an answer to HEAD, or 304.
            if self.source.fill_buf().await?.is_empty() {
                return Ok(None);
            }
            let empty: Source = Box::pin(tokio::io::empty());
            let source = std::mem::replace(&mut self.source, empty);
            self.source = coding.decode(source).await?;
            self.pending.pop();
        }
        let mut piece = BytesMut::with_capacity(PIECE);
        let count = self.source.read_buf(&mut piece).await?;
        self.inflated += count as u64;
        let received = self.received();
        if self.inflated > INFLATED_FREE && self.inflated > received.saturating_mul(RATIO_MAX) {
            return Err(io::Error::other(bomb(received, self.inflated)));
        }
        Ok((count > 0).then(|| piece.freeze()))
    }
}

fn bomb(received: u64, inflated: u64) -> Error {
    let cause = HttpError::Bomb { received, inflated };
    Error::new(Kind::Protocol, "could not decode the body")
        .with_hint("ask for it as it is: Accept-Encoding: identity")
        .with_source(cause)
}

/// What went wrong on the wire, or else in decoding.
fn explain(error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::UnexpectedEof => Kind::Partial,
        _ => Kind::Protocol,
    };
    let words = error.to_string();
    error.downcast::<Error>().unwrap_or_else(|_| {
        let cause = match kind {
            Kind::Partial => "the compressed data end too early".to_owned(),
            _ => format!("the compressed data are broken: {words}"),
        };
        Error::new(kind, "could not decode the body").with_source(HttpError::Malformed(cause))
    })
}

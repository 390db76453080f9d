//! The files of a form (RFC 7578) as they come, of which no more is held than is needed to tell
//! where one ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use http::header::{self, HeaderMap};
use multer::{Field, Multipart};

use super::refusal::Refusal;

/// How much may come without a part that begins, goes on or ends.
const HELD_MAX: usize = 64 * 1024;

/// A form that is being read.
pub(super) struct Form {
    parts: Multipart<'static>,
    held: Arc<AtomicUsize>,
}

impl Form {
    /// The form in a request with these fields and this body.
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Result<Self, Refusal> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = multer::parse_boundary(content_type.unwrap_or_default()).map_err(|_| {
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this is not a form with files")
        })?;
        let held = Arc::new(AtomicUsize::new(0));
        let pieces = Paced { body: body.into_data_stream(), held: held.clone(), rests: false };
        Ok(Self { parts: Multipart::new(pieces, boundary), held })
    }

    /// The next file and the name that the client gives it. The one before must have been read to
    /// its end.
    pub(super) async fn next(&mut self) -> Result<Option<(String, FormFile)>, Refusal> {
        while let Some(field) = self.parts.next_field().await? {
            let name = field.file_name().map(str::to_owned);
            let mut file = FormFile { field, held: self.held.clone() };
            // A browser sends a file without a name where none was chosen.
            match name.filter(|name| !name.is_empty()) {
                Some(name) => return Ok(Some((name, file))),
                None => while file.next().await.transpose()?.is_some() {},
            }
        }
        Ok(None)
    }
}

/// The content of one file.
pub(super) struct FormFile {
    field: Field<'static>,
    held: Arc<AtomicUsize>,
}

impl Stream for FormFile {
    type Item = multer::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.field.poll_next_unpin(cx));
        self.held.store(0, Ordering::Relaxed);
        Poll::Ready(piece)
    }
}

/// The pieces of a body, one at a time: the parser would take all that there is before it looks
/// at it.
struct Paced {
    body: BodyDataStream,
    /// Bytes that the parser has taken and made nothing of.
    held: Arc<AtomicUsize>,
    rests: bool,
}

impl Stream for Paced {
    type Item = Result<Bytes, Refused>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rests) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.held.load(Ordering::Relaxed) > HELD_MAX {
            return Poll::Ready(Some(Err(Refused)));
        }
        let piece = ready!(self.body.poll_next_unpin(cx));
        self.rests = true;
        Poll::Ready(piece.map(|piece| {
            let piece = piece.map_err(|_| Refused)?;
            self.held.fetch_add(piece.len(), Ordering::Relaxed);
            Ok(piece)
        }))
    }
}

/// Why the parser gets no more: the body broke off, or is no form.
#[derive(Debug, thiserror::Error)]
#[error("the form cannot be read")]
struct Refused;

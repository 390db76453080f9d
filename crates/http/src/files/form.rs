//! The files of a form (RFC 7578) as they come, of which no more is held than is needed to tell
//! where one ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use http::header::{self, HeaderMap};
use multer::{Field, Multipart};

use super::refusal::Refusal;

/// How much may come without a part that begins, goes on or ends.
const STARVED_MAX: usize = 64 * 1024;

/// A form that is being read.
pub(super) struct Form {
    parts: Multipart<'static>,
    gate: Arc<Gate>,
}

impl Form {
    /// The form in a request with these fields and this body.
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Result<Self, Refusal> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = multer::parse_boundary(content_type.unwrap_or_default()).map_err(|_| {
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this is not a form with files")
        })?;
        let gate = Arc::new(Gate::default());
        let pieces = Gated { body: body.into_data_stream(), gate: gate.clone() };
        Ok(Self { parts: Multipart::new(pieces, boundary), gate })
    }

    /// The next file and the name that the client gives it. The one before must have been read to
    /// its end.
    pub(super) async fn next(&mut self) -> Result<Option<(String, FormFile)>, Refusal> {
        let Self { parts, gate } = self;
        while let Some(field) = poll_fn(|cx| gate.poll(cx, |cx| parts.poll_next_field(cx))).await? {
            let name = field.file_name().map(str::to_owned);
            let mut file = FormFile { field, gate: gate.clone() };
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
    gate: Arc<Gate>,
}

impl Stream for FormFile {
    type Item = multer::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { field, gate } = &mut *self;
        gate.poll(cx, |cx| field.poll_next_unpin(cx))
    }
}

/// What lets the pieces of a body through to the parser, one at a time and only when it can do
/// nothing without another: on its own it takes all that there is, each time it is asked.
#[derive(Default)]
struct Gate {
    is_open: AtomicBool,
    /// Bytes that were let through since the parser last had something to say.
    starved: AtomicUsize,
}

impl Gate {
    /// Asks the parser, with as many pieces as it needs for an answer.
    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        mut ask: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let mut answer = ask(cx);
        while answer.is_pending() {
            let before = self.starved.load(Relaxed);
            self.is_open.store(true, Relaxed);
            answer = ask(cx);
            self.is_open.store(false, Relaxed);
            if answer.is_pending() && self.starved.load(Relaxed) == before {
                // The body has nothing yet, and wakes who waits for it.
                return Poll::Pending;
            }
        }
        self.starved.store(0, Relaxed);
        answer
    }
}

/// The pieces of a body, behind the gate.
struct Gated {
    body: BodyDataStream,
    gate: Arc<Gate>,
}

impl Stream for Gated {
    type Item = Result<Bytes, Refused>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.gate.is_open.swap(false, Relaxed) {
            return Poll::Pending;
        }
        if self.gate.starved.load(Relaxed) > STARVED_MAX {
            return Poll::Ready(Some(Err(Refused)));
        }
        let piece = ready!(self.body.poll_next_unpin(cx));
        Poll::Ready(piece.map(|piece| {
            let piece = piece.map_err(|_| Refused)?;
            // An empty piece is one, too.
            self.gate.starved.fetch_add(piece.len().max(1), Relaxed);
            Ok(piece)
        }))
    }
}

/// Why the parser gets no more: the body broke off, or is no form.
#[derive(Debug, thiserror::Error)]
#[error("the form cannot be read")]
struct Refused;

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::stream;

    use super::*;

    const PART: &str = "--b\r\ncontent-disposition: form-data; filename=a\r\n\r\nahoy\r\n";

    fn form(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Form {
        let content_type = "multipart/form-data; boundary=b".parse().unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        Form::new(&headers, Body::from_stream(pieces)).unwrap()
    }

    #[tokio::test]
    async fn no_more_is_taken_than_is_read() {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let piece = Bytes::from(PART.repeat(2000));
        assert!(piece.len() > STARVED_MAX);
        let mut form = form(stream::repeat_with(move || {
            count.fetch_add(1, Relaxed);
            Ok(piece.clone())
        }));
        for read in 0..4000 {
            assert!(taken.load(Relaxed) <= read / 2000 + 1, "after {read} parts");
            let (name, file) = form.next().await.unwrap().unwrap();
            assert_eq!(name, "a");
            let content: Vec<_> = file.map(Result::unwrap).collect().await;
            assert_eq!(content.concat(), b"ahoy");
        }
    }

    #[tokio::test]
    async fn pieces_may_be_of_any_size() {
        let field = "--b\r\ncontent-disposition: form-data; name=c\r\n\r\nno file\r\n";
        let text = format!("preamble\r\n{PART}{field}{PART}--b--\r\n");
        for size in 0..=text.len() {
            let pieces: Vec<_> = match size {
                // One byte each, with nothing in between.
                0 => text.bytes().flat_map(|byte| [vec![byte], Vec::new()]).collect(),
                size => text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect(),
            };
            let mut form = form(stream::iter(pieces.into_iter().map(|piece| Ok(piece.into()))));
            for _ in 0..2 {
                let (_, file) = form.next().await.unwrap().unwrap();
                let content: Vec<_> = file.map(Result::unwrap).collect().await;
                assert_eq!(content.concat(), b"ahoy");
            }
            assert!(form.next().await.unwrap().is_none());
        }
    }
}

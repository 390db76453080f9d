//! The body of a request: in memory, from files, or as it comes.
//!
//! What is in memory or in files can be sent again after a redirect or a failure; a stream cannot.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::ReaderStream;

/// How much of a file is read at once.
const PIECE: usize = 256 * 1024;

/// The body of a request.
///
/// # Defaults
/// Empty.
#[derive(Default)]
pub struct Body(Content);

enum Content {
    /// Pieces that can be read again.
    Pieces(Vec<Piece>),
    /// What comes, and how much that is, where it is known.
    Stream(BoxStream<'static, io::Result<Bytes>>, Option<u64>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Pieces(Vec::new())
    }
}

/// A part of a body that can be read more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Bytes),
    /// The first bytes of a file: as many as it had when it was looked at.
    File {
        /// Where it is.
        path: PathBuf,
        /// How many bytes.
        length: u64,
    },
}

impl Piece {
    /// A whole file, as long as it is now.
    ///
    /// # Errors
    /// Where there is no such file, or one that cannot be read or has no length.
    pub fn file(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let metadata = std::fs::File::open(&path)?.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(Self::File { length: metadata.len(), path })
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    fn read(self) -> BoxStream<'static, io::Result<Bytes>> {
        match self {
            Self::Bytes(bytes) => stream::once(async { Ok(bytes) }).boxed(),
            Self::File { path, length } => stream::once(open(path))
                .map_ok(move |file| ReaderStream::with_capacity(file.take(length), PIECE))
                .try_flatten()
                .boxed(),
        }
    }
}

async fn open(path: PathBuf) -> io::Result<File> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("could not read {}: {error}", path.display()))
    };
    File::open(&path).await.map_err(named)
}

impl Body {
    /// Nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A file, which is read as it is sent.
    ///
    /// # Errors
    /// As for [`Piece::file`].
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        Piece::file(path.as_ref()).map(|piece| Self::pieces([piece]))
    }

    /// These pieces, one after the other.
    pub fn pieces(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let pieces = pieces.into_iter().filter(|piece| piece.length() > 0);
        Self(Content::Pieces(pieces.collect()))
    }

    /// What a stream gives. It can be sent once.
    pub fn stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Content::Stream(stream.boxed(), None))
    }

    /// What can be read. It can be sent once.
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::stream(ReaderStream::with_capacity(reader, PIECE))
    }

    /// How many bytes it has, where this is known before it is sent.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Content::Pieces(pieces) => Some(pieces.iter().map(Piece::length).sum()),
            Content::Stream(_, len) => *len,
        }
    }

    /// Whether it is known to have none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length() == Some(0)
    }

    /// The bytes, where all of them are in memory.
    #[must_use]
    pub fn as_bytes(&self) -> Option<Bytes> {
        let Content::Pieces(pieces) = &self.0 else { return None };
        let bytes = pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => Some(bytes.clone()),
            Piece::File { .. } => None,
        });
        let mut all: Vec<Bytes> = bytes.collect::<Option<_>>()?;
        match all.len() {
            0 | 1 => Some(all.pop().unwrap_or_default()),
            _ => Some(all.concat().into()),
        }
    }

    /// The same once more, where it can be read again.
    #[must_use]
    pub fn replay(&self) -> Option<Self> {
        match &self.0 {
            Content::Pieces(pieces) => Some(Self(Content::Pieces(pieces.clone()))),
            Content::Stream(..) => None,
        }
    }

    /// All of it, for it to be shown; `None` where it is longer than `limit` bytes.
    ///
    /// # Errors
    /// Where a file or the stream cannot be read.
    pub async fn read(self, limit: usize) -> io::Result<Option<Bytes>> {
        let mut outgoing = self.into_outgoing();
        let mut all = BytesMut::new();
        while let Some(frame) = outgoing.frame().await {
            let Ok(bytes) = frame?.into_data() else { continue };
            if bytes.len() > limit - all.len() {
                return Ok(None);
            }
            all.extend_from_slice(&bytes);
        }
        Ok(Some(all.freeze()))
    }

    /// What the connection sends.
    pub(crate) fn into_outgoing(self) -> Outgoing {
        let left = self.length();
        let source = match self.0 {
            Content::Pieces(mut pieces) => match pieces.pop() {
                None => Source::Bytes(Bytes::new()),
                Some(Piece::Bytes(bytes)) if pieces.is_empty() => Source::Bytes(bytes),
                Some(last) => {
                    pieces.push(last);
                    Source::Stream(stream::iter(pieces).flat_map(Piece::read).boxed())
                }
            },
            Content::Stream(stream, _) => Source::Stream(stream),
        };
        Outgoing { source, left }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length() {
            Some(len) => write!(f, "Body({len} bytes)"),
            None => f.write_str("Body(stream)"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::pieces([Piece::Bytes(bytes)])
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from(text).into()
    }
}

/// A body on its way: what hyper asks for frame by frame.
pub(crate) struct Outgoing {
    source: Source,
    left: Option<u64>,
}

enum Source {
    Bytes(Bytes),
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes = match &mut self.source {
            Source::Bytes(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Source::Bytes(bytes) => std::mem::take(bytes),
            Source::Stream(stream) => match ready!(stream.poll_next_unpin(cx)) {
                None if self.left.is_some_and(|left| left > 0) => {
                    let shrunk = io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "a file became shorter while it was sent",
                    );
                    return Poll::Ready(Some(Err(shrunk)));
                }
                None => return Poll::Ready(None),
                Some(read) => read?,
            },
        };
        self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.source, Source::Bytes(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http_body_util::BodyExt;

    use super::*;

    async fn sent(body: Body) -> Vec<u8> {
        body.into_outgoing().collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn pieces_are_sent_in_order_and_again() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"from a file").unwrap();
        let pieces = [
            Piece::Bytes("first, ".into()),
            Piece::file(file.path()).unwrap(),
            Piece::Bytes(Bytes::new()),
            Piece::Bytes(", last".into()),
        ];
        let body = Body::pieces(pieces);
        assert_eq!(body.length(), Some(24));
        assert_eq!(body.as_bytes(), None);
        let again = body.replay().unwrap();
        assert_eq!(sent(body).await, b"first, from a file, last");
        assert_eq!(sent(again).await, b"first, from a file, last");
    }

    #[tokio::test]
    async fn a_file_that_shrinks_is_an_error_and_one_that_grows_is_cut() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"ahoy").unwrap();
        let (long, short) = (Body::file(&file).unwrap(), Body::file(&file).unwrap());
        file.write_all(b" and more").unwrap();
        assert_eq!(sent(long).await, b"ahoy");
        file.as_file().set_len(2).unwrap();
        let error = short.into_outgoing().collect().await.unwrap_err();
        assert_eq!(error.to_string(), "a file became shorter while it was sent");
    }

    #[tokio::test]
    async fn a_stream_is_sent_once() {
        let body = Body::reader(&b"ahoy"[..]);
        assert_eq!((body.length(), body.replay().is_none()), (None, true));
        assert_eq!(sent(body).await, b"ahoy");
        assert!(Body::empty().is_empty());
        assert_eq!(Body::from("ahoy").as_bytes().unwrap(), "ahoy");
    }

    #[test]
    fn what_cannot_be_read_is_said_at_once() {
        assert!(Body::file("/no/such/file").is_err());
        assert!(Body::file("/").is_err());
    }
}

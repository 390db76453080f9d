//! A part of an open file as the body of a response.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, stream};

/// How much is read at once.
const PIECE: usize = 128 * 1024;

/// A part of an open file. Who answers with one makes it the response's body, by
/// [`body`](Self::body), and puts it into the response's extensions besides: the server then
/// sends it by `sendfile(2)` where it can, and never asks the body.
#[derive(Clone, Debug)]
pub struct FileSlice {
    file: Arc<File>,
    offset: u64,
    length: u64,
}

impl FileSlice {
    /// `length` bytes of `file`, from `offset` on.
    #[must_use]
    pub const fn new(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self { file, offset, length }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it begins, in bytes from the file's beginning.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// A body that reads it piece by piece, off the event loop. It fails where the file has become
    /// shorter.
    #[must_use]
    pub fn body(&self) -> Body {
        Body::from_stream(self.clone().pieces())
    }

    /// The bytes of the slice, in their order.
    pub(crate) fn pieces(self) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin {
        Box::pin(stream::try_unfold(self, |slice| async move {
            if slice.length == 0 {
                return Ok(None);
            }
            let read = tokio::task::spawn_blocking(move || {
                let bytes = slice.read_piece()?;
                let rest = slice.without(bytes.len() as u64);
                Ok((bytes, rest))
            });
            read.await?.map(Some)
        }))
    }

    fn read_piece(&self) -> io::Result<Bytes> {
        let mut piece = vec![0; usize::try_from(self.length).map_or(PIECE, |all| all.min(PIECE))];
        let read = self.file.read_at(&mut piece, self.offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(read);
        Ok(piece.into())
    }

    /// What follows the first `read` bytes.
    fn without(self, read: u64) -> Self {
        Self { file: self.file, offset: self.offset + read, length: self.length - read }
    }
}

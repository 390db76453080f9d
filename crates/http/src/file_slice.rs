//! A part of a file as a response's body.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::{JoinHandle, spawn_blocking};

/// The most that is read at once.
const PIECE: u64 = 64 * 1024;

/// A part of a file that a response carries in place of a body.
///
/// Who answers puts it into the response's extensions and leaves the body empty. The server sets
/// `Content-Length` from it and sends the bytes: by `sendfile(2)` for HTTP/1 on a plain socket, in
/// pieces elsewhere, and not at all to HEAD.
///
/// ```
/// use axum::response::{IntoResponse, Response};
/// use portolan_http::FileSlice;
///
/// fn respond(file: std::fs::File) -> std::io::Result<Response> {
///     let length = file.metadata()?.len();
///     let mut response = ().into_response();
///     response.extensions_mut().insert(FileSlice::new(file, 0, length));
///     Ok(response)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct FileSlice {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl FileSlice {
    /// `length` bytes of `file` from `offset` on. A file that turns out to be shorter breaks the
    /// response off.
    #[must_use]
    pub fn new(file: impl Into<Arc<File>>, offset: u64, length: u64) -> Self {
        Self { file: file.into(), offset, length }
    }

    /// How many bytes it is.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Takes so much off its front.
    pub(crate) const fn advance(&mut self, count: u64) {
        self.offset += count;
        self.length -= count;
    }

    /// Takes the next piece off its front; `None` at its end. What the system has in memory is read
    /// at once, all else by a thread that may wait for the disk.
    fn poll_piece(
        &mut self,
        reading: &mut Option<Reading>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        if self.length == 0 {
            return Poll::Ready(Ok(None));
        }
        let piece = match reading {
            Some(task) => {
                let read = ready!(Pin::new(task).poll(cx)).map_err(io::Error::other);
                *reading = None;
                read??
            }
            None => match self.read_at_once()? {
                Some(piece) => piece,
                None => {
                    let slice = self.clone();
                    *reading = Some(spawn_blocking(move || slice.read()));
                    return self.poll_piece(reading, cx);
                }
            },
        };
        self.advance(piece.len() as u64);
        Poll::Ready(Ok(Some(piece)))
    }

    /// What of the first piece is in memory; `None` if nothing is.
    fn read_at_once(&self) -> io::Result<Option<Bytes>> {
        let mut piece = vec![0; self.length.min(PIECE) as usize];
        let mut buffers = [IoSliceMut::new(&mut piece)];
        match preadv2(&self.file, &mut buffers, self.offset, ReadWriteFlags::NOWAIT) {
            Ok(0) => Err(shrunk()),
            Ok(count) => {
                piece.truncate(count);
                Ok(Some(piece.into()))
            }
            // Not every file system can tell.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::OPNOTSUPP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All of it, where it is no more than one piece and in memory.
    pub(crate) fn read_whole(&self) -> Option<Bytes> {
        if self.length == 0 {
            return Some(Bytes::new());
        }
        let piece = self.read_at_once().ok().flatten()?;
        (piece.len() as u64 == self.length).then_some(piece)
    }

    /// The first piece.
    fn read(&self) -> io::Result<Bytes> {
        let mut piece = vec![0; self.length.min(PIECE) as usize];
        let count = self.file.read_at(&mut piece, self.offset)?;
        piece.truncate(count);
        if piece.is_empty() { Err(shrunk()) } else { Ok(piece.into()) }
    }
}

/// Why a file did not have what was promised of it.
pub(crate) fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter")
}

/// A read that a thread does.
type Reading = JoinHandle<io::Result<Bytes>>;

/// A slice as a body, where the kernel cannot send it.
pub(crate) struct FileBody {
    slice: FileSlice,
    reading: Option<Reading>,
}

impl FileBody {
    pub(crate) const fn new(slice: FileSlice) -> Self {
        Self { slice, reading: None }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self { slice, reading } = self.get_mut();
        let piece = ready!(slice.poll_piece(reading, cx));
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.slice.length == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.slice.length)
    }
}

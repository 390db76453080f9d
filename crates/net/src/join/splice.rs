//! Moving bytes between sockets within the kernel: `splice(2)` through a pipe.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// What a pipe is asked to hold. More than the default of 64 KiB saves wake-ups; unprivileged
/// users may have up to 1 MiB (pipe(7)).
const CAPACITY: usize = 256 * 1024;
/// How many pipes a thread keeps for later.
const SPARE: usize = 16;

thread_local! {
    static SPARES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe through which bytes pass from one socket to another.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    /// An empty pipe.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`], whatever keeps the system from making one.
    pub(super) fn take() -> io::Result<Self> {
        let spare = SPARES.with_borrow_mut(Vec::pop);
        spare.map_or_else(Self::new, Ok).map_err(|_| io::ErrorKind::Unsupported.into())
    }

    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // One that may not grow is good enough.
        let _ = fcntl_setpipe_size(&writer, CAPACITY);
        Ok(Self { reader, writer })
    }

    /// Keeps the pipe, which must be empty, for the next one who needs it.
    pub(super) fn give_back(self) {
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < SPARE {
                spares.push(self);
            }
        });
    }

    /// Moves at most `limit` bytes out of a socket; none once its peer has said all. The pipe must
    /// be empty: then [`io::ErrorKind::WouldBlock`] is about the socket and never about the pipe.
    pub(super) fn fill(&self, socket: impl AsFd, limit: usize) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        Ok(splice(socket, None, &self.writer, None, limit.min(CAPACITY), flags)?)
    }

    /// Moves at most `count` bytes, which must be in the pipe, to a socket.
    pub(super) fn empty(&self, socket: impl AsFd, count: usize) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        Ok(splice(&self.reader, None, socket, None, count, flags)?)
    }

    /// Copies out the `count` bytes that are in the pipe.
    pub(super) fn copy_out(&self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match rustix::io::read(&self.reader, &mut bytes[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(bytes)
    }
}

/// Whether a failure says that this cannot be done at all, rather than that an end broke.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

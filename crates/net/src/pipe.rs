//! Moving bytes between sockets and files within the kernel: `splice(2)` through a pipe.

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

/// A pipe through which bytes pass from a socket to another one, or to a file.
#[derive(Debug)]
pub(crate) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    /// An empty pipe.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`], whatever keeps the system from making one.
    pub(crate) fn take() -> io::Result<Self> {
        let spare = SPARES.with_borrow_mut(Vec::pop);
        spare.map_or_else(Self::new, Ok).map_err(|_| io::ErrorKind::Unsupported.into())
    }

    /// A pipe that is nobody's.
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // One that may not grow is good enough.
        let _ = fcntl_setpipe_size(&writer, CAPACITY);
        Ok(Self { reader, writer })
    }

    /// Keeps the pipe, which must be empty, for the next one who needs it.
    pub(crate) fn give_back(self) {
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < SPARE {
                spares.push(self);
            }
        });
    }

    /// Moves at most `limit` bytes out of a socket; none once its peer has said all. The pipe must
    /// be empty: then [`io::ErrorKind::WouldBlock`] is about the socket and never about the pipe.
    pub(crate) fn fill(&self, socket: impl AsFd, limit: usize) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        Ok(splice(socket, None, &self.writer, None, limit.min(CAPACITY), flags)?)
    }

    /// Moves at most `count` bytes, which must be in the pipe, to a socket or a file.
    pub(crate) fn empty(&self, to: impl AsFd, count: usize) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        Ok(splice(&self.reader, None, to, None, count, flags)?)
    }

    /// Copies out the `count` bytes that are in the pipe.
    pub(crate) fn copy_out(&self, count: usize) -> io::Result<Vec<u8>> {
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
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    impl Pipe {
        /// How many pipes this thread keeps.
        pub(crate) fn spare() -> usize {
            SPARES.with_borrow(Vec::len)
        }
    }

    #[test]
    fn what_is_in_a_pipe_can_be_moved_on_or_copied_out() {
        let (mut source, theirs) = UnixStream::pair().unwrap();
        let (ours, mut sink) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let pipe = Pipe::take().unwrap();
        let nothing = pipe.fill(&theirs, 100).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        source.write_all(b"ahoy there").unwrap();
        assert_eq!(pipe.fill(&theirs, 100).unwrap(), 10);
        assert_eq!(pipe.empty(&ours, 5).unwrap(), 5);
        let mut moved = [0; 5];
        sink.read_exact(&mut moved).unwrap();
        assert_eq!((&moved, pipe.copy_out(5).unwrap()), (b"ahoy ", b"there".to_vec()));
        drop(source);
        assert_eq!(pipe.fill(&theirs, 100).unwrap(), 0);
    }

    #[test]
    fn a_thread_keeps_a_few_pipes() {
        let pipes: Vec<_> = (0..SPARE + 4).map(|_| Pipe::take().unwrap()).collect();
        pipes.into_iter().for_each(Pipe::give_back);
        assert_eq!(Pipe::spare(), SPARE);
    }

    #[test]
    fn a_file_cannot_be_spliced_to_everything() {
        let pipe = Pipe::take().unwrap();
        let directory = std::fs::File::open("/").unwrap();
        assert!(is_unsupported(&pipe.fill(&directory, 1).unwrap_err()));
    }
}

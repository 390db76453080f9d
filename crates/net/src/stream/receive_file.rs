//! From a socket into a file, within the kernel: what a large download is.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portolan_core::units::show_duration;
use portolan_core::{Error, Kind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use tokio::task::spawn_blocking;
use tokio::time::interval;

use crate::Stream;
use crate::pipe::{Pipe, is_unsupported};

/// How often is told how many bytes have come.
const TELLS: Duration = Duration::from_millis(100);

impl Stream {
    /// Moves the next `length` bytes into `file`, at its position, without a copy of them in this
    /// process. `told` learns now and then how many more have come.
    ///
    /// It gives back how many bytes came: fewer than `length` where the peer has closed. A thread
    /// of its own waits for the socket and for the file; dropping the future ends it, and the
    /// stream with it.
    ///
    /// # Errors
    /// [`Kind::Timeout`] where nothing comes for `idle`; [`Kind::Lost`] where the connection
    /// breaks; [`Kind::Write`] where the file cannot take what has come; [`Kind::Usage`] for a
    /// stream that is not [plain](Self::is_plain).
    pub async fn receive_file(
        &mut self,
        file: &File,
        length: u64,
        idle: Option<Duration>,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        let Some((socket, meter)) = self.raw() else {
            let message = "could not move what a stream of this kind carries within the kernel";
            return Err(Error::new(Kind::Usage, message));
        };
        let again = || socket.as_fd().try_clone_to_owned().map_err(lost);
        let file = file.try_clone().map_err(unwritten)?;
        let stop = Stop(again()?);
        let transfer = Transfer { socket: again()?, file, length, idle, moved: Arc::default() };
        let moved = transfer.moved.clone();
        let mut seen = 0;
        let mut tell = || {
            let now = moved.load(Ordering::Relaxed);
            if now > seen {
                told(now - seen);
                seen = now;
            }
            now
        };
        let mut running = spawn_blocking(move || transfer.run());
        let mut ticks = interval(TELLS);
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                _ = ticks.tick() => tell(),
            };
        };
        std::mem::drop(stop);
        let count = tell();
        if let Some(meter) = meter {
            meter.count_read(usize::try_from(count).unwrap_or(usize::MAX));
        }
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        Ok(count)
    }
}

/// Ends a transfer that nobody waits for any more: its next look at the socket finds the end.
struct Stop(OwnedFd);

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = shutdown(&self.0, Shutdown::Read);
    }
}

/// What the thread does.
struct Transfer {
    socket: OwnedFd,
    file: File,
    length: u64,
    idle: Option<Duration>,
    moved: Arc<AtomicU64>,
}

impl Transfer {
    fn run(mut self) -> Result<(), Error> {
        let pipe = Pipe::new().map_err(unwritten)?;
        let mut left = self.length;
        while left > 0 {
            let limit = usize::try_from(left).unwrap_or(usize::MAX);
            match pipe.fill(&self.socket, limit) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.empty(&pipe, count).map_err(unwritten)?;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(())
    }

    /// Waits until there is something to read.
    fn wait(&self) -> Result<(), Error> {
        match ready(&self.socket, PollFlags::IN, self.idle).map_err(lost)? {
            true => Ok(()),
            false => {
                let limit = show_duration(self.idle.unwrap_or_default());
                Err(Error::new(Kind::Timeout, format!("nothing came for {limit}")))
            }
        }
    }

    /// Brings `count` bytes, which are in the pipe, into the file.
    fn empty(&mut self, pipe: &Pipe, mut count: usize) -> io::Result<()> {
        while count > 0 {
            let moved = match pipe.empty(&self.file, count) {
                Ok(moved) => moved,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready(&self.file, PollFlags::OUT, None)?;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A terminal, or a file that is only appended to.
                Err(error) if is_unsupported(&error) => {
                    self.file.write_all(&pipe.copy_out(count)?)?;
                    count
                }
                Err(error) => return Err(error),
            };
            count -= moved;
            self.moved.fetch_add(moved as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Waits until `what` is ready; whether it was within `limit`.
fn ready(
    what: &impl std::os::fd::AsFd,
    flags: PollFlags,
    limit: Option<Duration>,
) -> io::Result<bool> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    loop {
        match poll(&mut [PollFd::new(what, flags)], limit.as_ref()) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn lost(cause: io::Error) -> Error {
    Error::new(Kind::Lost, "the connection was lost").with_source(cause)
}

fn unwritten(cause: io::Error) -> Error {
    Error::new(Kind::Write, "could not write what came").with_source(cause)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::os::fd::AsFd;

    use portolan_core::Timeouts;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::Context;

    const ENOUGH: Option<Duration> = Some(Duration::from_secs(20));

    /// A stream, what is said to it, and an empty file.
    fn setup() -> (Stream, tokio::net::UnixStream, File) {
        let (stream, theirs) = Stream::pair().unwrap();
        let theirs = std::os::unix::net::UnixStream::from(theirs);
        theirs.set_nonblocking(true).unwrap();
        (stream, tokio::net::UnixStream::from_std(theirs).unwrap(), tempfile::tempfile().unwrap())
    }

    fn content(file: &mut File) -> Vec<u8> {
        let mut content = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut content).unwrap();
        content
    }

    #[tokio::test]
    async fn so_many_bytes_and_no_more_come_into_the_file() {
        let (mut stream, mut theirs, mut file) = setup();
        file.write_all(b"before").unwrap();
        let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let said = sent.clone();
        let speaking = tokio::spawn(async move {
            theirs.write_all(&said).await.unwrap();
            theirs.write_all(b"after").await.unwrap();
            theirs
        });
        let total = AtomicU64::new(0);
        let told = |more| _ = total.fetch_add(more, Ordering::Relaxed);
        let length = sent.len() as u64;
        let count = stream.receive_file(&file, length, ENOUGH, &told).await.unwrap();
        assert_eq!((count, total.into_inner()), (length, length));
        speaking.await.unwrap();
        assert!(content(&mut file) == [b"before", &sent[..]].concat());
    }

    #[tokio::test]
    async fn an_early_end_and_silence_are_told_apart() {
        let (mut stream, mut theirs, file) = setup();
        theirs.write_all(b"ahoy").await.unwrap();
        let short = Some(Duration::from_millis(20));
        let late = stream.receive_file(&file, 5, short, &|_| {}).await.unwrap_err();
        assert_eq!((late.kind(), file.metadata().unwrap().len()), (Kind::Timeout, 4));

        let (mut stream, mut theirs, file) = setup();
        theirs.write_all(b"ahoy").await.unwrap();
        drop(theirs);
        assert_eq!(stream.receive_file(&file, 5, ENOUGH, &|_| {}).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn what_cannot_be_spliced_into_is_written_to() {
        let (mut stream, mut theirs, _) = setup();
        let path = tempfile::NamedTempFile::new().unwrap();
        let mut file = File::options().read(true).append(true).open(path.path()).unwrap();
        theirs.write_all(b"ahoy").await.unwrap();
        assert_eq!(stream.receive_file(&file, 4, ENOUGH, &|_| {}).await.unwrap(), 4);
        assert_eq!(content(&mut file), b"ahoy");
    }

    #[tokio::test]
    async fn a_file_that_takes_nothing_is_not_the_peers_fault() {
        let (mut stream, mut theirs, _) = setup();
        let full = File::options().write(true).open("/dev/full").unwrap();
        theirs.write_all(b"ahoy").await.unwrap();
        let error = stream.receive_file(&full, 4, ENOUGH, &|_| {}).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Write);
    }

    #[tokio::test]
    async fn a_transfer_that_is_dropped_ends() {
        let (mut stream, theirs, file) = setup();
        let cx = Context::new(Timeouts::default()).limited(Some(Duration::from_millis(20)));
        let moving = stream.receive_file(&file, 4, None, &|_| {});
        assert!(cx.until_deadline(moving).await.is_none());
        // The thread has let go of the socket once nobody holds it.
        drop(stream);
        assert!(ready(&theirs.as_fd(), PollFlags::HUP, ENOUGH).unwrap());
    }

    #[tokio::test]
    async fn only_a_plain_socket_can_do_this() {
        let mut stream = Stream::boxed(tokio::io::empty());
        let refused = stream.receive_file(&tempfile::tempfile().unwrap(), 1, None, &|_| {}).await;
        assert_eq!((refused.unwrap_err().kind(), stream.is_plain()), (Kind::Usage, false));
    }
}

//! Files into sockets, without a copy: `sendfile(2)`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::sendfile;
use rustix::net::{SendFlags, send};
use tokio::io::AsyncWrite;

use crate::Stream;

/// The most that is sent at once, so that a fast peer does not keep all others waiting.
const CHUNK: u64 = 1024 * 1024;

impl Stream {
    /// Writes like `poll_write`, and lets a plain TCP socket keep it back for what follows at once.
    pub fn poll_write_more(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some((socket, _)) = self.raw() else {
            return Pin::new(self).poll_write(cx, bytes);
        };
        let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
        let sent = ready!(socket.poll_write(cx, |socket| Ok(send(socket, bytes, flags)?)));
        Poll::Ready(self.count_written(sent))
    }

    /// Sends a part of `file`, at most `length` bytes from `offset` on, and says how much it was: 0
    /// at the end of the file.
    ///
    /// # Errors
    /// Those of the socket and of the file; [`io::ErrorKind::Unsupported`] where
    /// it is not [plain](Self::is_plain).
    pub fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: u64,
    ) -> Poll<io::Result<usize>> {
        let Some((socket, _)) = self.raw() else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        let count = usize::try_from(length.min(CHUNK)).unwrap_or(usize::MAX);
        let sent = ready!(socket.poll_write(cx, |socket| {
            let mut offset = offset;
            Ok(sendfile(socket, file.as_fd(), Some(&mut offset), count)?)
        }));
        Poll::Ready(self.count_written(sent))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;
    use std::sync::Arc;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::Meter;

    #[tokio::test]
    async fn a_file_follows_what_was_written() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        file.write_all(&content).unwrap();
        let (stream, peer) = Stream::pair().unwrap();
        let meter = Arc::new(Meter::default());
        let mut stream = stream.metered(meter.clone());
        let sending = async move {
            assert!(stream.is_plain());
            assert_eq!(poll_fn(|cx| stream.poll_write_more(cx, b"ahoy")).await.unwrap(), 4);
            let mut at = 1;
            loop {
                let left = content.len() as u64 + 9 - at;
                match poll_fn(|cx| stream.poll_send_file(cx, &file, at, left)).await.unwrap() {
                    0 => break,
                    sent => at += sent as u64,
                }
            }
            content
        };
        let peer = std::os::unix::net::UnixStream::from(peer);
        peer.set_nonblocking(true).unwrap();
        let mut peer = tokio::net::UnixStream::from_std(peer).unwrap();
        let mut received = Vec::new();
        let (content, read) = tokio::join!(sending, peer.read_to_end(&mut received));
        assert_eq!(read.unwrap() as u64, meter.written());
        assert_eq!(&received[..4], b"ahoy");
        assert!(received[4..] == content[1..]);
    }

    #[tokio::test]
    async fn only_plain_sockets_can() {
        let file = tempfile::tempfile().unwrap();
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut stream = Stream::boxed(ours);
        assert!(!stream.is_plain());
        let sent = poll_fn(|cx| stream.poll_send_file(cx, &file, 0, 1)).await;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::Unsupported);
        assert_eq!(poll_fn(|cx| stream.poll_write_more(cx, b"ahoy")).await.unwrap(), 4);
    }
}

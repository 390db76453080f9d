//! One stream type for all that carries bytes both ways.

mod receive_file;
mod send_file;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::pcap::{Tap, Tapped};

/// Bytes in both directions: TCP, a Unix socket, TLS over either, or anything else, boxed.
///
/// `shutdown` half-closes. Dropping closes; [`abort`](Self::abort) resets.
pub struct Stream {
    kind: StreamKind,
    meter: Option<Arc<Meter>>,
    /// The capture of the socket beneath, where what is boxed hides it.
    beneath: Option<Tap>,
}

/// The kinds that have a fast path, and one for all others.
pub(crate) enum StreamKind {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<tokio_rustls::TlsStream<Stream>>),
    Tapped(Box<Tapped>),
    Other(Pin<Box<dyn Io>>),
}

/// What a boxed stream can do.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// Counts the bytes that pass a stream.
#[derive(Debug, Default)]
pub struct Meter {
    read: AtomicU64,
    written: AtomicU64,
}

impl Meter {
    /// One that goes on from these counts.
    pub(crate) const fn from_counts(read: u64, written: u64) -> Self {
        Self { read: AtomicU64::new(read), written: AtomicU64::new(written) }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn count_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Stream {
    /// A stream of any other kind.
    pub fn boxed(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self::from(StreamKind::Other(Box::pin(io)))
    }

    /// Whether it is a TCP or a Unix socket, without TLS, faults or capture: then the kernel can move
    /// files to it and from it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.raw().is_some()
    }

    /// A pair of connected Unix sockets: a stream, and the other end for a child process.
    ///
    /// # Errors
    /// The system's, when there are no more descriptors.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((UnixStream::from_std(ours)?.into(), theirs.into()))
    }

    /// Counts what passes from now on.
    #[must_use]
    pub fn metered(mut self, meter: Arc<Meter>) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Captures what passes from now on.
    #[must_use]
    pub(crate) fn tapped(self, tap: Tap) -> Self {
        StreamKind::Tapped(Box::new(Tapped { stream: self, tap })).into()
    }

    /// This stream, which is boxed, knowing the capture of the one that it carries on.
    #[must_use]
    pub(crate) fn over(mut self, beneath: Option<Tap>) -> Self {
        self.beneath = beneath;
        self
    }

    /// The capture of the socket at the bottom, where there is one.
    pub(crate) fn tap(&self) -> Option<&Tap> {
        match &self.kind {
            StreamKind::Tapped(tapped) => Some(&tapped.tap),
            StreamKind::Tls(stream) => stream.get_ref().0.tap(),
            StreamKind::Tcp(_) | StreamKind::Unix(_) | StreamKind::Other(_) => {
                self.beneath.as_ref()
            }
        }
    }

    /// Closes at once: over TCP the peer gets a reset (RST) instead of an orderly end.
    pub fn abort(self) {
        self.reset_when_dropped();
    }

    /// Lets the end of this be what [`abort`](Self::abort) is.
    pub(crate) fn reset_when_dropped(&self) {
        if let Some(tap) = self.tap() {
            tap.reset();
        }
        if let Some(tcp) = self.tcp() {
            let _ = socket2::SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    /// Takes it apart, for who carries the bytes in another way and counts them too.
    pub(crate) fn into_parts(self) -> (StreamKind, Option<Arc<Meter>>) {
        (self.kind, self.meter)
    }

    /// The socket and the meter, where the stream is a plain socket: the kernel may then move its
    /// bytes, and who lets it do so counts them.
    pub(crate) fn raw(&self) -> Option<(Raw<'_>, Option<&Meter>)> {
        let raw = match &self.kind {
            StreamKind::Tcp(stream) => Raw::Tcp(stream),
            StreamKind::Unix(stream) => Raw::Unix(stream),
            StreamKind::Tls(_) | StreamKind::Tapped(_) | StreamKind::Other(_) => return None,
        };
        Some((raw, self.meter.as_deref()))
    }

    /// Whether it is a Unix socket.
    pub(crate) fn is_unix(&self) -> bool {
        match &self.kind {
            StreamKind::Unix(_) => true,
            StreamKind::Tapped(tapped) => tapped.stream.is_unix(),
            StreamKind::Tcp(_) | StreamKind::Tls(_) | StreamKind::Other(_) => false,
        }
    }

    /// The TCP stream at the bottom, where there is one.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match &self.kind {
            StreamKind::Tcp(stream) => Some(stream),
            StreamKind::Tls(stream) => stream.get_ref().0.tcp(),
            StreamKind::Tapped(tapped) => tapped.stream.tcp(),
            StreamKind::Unix(_) | StreamKind::Other(_) => None,
        }
    }
}

/// A plain socket.
pub(crate) enum Raw<'a> {
    Tcp(&'a TcpStream),
    Unix(&'a UnixStream),
}

impl Raw<'_> {
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }

    /// Does `call`, which reads from the socket, once that can be done without waiting.
    pub(crate) fn poll_read<T>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_io(Interest::READABLE, cx, call)
    }

    /// Does `call`, which writes to the socket, once that can be done without waiting.
    pub(crate) fn poll_write<T>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_io(Interest::WRITABLE, cx, call)
    }

    fn poll_io<T>(
        &self,
        interest: Interest,
        cx: &mut Context<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(match (self, interest.is_readable()) {
                (Self::Tcp(socket), true) => socket.poll_read_ready(cx),
                (Self::Tcp(socket), false) => socket.poll_write_ready(cx),
                (Self::Unix(socket), true) => socket.poll_read_ready(cx),
                (Self::Unix(socket), false) => socket.poll_write_ready(cx),
            })?;
            let tried = match self {
                Self::Tcp(socket) => socket.try_io(interest, || call(socket.as_fd())),
                Self::Unix(socket) => socket.try_io(interest, || call(socket.as_fd())),
            };
            if !is_to_be_tried_again(&tried) {
                return Poll::Ready(tried);
            }
        }
    }
}

fn is_to_be_tried_again<T>(tried: &io::Result<T>) -> bool {
    use io::ErrorKind as K;
    tried.as_ref().is_err_and(|error| matches!(error.kind(), K::WouldBlock | K::Interrupted))
}

impl From<StreamKind> for Stream {
    fn from(kind: StreamKind) -> Self {
        Self { kind, meter: None, beneath: None }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        StreamKind::Tcp(stream).into()
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        StreamKind::Unix(stream).into()
    }
}

impl From<tokio_rustls::TlsStream<Self>> for Stream {
    fn from(stream: tokio_rustls::TlsStream<Self>) -> Self {
        StreamKind::Tls(Box::new(stream)).into()
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.kind {
            StreamKind::Tcp(_) => "Stream(tcp)",
            StreamKind::Unix(_) => "Stream(unix)",
            StreamKind::Tls(_) => "Stream(tls)",
            StreamKind::Tapped(tapped) => return tapped.stream.fmt(f),
            StreamKind::Other(_) => "Stream(other)",
        })
    }
}

/// Calls the same method on whichever kind it is.
macro_rules! each {
    ($stream:expr, $io:ident => $call:expr) => {
        match &mut $stream.kind {
            StreamKind::Tcp(io) => {
                let $io = Pin::new(io);
                $call
            }
            StreamKind::Unix(io) => {
                let $io = Pin::new(io);
                $call
            }
            StreamKind::Tls(io) => {
                let $io = Pin::new(io);
                $call
            }
            StreamKind::Tapped(io) => {
                let $io = Pin::new(&mut **io);
                $call
            }
            StreamKind::Other(io) => {
                let $io = io.as_mut();
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(each!(self, io => io.poll_read(cx, buffer)))?;
        if let Some(meter) = &self.meter {
            meter.count_read(buffer.filled().len() - before);
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream {
    fn count_written(&self, written: io::Result<usize>) -> io::Result<usize> {
        if let (Some(meter), Ok(count)) = (&self.meter, &written) {
            meter.count_written(*count);
        }
        written
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(each!(self, io => io.poll_write(cx, buffer)));
        Poll::Ready(self.count_written(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(each!(self, io => io.poll_write_vectored(cx, buffers)));
        Poll::Ready(self.count_written(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.kind {
            StreamKind::Tcp(io) => io.is_write_vectored(),
            StreamKind::Unix(io) => io.is_write_vectored(),
            StreamKind::Tls(io) => io.is_write_vectored(),
            StreamKind::Tapped(io) => io.is_write_vectored(),
            StreamKind::Other(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => io.poll_shutdown(cx))
    }
}

//! A stream that blocks.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use std::time::Duration;

use portolan_core::units::show_duration;
use portolan_core::{Blame, Error, Kind};

use crate::stream::StreamKind;
use crate::{Context, Meter};

/// Bytes in both directions, with blocking I/O: TCP, a Unix socket, or TLS over either.
///
/// [`shutdown`](Self::shutdown) half-closes; dropping closes. A read or a write that waits longer
/// than the limit of idleness fails with [`io::ErrorKind::TimedOut`]. Once the server stops, reads
/// deliver what has arrived and then end as if the peer had half-closed.
pub struct Stream {
    kind: Kinds,
    meter: Option<Arc<Meter>>,
    cx: Context,
}

/// What carries the bytes.
enum Kinds {
    Socket(Arc<Socket>),
    Tls(Box<Tls>),
}

/// A plain socket. It is shared with what ends it from outside, and with clones.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// TLS, and the stream below it.
struct Tls {
    session: rustls::Connection,
    below: Stream,
}

impl Stream {
    /// Takes an asynchronous stream apart.
    pub(super) fn from_async(stream: crate::Stream, cx: &Context) -> Result<Self, Error> {
        let (kind, meter) = stream.into_parts();
        let kind = match kind {
            StreamKind::Tcp(stream) => Kinds::socket(stream.into_std().map(Socket::Tcp), cx)?,
            StreamKind::Unix(stream) => Kinds::socket(stream.into_std().map(Socket::Unix), cx)?,
            StreamKind::Tls(stream) => Kinds::Tls(Box::new(Tls::from_async(*stream, cx)?)),
            StreamKind::Tapped(_) | StreamKind::Other(_) => {
                let what = "could not use blocking I/O on a stream that is no socket of its own";
                return Err(Error::new(Kind::Usage, what).with_blame(Blame::Us).with_hint(
                    "blocking I/O is for TCP, Unix sockets and TLS over them, without faults or capture",
                ));
            }
        };
        Ok(Self { kind, meter, cx: cx.clone() })
    }

    /// A second handle of the same stream, so that one thread can read while another writes.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for TLS, whose two directions depend on one another.
    pub fn try_clone(&self) -> io::Result<Self> {
        match &self.kind {
            Kinds::Socket(socket) => Ok(Self {
                kind: Kinds::Socket(socket.clone()),
                meter: self.meter.clone(),
                cx: self.cx.clone(),
            }),
            Kinds::Tls(_) => {
                let what = "a TLS stream has one handle, which reads and writes";
                Err(io::Error::new(io::ErrorKind::Unsupported, what))
            }
        }
    }

    /// Says that no more will be sent; the peer may still answer.
    ///
    /// # Errors
    /// The system's; one that the peer has closed counts as shut down.
    pub fn shutdown(&mut self) -> io::Result<()> {
        self.flush()?;
        match &mut self.kind {
            Kinds::Socket(socket) => socket.shutdown(Shutdown::Write),
            Kinds::Tls(tls) => {
                tls.session.send_close_notify();
                tls.flush()?;
                tls.below.shutdown()
            }
        }
    }

    /// What ends the stream from outside, for as long as it exists.
    pub(super) fn socket(&self) -> Weak<Socket> {
        match &self.kind {
            Kinds::Socket(socket) => Arc::downgrade(socket),
            Kinds::Tls(tls) => tls.below.socket(),
        }
    }

    /// Counts what passed, and says in words which limit ran out.
    fn count(&self, passed: io::Result<usize>, count: impl Fn(&Meter, usize)) -> io::Result<usize> {
        match passed {
            Ok(bytes) => {
                self.meter.iter().for_each(|meter| count(meter, bytes));
                Ok(bytes)
            }
            // What a socket with a time limit says (socket(7), SO_RCVTIMEO).
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let limit = self.cx.timeouts().idle.map_or_else(String::new, show_duration);
                let what = format!("nothing passed for {limit}");
                Err(io::Error::new(io::ErrorKind::TimedOut, what))
            }
            Err(error) => Err(error),
        }
    }
}

impl Kinds {
    fn socket(socket: io::Result<Socket>, cx: &Context) -> Result<Self, Error> {
        let blocking = socket.and_then(|socket| {
            socket.set_blocking(cx.timeouts().idle)?;
            Ok(Self::Socket(Arc::new(socket)))
        });
        blocking.map_err(|cause| {
            Error::new(Kind::Lost, "could not change over to blocking I/O").with_source(cause)
        })
    }
}

/// Calls the same method on whichever socket it is.
macro_rules! each {
    ($socket:expr, $io:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($io) => $call,
            Socket::Unix($io) => $call,
        }
    };
}

impl Socket {
    /// Blocks from now on, and no longer than the limit.
    fn set_blocking(&self, limit: Option<Duration>) -> io::Result<()> {
        each!(self, io => {
            io.set_nonblocking(false)?;
            io.set_read_timeout(limit)?;
            io.set_write_timeout(limit)
        })
    }

    /// Ends one direction or both, for every handle; who waits in it is woken.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match each!(self, io => io.shutdown(how)) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.kind {
            Kinds::Socket(socket) => each!(&**socket, io => (&*io).read(buffer)),
            Kinds::Tls(tls) => match tls.read(buffer) {
                // We ended the socket, so the peer's own end of TLS cannot come any more.
                Err(error)
                    if error.kind() == io::ErrorKind::UnexpectedEof && self.cx.is_stopping() =>
                {
                    Ok(0)
                }
                read => read,
            },
        };
        self.count(read, Meter::count_read)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = match &mut self.kind {
            Kinds::Socket(socket) => each!(&**socket, io => (&*io).write(buffer)),
            Kinds::Tls(tls) => tls.write(buffer),
        };
        self.count(written, Meter::count_written)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match &mut self.kind {
            Kinds::Socket(socket) => each!(&**socket, io => (&*io).write_vectored(buffers)),
            Kinds::Tls(tls) => tls.write_vectored(buffers),
        };
        self.count(written, Meter::count_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kinds::Socket(_) => Ok(()),
            Kinds::Tls(tls) => tls.flush(),
        }
    }
}

/// Calls the same method on whichever end of TLS we are.
macro_rules! secured {
    ($tls:expr, $io:ident => $call:expr) => {
        match &mut $tls.session {
            rustls::Connection::Client(session) => {
                let mut $io = rustls::Stream::new(session, &mut $tls.below);
                $call
            }
            rustls::Connection::Server(session) => {
                let mut $io = rustls::Stream::new(session, &mut $tls.below);
                $call
            }
        }
    };
}

impl Tls {
    fn from_async(
        stream: tokio_rustls::TlsStream<crate::Stream>,
        cx: &Context,
    ) -> Result<Self, Error> {
        let (below, session) = match stream {
            tokio_rustls::TlsStream::Client(stream) => {
                let (below, session) = stream.into_inner();
                (below, session.into())
            }
            tokio_rustls::TlsStream::Server(stream) => {
                let (below, session) = stream.into_inner();
                (below, session.into())
            }
        };
        Ok(Self { session, below: Stream::from_async(below, cx)? })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        secured!(self, io => io.read(buffer))
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        secured!(self, io => io.write(buffer))
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        secured!(self, io => io.write_vectored(buffers))
    }

    fn flush(&mut self) -> io::Result<()> {
        secured!(self, io => io.flush())
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.kind {
            Kinds::Socket(socket) => match **socket {
                Socket::Tcp(_) => "Stream(tcp, blocking)",
                Socket::Unix(_) => "Stream(unix, blocking)",
            },
            Kinds::Tls(_) => "Stream(tls, blocking)",
        })
    }
}

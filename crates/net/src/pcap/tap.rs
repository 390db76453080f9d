//! What a connection tells the capture: its packets, and the secrets of the TLS that runs on it.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use portolan_core::{Direction, Endpoint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Capture;
use super::packet::{self, ACK, DATAGRAM_MAX, FIN, PSH, Path, RST, SEGMENT_MAX, SYN, Segment};
use super::wire::{self, About};
use crate::Stream;

/// The most bytes that are written at once, so that as much is captured at once.
const WRITE_MAX: usize = 64 * 1024;
/// The most bytes of packets that are held while a handshake runs; it has done with far less.
const HELD_MAX: usize = 256 * 1024;
/// After how many bytes that the other end sent nothing after, it acknowledges them.
const ACKNOWLEDGED: u32 = 1024 * 1024;

/// The addresses of Unix sockets: none that anybody uses.
const UNIX_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const UNIX_SERVER: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 2);
/// The ports of Unix sockets: of no protocol, so that none is read into them (RFC 6335).
const UNIX_PORT: u16 = 49_151;
const UNIX_PORTS: u64 = 1 << 14;

/// The ends of a connection, as far as they have addresses.
#[derive(Clone, Debug)]
pub(crate) enum Ends {
    Inet {
        local: SocketAddr,
        remote: SocketAddr,
    },
    /// The socket's name.
    Unix(String),
}

/// A connection in a capture. A clone is the same connection.
#[derive(Clone)]
pub(crate) struct Tap(Arc<Inner>);

struct Inner {
    capture: Capture,
    /// Who waits to read; who waits to write has the next.
    number: u64,
    state: Mutex<State>,
}

struct State {
    flow: Flow,
    held: Option<Held>,
}

/// What is not in the capture yet.
#[derive(Default)]
struct Held {
    packets: Vec<u8>,
    secrets: String,
}

impl Tap {
    /// Opens a connection, by us where it was dialled, or else by the peer.
    pub(crate) fn open(capture: Capture, ends: Ends, opener: Direction) -> Self {
        let number = capture.number();
        let (local, remote, comment) = match ends {
            Ends::Inet { local, remote } => (local, remote, None),
            Ends::Unix(name) => {
                let client = SocketAddr::from((UNIX_CLIENT, unix_port(number)));
                let server = SocketAddr::from((UNIX_SERVER, UNIX_PORT));
                let comment = format!("{name}, a Unix socket: the addresses are made up");
                match opener {
                    Direction::Sent => (client, server, Some(comment)),
                    Direction::Received => (server, client, Some(comment)),
                }
            }
        };
        let flow = Flow::new(Path::new(local, remote), number);
        let state = Mutex::new(State { flow, held: None });
        let tap = Self(Arc::new(Inner { capture, number, state }));
        tap.record(|flow, out| flow.open(out, opener, comment.as_deref()));
        tap
    }

    /// Resets the connection, from this end.
    pub(crate) fn reset(&self) {
        self.record(|flow, out| flow.reset(out, Direction::Sent));
    }

    /// Holds the packets back while a TLS handshake runs, where its secrets are to be captured.
    pub(crate) fn hold(&self) -> Option<Hold> {
        self.0.capture.keeps_secrets().then(|| {
            self.state().held.get_or_insert_default();
            Hold(self.clone())
        })
    }

    /// Takes in a line of a key log.
    pub(crate) fn secret(&self, line: &str) {
        match &mut self.state().held {
            Some(held) => held.secrets.push_str(line),
            None => self.0.capture.append(|out| wire::secrets(out, line.as_bytes())),
        }
    }

    fn record(&self, write: impl FnOnce(&mut Flow, &mut Vec<u8>)) {
        let mut state = self.state();
        let State { flow, held } = &mut *state;
        let Some(kept) = held else {
            self.0.capture.append(|out| write(flow, out));
            return;
        };
        write(flow, &mut kept.packets);
        if kept.packets.len() > HELD_MAX {
            self.release(held);
        }
    }

    fn release(&self, held: &mut Option<Held>) {
        let Held { packets, secrets } = mem::take(held).unwrap_or_default();
        self.0.capture.append(|out| {
            if !secrets.is_empty() {
                wire::secrets(out, secrets.as_bytes());
            }
            out.extend_from_slice(&packets);
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_room(&self, direction: Direction, cx: &Context<'_>) -> Poll<()> {
        let number = match direction {
            Direction::Received => self.0.number,
            Direction::Sent => self.0.number + 1,
        };
        self.0.capture.poll_room(number, cx)
    }

    /// Takes in that the peer reset the connection, where an error says so.
    fn observe_error(&self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
            self.record(|flow, out| flow.reset(out, Direction::Received));
        }
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").field("number", &self.0.number).finish_non_exhaustive()
    }
}

/// While this lives, the packets of a connection wait for its secrets.
#[derive(Debug)]
pub(crate) struct Hold(Tap);

impl Hold {
    pub(crate) const fn tap(&self) -> &Tap {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.held.is_some() {
            self.0.release(&mut state.held);
        }
    }
}

/// A stream of which all that passes is captured.
pub(crate) struct Tapped {
    pub(crate) stream: Stream,
    pub(crate) tap: Tap,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, tap } = &mut *self;
        ready!(tap.poll_room(Direction::Received, cx));
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = ready!(Pin::new(stream).poll_read(cx, buffer));
        match (&read, &buffer.filled()[before..]) {
            (Err(error), _) => tap.observe_error(error),
            (Ok(()), []) if room == 0 => {}
            (Ok(()), []) => tap.record(|flow, out| flow.finish(out, Direction::Received)),
            (Ok(()), bytes) => tap.record(|flow, out| flow.data(out, Direction::Received, bytes)),
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, tap } = &mut *self;
        ready!(tap.poll_room(Direction::Sent, cx));
        let buffer = &buffer[..buffer.len().min(WRITE_MAX)];
        let written = ready!(Pin::new(stream).poll_write(cx, buffer));
        match &written {
            Err(error) => tap.observe_error(error),
            Ok(count) => {
                tap.record(|flow, out| flow.data(out, Direction::Sent, &buffer[..*count]));
            }
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, tap } = &mut *self;
        let shut = ready!(Pin::new(stream).poll_shutdown(cx));
        if shut.is_ok() {
            tap.record(|flow, out| flow.finish(out, Direction::Sent));
        }
        Poll::Ready(shut)
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        self.tap.record(|flow, out| flow.finish(out, Direction::Sent));
    }
}

/// A connection over TCP, as a capture shows it.
struct Flow {
    ours: Side,
    theirs: Side,
    path: Path,
    is_reset: bool,
}

/// What one side has sent.
struct Side {
    /// The number of its next byte.
    sequence: u32,
    /// How many bytes the other side has not acknowledged.
    unacknowledged: u32,
    is_finished: bool,
}

impl Flow {
    /// A connection on this path from us to the peer. Those that follow each other on one path
    /// begin with other numbers, or would be taken for one.
    fn new(path: Path, number: u64) -> Self {
        let sequence = (number as u32).wrapping_mul(0x9E37_79B9);
        let side = |sequence| Side { sequence, unacknowledged: 0, is_finished: false };
        Self { ours: side(sequence), theirs: side(!sequence), path, is_reset: false }
    }

    /// The three segments that open a connection (RFC 9293 section 3.5).
    fn open(&mut self, out: &mut Vec<u8>, opener: Direction, comment: Option<&str>) {
        self.commented_segment(out, opener, SYN, &[], comment);
        self.segment(out, reversed(opener), SYN | ACK, &[]);
        self.segment(out, opener, ACK, &[]);
    }

    fn data(&mut self, out: &mut Vec<u8>, direction: Direction, bytes: &[u8]) {
        let mut parts = bytes.chunks(SEGMENT_MAX).peekable();
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_some() { ACK } else { ACK | PSH };
            self.segment(out, direction, flags, part);
        }
        if self.side(direction).unacknowledged >= ACKNOWLEDGED {
            self.segment(out, reversed(direction), ACK, &[]);
        }
    }

    /// Ends one direction, once.
    fn finish(&mut self, out: &mut Vec<u8>, direction: Direction) {
        if !mem::replace(&mut self.side(direction).is_finished, true) {
            self.segment(out, direction, FIN | ACK, &[]);
            self.segment(out, reversed(direction), ACK, &[]);
        }
    }

    /// Ends both directions, once.
    fn reset(&mut self, out: &mut Vec<u8>, direction: Direction) {
        self.segment(out, direction, RST | ACK, &[]);
        self.is_reset = true;
    }

    fn segment(&mut self, out: &mut Vec<u8>, direction: Direction, flags: u8, payload: &[u8]) {
        self.commented_segment(out, direction, flags, payload, None);
    }

    fn commented_segment(
        &mut self,
        out: &mut Vec<u8>,
        direction: Direction,
        flags: u8,
        payload: &[u8],
        comment: Option<&str>,
    ) {
        if self.is_reset {
            return;
        }
        let (path, from, to) = match direction {
            Direction::Sent => (self.path, &mut self.ours, &mut self.theirs),
            Direction::Received => (self.path.reversed(), &mut self.theirs, &mut self.ours),
        };
        let acknowledged = if flags & ACK == 0 { 0 } else { to.sequence };
        let segment = Segment { sequence: from.sequence, acknowledged, flags, payload };
        let about = About { time: time(), direction, comment };
        wire::packet(out, about, |out| packet::tcp(out, path, segment));
        // A segment that opens or finishes counts as a byte (RFC 9293 section 3.4).
        let length = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        from.sequence = from.sequence.wrapping_add(length);
        from.unacknowledged += length;
        to.unacknowledged = 0;
    }

    const fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Sent => &mut self.ours,
            Direction::Received => &mut self.theirs,
        }
    }
}

const fn reversed(direction: Direction) -> Direction {
    match direction {
        Direction::Sent => Direction::Received,
        Direction::Received => Direction::Sent,
    }
}

/// A socket of datagrams in a capture.
#[derive(Debug)]
pub(crate) struct DatagramTap {
    capture: Capture,
    local: Option<SocketAddr>,
    /// Whom the socket is connected to.
    peer: Option<Endpoint>,
    /// The port of a Unix socket.
    port: u16,
}

impl DatagramTap {
    /// A socket that is bound here, and perhaps connected to a peer.
    pub(crate) fn new(capture: Capture, local: Option<Endpoint>, peer: Option<Endpoint>) -> Self {
        let port = unix_port(capture.number());
        Self { capture, local: local.as_ref().and_then(address), peer, port }
    }

    /// Waits until there is room for another datagram.
    pub(crate) async fn room(&self) {
        self.capture.room().await;
    }

    /// Takes in a datagram to or from `peer`, or the connected peer where it is `None`.
    pub(crate) fn record(&self, direction: Direction, peer: Option<&Endpoint>, payload: &[u8]) {
        let Some(peer) = peer.or(self.peer.as_ref()) else { return };
        let (path, comment) = match address(peer) {
            Some(remote) => (self.path(remote), None),
            None => {
                let local = SocketAddr::from((UNIX_CLIENT, self.port));
                let path = Path::new(local, SocketAddr::from((UNIX_SERVER, UNIX_PORT)));
                (path, Some(unix_datagram(direction, peer, payload.len())))
            }
        };
        let path = if direction == Direction::Sent { path } else { path.reversed() };
        let payload = &payload[..payload.len().min(DATAGRAM_MAX)];
        self.capture.append(|out| {
            let about = About { time: time(), direction, comment: comment.as_deref() };
            wire::packet(out, about, |out| packet::udp(out, path, payload));
        });
    }

    fn path(&self, remote: SocketAddr) -> Path {
        let mut local = self.local.unwrap_or(remote);
        if local.ip().is_unspecified() && remote.ip().to_canonical().is_loopback() {
            local.set_ip(remote.ip());
        }
        Path::new(local, remote)
    }
}

/// The comment on a datagram between Unix sockets.
fn unix_datagram(direction: Direction, peer: &Endpoint, size: usize) -> String {
    let towards = if direction == Direction::Sent { "to" } else { "from" };
    let comment = format!("{towards} {peer}, a Unix socket: the addresses are made up");
    if size > DATAGRAM_MAX {
        return format!("{comment}; of {size} bytes, {DATAGRAM_MAX} are shown");
    }
    comment
}

/// A port that the next sockets do not have.
const fn unix_port(number: u64) -> u16 {
    UNIX_PORT + 1 + (number / 2 % UNIX_PORTS) as u16
}

fn address(endpoint: &Endpoint) -> Option<SocketAddr> {
    endpoint.host.ip().map(|ip| SocketAddr::new(ip, endpoint.port))
}

/// Nanoseconds since the epoch of Unix, by the clock on the wall.
fn time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

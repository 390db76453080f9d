//! What a socket of datagrams tells the capture.

use std::net::SocketAddr;

use portolan_core::{Direction, Endpoint};

use super::packet::{self, DATAGRAM_MAX, Path};
use super::wire::{self, About};
use super::{Capture, time};

/// A socket of datagrams in a capture.
#[derive(Debug)]
pub(crate) struct DatagramTap {
    capture: Capture,
    local: Option<SocketAddr>,
    /// Whom the socket is connected to.
    peer: Option<Endpoint>,
    /// Of a Unix socket.
    unix: Path,
}

impl DatagramTap {
    /// A socket that is bound here, and perhaps connected to a peer.
    pub(crate) fn new(capture: Capture, local: Option<Endpoint>, peer: Option<Endpoint>) -> Self {
        let unix = Path::unix(capture.number());
        Self { capture, local: local.as_ref().and_then(address), peer, unix }
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
            None => (self.unix, Some(unix_comment(direction, peer, payload.len()))),
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
fn unix_comment(direction: Direction, peer: &Endpoint, size: usize) -> String {
    let towards = if direction == Direction::Sent { "to" } else { "from" };
    let comment = format!("{towards} {peer}, a Unix socket: the addresses are made up");
    if size > DATAGRAM_MAX {
        return format!("{comment}; of {size} bytes, {DATAGRAM_MAX} are shown");
    }
    comment
}

fn address(endpoint: &Endpoint) -> Option<SocketAddr> {
    endpoint.host.ip().map(|ip| SocketAddr::new(ip, endpoint.port))
}

//! UDP and Unix datagrams: whole messages, not a stream.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use portolan_core::{Direction, Endpoint, Error, Host, Transport};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{UdpSocket, UnixDatagram};

use crate::listen::{SocketFile, bind_addresses, cannot_listen};
use crate::pcap::{Capture, DatagramTap};

/// A datagram socket.
#[derive(Debug)]
pub struct Datagram {
    kind: Kind,
    tap: Option<DatagramTap>,
}

#[derive(Debug)]
enum Kind {
    Udp(UdpSocket),
    Unix(
        UnixDatagram,
        #[expect(dead_code, reason = "dropping it removes the file")] Option<SocketFile>,
    ),
}

impl From<Kind> for Datagram {
    fn from(kind: Kind) -> Self {
        Self { kind, tap: None }
    }
}

impl Datagram {
    /// The largest payload of a UDP datagram over IPv4 (RFC 768, RFC 791).
    pub const MAX: usize = 65_507;

    /// Binds a UDP or Unix datagram socket; port 0 takes any free port, and a Unix socket's file
    /// is removed when this is dropped.
    ///
    /// # Errors
    /// As for [`Listener::bind`](crate::Listener::bind).
    pub async fn bind(endpoint: &Endpoint) -> Result<Self, Error> {
        let bound = match &endpoint.host {
            Host::Path(path) => Self::bind_path(path.clone()),
            Host::Abstract(name) => UnixDatagram::bind(format!("\0{name}"))
                .map(|socket| Kind::Unix(socket, None).into()),
            Host::Name(_) | Host::V4(_) | Host::V6(..) => {
                let addresses = bind_addresses(endpoint).await?;
                UdpSocket::bind(&addresses[..]).await.map(|socket| Kind::Udp(socket).into())
            }
        };
        bound.map_err(|error| cannot_listen(endpoint, error))
    }

    fn bind_path(path: PathBuf) -> io::Result<Self> {
        SocketFile::remove_stale(&path)?;
        let socket = UnixDatagram::bind(&path)?;
        Ok(Kind::Unix(socket, Some(SocketFile::new(path))).into())
    }

    /// A UDP socket that is connected to `address`, after `prepare` has seen it.
    pub(crate) async fn connect(
        address: SocketAddr,
        prepare: impl FnOnce(SockRef<'_>) -> io::Result<()>,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), None)?;
        prepare(SockRef::from(&socket))?;
        let socket = UdpSocket::from_std(socket.into())?;
        socket.connect(address).await?;
        Ok(Kind::Udp(socket).into())
    }

    /// Captures what is sent and received from now on; nothing, where this is `None`.
    #[must_use]
    pub fn with_capture(mut self, capture: impl Into<Option<Capture>>) -> Self {
        let peer = match &self.kind {
            Kind::Udp(socket) => socket.peer_addr().ok().map(udp_endpoint),
            Kind::Unix(socket, _) => socket.peer_addr().ok().as_ref().map(unix_endpoint),
        };
        let tap = |capture| DatagramTap::new(capture, self.local_endpoint().ok(), peer);
        self.tap = capture.into().map(tap);
        self
    }

    /// Waits until the capture takes in more, where there is one.
    async fn room(&self) {
        if let Some(tap) = &self.tap {
            tap.room().await;
        }
    }

    /// Captures a datagram to or from `peer`, or the connected peer where it is `None`.
    fn captured(&self, direction: Direction, peer: Option<&Endpoint>, datagram: &[u8]) {
        if let Some(tap) = &self.tap {
            tap.record(direction, peer, datagram);
        }
    }

    /// Where the socket is bound: with the port that was taken.
    ///
    /// # Errors
    /// The system's.
    pub fn local_endpoint(&self) -> io::Result<Endpoint> {
        match &self.kind {
            Kind::Udp(socket) => Ok(udp_endpoint(socket.local_addr()?)),
            Kind::Unix(socket, _) => Ok(unix_endpoint(&socket.local_addr()?)),
        }
    }

    /// Sends one datagram to the connected peer.
    ///
    /// # Errors
    /// The system's; a port that is known to be closed shows as `ConnectionRefused`.
    pub async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.room().await;
        let size = match &self.kind {
            Kind::Udp(socket) => socket.send(datagram).await,
            Kind::Unix(socket, _) => socket.send(datagram).await,
        }?;
        self.captured(Direction::Sent, None, &datagram[..size]);
        Ok(size)
    }

    /// Receives one datagram from the connected peer; what does not fit `buffer` is lost.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.room().await;
        let size = match &self.kind {
            Kind::Udp(socket) => socket.recv(buffer).await,
            Kind::Unix(socket, _) => socket.recv(buffer).await,
        }?;
        self.captured(Direction::Received, None, &buffer[..size]);
        Ok(size)
    }

    /// Sends one datagram to `peer`.
    ///
    /// # Errors
    /// The system's; `InvalidInput` for a peer that is no address of this socket's kind.
    pub async fn send_to(&self, datagram: &[u8], peer: &Endpoint) -> io::Result<usize> {
        self.room().await;
        let size = match (&self.kind, &peer.host) {
            (Kind::Udp(socket), host) => match host.ip() {
                Some(ip) => socket.send_to(datagram, (ip, peer.port)).await,
                None => Err(io::ErrorKind::InvalidInput.into()),
            },
            (Kind::Unix(socket, _), Host::Path(path)) => socket.send_to(datagram, path).await,
            (Kind::Unix(socket, _), Host::Abstract(name)) => {
                socket.send_to(datagram, format!("\0{name}")).await
            }
            (Kind::Unix(..), _) => Err(io::ErrorKind::InvalidInput.into()),
        }?;
        self.captured(Direction::Sent, Some(peer), &datagram[..size]);
        Ok(size)
    }

    /// Receives one datagram and says from whom; what does not fit `buffer` is lost. A Unix peer
    /// without a name has the empty path and cannot be answered.
    ///
    /// # Errors
    /// The system's.
    pub async fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Endpoint)> {
        self.room().await;
        let (size, peer) = match &self.kind {
            Kind::Udp(socket) => {
                let (size, peer) = socket.recv_from(buffer).await?;
                (size, udp_endpoint(peer))
            }
            Kind::Unix(socket, _) => {
                let (size, peer) = socket.recv_from(buffer).await?;
                (size, unix_endpoint(&peer))
            }
        };
        self.captured(Direction::Received, Some(&peer), &buffer[..size]);
        Ok((size, peer))
    }
}

fn udp_endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from(address).with_transport(Transport::Udp)
}

fn unix_endpoint(address: &tokio::net::unix::SocketAddr) -> Endpoint {
    let path = address.as_pathname().map_or_else(PathBuf::new, PathBuf::from);
    Endpoint::unix(path).with_transport(Transport::UnixDatagram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn udp_answers_come_from_whom_they_were_sent_to() {
        let any = Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let server = Datagram::bind(&any.with_transport(Transport::Udp)).await.unwrap();
        let at = server.local_endpoint().unwrap();
        let at = SocketAddr::new(at.host.ip().unwrap(), at.port);
        let client = Datagram::connect(at, |_| Ok(())).await.unwrap();
        client.send(b"ping").await.unwrap();
        let mut buffer = [0; 16];
        let (size, peer) = server.receive_from(&mut buffer).await.unwrap();
        server.send_to(&buffer[..size], &peer).await.unwrap();
        let size = client.receive(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..size], b"ping");
    }

    #[tokio::test]
    async fn a_unix_datagram_socket_leaves_no_file() {
        let path = std::env::temp_dir().join(format!("portolan-dgram-{}", std::process::id()));
        let endpoint = Endpoint::unix(&path).with_transport(Transport::UnixDatagram);
        let server = Datagram::bind(&endpoint).await.unwrap();
        assert_eq!(server.local_endpoint().unwrap(), endpoint);
        assert!(path.exists());
        drop(server);
        assert!(!path.exists());
    }
}

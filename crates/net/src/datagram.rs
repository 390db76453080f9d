//! UDP and Unix datagrams: whole messages, not a stream.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::path::PathBuf;

use portolan_core::{Direction, Endpoint, Error, Host, Transport};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::net::{UdpSocket, UnixDatagram};

use crate::dial::scope_id;
use crate::listen::{SocketFile, bind_addresses, cannot_listen};
use crate::pcap::{Capture, DatagramTap};

/// A datagram socket.
#[derive(Debug)]
pub struct Datagram {
    kind: Kind,
    tap: Option<Box<DatagramTap>>,
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
            Host::Abstract(name) => Self::bind_abstract(name),
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

    fn bind_abstract(name: &str) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::DGRAM.nonblocking(), None)?;
        socket.bind(&SockAddr::unix(format!("\0{name}"))?)?;
        Ok(Kind::Unix(UnixDatagram::from_std(socket.into())?, None).into())
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
        self.tap = capture.into().map(tap).map(Box::new);
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

    /// Sends one datagram to `peer`. Over UDP this waits until there is room for it here; over a
    /// Unix socket, which cannot tell when there is room in the peer's queue, it does not.
    ///
    /// # Errors
    /// The system's; `InvalidInput` for a peer that is no address of this socket's kind, and
    /// `WouldBlock` where a Unix peer's queue is full.
    pub async fn send_to(&self, datagram: &[u8], peer: &Endpoint) -> io::Result<usize> {
        self.room().await;
        let size = match &self.kind {
            Kind::Udp(socket) => socket.send_to(datagram, udp_address(peer)?).await,
            Kind::Unix(socket, _) => {
                let address = match &peer.host {
                    Host::Path(path) => SockAddr::unix(path)?,
                    Host::Abstract(name) => SockAddr::unix(format!("\0{name}"))?,
                    _ => return Err(io::ErrorKind::InvalidInput.into()),
                };
                // Past tokio's readiness: one full peer would hold back all others for ever.
                SockRef::from(socket).send_to(datagram, &address)
            }
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

fn udp_address(peer: &Endpoint) -> io::Result<SocketAddr> {
    match &peer.host {
        Host::V6(address, Some(zone)) => {
            Ok(SocketAddrV6::new(*address, peer.port, 0, scope_id(zone)?).into())
        }
        host => match host.ip() {
            Some(ip) => Ok(SocketAddr::new(ip, peer.port)),
            None => Err(io::ErrorKind::InvalidInput.into()),
        },
    }
}

fn unix_endpoint(address: &tokio::net::unix::SocketAddr) -> Endpoint {
    let host = match (address.as_pathname(), address.as_abstract_name().map(std::str::from_utf8)) {
        (Some(path), _) => Host::Path(path.to_owned()),
        (None, Some(Ok(name))) => Host::Abstract(name.to_owned()),
        (None, _) => Host::Path(PathBuf::new()),
    };
    Endpoint { transport: Transport::UnixDatagram, host, port: 0 }
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
    async fn a_unix_peer_that_does_not_read_holds_nobody_back() {
        let directory = tempfile::tempdir().unwrap();
        let bind = async |name: &str| {
            let endpoint = Endpoint::unix(directory.path().join(name));
            Datagram::bind(&endpoint.with_transport(Transport::UnixDatagram)).await.unwrap()
        };
        let (server, deaf, other) = (bind("server").await, bind("deaf").await, bind("other").await);
        let deaf_at = deaf.local_endpoint().unwrap();
        let full = loop {
            if let Err(error) = server.send_to(b"ahoy", &deaf_at).await {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        server.send_to(b"ahoy", &other.local_endpoint().unwrap()).await.unwrap();
        let (size, from) = other.receive_from(&mut [0; 16]).await.unwrap();
        assert_eq!((size, from), (4, server.local_endpoint().unwrap()));
    }

    #[tokio::test]
    async fn abstract_unix_peers_can_be_answered() {
        let bind = async |end: &str| {
            let name = format!("portolan-dgram-{}-{end}", std::process::id());
            let host = Host::Abstract(name);
            let transport = Transport::UnixDatagram;
            Datagram::bind(&Endpoint { transport, host, port: 0 }).await.unwrap()
        };
        let (server, client) = (bind("server").await, bind("client").await);
        client.send_to(b"ping", &server.local_endpoint().unwrap()).await.unwrap();
        let (_, peer) = server.receive_from(&mut [0; 16]).await.unwrap();
        server.send_to(b"pong", &peer).await.unwrap();
        assert_eq!(client.receive(&mut [0; 16]).await.unwrap(), 4);
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

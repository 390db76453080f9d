//! UDP and Unix datagrams: whole messages, not a stream.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use portolan_core::{Endpoint, Error, Host, Transport};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{UdpSocket, UnixDatagram};

use crate::listen::{SocketFile, bind_addresses, cannot_listen};

/// A datagram socket.
#[derive(Debug)]
pub struct Datagram(Kind);

#[derive(Debug)]
enum Kind {
    Udp(UdpSocket),
    Unix(
        UnixDatagram,
        #[expect(dead_code, reason = "dropping it removes the file")] Option<SocketFile>,
    ),
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
            Host::Abstract(name) => {
                UnixDatagram::bind(format!("\0{name}")).map(|socket| Self(Kind::Unix(socket, None)))
            }
            Host::Name(_) | Host::V4(_) | Host::V6(..) => {
                let addresses = bind_addresses(endpoint).await?;
                UdpSocket::bind(&addresses[..]).await.map(|socket| Self(Kind::Udp(socket)))
            }
        };
        bound.map_err(|error| cannot_listen(endpoint, error))
    }

    fn bind_path(path: PathBuf) -> io::Result<Self> {
        SocketFile::remove_stale(&path)?;
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self(Kind::Unix(socket, Some(SocketFile::new(path)))))
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
        Ok(Self(Kind::Udp(socket)))
    }

    /// Where the socket is bound: with the port that was taken.
    ///
    /// # Errors
    /// The system's.
    pub fn local_endpoint(&self) -> io::Result<Endpoint> {
        match &self.0 {
            Kind::Udp(socket) => Ok(udp_endpoint(socket.local_addr()?)),
            Kind::Unix(socket, _) => Ok(unix_endpoint(&socket.local_addr()?)),
        }
    }

    /// Sends one datagram to the connected peer.
    ///
    /// # Errors
    /// The system's; a port that is known to be closed shows as `ConnectionRefused`.
    pub async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Udp(socket) => socket.send(datagram).await,
            Kind::Unix(socket, _) => socket.send(datagram).await,
        }
    }

    /// Receives one datagram from the connected peer; what does not fit `buffer` is lost.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Udp(socket) => socket.recv(buffer).await,
            Kind::Unix(socket, _) => socket.recv(buffer).await,
        }
    }

    /// Sends one datagram to `peer`.
    ///
    /// # Errors
    /// The system's; `InvalidInput` for a peer that is no address of this socket's kind.
    pub async fn send_to(&self, datagram: &[u8], peer: &Endpoint) -> io::Result<usize> {
        match (&self.0, &peer.host) {
            (Kind::Udp(socket), host) => match host.ip() {
                Some(ip) => socket.send_to(datagram, (ip, peer.port)).await,
                None => Err(io::ErrorKind::InvalidInput.into()),
            },
            (Kind::Unix(socket, _), Host::Path(path)) => socket.send_to(datagram, path).await,
            (Kind::Unix(socket, _), Host::Abstract(name)) => {
                socket.send_to(datagram, format!("\0{name}")).await
            }
            (Kind::Unix(..), _) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Receives one datagram and says from whom; what does not fit `buffer` is lost. A Unix peer
    /// without a name has the empty path and cannot be answered.
    ///
    /// # Errors
    /// The system's.
    pub async fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Endpoint)> {
        match &self.0 {
            Kind::Udp(socket) => {
                let (size, peer) = socket.recv_from(buffer).await?;
                Ok((size, udp_endpoint(peer)))
            }
            Kind::Unix(socket, _) => {
                let (size, peer) = socket.recv_from(buffer).await?;
                Ok((size, unix_endpoint(&peer)))
            }
        }
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

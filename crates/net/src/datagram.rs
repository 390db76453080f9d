//! UDP and Unix datagrams.

use std::io;
use std::net::SocketAddr;

use tokio::net::{UdpSocket, UnixDatagram};

/// A datagram socket: whole messages, not a stream.
#[derive(Debug)]
pub struct Datagram(Kind);

#[derive(Debug)]
enum Kind {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Datagram {
    /// Sends one datagram to the connected peer.
    ///
    /// # Errors
    /// The system's; a port that answered "unreachable" shows as `ConnectionRefused`.
    pub async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Udp(socket) => socket.send(datagram).await,
            Kind::Unix(socket) => socket.send(datagram).await,
        }
    }

    /// Receives one datagram from the connected peer; what does not fit `buffer` is lost.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Udp(socket) => socket.recv(buffer).await,
            Kind::Unix(socket) => socket.recv(buffer).await,
        }
    }
}

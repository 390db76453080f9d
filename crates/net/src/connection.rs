//! A stream and the facts about it.

use std::net::SocketAddr;

use portolan_core::{Endpoint, Timings};

use crate::fault::Faults;
use crate::{Stream, tls};

/// An established connection: the stream, and what is known about it.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// The facts.
    pub info: Info,
    /// What is to go wrong on purpose with what the protocol says: a server asks. Nothing, where
    /// we dialled.
    pub faults: Faults,
    /// What the handler noted when it let the connection [rest](crate::Rest); 0 at first.
    pub note: u64,
}

impl Connection {
    /// A connection with which nothing is to go wrong, and of which nothing was noted.
    #[must_use]
    pub fn new(stream: Stream, info: Info) -> Self {
        Self { stream, info, faults: Faults::default(), note: 0 }
    }
}

/// The facts about a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// Who is at the other end. Through a proxy this is the endpoint that was asked for.
    pub peer: Endpoint,
    /// The proxy that the peer came through, where one said by the PROXY protocol who the peer is.
    pub via: Option<Endpoint>,
    /// Where the peer connected to, where a proxy said so by the PROXY protocol.
    pub destination: Option<Endpoint>,
    /// The address that the socket is connected to: the peer's, or its proxy's.
    pub remote: Option<SocketAddr>,
    /// Our own address.
    pub local: Option<SocketAddr>,
    /// What TLS agreed on, where there is TLS.
    pub tls: Option<Box<tls::Info>>,
    /// How long the establishment took, phase by phase; empty on the accepting side.
    pub timings: Timings,
}

impl Info {
    /// The facts that are known as soon as there is a stream.
    pub(crate) fn new(peer: Endpoint) -> Self {
        Self {
            peer,
            via: None,
            destination: None,
            remote: None,
            local: None,
            tls: None,
            timings: Timings::default(),
        }
    }
}

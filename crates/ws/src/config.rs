//! What is the same for both ends.

use std::time::Duration;

use http::HeaderMap;

use crate::wire::{Deflate, Limits, Origins};

/// How a client connects, or a server lets connect, and how messages are carried then.
///
/// # Defaults
/// Messages and frames of up to 16 MiB, and 2 min for each to come; no compression; no subprotocols;
/// a ping after 20 s, and 20 s for a pong; 10 s for the opening handshake, 5 s for the closing
/// handshake, 30 s for the peer to read what is sent; pages of the server's own origin.
///
/// ```
/// use portolan_ws::{Config, Deflate};
/// use std::time::Duration;
///
/// let config = Config {
///     deflate: Some(Deflate::default()),
///     ping: Some(Duration::from_secs(5)),
///     ..Config::default()
/// };
/// assert_eq!(config.limits.max_message, 16 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How much a peer may send at once.
    pub limits: Limits,
    /// Whether, and how, messages are compressed: a client offers it, a server agrees to it.
    pub deflate: Option<Deflate>,
    /// The subprotocols that we speak, the best first (RFC 6455 section 1.9). A client that offers
    /// some is served without any where the server chooses none; a server that has some refuses a
    /// client that offers only others.
    pub subprotocols: Vec<String>,
    /// What else the request, or the response that accepts, says. What the handshake says itself is
    /// an error in a client, and left out by a server.
    pub headers: HeaderMap,
    /// Whose pages may connect to a server.
    pub origins: Origins,
    /// The longest that the opening handshake may take.
    pub handshake: Duration,
    /// After how long a silence, which may have lasted up to twice as long, the peer is pinged.
    pub ping: Option<Duration>,
    /// How long the peer may stay silent then: it is taken for dead.
    pub pong: Duration,
    /// How long a message may take to come, from its beginning to its end.
    pub message: Option<Duration>,
    /// How long the closing handshake may take.
    pub close: Duration,
    /// How long the peer may read nothing of what is sent.
    pub stall: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            deflate: None,
            subprotocols: Vec::new(),
            headers: HeaderMap::new(),
            origins: Origins::default(),
            handshake: Duration::from_secs(10),
            ping: Some(Duration::from_secs(20)),
            pong: Duration::from_secs(20),
            message: Some(Duration::from_secs(120)),
            close: Duration::from_secs(5),
            stall: Some(Duration::from_secs(30)),
        }
    }
}

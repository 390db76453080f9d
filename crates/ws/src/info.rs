//! The facts about a connection.

use http::HeaderMap;

use crate::wire::handshake::Agreed;

/// The facts about a connection that was opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The path and the query that were asked for.
    pub target: String,
    /// The header fields of the peer's request or response.
    pub headers: HeaderMap,
    /// The subprotocol and the compression.
    pub agreed: Agreed,
    /// What is known of the connection beneath.
    pub connection: portolan_net::Info,
}

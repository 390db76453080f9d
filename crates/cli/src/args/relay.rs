//! The arguments of `relay`.

use clap::{Args, ValueEnum};
use portolan::Url;

use super::dial::DialArgs;
use super::serving::ServingArgs;
use super::values::{byte_rate, listen_url, target};
use super::websocket::WebSocketServerArgs;

/// What to join, and how.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  portolan relay tcp:8080 tcp://db:5432
  portolan relay tls:8443 unix:/run/app.sock --tls site.pem,site.key    # TLS taken off
  portolan relay tcp:8080 tls://example.org:443                         # TLS added
  portolan relay tcp:8080 tcp://db:5432 --fault 'latency=100ms,jitter=20ms' --rate 1MB/s
  portolan relay ws:8080 tcp://vnc:5900                # WebSocket taken off
  portolan relay tcp:5900 wss://example.org/websockify  # WebSocket and TLS added
  portolan relay udp:5300 udp://192.0.2.53:53
  portolan relay tcp:8080 tcp://app:80 --proxy-protocol send

Between a WebSocket and a stream bytes pass as they are, as with websockify: messages are written one
after the other, without line ends between them, and what is read at once is a binary message.
Between two WebSockets, or one and udp:, a message stays a message.")]
pub struct RelayArgs {
    /// Listen here: tcp:, tls:, unix:, udp:, ws: or wss:, on 127.0.0.1 without a host; port 0 is any
    #[arg(value_name = "FROM", value_parser = listen_url)]
    pub from: Url,
    /// Dial this for each connection: tcp:, tls:, unix:, udp:, ws: or wss:
    #[arg(value_name = "TO", value_parser = target)]
    pub to: Url,
    /// Carry at most this much each way on each connection, such as 1MB/s
    #[arg(long, value_name = "SIZE/s", value_parser = byte_rate)]
    pub rate: Option<u64>,
    /// Expect a PROXY header, of version 1 or 2, from who connects, or send one to TO, or both
    #[arg(long, value_name = "WAY", value_enum, value_delimiter = ',')]
    pub proxy_protocol: Vec<ProxyProtocol>,
    /// How WebSockets are opened and kept, at either end.
    #[command(flatten)]
    pub websocket: WebSocketServerArgs,
    /// Whom to serve, and how.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// How to connect.
    #[command(flatten)]
    pub dial: DialArgs,
}

/// Which way the PROXY protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProxyProtocol {
    /// A header is expected.
    #[value(help = None)]
    Accept,
    /// A header of version 1 is sent.
    #[value(help = None, alias = "send-v1")]
    Send,
    /// A header of version 2 is sent.
    #[value(help = None)]
    SendV2,
}

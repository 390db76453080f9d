//! The arguments of `listen`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use portolan::Url;
use portolan::relay::Exec;

use super::pcap::PcapArgs;
use super::serving::{CertArgs, ServingArgs};
use super::stdio::StdioArgs;
use super::values::{duration, listen_url, number};
use super::websocket::WebSocketServerArgs;

/// Where to listen, and what to do with who connects.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  portolan listen tcp:9000                          # stdin and stdout, one peer at a time
  portolan listen tcp:9000 --once > upload.bin
  portolan listen tls:9000 --echo --max-conns 1000
  portolan listen unix:/run/date.sock --exec date
  portolan listen tcp://0.0.0.0:9000 --broadcast --allow 10.0.0.0/8
  portolan listen ws:9000 --exec 'grep --line-buffered ahoy'
  portolan listen udp:9000 --echo --fault 'loss=5%,latency=50ms'")]
pub struct ListenArgs {
    /// Listen here: tcp:, tls:, unix:, udp:, ws: or wss:, on 127.0.0.1 without a host; port 0 is any
    #[arg(value_name = "URL", value_parser = listen_url)]
    pub url: Url,
    /// Send back what comes in
    #[arg(long, conflicts_with_all = ["exec", "broadcast"])]
    pub echo: bool,
    /// Join each peer to this command's input and output; PORTOLAN_PEER says who it is
    #[arg(long, value_name = "CMD", conflicts_with = "broadcast")]
    pub exec: Option<Exec>,
    /// Pass on what each peer sends to all others
    #[arg(long)]
    pub broadcast: bool,
    /// Let go of peers when nothing passes for this time; 0, the default: never, or 60s over udp:
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub idle_timeout: Option<Duration>,
    /// Give up on peers that do not finish TLS or the PROXY header within this time; 0 for never
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = duration)]
    pub connect_timeout: Duration,
    /// Listen with this many sockets on the same port, each with a loop of its own
    #[arg(long, value_name = "N", default_value = "1", value_parser = |n: &str| number::<usize>(n, 1..=256))]
    pub workers: usize,
    /// Serve peers in this way
    #[arg(long, value_name = "MODEL", value_enum, default_value_t)]
    pub model: Model,
    /// Expect a PROXY header, version 1 or 2, before everything else
    #[arg(long, value_name = "accept", value_enum)]
    pub proxy_protocol: Option<AcceptProxy>,
    /// How stdin is sent, and how what comes is shown.
    #[command(flatten)]
    pub stdio: StdioArgs,
    /// How WebSockets are opened and kept.
    #[command(flatten)]
    pub websocket: WebSocketServerArgs,
    /// Whom to serve, and how.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// What is shown in place of the certificate of `--tls`.
    #[command(flatten)]
    pub cert: CertArgs,
    /// What to keep of the traffic.
    #[command(flatten)]
    pub pcap: PcapArgs,
}

/// How peers are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// A task a connection, on all cores.
    #[default]
    #[value(help = None)]
    Async,
    /// A thread a connection, with blocking I/O.
    #[value(help = None)]
    Threads,
    /// One thread, one event loop.
    #[value(help = None)]
    EventLoop,
}

/// Which way the PROXY protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AcceptProxy {
    /// A header is expected.
    #[value(help = None)]
    Accept,
}

//! The arguments of `serve ws`.

use std::time::Duration;

use clap::Args;

use super::place::{Place, WEBSOCKET};
use crate::args::pcap::PcapArgs;
use crate::args::serving::{CertArgs, ServingArgs};
use crate::args::values::{duration, number};
use crate::args::websocket::WebSocketServerArgs;

/// What is done with each WebSocket, and where.
#[derive(Args, Clone, Debug)]
#[command(
    group = clap::ArgGroup::new("answer").args(["echo", "broadcast"]).required(true),
    after_help = "Examples:
  portolan serve ws --echo                           # on ws://127.0.0.1:8000/
  portolan serve ws --broadcast --listen ws://0.0.0.0:9000 --ping 5s --compressed
  portolan serve ws --echo --listen :8443 --tls site.pem,site.key    # on wss:

Any path is served. A message may have 16 MiB, with --broadcast 1 MiB; a client that is 256
messages behind what is said to all is closed with code 1008."
)]
pub struct ServeWsArgs {
    /// Send back each message
    #[arg(long)]
    pub echo: bool,
    /// Pass on what each client says to all others
    #[arg(long)]
    pub broadcast: bool,
    /// Listen here: a URL, an address or a port; on 127.0.0.1 where no host is named, port 0 is any
    #[arg(
        long,
        value_name = "URL",
        default_value = "127.0.0.1:8000",
        value_parser = |text: &str| Place::parse(text, &WEBSOCKET)
    )]
    pub listen: Place,
    /// Listen with this many sockets, each with a loop of its own [default: one for each core]
    #[arg(long, value_name = "N", value_parser = |n: &str| number::<usize>(n, 1..=256))]
    pub workers: Option<usize>,
    /// Let go of clients that say nothing for this time, not even a pong; 0 for never
    #[arg(long, value_name = "DUR", default_value = "0", value_parser = duration)]
    pub idle_timeout: Duration,
    /// Give up on clients that do not finish TLS within this time; 0 for never
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = duration)]
    pub connect_timeout: Duration,
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

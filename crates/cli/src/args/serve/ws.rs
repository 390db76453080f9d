//! The arguments of `serve ws`.

use std::time::Duration;

use clap::Args;
use portolan::{Scheme, Url, UrlError};

use crate::args::pcap::PcapArgs;
use crate::args::serving::{CertArgs, ServingArgs};
use crate::args::values::{duration, number, without_login};
use crate::args::websocket::WebSocketServerArgs;

/// What is done with each WebSocket, and where.
#[derive(Args, Clone, Debug)]
#[command(
    group = clap::ArgGroup::new("answer").args(["echo", "broadcast"]).required(true),
    after_help = "Examples:
  portolan serve ws --echo                           # on ws://127.0.0.1:8000/
  portolan serve ws --broadcast --listen ws://0.0.0.0:9000 --ping 5s --compressed
  portolan serve ws --echo --listen wss:8443 --tls site.pem,site.key

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
    /// Listen here: ws:, wss: or a port; on 127.0.0.1 where no host is named, port 0 is any
    #[arg(long, value_name = "URL", default_value = "ws:8000", value_parser = place)]
    pub listen: Url,
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

/// Reads where to listen.
fn place(text: &str) -> Result<Url, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    let url = match port.parse::<u16>() {
        Ok(port) => Url::parse_as(&format!("127.0.0.1:{port}"), Scheme::Ws),
        Err(_) => Url::parse_as(text, Scheme::Ws),
    };
    let url = without_login(url.map_err(|error: UrlError| error.to_string())?)?;
    match url.scheme() {
        Scheme::Ws | Scheme::Wss if url.path_and_query() == "/" => Ok(url),
        Scheme::Ws | Scheme::Wss => Err("where to listen has no path".to_owned()),
        scheme => Err(format!("WebSockets listen on ws: or wss:, not on {scheme}:")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_url_or_a_port() {
        let url = |text: &str| place(text).unwrap().to_string();
        assert_eq!(url(":0"), "ws://127.0.0.1:0/");
        assert_eq!(url("ws:9000"), "ws://127.0.0.1:9000/");
        assert_eq!(url("wss://[::1]:8443"), "wss://[::1]:8443/");
        assert_eq!(url("0.0.0.0:9000"), "ws://0.0.0.0:9000/");
        assert!(place("http://127.0.0.1").unwrap_err().contains("not on http:"));
        assert!(place("ws://127.0.0.1/chat").unwrap_err().contains("no path"));
        assert!(place("ws://ann:secret@127.0.0.1:0").unwrap_err().contains("no login"));
    }
}

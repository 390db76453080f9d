//! The arguments of `serve ws`.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use portolan::{Scheme, Url, UrlError};

use crate::args::pcap::PcapArgs;
use crate::args::serving::{CertArgs, ServingArgs};
use crate::args::values::{duration, number, without_login, without_path};
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
    #[arg(long, value_name = "URL", default_value = "127.0.0.1:8000")]
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

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    url: Url,
    /// Whether it came without a scheme: whether TLS is spoken is for other flags to say.
    is_bare: bool,
}

impl Place {
    /// The schemes that it can have.
    pub const SCHEMES: [Scheme; 3] = [Scheme::Ws, Scheme::Wss, Scheme::Unix];
    /// The port where an address has none.
    const PORT: u16 = 8000;

    /// The URL of this place.
    #[must_use]
    pub fn url(&self, has_tls: bool) -> Url {
        match self.is_bare && has_tls {
            true => Url::from_endpoint(Scheme::Wss, &self.url.endpoint()),
            false => self.url.clone(),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.parse::<Url>();
        let is_bare = parsed == Err(UrlError::NoScheme);
        let url = if is_bare { bare(text) } else { parsed };
        let url = without_login(url.map_err(|error| error.to_string())?)?;
        match url.scheme() {
            Scheme::Ws | Scheme::Wss => Ok(Self { url: without_path(url)?, is_bare }),
            Scheme::Unix => Ok(Self { url, is_bare }),
            scheme => Err(format!("WebSockets listen on ws:, wss: or unix:, not on {scheme}:")),
        }
    }
}

/// Reads an address, a port, or both.
fn bare(text: &str) -> Result<Url, UrlError> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Url::parse_as(&format!("127.0.0.1:{port}"), Scheme::Ws);
    }
    // Only of a scheme without a port of its own it shows whether one was given.
    match Url::parse_as(text, Scheme::Tcp) {
        Err(UrlError::MissingPort(_)) => {
            Url::parse_as(&format!("{text}:{}", Place::PORT), Scheme::Ws)
        }
        _ => Url::parse_as(text, Scheme::Ws),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_url_an_address_or_a_port() {
        let url = |text: &str, has_tls| text.parse::<Place>().unwrap().url(has_tls).to_string();
        assert_eq!(url(":0", false), "ws://127.0.0.1:0/");
        assert_eq!(url("18004", true), "wss://127.0.0.1:18004/");
        assert_eq!(url("ws:9000", true), "ws://127.0.0.1:9000/");
        assert_eq!(url("wss://[::1]:8443", false), "wss://[::1]:8443/");
        assert_eq!(url("0.0.0.0:9000", false), "ws://0.0.0.0:9000/");
        assert_eq!(url("0.0.0.0", true), "wss://0.0.0.0:8000/");
        assert_eq!(url("unix:/run/chat.sock", false), "unix:/run/chat.sock");
        let refused = |text: &str| text.parse::<Place>().unwrap_err();
        assert!(refused("http://127.0.0.1").contains("not on http:"));
        assert!(refused("ws://127.0.0.1/chat").contains("no path"));
        for with_login in ["ws://ann:secret@127.0.0.1:0", "ann:secret@127.0.0.1:0"] {
            assert!(refused(with_login).contains("no login"), "{with_login}");
        }
    }
}

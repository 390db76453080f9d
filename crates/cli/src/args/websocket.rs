//! The flags of verbs that open WebSockets, with one meaning for both ends.

use std::time::Duration;

use clap::Args;
use portolan::Url;
use portolan::ws::{Config, Deflate, Origins};

use super::values::{Field, duration, origin, token};

/// How WebSockets are opened and kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "WebSocket")]
pub struct WebSocketArgs {
    /// Ping a peer that is silent for this time, 0 for never; without an answer in 20s it is lost
    #[arg(long, value_name = "DUR", default_value = "20s", value_parser = duration)]
    pub ping: Duration,
    /// Speak this subprotocol, or one of several, the best first
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = token)]
    pub subprotocol: Vec<String>,
    /// Say this in our part of the opening handshake, too, such as X-Trace:1; can be repeated
    #[arg(short = 'H', long, value_name = "NAME:VALUE")]
    pub header: Vec<Field>,
    /// Compress messages where the peer can do so (permessage-deflate)
    #[arg(long)]
    pub compressed: bool,
}

/// The flags of [`WebSocketArgs`].
pub(super) const FLAGS: [&str; 4] = ["ping", "subprotocol", "header", "compressed"];

impl WebSocketArgs {
    /// What they mean for a connection.
    #[must_use]
    pub fn config(&self) -> Config {
        let fields = self.header.iter().map(|Field { name, value }| (name.clone(), value.clone()));
        Config {
            deflate: self.compressed.then(Deflate::default),
            subprotocols: self.subprotocol.clone(),
            headers: fields.collect(),
            ping: Some(self.ping).filter(|ping| !ping.is_zero()),
            ..Config::default()
        }
    }
}

/// The same for a server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "WebSocket")]
pub struct WebSocketServerArgs {
    /// Let pages of this origin connect, too, such as https://a.example, or * for any; repeatable
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    pub origin: Vec<String>,
    /// What both ends have.
    #[command(flatten)]
    pub common: WebSocketArgs,
}

impl WebSocketServerArgs {
    /// What they mean for a server that listens on `url`.
    #[must_use]
    pub fn config(&self, url: &Url) -> Config {
        let names = vec![url.host().to_string()];
        let origins = match self.origin.iter().any(|origin| origin == "*") {
            true => Origins::Any,
            false => Origins::Own { names, others: self.origin.clone() },
        };
        Config { origins, ..self.common.config() }
    }
}

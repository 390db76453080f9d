//! The arguments of `serve`: a subcommand for each protocol.

pub mod http;
pub mod place;
pub mod ws;

use clap::{Args, Subcommand};

use self::http::ServeHttpArgs;
use self::ws::ServeWsArgs;

/// Which server.
#[derive(Args, Clone, Debug)]
#[command(
    subcommand_value_name = "PROTOCOL",
    subcommand_help_heading = "Protocols",
    disable_help_subcommand = true
)]
pub struct ServeArgs {
    /// What it speaks.
    #[command(subcommand)]
    pub protocol: Protocol,
}

/// What a server speaks.
#[derive(Clone, Debug, Subcommand)]
pub enum Protocol {
    /// Serve the files of a directory over HTTP
    Http(Box<ServeHttpArgs>),
    /// Answer each WebSocket alike: by an echo, or by passing on what it says to all others
    Ws(Box<ServeWsArgs>),
}

//! The flags of verbs that join stdin and stdout to a peer.

use clap::Args;
use portolan::relay::Framing;

use super::values::number;

/// How stdin is sent, and how what comes is shown.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Input and output")]
pub struct StdioArgs {
    /// Show what goes either way in hexadecimal
    #[arg(long)]
    pub hex: bool,
    /// Send a line feed as carriage return and line feed
    #[arg(long)]
    pub crlf: bool,
    /// Only send: throw away what comes, and end with the input
    #[arg(long, conflicts_with = "recv_only")]
    pub send_only: bool,
    /// Only receive: read no input
    #[arg(long, conflicts_with_all = ["crlf", "no_shutdown"])]
    pub recv_only: bool,
    /// Keep our side open at the end of the input
    #[arg(long, conflicts_with = "send_only")]
    pub no_shutdown: bool,
    /// Send this many bytes a datagram, and write datagrams as they come [default: one a line]
    #[arg(long, value_name = "N", value_parser = |n: &str| number::<usize>(n, 1..=65_507))]
    pub datagram_size: Option<usize>,
}

impl StdioArgs {
    /// How stdin becomes datagrams, and datagrams stdout.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.datagram_size.map_or(Framing::Lines, Framing::Size)
    }
}

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
    /// Send what is read as binary messages, and write messages as they come [default: a line each]
    #[arg(long, conflicts_with_all = ["base64", "length_prefix"])]
    pub binary: bool,
    /// Send lines of Base64 as binary messages, and write every message as such a line
    #[arg(long, conflicts_with_all = ["length_prefix", "datagram_size"])]
    pub base64: bool,
    /// Before each message, which is binary, stands its length, in four bytes, the greatest first
    #[arg(long, conflicts_with = "datagram_size")]
    pub length_prefix: bool,
}

impl StdioArgs {
    /// How stdin becomes messages, and messages stdout.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match self {
            Self { datagram_size: Some(size), .. } => Framing::Size(*size),
            Self { binary: true, .. } => Framing::Chunks,
            Self { base64: true, .. } => Framing::Base64,
            Self { length_prefix: true, .. } => Framing::Length,
            _ => Framing::Lines,
        }
    }
}

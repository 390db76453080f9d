//! The arguments of `relay`.

use clap::Args;
use portolan::Url;

use super::dial::DialArgs;
use super::values::{byte_rate, target};

/// What to join.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  portolan relay tcp:8080 tcp://db:5432
  portolan relay tcp:8080 unix:/run/app.sock")]
pub struct RelayArgs {
    /// Listen here
    #[arg(value_name = "FROM", value_parser = target)]
    pub from: Url,
    /// Dial this for each connection
    #[arg(value_name = "TO", value_parser = target)]
    pub to: Url,
    /// Carry at most this much each way, such as 1MB/s
    #[arg(long, value_name = "SIZE/s", value_parser = byte_rate)]
    pub rate: Option<u64>,
    /// How to connect.
    #[command(flatten)]
    pub dial: DialArgs,
}

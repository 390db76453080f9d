//! The arguments of `listen`.

use clap::Args;
use portolan::Url;

use super::pcap::PcapArgs;
use super::values::target;

/// Where to listen, and what to do with who connects.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  portolan listen tcp:7000 --echo")]
pub struct ListenArgs {
    /// Listen here
    #[arg(value_name = "URL", value_parser = target)]
    pub url: Url,
    /// Send back what comes in
    #[arg(long)]
    pub echo: bool,
    /// What to keep of the traffic.
    #[command(flatten)]
    pub pcap: PcapArgs,
}

//! The flags of capturing.

use std::path::{Path, PathBuf};

use clap::Args;

/// What to keep of the verb's own traffic.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Capture")]
pub struct PcapArgs {
    /// Capture the traffic, decrypted, into this pcapng file; - for stdout, to wireshark -k -i -
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Leave the secrets of TLS and the command line out of the capture
    #[arg(long, requires = "pcap")]
    pub pcap_redact: bool,
}

impl PcapArgs {
    /// Whether stdout belongs to the capture, and so to no data of the verb.
    #[must_use]
    pub fn takes_stdout(&self) -> bool {
        self.pcap.as_deref() == Some(Path::new("-"))
    }
}

//! The arguments of `probe`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use portolan::Url;

use super::dial::DialArgs;
use super::values::{Expectations, interval, listen_address, number, target};

/// What to probe, and what to expect.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  portolan probe    # every server of the lab
  portolan probe https://example.org tcp://db:5432
  portolan probe https://example.org --expect 'status=200,cert-days>14'
  portolan probe --from-file targets.txt --concurrency 200 --json
  portolan probe https://example.org --watch 30s --metrics 127.0.0.1:9100
  portolan probe https://example.org --pcap probe.pcapng && wireshark probe.pcapng")]
pub struct ProbeArgs {
    /// What to probe; host:port is tcp:, host alone https: [default: every server of the lab]
    #[arg(value_name = "URL", value_parser = target)]
    pub targets: Vec<Url>,
    /// Fail unless these hold, such as status=200,body~REGEX,cert-days>14,rtt<200ms
    #[arg(long, value_name = "LIST")]
    pub expect: Vec<Expectations>,
    /// Probe again and again, with this pause
    #[arg(long, value_name = "DUR", value_parser = interval)]
    pub watch: Option<Duration>,
    /// Serve the results to Prometheus on this address, such as 127.0.0.1:9100
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub metrics: Option<SocketAddr>,
    /// Read more targets from this file, one a line; - for stdin
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,
    /// Probe at most this many at once
    #[arg(long, value_name = "N", default_value = "16", value_parser = |n: &str| number::<usize>(n, 1..=10_000))]
    pub concurrency: usize,
    /// How to connect.
    #[command(flatten)]
    pub dial: DialArgs,
}

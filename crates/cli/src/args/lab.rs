//! The arguments of `lab`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use portolan::lab::Lab;

use super::fault::FaultArgs;
use super::pcap::PcapArgs;
use super::values::number;

/// Which servers to start, and how they misbehave.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Faults:
  WHERE   words, each of which narrows the choice: a server (https), connections (conn=3,
          conn=2..5), a share of them (10%), an HTTP request (GET /slow, GET=2 /slow)
  ACTION  for streams latency=100ms jitter=20ms bandwidth=64KiB/s cut=10KiB reset stall refuse
          corrupt=1/1000, for requests also reply=503, for datagrams also loss=5% duplicate=5%
          reorder=5%

Examples:
  portolan lab
  portolan lab --only http,https --ports ephemeral --json
  portolan lab --fault 'http: latency=200ms,jitter=50ms' --fault 'tls 10%: reset' --seed 7
  portolan lab --fault 'GET /get: reply=503,latency=2s'
  portolan lab --only https --pcap - | wireshark -k -i -
  portolan lab --ca ca.pem & curl --cacert ca.pem https://localhost:7443/")]
pub struct LabArgs {
    /// Start only these servers, such as tcp,https [default: all]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Lab::names())
    )]
    pub only: Vec<String>,
    /// Count the ports from here: at 7000, http is on 7080 and https on 7443
    #[arg(
        long,
        value_name = "N",
        default_value = "7000",
        conflicts_with = "ports",
        value_parser = |n: &str| number::<u16>(n, 1..=64_000)
    )]
    pub port_base: u16,
    /// Take any free ports
    #[arg(long, value_name = "KIND", value_enum, conflicts_with = "port_base")]
    pub ports: Option<Ports>,
    /// Write the certificate of the lab's authority to this file
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How the servers misbehave.
    #[command(flatten)]
    pub fault: FaultArgs,
    /// What to keep of the traffic.
    #[command(flatten)]
    pub pcap: PcapArgs,
}

/// Ports other than the usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ports {
    /// Any free ports.
    #[value(help = None)]
    Ephemeral,
}

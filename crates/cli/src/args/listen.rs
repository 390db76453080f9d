//! The arguments of `listen`.

use clap::{Args, ValueEnum};
use portolan::Url;

use super::values::{number, target};

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
    /// Run the handlers so
    #[arg(long, value_name = "MODEL", value_enum, default_value = "async")]
    pub model: Model,
    /// Accept on this many sockets that share the address
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        value_parser = |n: &str| number::<u16>(n, 1..=1024)
    )]
    pub workers: u16,
}

/// On which threads the handlers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// Tasks on all cores
    Async,
    /// A thread a connection, with blocking I/O
    Threads,
    /// One event loop a worker
    EventLoop,
}

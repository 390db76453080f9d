//! Portolan beside its peers: `cargo run -p versus --release -- [ROW…]`.
//!
//! Each row does one piece of work with Portolan and with programs that people use for it today,
//! all in turn, so that each sees the same machine. What counts is the ratio, oriented so that more
//! than 1 is better for us. Values alone say more about the machine.
//!
//! A row is one file in `rows`; `measure` takes the turns, `program` finds what is compared,
//! `server` runs it, and `crowd`, `load` and `site` are what it has to do with; `json` is the server
//! of our library that has no command, `websocket` makes frames, and `tungstenite` is a peer.
//! `versus/install-peers` installs the peers.

mod crowd;
mod json;
mod load;
mod measure;
mod program;
mod rows;
mod server;
mod site;
mod tungstenite;
mod websocket;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;

use crate::measure::Comparison;
use crate::rows::Row;

/// Run Portolan and its peers in turn, and print the ratios of what they achieve
#[derive(Parser)]
struct Args {
    /// What to compare, such as startup, relay or echo [default: everything]
    #[arg(value_name = "ROW", value_parser = rows::find)]
    rows: Vec<Vec<&'static Row>>,
    /// Rounds; each gives one ratio to each peer
    #[arg(long, value_name = "N", default_value = "15", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print JSON Lines: one object for each row and peer
    #[arg(long)]
    json: bool,
    /// Serve JSON at this address, as one of those that are compared
    #[arg(long, value_name = "ADDRESS", hide = true)]
    serve_json: Option<SocketAddr>,
    /// Echo WebSockets by tokio-tungstenite at this address, as one of those that are compared
    #[arg(long, value_name = "ADDRESS", hide = true)]
    serve_tungstenite: Option<SocketAddr>,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(address) = args.serve_json {
        return json::serve(address).map(|()| ExitCode::SUCCESS);
    }
    if let Some(address) = args.serve_tungstenite {
        return tungstenite::serve(address).map(|()| ExitCode::SUCCESS);
    }
    let rows = match args.rows.concat() {
        rows if rows.is_empty() => rows::ALL.iter().collect(),
        rows => rows,
    };
    let mut exit = ExitCode::SUCCESS;
    let mut out = io::stdout().lock();
    if !args.json {
        writeln!(out, "{}", Comparison::HEAD)?;
    }
    for row in rows {
        let outcome = row.compare(args.rounds);
        for comparison in &outcome.comparisons {
            match args.json {
                true => writeln!(out, "{}", serde_json::to_string(comparison)?)?,
                false => writeln!(out, "{comparison}")?,
            }
        }
        for error in outcome.failures {
            writeln!(io::stderr(), "versus: {}: {error:#}", row.name)?;
            exit = ExitCode::FAILURE;
        }
    }
    if !args.json {
        let rounds = args.rounds;
        writeln!(
            out,
            "ratio: ours beside the peer's, over {rounds} rounds; above 1 we are better"
        )?;
    }
    Ok(exit)
}

//! Portolan beside its peers: `cargo run -p versus --release -- [ROW…]`.
//!
//! Each row does one piece of work with Portolan and with a program that people use for it today,
//! the two in turn, so that both see the same machine. What counts is the ratio, peer's time by
//! ours: more than 1 is better for us. Times alone say more about the machine.
//!
//! A row is one file in `rows`; `measure` has what they share.

mod measure;
mod rows;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::measure::Comparison;
use crate::rows::Row;

/// Run Portolan and its peers in turn, and print the ratios of their times
#[derive(Parser)]
struct Args {
    /// What to compare [default: everything]
    #[arg(value_name = "ROW", value_parser = rows::find)]
    rows: Vec<&'static Row>,
    /// Rounds; each gives one ratio
    #[arg(long, value_name = "N", default_value = "15", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print JSON Lines: one object a row
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let rows = if args.rows.is_empty() { rows::ALL.iter().collect() } else { args.rows };
    let mut exit = ExitCode::SUCCESS;
    let mut out = io::stdout().lock();
    if !args.json {
        writeln!(out, "{}", Comparison::HEAD)?;
    }
    for row in rows {
        match (row.compare)(args.rounds) {
            Ok(comparison) if args.json => {
                writeln!(out, "{}", serde_json::to_string(&comparison)?)?;
            }
            Ok(comparison) => writeln!(out, "{comparison}")?,
            Err(error) => {
                writeln!(io::stderr(), "versus: {}: {error:#}", row.name)?;
                exit = ExitCode::FAILURE;
            }
        }
    }
    if !args.json {
        writeln!(
            out,
            "ratio: peer's time by ours, over {} rounds; above 1 we are faster",
            args.rounds
        )?;
    }
    Ok(exit)
}

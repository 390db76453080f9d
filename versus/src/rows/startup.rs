//! How long a command takes that does nothing: `portolan --version` beside `curl --version`.

use std::process::Command;
use std::time::Duration;

use super::Row;
use crate::measure::{Comparison, Side, compare, ours, time};

pub(crate) const ROW: Row = Row { name: "startup", compare: run };

/// One start is too short to be timed alone.
const STARTS: u32 = 20;

fn run(rounds: u32) -> anyhow::Result<Comparison> {
    let ours = Side::program(ours()?)?;
    let peer = Side::program("curl")?;
    let start = |side: &Side| -> anyhow::Result<Duration> {
        let mut total = Duration::ZERO;
        for _ in 0..STARTS {
            total += time(Command::new(&side.program).arg("--version"))?;
        }
        Ok(total / STARTS)
    };
    compare(ROW.name, &ours, &peer, rounds, start)
}

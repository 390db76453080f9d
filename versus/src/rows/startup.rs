//! How long a command takes that does nothing: `portolan --version` beside `curl --version`.

use std::time::Duration;

use super::Row;
use crate::measure::{Better, Measure, Side, time};
use crate::program::Program;

pub(crate) const ROW: Row = Row {
    name: "startup",
    measure: Measure { unit: "ms", better: Better::Lower },
    sides: &[
        || Ok(side("portolan", Program::portolan()?)),
        || Ok(side("curl", Program::find("curl", "--version")?)),
    ],
};

/// One start is too short to be timed alone.
const STARTS: u32 = 20;

fn side(name: &'static str, program: Program) -> Side {
    let version = program.version.clone();
    let start = move || {
        let mut total = Duration::ZERO;
        for _ in 0..STARTS {
            total += time(program.command().arg("--version"))?;
        }
        Ok((total / STARTS).as_secs_f64() * 1e3)
    };
    Side { name, version, work: Box::new(start) }
}

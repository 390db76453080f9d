//! What is compared: one file each, and one table that lists them.

mod echo;
mod http;
mod idle;
mod relay;
mod serve;
mod startup;
mod ws;

use std::path::{Path, PathBuf};

use crate::measure::{Measure, Outcome, Side, take_turns};

/// A piece of work that we and others can do.
pub(crate) struct Row {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    measure: Measure,
    /// Makes ready: ourselves, then each peer. An error says what is missing.
    sides: &'static [fn() -> anyhow::Result<Side>],
}

impl Row {
    /// Compares over so many rounds. A peer that is missing is a failure; the others still run.
    pub(crate) fn compare(&self, rounds: u32) -> Outcome {
        let (mut sides, mut missing) = (Vec::new(), Vec::new());
        for (number, prepare) in self.sides.iter().enumerate() {
            match prepare() {
                Ok(side) => sides.push(side),
                Err(error) => missing.push(error),
            }
            if number == 0 && sides.is_empty() {
                return Outcome { comparisons: Vec::new(), failures: missing };
            }
        }
        let mut outcome = take_turns(self.name, self.measure, sides, rounds);
        outcome.failures.splice(0..0, missing);
        outcome
    }
}

/// All rows.
pub(crate) static ALL: &[Row] = &[
    startup::ROW,
    relay::ONE,
    relay::SEVERAL,
    relay::CONNECTIONS,
    echo::ASYNC,
    echo::EVENT_LOOP,
    echo::THREADS,
    idle::MEMORY,
    idle::DRAIN,
    http::SMALL,
    http::DOWNLOAD,
    http::DOWNLOAD_CPU,
    http::FIRST_BYTE,
    serve::SMALL,
    serve::MEDIUM,
    serve::LARGE_FILE,
    serve::HTTP2,
    serve::IDLE,
    serve::JSON,
    ws::ECHO_20,
    ws::ECHO_20_CPU,
    ws::STREAM_20,
    ws::ECHO_1K,
    ws::ECHO_64K,
    ws::DEFLATE_20,
    ws::DEFLATE_1K,
    ws::DEFLATE_64K,
    ws::BROADCAST,
    ws::IDLE,
];

/// A file of this crate.
fn own_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The rows of this name, or whose names begin with it and a hyphen: `echo` is all of echo.
pub(crate) fn find(name: &str) -> Result<Vec<&'static Row>, String> {
    let group = format!("{name}-");
    let is_meant = |row: &&Row| row.name == name || row.name.starts_with(&group);
    let found: Vec<_> = ALL.iter().filter(is_meant).collect();
    if found.is_empty() {
        let names: Vec<_> = ALL.iter().map(|row| row.name).collect();
        return Err(format!("the rows are {}", names.join(", ")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Better;

    #[test]
    fn a_name_means_a_row_or_a_group() {
        let names =
            |name| find(name).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>());
        assert_eq!(names("startup"), Ok(vec!["startup"]));
        assert_eq!(names("relay"), Ok(vec!["relay", "relay-8", "relay-connections"]));
        assert!(names("rel").unwrap_err().contains("the rows are startup, relay"));
    }

    #[test]
    fn a_missing_peer_is_a_failure_and_the_others_still_run() {
        fn present() -> anyhow::Result<Side> {
            Ok(Side { name: "here", version: "1".to_owned(), work: Box::new(|| Ok(1.0)) })
        }
        fn missing() -> anyhow::Result<Side> {
            anyhow::bail!("it is missing")
        }
        let measure = Measure { unit: "ms", better: Better::Lower };
        let row = Row { name: "row", measure, sides: &[present, missing, present] };
        let outcome = row.compare(1);
        assert_eq!(outcome.comparisons.len(), 1);
        assert_eq!(outcome.failures[0].to_string(), "it is missing");
    }
}

//! Taking turns, timing, and what comes of it.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

/// One of the two programs that are compared.
pub(crate) struct Side {
    pub(crate) program: PathBuf,
    /// The first line that it prints for `--version`.
    version: String,
}

impl Side {
    /// The program of this name or at this path.
    pub(crate) fn program(program: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let program = program.into();
        let name = program.display();
        let output = Command::new(&program).arg("--version").stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{name} is missing: install it"))?;
        if !output.status.success() {
            bail!("{name} --version ended with {}", output.status);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(Self { version: text.lines().next().unwrap_or_default().to_owned(), program })
    }
}

/// Our own binary, as `cargo build --release` makes it; built first where it is not current.
pub(crate) fn ours() -> anyhow::Result<PathBuf> {
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", "portolan-cli"])
        .status()
        .context("running cargo")?;
    if !build.success() {
        bail!("portolan could not be built");
    }
    // Cargo puts this very program and portolan into the same directory.
    let own = std::env::current_exe().context("finding this program")?;
    let binary = own.with_file_name("portolan");
    if !binary.exists() {
        bail!("{} is missing: run with --release", binary.display());
    }
    Ok(binary)
}

/// How long a command runs that prints nothing to us and must go well.
#[expect(clippy::disallowed_methods, reason = "processes are timed by the clock on the wall")]
pub(crate) fn time(command: &mut Command) -> anyhow::Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().with_context(|| format!("running {command:?}"))?;
    let elapsed = started.elapsed();
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(elapsed)
}

/// Lets both sides do the work in turn: once each to warm up, then once each a round. Who begins
/// changes from round to round.
pub(crate) fn compare(
    row: &'static str,
    ours: &Side,
    peer: &Side,
    rounds: u32,
    work: impl Fn(&Side) -> anyhow::Result<Duration>,
) -> anyhow::Result<Comparison> {
    work(ours)?;
    work(peer)?;
    let (mut our_ms, mut peer_ms, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let (mine, theirs) = if round % 2 == 0 {
            let mine = work(ours)?;
            (mine, work(peer)?)
        } else {
            let theirs = work(peer)?;
            (work(ours)?, theirs)
        };
        our_ms.push(mine.as_secs_f64() * 1e3);
        peer_ms.push(theirs.as_secs_f64() * 1e3);
        ratios.push(theirs.as_secs_f64() / mine.as_secs_f64());
    }
    Ok(Comparison {
        row,
        ours: ours.version.clone(),
        peer: peer.version.clone(),
        rounds,
        ratio: Spread::of(ratios),
        our_ms: Spread::of(our_ms),
        peer_ms: Spread::of(peer_ms),
    })
}

/// What came of a row.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    row: &'static str,
    ours: String,
    peer: String,
    rounds: u32,
    /// The peer's time by ours.
    ratio: Spread,
    our_ms: Spread,
    peer_ms: Spread,
}

/// The middle and the ends of several measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Self { median, min: values[0], max: values[values.len() - 1] }
    }
}

impl Comparison {
    /// The line above the rows.
    pub(crate) const HEAD: &str =
        "row         ratio     min     max       ours       peer  versions";
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, min, max } = self.ratio;
        let (ours, peer) = (self.our_ms.median, self.peer_ms.median);
        // What stands after name and version are the libraries that it was built with.
        let brief = |version: &str| version.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let versions = format!("{}, {}", brief(&self.ours), brief(&self.peer));
        write!(
            f,
            "{:9} {median:7.2} {min:7.2} {max:7.2} {ours:7.2} ms {peer:7.2} ms  {versions}",
            self.row
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_a_middle_and_two_ends() {
        let odd = Spread::of(vec![3.0, 1.0, 8.0]);
        assert_eq!(odd, Spread { median: 3.0, min: 1.0, max: 8.0 });
        let even = Spread::of(vec![4.0, 1.0, 8.0, 2.0]);
        assert_eq!(even, Spread { median: 3.0, min: 1.0, max: 8.0 });
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let missing = Side::program("no-such-program").err().unwrap();
        assert_eq!(missing.to_string(), "no-such-program is missing: install it");
    }

    #[test]
    fn both_sides_take_turns() {
        let side = |name: &str| Side { program: name.into(), version: name.to_owned() };
        let turns = std::cell::RefCell::new(String::new());
        let work = |side: &Side| {
            turns.borrow_mut().push_str(&side.version);
            Ok(Duration::from_millis(if side.version == "o" { 2 } else { 5 }))
        };
        let compared = compare("row", &side("o"), &side("p"), 2, work).unwrap();
        assert_eq!(*turns.borrow(), "opoppo");
        assert_eq!(compared.ratio, Spread { median: 2.5, min: 2.5, max: 2.5 });
    }
}

//! Taking turns, and what comes of it.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

/// What a row measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
}

/// Which values are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// One of those that are compared.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    /// Does the work once, and gives its value in the row's unit. What it needs for all rounds,
    /// such as a server, it owns.
    pub(crate) work: Work,
}

pub(crate) type Work = Box<dyn FnMut() -> anyhow::Result<f64>>;

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

/// Lets all sides, ours first, do the work in turn: once each to warm up, then once each a round.
/// Who begins changes from round to round. A side that fails is left out from then on.
pub(crate) fn take_turns(
    row: &'static str,
    measure: Measure,
    sides: Vec<Side>,
    rounds: u32,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut turns: Vec<_> = sides.into_iter().map(Turns::new).collect();
    for round in 0..=rounds as usize {
        // The first one warms up.
        let first = round.saturating_sub(1) % turns.len();
        let (before, from) = turns.split_at_mut(first);
        for side in from.iter_mut().chain(before) {
            side.take(round > 0, &mut outcome.failures);
        }
        if turns[0].has_failed {
            return outcome;
        }
    }
    let (ours, peers) = turns.split_at(1);
    let peers = peers.iter().filter(|peer| !peer.has_failed);
    outcome.comparisons = peers.map(|peer| Comparison::new(row, measure, &ours[0], peer)).collect();
    outcome
}

/// A side, and what it has achieved so far.
struct Turns {
    side: Side,
    values: Vec<f64>,
    has_failed: bool,
}

impl Turns {
    const fn new(side: Side) -> Self {
        Self { side, values: Vec::new(), has_failed: false }
    }

    fn take(&mut self, counts: bool, failures: &mut Vec<anyhow::Error>) {
        if self.has_failed {
            return;
        }
        match (self.side.work)() {
            Ok(value) if counts => self.values.push(value),
            Ok(_) => {}
            Err(error) => {
                self.has_failed = true;
                failures.push(error.context(self.side.name));
            }
        }
    }
}

/// What came of a row: one comparison for each peer that did the work, and what went wrong.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) failures: Vec<anyhow::Error>,
}

/// Ourselves beside one peer.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    row: &'static str,
    peer: &'static str,
    unit: &'static str,
    better: Better,
    rounds: usize,
    /// Above 1 where we are better.
    ratio: Spread,
    our_value: Spread,
    peer_value: Spread,
    our_version: String,
    peer_version: String,
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
        "row                peer              ratio     min     max        ours        peer  unit";

    fn new(row: &'static str, measure: Measure, ours: &Turns, peer: &Turns) -> Self {
        let pairs = ours.values.iter().zip(&peer.values);
        let ratios = pairs.map(|(ours, theirs)| match measure.better {
            Better::Higher => ours / theirs,
            Better::Lower => theirs / ours,
        });
        Self {
            row,
            peer: peer.side.name,
            unit: measure.unit,
            better: measure.better,
            rounds: peer.values.len(),
            ratio: Spread::of(ratios.collect()),
            our_value: Spread::of(ours.values.clone()),
            peer_value: Spread::of(peer.values.clone()),
            our_version: ours.side.version.clone(),
            peer_version: peer.side.version.clone(),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, min, max } = self.ratio;
        let (ours, theirs) = (self.our_value.median, self.peer_value.median);
        // What a distribution adds to the version after its number is for JSON.
        let version = self.peer_version.split(['-', '+']).next().unwrap_or_default();
        let peer = format!("{} {version}", self.peer);
        write!(
            f,
            "{:18} {peer:16} {median:6.2} {min:7.2} {max:7.2} {ours:11.2} {theirs:11.2}  {}",
            self.row, self.unit
        )
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    const SPEED: Measure = Measure { unit: "MiB/s", better: Better::Higher };

    /// A side that always achieves `value`, and notes its turns; with no value it fails.
    fn side(name: &'static str, value: Option<f64>, turns: &Rc<RefCell<String>>) -> Side {
        let turns = turns.clone();
        let work = move || {
            turns.borrow_mut().push_str(name);
            value.context("it broke")
        };
        Side { name, version: "1".to_owned(), work: Box::new(work) }
    }

    #[test]
    fn a_spread_has_a_middle_and_two_ends() {
        let odd = Spread::of(vec![3.0, 1.0, 8.0]);
        assert_eq!(odd, Spread { median: 3.0, min: 1.0, max: 8.0 });
        let even = Spread::of(vec![4.0, 1.0, 8.0, 2.0]);
        assert_eq!(even, Spread { median: 3.0, min: 1.0, max: 8.0 });
    }

    #[test]
    fn all_sides_take_turns() {
        let turns = Rc::default();
        let sides = [("o", 5.0), ("p", 2.0), ("q", 10.0)];
        let sides = sides.map(|(name, value)| side(name, Some(value), &turns));
        let outcome = take_turns("row", SPEED, sides.into(), 2);
        assert_eq!(*turns.borrow(), "opqopqpqo");
        assert!(outcome.failures.is_empty());
        let medians: Vec<_> =
            outcome.comparisons.iter().map(|c| (c.peer, c.ratio.median)).collect();
        assert_eq!(medians, [("p", 2.5), ("q", 0.5)]);
    }

    #[test]
    fn ratios_are_above_1_where_we_are_better() {
        let turns = Rc::default();
        let sides = vec![side("o", Some(2.0), &turns), side("p", Some(8.0), &turns)];
        let time = Measure { unit: "ms", better: Better::Lower };
        let outcome = take_turns("row", time, sides, 1);
        assert_eq!(outcome.comparisons[0].ratio.median, 4.0);
    }

    #[test]
    fn a_peer_that_fails_is_left_out_and_named() {
        let turns = Rc::default();
        let sides = vec![
            side("o", Some(2.0), &turns),
            side("p", None, &turns),
            side("q", Some(1.0), &turns),
        ];
        let outcome = take_turns("row", SPEED, sides, 2);
        assert_eq!(*turns.borrow(), "opqoqqo");
        assert_eq!(outcome.comparisons.len(), 1);
        assert_eq!(format!("{:#}", outcome.failures[0]), "p: it broke");
    }

    #[test]
    fn without_us_there_is_nothing_to_compare() {
        let turns = Rc::default();
        let sides = vec![side("o", None, &turns), side("p", Some(1.0), &turns)];
        let outcome = take_turns("row", SPEED, sides, 2);
        assert!(outcome.comparisons.is_empty());
        assert_eq!(outcome.failures.len(), 1);
    }
}

//! What `-v` shows: each phase as it ends, and with `-vv` the lines of the protocol.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use portolan::net::Observer;
use portolan::units::show_duration;
use portolan::{Direction, Endpoint, Event, Phase, Timings, Url};

use crate::console::Console;
use crate::show::error::sentence;
use crate::show::frame::words;
use crate::show::phases::named;

/// An observer that writes what it sees to stderr.
#[derive(Debug)]
pub struct Trace {
    console: Console,
    /// What stands before each line, where there are several targets.
    prefix: String,
    timings: Mutex<Timings>,
}

impl Trace {
    /// A trace of one operation. Of several at once, each has its `target` before its lines.
    #[must_use]
    pub fn new(console: &Console, target: Option<&Url>) -> Self {
        let prefix = target.map(|target| format!("{target} ")).unwrap_or_default();
        Self { console: *console, prefix, timings: Mutex::default() }
    }

    /// A trace of a server's connection, whose lines have its `peer` before them.
    #[must_use]
    pub fn of_peer(console: &Console, peer: &Endpoint) -> Self {
        Self { console: *console, prefix: format!("{peer} "), timings: Mutex::default() }
    }

    /// The line about this event, if it has one.
    fn line(&self, at: Instant, event: &Event) -> Option<String> {
        let mut timings = self.timings.lock().unwrap_or_else(PoisonError::into_inner);
        timings.record(at, event);
        match event {
            Event::Attempted(attempt) => attempt.failure.as_ref().map(|failure| {
                let elapsed = show_duration(attempt.elapsed);
                format!("* no connection to {} after {elapsed}: {failure}", attempt.address)
            }),
            Event::Finished(phase, failure) => Some(finished(&timings, *phase, failure.as_deref())),
            Event::Line(direction, line) if self.console.verbosity() > 1 => {
                Some(format!("{} {line}", mark(*direction)))
            }
            Event::Frame(direction, frame) if self.console.verbosity() > 1 => {
                Some(format!("{} {}", mark(*direction), words(frame)))
            }
            Event::Retrying(pause) => Some(format!("* trying again in {}", show_duration(*pause))),
            _ => None,
        }
    }
}

const fn mark(direction: Direction) -> char {
    match direction {
        Direction::Sent => '>',
        Direction::Received => '<',
    }
}

impl Observer for Trace {
    fn observe(&self, at: Instant, event: &Event) {
        if let Some(line) = self.line(at, event) {
            self.console.trace(&format!("{}{line}", self.prefix));
        }
    }

    fn reads_lines(&self) -> bool {
        self.console.verbosity() > 1
    }
}

/// The words about a server's connection that came or went.
#[must_use]
pub fn connection(event: &Event) -> Option<String> {
    match event {
        Event::AcceptFailed(failure) => Some(format!("could not accept: {failure}")),
        Event::Opened { peer, via: None } => Some(format!("{peer} came")),
        Event::Opened { peer, via: Some(via) } => Some(format!("{peer} came via {via}")),
        Event::Refused { peer, reason } => Some(format!("{peer} was refused: {reason}")),
        Event::Closed { peer, bytes_in, bytes_out, elapsed, failure, .. } => {
            let why = failure.as_ref().map(|why| format!(": {}", sentence(why, None)));
            let why = why.unwrap_or_default();
            let elapsed = show_duration(*elapsed);
            Some(format!(
                "{peer} went after {elapsed}, {bytes_in} bytes in, {bytes_out} bytes out{why}"
            ))
        }
        _ => None,
    }
}

/// The line about a phase that ended: its name, how long it took, and its facts or why it failed.
fn finished(timings: &Timings, phase: Phase, failure: Option<&str>) -> String {
    let Some(span) = timings.spans().iter().rev().find(|span| span.phase == phase) else {
        return format!("* {phase}");
    };
    let facts = span.facts.iter().map(|(name, value)| named(name, value));
    let facts = facts.collect::<Vec<_>>().join(", ");
    let outcome = failure.map_or(facts, |failure| format!("failed: {failure}"));
    format!("* {phase} {}  {outcome}", show_duration(span.elapsed())).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portolan::{Attempt, Failure};

    use super::*;
    use crate::args::output::OutputArgs;

    fn lines(verbosity: u8, events: &[Event]) -> Vec<String> {
        let console = Console::new(&OutputArgs { verbose: verbosity, ..OutputArgs::default() });
        let trace = Trace::new(&console, None);
        let start = portolan::net::now();
        let at = |index| start + Duration::from_millis(3) * index;
        (0..).zip(events).filter_map(|(index, event)| trace.line(at(index), event)).collect()
    }

    #[test]
    fn a_phase_is_shown_when_it_ends_with_its_facts() {
        let events = [
            Event::Started(Phase::TLS),
            Event::Fact(Phase::TLS, "version", "TLSv1.3".into()),
            Event::Fact(Phase::TLS, "resumed", false.into()),
            Event::Finished(Phase::TLS, None),
            Event::Started(Phase::CONNECT),
            Event::Finished(Phase::CONNECT, Some("timed out after 6 ms".to_owned())),
        ];
        assert_eq!(
            lines(1, &events),
            [
                "* tls 9 ms  version TLSv1.3, resumed no",
                "* connect 6 ms  failed: timed out after 6 ms"
            ]
        );
    }

    #[test]
    fn attempts_and_retries_are_shown() {
        let cause = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let attempt = Attempt {
            address: "[::1]:9".parse().unwrap(),
            elapsed: Duration::from_millis(1),
            failure: Some(Failure::from(&cause)),
        };
        let events = [Event::Attempted(attempt), Event::Retrying(Duration::from_millis(500))];
        assert_eq!(
            lines(1, &events),
            [
                "* no connection to [::1]:9 after 1 ms: connection refused",
                "* trying again in 500 ms"
            ]
        );
    }

    #[test]
    fn lines_of_the_protocol_want_a_second_v() {
        let events = [
            Event::Line(Direction::Sent, "GET / HTTP/1.1".to_owned()),
            Event::Line(Direction::Received, "HTTP/1.1 200 OK".to_owned()),
        ];
        assert!(lines(1, &events).is_empty());
        assert_eq!(lines(2, &events), ["> GET / HTTP/1.1", "< HTTP/1.1 200 OK"]);
    }
}

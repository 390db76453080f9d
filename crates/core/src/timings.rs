//! How long each phase took: a fold over events.

use std::time::{Duration, Instant};

use crate::{Attempt, Event, Phase, Value};

/// One phase of an operation, with what was learnt in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The phase.
    pub phase: Phase,
    /// When it began.
    pub started: Instant,
    /// When it ended; `None` while it runs.
    pub ended: Option<Instant>,
    /// Whether it failed.
    pub failed: bool,
    /// The facts of this phase, in order.
    pub facts: Vec<(&'static str, Value)>,
}

impl Span {
    /// How long it took; zero while it runs.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.ended.map_or(Duration::ZERO, |end| end.saturating_duration_since(self.started))
    }
}

/// The phases of one operation, in order, and every attempt to connect.
///
/// A phase begins where the one before it ended, so what this program did between the two counts
/// to the second, and the phases add up to the total. A retry begins them anew: they are those of
/// the last try. The attempts of every try are kept.
///
/// ```
/// use portolan_core::{Event, Phase, Timings};
/// use std::time::{Duration, Instant};
///
/// # #[expect(clippy::disallowed_methods, reason = "the example is the clock's owner")]
/// let start = Instant::now();
/// let mut timings = Timings::default();
/// timings.record(start, &Event::Started(Phase::CONNECT));
/// timings.record(start + Duration::from_millis(3), &Event::Finished(Phase::CONNECT, None));
/// assert_eq!(timings.total(), Duration::from_millis(3));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    spans: Vec<Span>,
    attempts: Vec<Attempt>,
    retries: u32,
}

impl Timings {
    /// Takes in the next event.
    pub fn record(&mut self, at: Instant, event: &Event) {
        match event {
            Event::Started(phase) => {
                let previous = self.spans.last().and_then(|span| span.ended);
                self.spans.push(Span {
                    phase: *phase,
                    started: previous.unwrap_or(at),
                    ended: None,
                    failed: false,
                    facts: Vec::new(),
                });
            }
            Event::Fact(phase, name, value) => {
                if let Some(span) = self.latest(*phase) {
                    span.facts.push((name, value.clone()));
                }
            }
            Event::Finished(phase, failure) => {
                if let Some(span) = self.latest(*phase) {
                    span.ended = Some(at);
                    span.failed = failure.is_some();
                }
            }
            Event::Attempted(attempt) => self.attempts.push(attempt.clone()),
            Event::Retrying(_) => {
                self.spans.clear();
                self.retries += 1;
            }
            Event::Line(..)
            | Event::Frame(..)
            | Event::AcceptFailed(_)
            | Event::Answered(_)
            | Event::Opened { .. }
            | Event::Refused { .. }
            | Event::Closed { .. } => {}
        }
    }

    fn latest(&mut self, phase: Phase) -> Option<&mut Span> {
        self.spans.iter_mut().rev().find(|span| span.phase == phase)
    }

    /// The phases, in the order in which they began.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The attempts to connect, in the order in which they ended.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// How many times the operation was tried again.
    #[must_use]
    pub const fn retries(&self) -> u32 {
        self.retries
    }

    /// How long `phase` took in all, or `None` if it never began.
    #[must_use]
    pub fn elapsed(&self, phase: Phase) -> Option<Duration> {
        let mut spans = self.spans.iter().filter(|span| span.phase == phase).peekable();
        spans.peek()?;
        Some(spans.map(Span::elapsed).sum())
    }

    /// From the start of the first phase to the end of the last.
    #[must_use]
    pub fn total(&self) -> Duration {
        let first = self.spans.first().map(|span| span.started);
        let last = self.spans.iter().filter_map(|span| span.ended).max();
        match (first, last) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            _ => Duration::ZERO,
        }
    }
}

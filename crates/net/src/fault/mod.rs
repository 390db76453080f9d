//! Faults on demand: a seeded plan of what goes wrong, for streams and datagrams.
//!
//! A [`Fault`] is read from words. A [`Plan`] holds several and says what befalls each connection
//! of a server ([`Faults`]). Everything acts on what the *server* sends, as a bad network in front
//! of it would; what the client sends passes untouched. Where several faults of a plan give the
//! same action to one connection, the last one counts.
//!
//! All choices follow from the seed, the connection's number and the byte's or datagram's
//! position, never from timing: the same plan does the same again.
//!
//! This module opens no socket and knows no protocol: the listener asks it for each connection,
//! a protocol's server for each event, a server of datagrams for each datagram.
//!
//! ```
//! use portolan_net::fault::{FaultError, Opening, Plan};
//!
//! let plan = Plan::new(vec!["conn=2: reset".parse()?, "latency=100ms".parse()?], 7);
//! assert_eq!(plan.connection(1).opening(), Opening::Serve);
//! assert_eq!(plan.connection(2).opening(), Opening::Reset);
//! # Ok::<(), FaultError>(())
//! ```

mod datagram;
mod grammar;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::datagram::{DatagramFaults, Fate, Outbox};
pub use self::grammar::{Fault, FaultError, Reply};

use self::grammar::{Action, Event, Share};
use self::stream::FaultyStream;
use crate::Stream;

/// The faults of a server, or of several, and the seed of all their choices.
///
/// Cheap to clone.
///
/// # Defaults
/// No faults.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Each with its number in the plan as it was made: the salt of its choices.
    faults: Arc<[(u64, Fault)]>,
    seed: u64,
    /// What was written to streams that are gone, and is still under way.
    under_way: TaskTracker,
}

impl Plan {
    /// A plan of these faults.
    #[must_use]
    pub fn new(faults: Vec<Fault>, seed: u64) -> Self {
        Self { faults: (0..).zip(faults).collect(), seed, ..Self::default() }
    }

    /// Whether nothing goes wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// The faults, in the order given.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().map(|(_, fault)| fault)
    }

    /// The servers that are named, so that names which no server has can be refused.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.faults().filter_map(Fault::server)
    }

    /// The faults that only a server which asks [`Faults::event`] can bring about, so that other
    /// servers can refuse them.
    pub fn events(&self) -> impl Iterator<Item = &Fault> {
        self.faults().filter(|fault| fault.needs_event())
    }

    /// The part of this plan that strikes the server `name`.
    #[must_use]
    pub fn for_server(&self, name: &str) -> Self {
        let is_struck = |fault: &Fault| fault.server().is_none_or(|server| server == name);
        let faults = self.faults.iter().filter(|(_, fault)| is_struck(fault));
        Self { faults: faults.cloned().collect(), ..self.clone() }
    }

    /// Whether every connection is refused: then the server does not listen at all.
    #[must_use]
    pub fn refuses_all(&self) -> bool {
        self.faults().any(|fault| {
            let everywhere = fault.place.connections.is_none() && fault.place.share.is_none();
            everywhere && fault.actions.contains(&Action::Refuse)
        })
    }

    /// What befalls connection `number` of a server, counted from 1. The server's name is not
    /// looked at: see [`for_server`](Self::for_server).
    #[must_use]
    pub fn connection(&self, number: u64) -> Faults {
        let mut faults = Faults {
            seed: mix(self.seed, number),
            effects: Effects::default(),
            events: Vec::new(),
            reset: CancellationToken::new(),
            under_way: self.under_way.clone(),
        };
        for (salt, fault) in self.faults.iter() {
            let place = &fault.place;
            let is_chosen = place.connections.as_ref().is_none_or(|range| range.contains(&number));
            let mut dice = fastrand::Rng::with_seed(mix(mix(self.seed, *salt), number));
            if !is_chosen || place.share.is_some_and(|share| !share.strikes(&mut dice)) {
                continue;
            }
            if fault.needs_event() {
                faults.events.push(Arc::new(EventFault::new(fault)));
            } else {
                faults.effects.add(&fault.actions);
            }
        }
        faults
    }

    /// Waits until all is delivered that was written to streams which are gone.
    pub(crate) async fn delivered(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }
}

/// What befalls one connection. A clone is the same connection: it shares the count of events.
///
/// # Defaults
/// Nothing.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    seed: u64,
    effects: Effects,
    events: Vec<Arc<EventFault>>,
    /// Tells the stream that an event resets it.
    reset: CancellationToken,
    under_way: TaskTracker,
}

/// What befalls a connection when it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing.
    Serve,
    /// It is reset at once.
    Reset,
    /// It is held and nothing is said.
    Stall,
}

impl Faults {
    /// What befalls it when it is accepted.
    #[must_use]
    pub fn opening(&self) -> Opening {
        match self.effects.end {
            Some(End { at: None, how: EndKind::Reset }) => Opening::Reset,
            Some(End { at: None, how: EndKind::Stall }) => Opening::Stall,
            _ => Opening::Serve,
        }
    }

    /// The stream with these faults; the very same stream where none of them concerns its bytes.
    ///
    /// What is written moves on whenever the stream is read, written, flushed or shut down, and
    /// goes on after it is dropped. Flushing and shutting down wait until it is delivered.
    #[must_use]
    pub fn wrap(&self, stream: Stream) -> Stream {
        let resets = self.events.iter().any(|event| event.outcome == Outcome::Reset);
        if !self.effects.concern_streams() && !resets {
            return stream;
        }
        let tap = stream.tap().cloned();
        Stream::boxed(FaultyStream::new(stream, self)).over(tap)
    }

    /// What befalls each datagram that is sent to this peer.
    #[must_use]
    pub fn datagrams(&self) -> DatagramFaults {
        DatagramFaults::new(&self.effects, self.seed)
    }

    /// Whether any event of the protocol is to go wrong, and so need be [told](Self::event).
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Counts an event of the protocol, such as `RCPT` or `GET /slow`, and lets happen what was
    /// planned for it. A server calls this before it acts; it answers with the reply instead, where
    /// there is one. A delay passes in here; where the event resets the connection or stalls, this
    /// does not return, and the [wrapped](Self::wrap) stream is reset.
    pub async fn event(&self, name: &str) -> Option<Reply> {
        let mut delay = Duration::ZERO;
        let mut outcome = Outcome::Proceed;
        for fault in &self.events {
            if let Some(count) = fault.count(name) {
                let mut dice = fastrand::Rng::with_seed(mix(self.seed, count));
                delay += fault.delay.draw(&mut dice);
                if fault.outcome != Outcome::Proceed {
                    outcome = fault.outcome.clone();
                }
            }
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match outcome {
            Outcome::Proceed => None,
            Outcome::Reply(reply) => Some(reply),
            Outcome::Reset => {
                self.reset.cancel();
                std::future::pending().await
            }
            Outcome::Stall => std::future::pending().await,
        }
    }
}

/// What an event brings about on one connection.
#[derive(Debug)]
struct EventFault {
    /// Any event, where there is none.
    event: Option<Event>,
    delay: Delay,
    outcome: Outcome,
    seen: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Proceed,
    Reply(Reply),
    Reset,
    Stall,
}

impl EventFault {
    fn new(fault: &Fault) -> Self {
        let mut effects = Effects::default();
        effects.add(&fault.actions);
        let outcome = fault.actions.iter().find_map(|action| match action {
            Action::Reply(reply) => Some(Outcome::Reply(reply.clone())),
            Action::Reset => Some(Outcome::Reset),
            Action::Stall => Some(Outcome::Stall),
            _ => None,
        });
        Self {
            event: fault.place.event.clone(),
            delay: effects.delay,
            outcome: outcome.unwrap_or(Outcome::Proceed),
            seen: AtomicU64::new(0),
        }
    }

    /// Counts `name`, and gives the count where this is the event that was meant.
    fn count(&self, name: &str) -> Option<u64> {
        if self.event.as_ref().is_some_and(|event| !event.matches(name)) {
            return None;
        }
        let count = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let nth = self.event.as_ref().and_then(|event| event.nth);
        nth.is_none_or(|nth| nth == count).then_some(count)
    }
}

/// The actions upon one connection, taken together.
#[derive(Clone, Debug, Default)]
struct Effects {
    delay: Delay,
    bandwidth: Option<u64>,
    end: Option<End>,
    corrupt: Option<Share>,
    loss: Option<Share>,
    duplicate: Option<Share>,
    reorder: Option<Share>,
}

/// How long bytes and datagrams are under way.
#[derive(Clone, Copy, Debug, Default)]
struct Delay {
    latency: Duration,
    jitter: Duration,
}

/// Where a connection ends, and how.
#[derive(Clone, Copy, Debug)]
struct End {
    /// After how many bytes; `None` is at once, on accept.
    at: Option<u64>,
    how: EndKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndKind {
    Close,
    Reset,
    Stall,
}

impl Effects {
    fn add(&mut self, actions: &[Action]) {
        let cut = actions.iter().find_map(|action| match action {
            Action::Cut(size) => Some(*size),
            _ => None,
        });
        let ends = actions.iter().any(|action| matches!(action, Action::Reset | Action::Stall));
        for action in actions {
            match action {
                Action::Latency(latency) => self.delay.latency = *latency,
                Action::Jitter(jitter) => self.delay.jitter = *jitter,
                Action::Bandwidth(rate) => self.bandwidth = Some(*rate),
                Action::Cut(_) if ends => {}
                Action::Cut(_) => self.end = Some(End { at: cut, how: EndKind::Close }),
                Action::Reset => self.end = Some(End { at: cut, how: EndKind::Reset }),
                Action::Stall => self.end = Some(End { at: cut, how: EndKind::Stall }),
                Action::Refuse => self.end = Some(End { at: None, how: EndKind::Reset }),
                Action::Reply(_) => {}
                Action::Corrupt(share) => self.corrupt = Some(*share),
                Action::Loss(share) => self.loss = Some(*share),
                Action::Duplicate(share) => self.duplicate = Some(*share),
                Action::Reorder(share) => self.reorder = Some(*share),
            }
        }
    }

    fn concern_streams(&self) -> bool {
        let is_slow = !self.delay.is_none() || self.bandwidth.is_some();
        is_slow || self.end.is_some() || self.corrupt.is_some()
    }
}

impl Delay {
    fn is_none(self) -> bool {
        self.latency.is_zero() && self.jitter.is_zero()
    }

    /// Between `jitter` less and `jitter` more than the latency, and never negative.
    fn draw(self, dice: &mut fastrand::Rng) -> Duration {
        let spread = self.jitter.mul_f64(dice.f64() * 2.0);
        (self.latency + spread).saturating_sub(self.jitter)
    }
}

/// A seed of its own for each number.
fn mix(seed: u64, number: u64) -> u64 {
    fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).u64(..)
}

#[cfg(test)]
mod tests;

//! What befalls datagrams, and the queue in which they wait for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::stream::corrupt;
use super::{Effects, End, EndKind, mix};

/// How long a datagram is held back at most for the next one to overtake it.
const HELD_BACK: Duration = Duration::from_millis(100);
/// The most datagrams under way; more are lost, as in a router's full queue.
const OUTBOX_MAX: usize = 1024;

/// Decides what befalls each datagram that a server sends, in turn.
#[derive(Clone, Debug)]
pub struct DatagramFaults {
    effects: Effects,
    seed: u64,
    count: u64,
}

/// What befalls one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// How often it is delivered: 0 is lost, 2 is duplicated.
    pub copies: u8,
    /// How long it is under way.
    pub delay: Duration,
    /// Whether the next one overtakes it.
    pub overtaken: bool,
}

impl DatagramFaults {
    pub(super) fn new(effects: &Effects, seed: u64) -> Self {
        Self { effects: effects.clone(), seed, count: 0 }
    }

    /// Decides on the next datagram, and corrupts its bytes where that is planned.
    ///
    /// The decision follows from the seed and from how many datagrams there were before.
    pub fn next(&mut self, datagram: &mut [u8]) -> Fate {
        self.count += 1;
        let dice = &mut fastrand::Rng::with_seed(mix(self.seed, self.count));
        let effects = &self.effects;
        let mut strikes = |share: Option<super::Share>| share.is_some_and(|it| it.strikes(dice));
        let is_silent = matches!(effects.end, Some(End { how, .. }) if how != EndKind::Close);
        let is_lost = strikes(effects.loss) || is_silent;
        let is_doubled = strikes(effects.duplicate);
        let overtaken = strikes(effects.reorder);
        let delay = effects.delay.draw(dice);
        if let Some(share) = effects.corrupt {
            corrupt(share, dice, datagram);
        }
        let copies = if is_lost { 0 } else { 1 + u8::from(is_doubled) };
        Fate { copies, delay, overtaken }
    }
}

/// Datagrams under way, each with whom it goes to or whatever else `T` holds.
///
/// It has no clock and no socket: a server's loop puts in what it sends, waits until
/// [`due`](Self::due), and sends what [`pop`](Self::pop) gives.
///
/// ```
/// use portolan_net::fault::{FaultError, Outbox, Plan};
///
/// # #[expect(clippy::disallowed_methods, reason = "the example is the clock's owner")]
/// let now = std::time::Instant::now();
/// let plan = Plan::new(vec!["duplicate=100%".parse()?], 7);
/// let mut faults = plan.connection(1).datagrams();
/// let mut outbox = Outbox::default();
///
/// let mut datagram = b"ping".to_vec();
/// outbox.push(now, faults.next(&mut datagram), datagram);
/// assert_eq!(outbox.pop(now), Some(b"ping".to_vec()));
/// assert_eq!(outbox.pop(now), Some(b"ping".to_vec()));
/// assert_eq!(outbox.due(), None);
/// # Ok::<(), FaultError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Outbox<T> {
    /// By the instant when they are due; those of the same instant in the order of their numbers.
    waiting: BTreeMap<(Instant, u64), T>,
    pushed: u64,
    /// The ones that the next datagram overtakes.
    held: Vec<(Instant, u64)>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), pushed: 0, held: Vec::new() }
    }
}

impl<T: Clone> Outbox<T> {
    /// Puts in a datagram that is sent at `now` and meets `fate`. Beyond 1024 under way, it is
    /// lost.
    pub fn push(&mut self, now: Instant, fate: Fate, datagram: T) {
        if fate.copies == 0 {
            return;
        }
        let due = now + fate.delay;
        let overtaken = std::mem::take(&mut self.held);
        let held_back = if fate.overtaken { HELD_BACK } else { Duration::ZERO };
        for _ in 0..fate.copies {
            if let Some(key) = self.insert(due + held_back, datagram.clone())
                && fate.overtaken
            {
                self.held.push(key);
            }
        }
        for key in overtaken {
            if let Some(late) = self.waiting.remove(&key) {
                self.insert(due, late);
            }
        }
    }

    fn insert(&mut self, due: Instant, datagram: T) -> Option<(Instant, u64)> {
        if self.waiting.len() >= OUTBOX_MAX {
            return None;
        }
        self.pushed += 1;
        let key = (due, self.pushed);
        self.waiting.insert(key, datagram);
        Some(key)
    }

    /// When the next one is due.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next one, where it is due at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        let next = self.waiting.first_entry().filter(|next| next.key().0 <= now);
        next.map(|next| next.remove())
    }
}

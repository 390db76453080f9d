//! The sessions of a datagram server: by peer, and by when they were last active.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use portolan_core::Endpoint;

use super::line::Line;

#[derive(Default)]
pub(super) struct Table {
    by_peer: HashMap<Endpoint, u64>,
    by_number: HashMap<u64, Entry>,
    /// Lags behind the lines' own activity, which costs nothing as it happens, and is put right
    /// where the least active is asked for.
    by_activity: BTreeSet<(Instant, u64)>,
}

struct Entry {
    line: Arc<Line>,
    /// Where it stands by activity.
    listed: Instant,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.by_number.values().map(|entry| &*entry.line)
    }

    /// The peer's latest session.
    pub(super) fn find(&self, peer: &Endpoint) -> Option<&Arc<Line>> {
        let number = self.by_peer.get(peer)?;
        self.by_number.get(number).map(|entry| &entry.line)
    }

    pub(super) fn insert(&mut self, line: Arc<Line>) {
        let (number, listed) = (line.number(), line.active());
        self.by_peer.insert(line.peer().clone(), number);
        self.by_activity.insert((listed, number));
        self.by_number.insert(number, Entry { line, listed });
    }

    /// Does nothing for a session that was removed before.
    pub(super) fn remove(&mut self, line: &Line) {
        let number = line.number();
        let Some(entry) = self.by_number.remove(&number) else { return };
        self.by_activity.remove(&(entry.listed, number));
        // The peer may have begun another meanwhile.
        if self.by_peer.get(line.peer()) == Some(&number) {
            self.by_peer.remove(line.peer());
        }
    }

    /// The session that has been idle for longest, and since when.
    pub(super) fn least_active(&mut self) -> Option<(Arc<Line>, Instant)> {
        loop {
            let &(listed, number) = self.by_activity.first()?;
            let entry = self.by_number.get_mut(&number)?;
            let active = entry.line.active();
            if active == listed {
                return Some((entry.line.clone(), active));
            }
            entry.listed = active;
            self.by_activity.remove(&(listed, number));
            self.by_activity.insert((active, number));
        }
    }
}

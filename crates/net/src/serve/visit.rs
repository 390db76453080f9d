//! What the observers of a server see of one connection or session.

use std::sync::Arc;
use std::time::Instant;

use portolan_core::{Blame, Endpoint, Error, Event, Kind};
use tokio::sync::OwnedSemaphorePermit;

use crate::{Context, Meter, now};

/// Why a connection was closed whose handler did not get to its end: it panicked, or went on beyond
/// the drain limit.
pub(super) const BROKEN_OFF: &str = "the connection was broken off";

/// A connection or session of which the observers know: they see that it opens, and when this is
/// dropped that it is closed.
pub(crate) struct Visit {
    peer: Endpoint,
    via: Option<Endpoint>,
    pub(super) accepted: Instant,
    passed: Passed,
    pub(super) slot: Option<OwnedSemaphorePermit>,
    /// How it ended. One that did not is broken off.
    end: Option<Result<(), Error>>,
    pub(super) cx: Context,
}

/// The bytes that passed.
enum Passed {
    /// They are being counted.
    Metered(Arc<Meter>),
    /// So many were read, and so many written.
    Counted(u64, u64),
}

impl Passed {
    fn counts(&self) -> (u64, u64) {
        match self {
            Self::Metered(meter) => (meter.read(), meter.written()),
            Self::Counted(read, written) => (*read, *written),
        }
    }
}

impl Visit {
    pub(crate) fn begin(
        peer: &Endpoint,
        via: Option<&Endpoint>,
        meter: Arc<Meter>,
        cx: Context,
    ) -> Self {
        cx.observe(&Event::Opened { peer: peer.clone(), via: via.cloned() });
        Self {
            peer: peer.clone(),
            via: via.cloned(),
            accepted: now(),
            passed: Passed::Metered(meter),
            slot: None,
            end: None,
            cx,
        }
    }

    /// The handler has come to its end.
    pub(crate) fn end(mut self, result: Result<(), Error>) {
        self.end = Some(result);
    }

    /// Nobody handles it now, and whoever closes it may.
    pub(super) fn pause(&mut self) {
        let (read, written) = self.passed.counts();
        self.passed = Passed::Counted(read, written);
        self.end = Some(Ok(()));
    }

    /// It is handled again; bytes are to be counted by this.
    pub(super) fn resume(&mut self) -> Arc<Meter> {
        let (read, written) = self.passed.counts();
        let meter = Arc::new(Meter::from_counts(read, written));
        self.passed = Passed::Metered(meter.clone());
        self.end = None;
        meter
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // Who hears that one has gone can count on its place.
        self.slot = None;
        let broken_off = || Err(Error::new(Kind::Lost, BROKEN_OFF).with_blame(Blame::Us));
        let (bytes_in, bytes_out) = self.passed.counts();
        self.cx.observe(&Event::Closed {
            peer: self.peer.clone(),
            via: self.via.clone(),
            bytes_in,
            bytes_out,
            elapsed: now().saturating_duration_since(self.accepted),
            failure: self.end.take().unwrap_or_else(broken_off).err().map(Arc::new),
        });
    }
}

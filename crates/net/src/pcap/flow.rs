//! A connection over TCP as a capture shows it: what one socket sent and received, in segments.

use std::mem;

use portolan_core::Direction;

use super::packet::{self, ACK, FIN, PSH, Path, RST, SEGMENT_MAX, SYN, Segment};
use super::time;
use super::wire::{self, About};

/// After how many bytes that the other end sent nothing after, it acknowledges them.
const ACKNOWLEDGED: u32 = 1024 * 1024;

/// A connection over TCP, as a capture shows it.
pub(super) struct Flow {
    ours: Side,
    theirs: Side,
    path: Path,
    is_reset: bool,
}

/// What one side has sent.
struct Side {
    /// The number of its next byte.
    sequence: u32,
    /// How many bytes the other side has not acknowledged.
    unacknowledged: u32,
    is_finished: bool,
}

impl Flow {
    /// A connection on this path from us to the peer. Those that follow each other on one path
    /// begin with other numbers, or would be taken for one.
    pub(super) fn new(path: Path, number: u64) -> Self {
        let sequence = (number as u32).wrapping_mul(0x9E37_79B9);
        let side = |sequence| Side { sequence, unacknowledged: 0, is_finished: false };
        Self { ours: side(sequence), theirs: side(!sequence), path, is_reset: false }
    }

    /// The three segments that open a connection (RFC 9293 section 3.5).
    pub(super) fn open(&mut self, out: &mut Vec<u8>, opener: Direction, comment: Option<&str>) {
        self.commented_segment(out, opener, SYN, &[], comment);
        self.segment(out, reversed(opener), SYN | ACK, &[]);
        self.segment(out, opener, ACK, &[]);
    }

    pub(super) fn data(&mut self, out: &mut Vec<u8>, direction: Direction, bytes: &[u8]) {
        let mut parts = bytes.chunks(SEGMENT_MAX).peekable();
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_some() { ACK } else { ACK | PSH };
            self.segment(out, direction, flags, part);
        }
        if self.side(direction).unacknowledged >= ACKNOWLEDGED {
            self.segment(out, reversed(direction), ACK, &[]);
        }
    }

    /// Whether one direction has ended.
    pub(super) const fn is_finished(&mut self, direction: Direction) -> bool {
        self.side(direction).is_finished
    }

    /// Ends one direction, once.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, direction: Direction) {
        if !mem::replace(&mut self.side(direction).is_finished, true) {
            self.segment(out, direction, FIN | ACK, &[]);
            self.segment(out, reversed(direction), ACK, &[]);
        }
    }

    /// Ends both directions, once.
    pub(super) fn reset(&mut self, out: &mut Vec<u8>, direction: Direction) {
        self.segment(out, direction, RST | ACK, &[]);
        self.is_reset = true;
    }

    fn segment(&mut self, out: &mut Vec<u8>, direction: Direction, flags: u8, payload: &[u8]) {
        self.commented_segment(out, direction, flags, payload, None);
    }

    fn commented_segment(
        &mut self,
        out: &mut Vec<u8>,
        direction: Direction,
        flags: u8,
        payload: &[u8],
        comment: Option<&str>,
    ) {
        if self.is_reset {
            return;
        }
        let (path, from, to) = match direction {
            Direction::Sent => (self.path, &mut self.ours, &mut self.theirs),
            Direction::Received => (self.path.reversed(), &mut self.theirs, &mut self.ours),
        };
        let acknowledged = if flags & ACK == 0 { 0 } else { to.sequence };
        let segment = Segment { sequence: from.sequence, acknowledged, flags, payload };
        let about = About { time: time(), direction, comment };
        wire::packet(out, about, |out| packet::tcp(out, path, segment));
        // A segment that opens or finishes counts as a byte (RFC 9293 section 3.4).
        let length = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        from.sequence = from.sequence.wrapping_add(length);
        from.unacknowledged += length;
        to.unacknowledged = 0;
    }

    const fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Sent => &mut self.ours,
            Direction::Received => &mut self.theirs,
        }
    }
}

const fn reversed(direction: Direction) -> Direction {
    match direction {
        Direction::Sent => Direction::Received,
        Direction::Received => Direction::Sent,
    }
}

//! Buffers that a thread lends to the connections that have something to read or to write: those
//! that are idle hold none.

use std::cell::RefCell;

use bytes::BytesMut;

/// What a buffer holds.
pub(super) const SIZE: usize = 16 * 1024;
/// What one may have grown to and be kept nevertheless.
const GROWN: usize = 128 * 1024;
/// How many a thread keeps for later.
const SPARE: usize = 32;

thread_local! {
    static SPARES: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(super) fn take() -> BytesMut {
    let spare = SPARES.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| BytesMut::with_capacity(SIZE))
}

/// The same buffer, if it has memory; or else one that has.
pub(super) fn provide(buffer: &mut BytesMut) -> &mut BytesMut {
    if buffer.capacity() == 0 {
        *buffer = take();
    }
    buffer
}

/// Takes back a buffer, whatever it still holds, and leaves one without memory.
pub(super) fn give_back(buffer: &mut BytesMut) {
    let mut buffer = std::mem::take(buffer);
    buffer.clear();
    // Who holds a part of it keeps the whole.
    if !buffer.try_reclaim(SIZE) || buffer.capacity() > GROWN {
        return;
    }
    SPARES.with_borrow_mut(|spares| {
        if spares.len() < SPARE {
            spares.push(buffer);
        }
    });
}

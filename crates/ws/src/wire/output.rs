//! What is to be written.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Payloads of this size and more are not copied.
pub(crate) const SHARED_MIN: usize = 8 * 1024;
/// How much memory is kept while there is nothing to write.
const KEPT: usize = 4 * 1024;

/// Bytes that wait to be written: small frames side by side, large payloads shared.
#[derive(Debug, Default)]
pub struct Output {
    /// What comes first.
    segments: VecDeque<Bytes>,
    /// What comes then.
    tail: Vec<u8>,
    /// How much of the tail is written already.
    written: usize,
    /// How much there is in all.
    length: usize,
}

impl Output {
    /// Lets `write` put bytes at the end.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.tail.len();
        write(&mut self.tail);
        self.length += self.tail.len() - before;
    }

    /// Puts `bytes` at the end, shared where they are many.
    pub(crate) fn push(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_MIN {
            return self.append(|tail| tail.extend_from_slice(bytes));
        }
        let mut tail = Bytes::from(std::mem::take(&mut self.tail));
        tail.advance(std::mem::take(&mut self.written));
        self.segments.extend([tail, bytes.clone()].into_iter().filter(|part| !part.is_empty()));
        self.length += bytes.len();
    }

    /// How many bytes wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether none wait.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All that waits, in one piece.
    pub fn take_all(&mut self) -> Bytes {
        self.copy_to_bytes(self.length)
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.segments.front().map_or(&self.tail[self.written..], |segment| segment)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = &self.tail[self.written..];
        let tail = (!tail.is_empty()).then_some(tail);
        let chunks = self.segments.iter().map(|segment| &segment[..]).chain(tail);
        let pairs = slices.iter_mut().zip(chunks);
        pairs.map(|(slice, chunk)| *slice = IoSlice::new(chunk)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while let Some(segment) = self.segments.front_mut() {
            if count < segment.len() {
                return segment.advance(count);
            }
            count -= segment.len();
            self.segments.pop_front();
        }
        self.written += count;
        if self.written == self.tail.len() {
            self.written = 0;
            self.tail.clear();
            self.tail.shrink_to(KEPT);
            if self.segments.capacity() > 0 {
                self.segments = VecDeque::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_comes_out_in_order(
            parts in prop::collection::vec((any::<bool>(), 0_usize..3 * SHARED_MIN), 0..8),
            step in 1_usize..2 * SHARED_MIN,
        ) {
            let mut output = Output::default();
            let (mut expected, mut got) = (Vec::new(), Vec::new());
            for (index, (is_shared, size)) in parts.into_iter().enumerate() {
                let bytes = Bytes::from(vec![index as u8; size]);
                match is_shared {
                    true => output.push(&bytes),
                    false => output.append(|tail| tail.extend_from_slice(&bytes)),
                }
                expected.extend_from_slice(&bytes);
                let count = output.chunk().len().min(step);
                got.extend_from_slice(&output.chunk()[..count]);
                output.advance(count);
            }
            let mut slices = [IoSlice::new(&[]); 32];
            let count = output.chunks_vectored(&mut slices);
            let length: usize = slices[..count].iter().map(|slice| slice.len()).sum();
            prop_assert_eq!(length, output.len());
            got.extend_from_slice(&output.take_all());
            prop_assert_eq!(got, expected);
            prop_assert!(output.is_empty() && output.tail.capacity() <= KEPT);
        }
    }
}

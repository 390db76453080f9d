//! Masking (RFC 6455 section 5.3), by wide words.

use std::cell::RefCell;

use rustix::io::retry_on_intr;
use rustix::rand::{GetRandomFlags, getrandom};

/// How many random bytes are drawn at once: the system's generator is asked for the keys of many
/// frames together.
const DRAWN: usize = 1024;

/// Masks or unmasks a part of a payload that begins `offset` bytes into it.
pub(crate) fn mask(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    let mut key = key;
    key.rotate_left(offset % 4);
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    // The compiler makes the widest words out of these that the processor has.
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

/// A key that nobody can foresee (RFC 6455 section 10.3).
pub(crate) fn random_key() -> [u8; 4] {
    thread_local! {
        static DRAW: RefCell<([u8; DRAWN], usize)> = const { RefCell::new(([0; DRAWN], DRAWN)) };
    }
    DRAW.with_borrow_mut(|(bytes, used)| {
        if *used == DRAWN {
            fill(bytes);
            *used = 0;
        }
        *used += 4;
        [bytes[*used - 4], bytes[*used - 3], bytes[*used - 2], bytes[*used - 1]]
    })
}

/// Fills `bytes` from the system's generator: TLS's own takes long to start.
pub(crate) fn fill(bytes: &mut [u8]) {
    // So many bytes at once are given whole (getrandom(2)).
    for piece in bytes.chunks_mut(256) {
        // It fails only on systems that have no source of randomness at all, where TLS could not
        // work either.
        #[expect(clippy::expect_used, reason = "without randomness nothing safe can be sent")]
        retry_on_intr(|| getrandom(&mut *piece, GetRandomFlags::empty()))
            .expect("the system gives random bytes");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_the_rfc_has_it_byte_by_byte(
            bytes: Vec<u8>, key: [u8; 4], offset in 0_usize..9, at: prop::sample::Index,
        ) {
            let expected: Vec<_> = (offset..)
                .zip(&bytes)
                .map(|(index, byte)| byte ^ key[index % 4])
                .collect();
            let mut masked = bytes.clone();
            let (before, after) = masked.split_at_mut(at.index(bytes.len() + 1));
            mask(before, key, offset);
            mask(after, key, offset + before.len());
            prop_assert_eq!(masked, expected);
        }
    }

    #[test]
    fn keys_differ() {
        let keys: std::collections::HashSet<_> = (0..2 * DRAWN).map(|_| random_key()).collect();
        assert!(keys.len() > 2 * DRAWN - 8);
    }
}

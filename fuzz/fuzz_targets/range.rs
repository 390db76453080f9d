//! Ranges as a client sends them: what is sent of a file is in it, and no more than all of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_http::Ranges;

fuzz_target!(|input: (u64, &[u8])| {
    let (size, field) = input;
    let Ranges::Parts(parts) = Ranges::parse(field, size) else { return };
    assert!(!parts.is_empty());
    assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
    let total: u128 = parts.iter().map(|part| u128::from(part.end - part.start)).sum();
    assert!(total <= u128::from(size));
});

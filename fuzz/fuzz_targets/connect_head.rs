//! The head of a proxy's answer: it ends where it ends, whatever follows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_net::proxy::connect::parse_head;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(head)) = parse_head(bytes) else { return };
    assert!((100..1000).contains(&head.status.code));
    assert_eq!(parse_head(&bytes[..head.length - 1]), Ok(None));
    assert_eq!(parse_head(&bytes[..head.length]), Ok(Some(head)));
});

//! PROXY headers: one ends where it ends, whatever follows, and what is printed is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_net::proxy_protocol::{Parsed, ProxyHeader};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Parsed::Header(header, length)) = ProxyHeader::parse(bytes) else { return };
    assert!(matches!(ProxyHeader::parse(&bytes[..length - 1]), Ok(Parsed::Needs(1..))));
    assert_eq!(ProxyHeader::parse(&bytes[..length]), Ok(Parsed::Header(header.clone(), length)));
    for wire in [header.v1(), header.v2()] {
        assert!(
            matches!(ProxyHeader::parse(&wire), Ok(Parsed::Header(_, end)) if end == wire.len())
        );
    }
});

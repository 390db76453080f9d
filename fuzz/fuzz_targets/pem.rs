//! Files with certificates and a key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_net::tls::Identity;

fuzz_target!(|pem: &[u8]| {
    if let Ok(identity) = Identity::from_pem(pem, pem) {
        let _ = identity.chain();
    }
});

//! Certificates as a peer sends them.
#![no_main]

use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use portolan_net::tls::Certificate;

fuzz_target!(|der: &[u8]| {
    let Some(certificate) = Certificate::from_der(der) else { return };
    let _ = certificate.days_left(SystemTime::UNIX_EPOCH);
    assert_eq!(certificate.sha256.len(), 64);
});

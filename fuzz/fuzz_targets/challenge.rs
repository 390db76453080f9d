//! Challenges as a peer sends them, and the answers to those for Digest.
#![no_main]

use http::{HeaderMap, HeaderValue, Method, header};
use libfuzzer_sys::fuzz_target;
use portolan_http::{Challenge, DigestSession};

fuzz_target!(|field: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(field) else { return };
    let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, value)]);
    for challenge in Challenge::from_headers(&headers, &header::WWW_AUTHENTICATE) {
        assert!(!challenge.scheme.is_empty());
    }
    let digest = DigestSession::from_headers(&headers, &header::WWW_AUTHENTICATE);
    if let Some(mut digest) = digest {
        let _ = digest.answer("user", "password", &Method::GET, "/");
    }
});

//! Cookies as a peer sets them: another site never gets them, and what is saved is loaded.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use portolan_http::Jar;

fuzz_target!(|field: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(field) else { return };
    let headers = HeaderMap::from_iter([(header::SET_COOKIE, value)]);
    let site = "http://www.example.co.uk/a/b".parse().expect("a URL");
    let jar = Jar::new();
    jar.receive(&site, &headers);
    for other in ["https://other.co.uk/a/b", "https://ww.example.co.uk.example/a/b"] {
        assert!(jar.header(&other.parse().expect("a URL")).is_none());
    }
    let loaded = Jar::from_json(&jar.to_json().expect("it is JSON")).expect("it was saved");
    assert_eq!(loaded.header(&site), jar.header(&site));
});

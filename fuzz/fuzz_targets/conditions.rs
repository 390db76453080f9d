//! Conditions as a client sends them: whatever they say, it comes to a verdict, and to none but
//! the one to go on without a condition that can lead there.
#![no_main]

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, header};
use libfuzzer_sys::fuzz_target;
use portolan_http::{EntityTag, Validators, Verdict};

fuzz_target!(|fields: [&[u8]; 5]| {
    let names = [
        header::IF_MATCH,
        header::IF_UNMODIFIED_SINCE,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_RANGE,
    ];
    let mut headers = HeaderMap::new();
    for (name, field) in names.into_iter().zip(fields) {
        if let (false, Ok(value)) = (field.is_empty(), HeaderValue::from_bytes(field)) {
            headers.insert(name, value);
        }
    }
    let has = |name| headers.contains_key(name);
    let current = Validators { tag: EntityTag::strong("a"), modified: SystemTime::UNIX_EPOCH };
    for current in [None, Some(&current)] {
        match Verdict::of(&Method::GET, &headers, current) {
            Verdict::Proceed => {}
            Verdict::NotModified => {
                assert!(current.is_some());
                assert!(has(header::IF_NONE_MATCH) || has(header::IF_MODIFIED_SINCE));
            }
            Verdict::Failed => assert!(has(header::IF_MATCH) || has(header::IF_UNMODIFIED_SINCE)),
        }
    }
    assert!(has(header::IF_RANGE) || current.have_range(&headers));
});

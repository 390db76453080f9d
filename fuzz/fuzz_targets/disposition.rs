//! Names of files as a peer sends them: they stay in their directory, and safe ones stay as they
//! are.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use portolan_http::{file_name, safe_name};

fuzz_target!(|field: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(field) else { return };
    let headers = HeaderMap::from_iter([(header::CONTENT_DISPOSITION, value)]);
    let name = file_name(&headers, &"http://host/".parse().expect("a URL"));
    assert!(!name.is_empty() && name.len() <= 200 && !name.starts_with('.'));
    assert!(!name.contains(['/', '\\']) && !name.chars().any(char::is_control));
    assert_eq!(safe_name(&name), Some(name));
});

//! Paths of requests: what is found of them stays beneath the root, and is found again.
#![no_main]

use std::os::unix::ffi::OsStrExt;
use std::path::Component;

use libfuzzer_sys::fuzz_target;
use portolan_http::RequestPath;

fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = RequestPath::parse(bytes) else { return };
    let mut parts = found.path().components();
    assert!(parts.all(|part| matches!(part, Component::Normal(_))));
    let names = found.path().as_os_str().as_bytes();
    assert!(!names.contains(&0) && !names.contains(&b'\\') && !names.starts_with(b"/"));
    let slash = if found.is_directory() { "/" } else { "" };
    let encoded: String = names.iter().map(encode).collect();
    let again = if names.is_empty() { "/".to_owned() } else { format!("/{encoded}{slash}") };
    assert_eq!(RequestPath::parse(again.as_bytes()), Ok(found));
});

fn encode(byte: &u8) -> String {
    if *byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") }
}

//! Expectations: what is read from a list is read alone, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_probe::Expectation;

fuzz_target!(|text: &str| {
    for expectation in Expectation::parse_list(text).unwrap_or_default() {
        let alone: Expectation = expectation.to_string().parse().expect("it was read before");
        assert_eq!(alone.to_string(), expectation.to_string());
    }
});

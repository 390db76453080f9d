//! Reports turned into text and into JSON: pure, nothing is printed here.

pub mod connection;
pub mod error;
pub mod probe;

use std::time::Duration;

use serde::Serialize;

/// One line of JSON output: the schema's version, the type and the time, then the body's own keys.
#[derive(Serialize)]
pub(crate) struct Line<'a, T> {
    pub(crate) v: u8,
    pub(crate) r#type: &'a str,
    pub(crate) t: String,
    #[serde(flatten)]
    pub(crate) body: &'a T,
}

/// A duration in milliseconds, to the microsecond, as JSON shows it under keys that end in `ms`.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_to_the_microsecond() {
        assert_eq!(millis(Duration::from_nanos(1_234_567)).to_string(), "1.235");
        assert_eq!(millis(Duration::from_secs(2)).to_string(), "2000");
    }
}

//! Reports turned into text and into JSON: pure, nothing is printed here.

pub mod body;
pub mod connection;
pub mod data;
pub mod dump;
pub mod error;
pub mod format;
pub mod frame;
pub mod get;
pub mod http;
pub mod phases;
pub mod probe;
pub mod request;

use std::time::Duration;

use serde::Serialize;

/// One line of JSON output: the schema's version, the type and the time, then the body's own keys.
#[derive(Serialize)]
struct Line<'a, T> {
    v: u8,
    r#type: &'a str,
    t: String,
    #[serde(flatten)]
    body: &'a T,
}

/// The line of JSON for an object of this type, with its line feed.
///
/// # Errors
/// Those of the body's own serialization.
pub(crate) fn line(r#type: &str, body: &impl Serialize) -> serde_json::Result<String> {
    let t = format!("{:.6}", jiff::Timestamp::now());
    serde_json::to_string(&Line { v: 1, r#type, t, body }).map(|line| line + "\n")
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

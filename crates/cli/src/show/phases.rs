//! The phases of an operation, as JSON has them, and their facts in words.

use std::time::Duration;

use portolan::units::show_duration;
use portolan::{Span, Timings, Value};
use serde::Serialize;
use serde_json::{Map, json};

use super::millis;

/// One phase.
#[derive(Debug, Serialize)]
pub struct PhaseReport {
    name: &'static str,
    ms: f64,
    ok: bool,
    detail: Map<String, serde_json::Value>,
}

/// The objects for these phases.
#[must_use]
pub fn phases(timings: &Timings) -> Vec<PhaseReport> {
    timings.spans().iter().map(PhaseReport::new).collect()
}

impl PhaseReport {
    fn new(span: &Span) -> Self {
        let detail = span.facts.iter().map(|(name, value)| ((*name).to_owned(), to_json(value)));
        Self {
            name: span.phase.name(),
            ms: millis(span.elapsed()),
            ok: !span.failed,
            detail: detail.collect(),
        }
    }
}

/// A fact in words, after its name; a time in milliseconds, of which the name says so, with its
/// unit.
#[must_use]
pub fn named(name: &str, value: &Value) -> String {
    match (name.strip_suffix("_ms"), value) {
        (Some(name), Value::Number(ms)) if *ms >= 0.0 => {
            format!("{name} {}", show_duration(Duration::from_secs_f64(ms / 1e3)))
        }
        _ => format!("{name} {value}"),
    }
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => json!(text),
        Value::Count(count) => json!(count),
        Value::Number(number) if number.fract() == 0.0 => json!(*number as i64),
        Value::Number(number) => json!(number),
        Value::Flag(flag) => json!(flag),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Record(parts) => {
            let parts = parts.iter().map(|(name, value)| ((*name).to_owned(), to_json(value)));
            serde_json::Value::Object(parts.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_unit() {
        assert_eq!(named("pong_ms", &Value::Number(0.119)), "pong 119 µs");
        assert_eq!(named("echo_ms", &Value::Number(1500.0)), "echo 1.50 s");
        assert_eq!(named("status", &Value::Count(101)), "status 101");
    }

    #[test]
    fn values_as_json() {
        let value = Value::Record(vec![
            ("text", "a".into()),
            ("count", Value::Count(2)),
            ("number", Value::Number(0.5)),
            ("flag", true.into()),
            ("list", Value::texts(["a", "b"])),
        ]);
        let json = to_json(&value).to_string();
        assert_eq!(json, r#"{"count":2,"flag":true,"list":["a","b"],"number":0.5,"text":"a"}"#);
    }
}

//! Requests and responses of `http`: heads and what they took as text, and objects.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan::Timings;
use portolan::units::show_duration;
use serde::Serialize;

use super::error::AttemptReport;
use super::millis;
use super::phases::{PhaseReport, phases};

const FIRST: Style = Style::new().bold();
const NAME: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const MOVED: Style = AnsiColor::Yellow.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// The head of a request, a field a line: as HTTP/1.1 has it, whichever version is spoken.
#[must_use]
pub fn request_head(line: &str, fields: &[(String, String)]) -> String {
    head(FIRST, line, fields)
}

/// The head of a response with this status.
#[must_use]
pub fn response_head(line: &str, status: u16, fields: &[(String, String)]) -> String {
    let style = match status {
        0..300 => GOOD,
        300..400 => MOVED,
        _ => BAD,
    };
    head(style, line, fields)
}

fn head(style: Style, line: &str, fields: &[(String, String)]) -> String {
    let mut text = format!("{style}{line}{style:#}\n");
    for (name, value) in fields {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{NAME}{name}{NAME:#}: {value}");
    }
    text
}

/// What an exchange took, a phase a line, and how long its body was.
#[must_use]
pub fn meta(timings: &Timings, size: u64) -> String {
    let mut text = String::new();
    for span in timings.spans() {
        let _ = writeln!(text, "{NAME}{}{NAME:#}: {}", span.phase, show_duration(span.elapsed()));
    }
    let total = show_duration(timings.total());
    let _ = writeln!(text, "{NAME}total{NAME:#}: {total} {FAINT}for {size} bytes{FAINT:#}");
    text
}

/// A body as JSON has it: as text where it is UTF-8, else in Base64.
#[derive(Debug, Default, Serialize)]
pub struct BodyReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl BodyReport {
    /// The keys for these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self { body: Some(text), body_base64: None },
            Err(error) => Self { body: None, body_base64: Some(STANDARD.encode(error.as_bytes())) },
        }
    }
}

/// A request that was not sent, as a line of JSON has it.
#[derive(Debug, Serialize)]
pub struct RequestReport {
    /// The method.
    pub method: String,
    /// The URL, without its secrets.
    pub url: String,
    /// The header fields, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(flatten)]
    pub body: BodyReport,
}

/// An answer as a line of JSON has it.
#[derive(Debug, Serialize)]
pub struct HttpReport {
    /// The method of the last request.
    pub method: String,
    /// Its URL, without its secrets.
    pub url: String,
    /// The status code.
    pub status: u16,
    /// Its reason phrase, where there is one.
    pub reason: String,
    /// The version of HTTP.
    pub version: &'static str,
    /// The header fields, in order; one may be there more than once.
    pub headers: Vec<(String, String)>,
    /// The body; neither key where it was told piece by piece.
    #[serde(flatten)]
    pub body: BodyReport,
    /// The bytes of the body.
    pub size: u64,
    /// The redirects that were followed.
    pub redirects: Vec<RedirectReport>,
    /// What it took.
    #[serde(flatten)]
    pub timings: TimingsReport,
}

/// A redirect that was followed.
#[derive(Debug, Serialize)]
pub struct RedirectReport {
    /// The status code.
    pub status: u16,
    /// Where it came from.
    pub url: String,
}

/// What an exchange took.
#[derive(Debug, Serialize)]
pub struct TimingsReport {
    phases: Vec<PhaseReport>,
    total_ms: f64,
    attempts: Vec<AttemptReport>,
    retries: u32,
}

impl TimingsReport {
    /// The keys for these timings.
    #[must_use]
    pub fn new(timings: &Timings) -> Self {
        Self {
            phases: phases(timings),
            total_ms: millis(timings.total()),
            attempts: timings.attempts().iter().map(AttemptReport::new).collect(),
            retries: timings.retries(),
        }
    }
}

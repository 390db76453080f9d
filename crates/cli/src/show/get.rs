//! Reports of `get`: sentences and objects.

use std::time::Duration;

use portolan::transfer::Report;
use portolan::units::show_duration;
use serde::Serialize;

use super::millis;
use crate::sanitize::sanitize;

/// A size for people, in the units of 1024.
#[must_use]
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// The sentence about a file that has come.
#[must_use]
pub fn saved(report: &Report) -> String {
    let place = report.path.as_ref().map(|path| path.display().to_string());
    let place = place.unwrap_or_else(|| "stdout".to_owned());
    let place = sanitize(&place);
    let took = show_duration(report.elapsed);
    match report.fetched {
        0 if report.size > 0 => format!("{place} was there: {}", size(report.size)),
        fetched if fetched < report.size => {
            format!("{place}: {} in {took}, of {}", size(fetched), size(report.size))
        }
        _ => format!("{place}: {} in {took}", size(report.size)),
    }
}

/// A file that has come, as a line of JSON has it.
#[derive(Debug, Serialize)]
pub struct GetReport {
    url: String,
    path: Option<String>,
    size: u64,
    fetched: u64,
    retries: u32,
    ms: f64,
}

impl GetReport {
    /// The object for `report`.
    #[must_use]
    pub fn new(report: &Report) -> Self {
        Self {
            url: report.url.to_string(),
            path: report.path.as_ref().map(|path| path.display().to_string()),
            size: report.size,
            fetched: report.fetched,
            retries: report.retries,
            ms: millis(report.elapsed),
        }
    }
}

/// What came of all of them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Summary {
    /// How many came.
    pub files: usize,
    /// How many did not.
    pub failed: usize,
    /// The bytes of those that came.
    pub bytes: u64,
    /// The bytes that came over the network for them.
    pub fetched: u64,
    /// How long it all took.
    #[serde(skip)]
    pub elapsed: Duration,
    ms: f64,
}

impl Summary {
    /// Takes in a file that has come.
    pub const fn add(&mut self, report: &Report) {
        self.files += 1;
        self.bytes += report.size;
        self.fetched += report.fetched;
    }

    /// It all took this long.
    #[must_use]
    pub fn after(mut self, elapsed: Duration) -> Self {
        (self.elapsed, self.ms) = (elapsed, millis(elapsed));
        self
    }

    /// The line about them.
    #[must_use]
    pub fn sentence(&self) -> String {
        let files = if self.files == 1 { "file" } else { "files" };
        let rate = self.fetched as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let failed =
            if self.failed > 0 { format!("; {} failed", self.failed) } else { String::new() };
        format!(
            "{} {files}, {} in {}, {}/s{failed}",
            self.files,
            size(self.fetched),
            show_duration(self.elapsed),
            size(rate as u64)
        )
    }
}

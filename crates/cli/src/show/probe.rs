//! Reports of `probe`: rows with a bar of phases, and objects.

use anstyle::{AnsiColor, Style};
use portolan::probe::{Report, Target};
use portolan::units::show_duration;
use portolan::{Error, Span, Value};
use serde::Serialize;
use serde_json::{Map, json};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::error::{self, AttemptReport};
use super::millis;

const UP: Style = AnsiColor::Green.on_default().bold();
const DOWN: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();
const HINT: Style = AnsiColor::Cyan.on_default();
const NOTE: Style = AnsiColor::Yellow.on_default();

/// The phases that have a colour and a mark of their own in a bar; others share the last.
const MARKS: [(&str, char, AnsiColor); 8] = [
    ("resolve", '·', AnsiColor::Magenta),
    ("connect", '░', AnsiColor::Blue),
    ("proxy", '-', AnsiColor::Yellow),
    ("tls", '▒', AnsiColor::Cyan),
    ("send", '>', AnsiColor::White),
    ("wait", '▓', AnsiColor::Green),
    ("receive", '█', AnsiColor::BrightGreen),
    ("other", '+', AnsiColor::White),
];

/// What stands between columns, and before what belongs to a row.
const GAP: &str = "  ";
const INDENT: &str = "      ";
/// The columns of the state, the total, and the slowest phase.
const STATE: usize = 4;
const TOTAL: usize = 8;
const SLOWEST: usize = 16;
const BAR: usize = 24;

/// The widths of the columns that depend on the terminal and on the targets.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    target: usize,
    bar: usize,
    width: usize,
}

impl Layout {
    /// Columns for these targets that together are no wider than `width`.
    pub fn new<'a>(targets: impl IntoIterator<Item = &'a str>, width: usize) -> Self {
        let longest = targets.into_iter().map(UnicodeWidthStr::width).max().unwrap_or(0);
        let fixed = STATE + TOTAL + SLOWEST + 4 * GAP.len();
        let room = width.saturating_sub(fixed);
        // The bar shrinks first; then targets are cut.
        let bar = room.saturating_sub(longest).clamp(8.min(room), BAR);
        Self { target: longest.min(room.saturating_sub(bar)), bar, width }
    }

    /// The line above the rows.
    #[must_use]
    pub fn head(&self) -> String {
        let target = pad("target", self.target);
        let bar = pad("phases", self.bar);
        format!(
            "{FAINT}{:STATE$}{GAP}{target}{GAP}{:>TOTAL$}{GAP}{bar}{GAP}slowest{FAINT:#}",
            "", "total"
        )
    }

    /// One target: a row, and below it what failed, what to do, and what should be known.
    #[must_use]
    pub fn row(&self, report: &Report) -> String {
        let (state, style) = if report.is_ok() { ("up", UP) } else { ("down", DOWN) };
        let target = pad(&cut(&label(&report.target), self.target), self.target);
        let total = show_duration(report.total());
        let bar = bar(report, self.bar);
        let slowest = slowest(report.timings.spans());
        let mut lines = vec![format!(
            "{style}{state:STATE$}{style:#}{GAP}{target}{GAP}{total:>TOTAL$}{GAP}{bar}{GAP}{slowest}"
        )];
        if let Some(failure) = &report.error {
            let phase = failure.phase().map(|phase| format!("{phase}: ")).unwrap_or_default();
            self.wrap(&mut lines, DOWN, "", &format!("{phase}{}", error::sentence(failure, None)));
            if let Some(hint) = error::hint(failure) {
                self.wrap(&mut lines, HINT, "hint: ", &hint);
            }
        }
        for note in &report.notes {
            self.wrap(&mut lines, NOTE, "note: ", note);
        }
        lines.join("\n")
    }

    /// Each phase of one target on a line of its own, to scale, with what was learnt in it.
    #[must_use]
    pub fn waterfall(&self, report: &Report) -> String {
        let total = report.total().as_secs_f64().max(f64::MIN_POSITIVE);
        let spans = report.timings.spans();
        let Some(first) = spans.iter().map(|span| span.started).min() else { return String::new() };
        let cells = |seconds: f64| (seconds / total * self.bar as f64).round() as usize;
        let mut lines = Vec::new();
        for span in spans {
            let offset = cells(span.started.duration_since(first).as_secs_f64());
            let offset = offset.min(self.bar.saturating_sub(1));
            let length = cells(span.elapsed().as_secs_f64()).clamp(1, self.bar - offset);
            let (mark, style) = mark(span);
            let bar: String = std::iter::repeat_n(mark, length).collect();
            let rest = " ".repeat(self.bar - offset - length);
            let name = span.phase.name();
            let elapsed = show_duration(span.elapsed());
            let start = format!("{INDENT}{name:8}{GAP}{elapsed:>TOTAL$}{GAP}");
            let used = start.width() + self.bar + GAP.len();
            let facts = cut(&facts(span), self.width.saturating_sub(used));
            let blank = " ".repeat(offset);
            lines.push(format!(
                "{start}{blank}{style}{bar}{style:#}{rest}{GAP}{FAINT}{facts}{FAINT:#}"
            ));
        }
        lines.join("\n")
    }

    /// The line below the rows: which mark in the bars is which phase.
    #[must_use]
    pub fn legend<'a>(&self, reports: impl IntoIterator<Item = &'a str>) -> String {
        let names: Vec<&str> = reports.into_iter().collect();
        let known = MARKS.iter().filter(|(name, ..)| names.contains(name));
        let marks = known.map(|(name, mark, color)| {
            let style = color.on_default();
            format!("{style}{mark}{style:#} {name}")
        });
        format!("{INDENT}{}", marks.collect::<Vec<_>>().join(GAP))
    }

    /// Adds `text` as lines that are no wider than the terminal.
    fn wrap(&self, lines: &mut Vec<String>, style: Style, label: &str, text: &str) {
        let room = self.width.saturating_sub(INDENT.len() + label.len()).max(20);
        let mut line = String::new();
        let mut start = format!("{INDENT}{style}{label}{style:#}");
        let plain = label.is_empty();
        let paint =
            |text: &str| if plain { format!("{style}{text}{style:#}") } else { text.to_owned() };
        for word in text.split_whitespace() {
            if !line.is_empty() && line.width() + 1 + word.width() > room {
                lines.push(format!("{start}{}", paint(&line)));
                start = format!("{INDENT}{}", " ".repeat(label.len()));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(format!("{start}{}", paint(&line)));
    }
}

/// How people know the target: the lab's name for it, and its URL.
#[must_use]
pub fn label(target: &Target) -> String {
    match (&target.name, &target.via) {
        (Some(name), Some(via)) => format!("{name} {via}"),
        (Some(name), None) => format!("{name} {}", target.url),
        (None, _) => target.url.to_string(),
    }
}

/// The phases of a report in proportion, each with its own mark; a failed one ends with a cross.
fn bar(report: &Report, width: usize) -> String {
    let spans = report.timings.spans();
    let total: f64 = spans.iter().map(|span| span.elapsed().as_secs_f64()).sum();
    let mut cells = String::new();
    let mut done = 0.0;
    let mut used = 0;
    for span in spans {
        done += span.elapsed().as_secs_f64();
        let end = if total > 0.0 { (done / total * width as f64).round() as usize } else { used };
        let count = end.saturating_sub(used);
        used += count;
        let (mark, style) = mark(span);
        let marks: String = std::iter::repeat_n(mark, count).collect();
        cells.push_str(&format!("{style}{marks}{style:#}"));
    }
    cells.push_str(&" ".repeat(width.saturating_sub(used)));
    cells
}

fn mark(span: &Span) -> (char, Style) {
    let own = MARKS.iter().find(|(name, ..)| *name == span.phase.name());
    let (_, mark, color) = own.unwrap_or(&MARKS[MARKS.len() - 1]);
    if span.failed { ('x', DOWN) } else { (*mark, color.on_default()) }
}

fn slowest(spans: &[Span]) -> String {
    let slowest = spans.iter().max_by_key(|span| span.elapsed());
    slowest.map_or_else(String::new, |span| {
        format!("{} {}", span.phase, show_duration(span.elapsed()))
    })
}

fn facts(span: &Span) -> String {
    let facts = span.facts.iter().map(|(name, value)| match (*name, value) {
        ("address" | "addresses" | "version" | "cipher" | "alpn", value) => value.to_string(),
        (name, value) => format!("{name} {value}"),
    });
    facts.collect::<Vec<_>>().join(", ")
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// `text`, or its beginning and `…` where it is wider than `width`.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for char in text.chars() {
        if cut.width() + char.width().unwrap_or(0) + 1 > width {
            break;
        }
        cut.push(char);
    }
    if width > 0 { cut + "…" } else { cut }
}

/// A report as a line of JSON has it.
#[derive(Debug, Serialize)]
pub struct ProbeReport {
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    ok: bool,
    total_ms: f64,
    phases: Vec<PhaseReport>,
    error: Option<Failed>,
    notes: Vec<String>,
    attempts: Vec<AttemptReport>,
}

#[derive(Debug, Serialize)]
struct PhaseReport {
    name: &'static str,
    ms: f64,
    ok: bool,
    detail: Map<String, serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct Failed {
    phase: Option<&'static str>,
    kind: &'static str,
    code: u8,
    message: String,
    hint: Option<String>,
}

impl ProbeReport {
    /// The object for `report`.
    #[must_use]
    pub fn new(report: &Report) -> Self {
        Self {
            target: report.target.url.to_string(),
            name: report.target.name.clone(),
            via: report.target.via.as_ref().map(ToString::to_string),
            ok: report.is_ok(),
            total_ms: millis(report.total()),
            phases: report.timings.spans().iter().map(PhaseReport::new).collect(),
            error: report.error.as_ref().map(Failed::new),
            notes: report.notes.clone(),
            attempts: report.timings.attempts().iter().map(AttemptReport::new).collect(),
        }
    }
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

impl Failed {
    fn new(failure: &Error) -> Self {
        Self {
            phase: failure.phase().map(|phase| phase.name()),
            kind: failure.kind().name(),
            code: failure.kind().exit_code(),
            message: error::sentence(failure, None),
            hint: error::hint(failure),
        }
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
mod tests;

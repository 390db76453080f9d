//! Reports of `probe`: rows with a bar of phases, and objects.

use std::collections::BTreeSet;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use portolan::probe::{Report, Target};
use portolan::units::show_duration;
use portolan::{Error, Span, Value};
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::error::{self, AttemptReport};
use super::millis;
use super::phases::{PhaseReport, named, phases};
use crate::sanitize::sanitize;

const UP: Style = AnsiColor::Green.on_default().bold();
const DOWN: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();
const HINT: Style = AnsiColor::Cyan.on_default();
const NOTE: Style = AnsiColor::Yellow.on_default();

/// What has a colour and a mark of its own in a bar: the phases, and one that failed. Other phases
/// share the last.
const MARKS: [(&str, char, AnsiColor); 10] = [
    ("resolve", '·', AnsiColor::Magenta),
    ("connect", '░', AnsiColor::Blue),
    ("proxy", '-', AnsiColor::Yellow),
    ("tls", '▒', AnsiColor::Cyan),
    ("upgrade", '+', AnsiColor::White),
    ("send", '>', AnsiColor::White),
    ("wait", '▓', AnsiColor::Green),
    ("receive", '█', AnsiColor::BrightGreen),
    (FAILED, 'x', AnsiColor::Red),
    ("other", '~', AnsiColor::White),
];
const FAILED: &str = "failed";

/// What stands between columns, and before what belongs to a row.
const GAP: &str = "  ";
const INDENT: &str = "      ";
/// The columns of the state, the total, and a phase's name.
const STATE: usize = 4;
const TOTAL: usize = 8;
const PHASE: usize = 8;
/// The columns of the slowest phase, with its time and without.
const SLOWEST: usize = 16;
const SLOWEST_NAME: usize = 7;
/// The columns of a bar, and how few they may become.
const BAR: usize = 24;
const BAR_MIN: usize = 16;
/// How many of a certificate's names are shown; some have hundreds.
const LIST_SHOWN: usize = 6;
/// Narrower terminals are taken to have so many columns.
const WIDTH_MIN: usize = 48;

/// The widths of the columns that depend on the terminal and on the targets.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    target: usize,
    bar: usize,
    slowest: usize,
    width: usize,
}

impl Layout {
    /// Columns for these targets that together are no wider than `width`.
    pub fn new(targets: impl IntoIterator<Item = impl AsRef<str>>, width: usize) -> Self {
        let width = width.max(WIDTH_MIN);
        let longest = targets.into_iter().map(|target| target.as_ref().width()).max().unwrap_or(0);
        let room = width - STATE - TOTAL - 4 * GAP.len();
        // First the slowest phase goes without its time, then the bar shrinks, then targets are cut.
        let has_times = room >= longest + BAR_MIN + SLOWEST;
        let slowest = if has_times { SLOWEST } else { SLOWEST_NAME };
        let room = room - slowest;
        let bar = room.saturating_sub(longest).clamp(BAR_MIN.min(room / 2), BAR);
        Self { target: longest.min(room - bar), bar, slowest, width }
    }

    /// The line above the rows.
    #[must_use]
    pub fn head(&self) -> String {
        let target = pad("target", self.target);
        let bar = pad("phases", self.bar);
        let target = cut(&target, self.target);
        format!(
            "{FAINT}{:STATE$}{GAP}{target}{GAP}{:>TOTAL$}{GAP}{bar}{GAP}slowest{FAINT:#}",
            "", "total"
        )
    }

    /// All about one target: its row, with `detail` each phase on a line of its own, and what
    /// failed, what to do, and what should be known.
    #[must_use]
    pub fn report(&self, report: &Report, detail: bool) -> String {
        let mut lines = vec![self.row(report)];
        if detail {
            lines.extend(self.waterfall(report));
            for span in report.timings.spans() {
                certificate(span).inspect(|words| self.wrap(&mut lines, FAINT, "cert: ", words));
            }
        }
        lines.extend(self.remarks(report));
        lines.join("\n")
    }

    fn row(&self, report: &Report) -> String {
        let (state, style) = if report.is_ok() { ("up", UP) } else { ("down", DOWN) };
        let target = pad(&cut(&sanitize(&label(&report.target)), self.target), self.target);
        let total = show_duration(report.total());
        let bar = bar(report, self.bar);
        let slowest = self.slowest(report.timings.spans());
        let row = format!(
            "{style}{state:STATE$}{style:#}{GAP}{target}{GAP}{total:>TOTAL$}{GAP}{bar}{GAP}{slowest}"
        );
        row.trim_end().to_owned()
    }

    fn slowest(&self, spans: &[Span]) -> String {
        match spans.iter().max_by_key(|span| span.elapsed()) {
            Some(span) if self.slowest == SLOWEST => {
                format!("{} {}", span.phase, show_duration(span.elapsed()))
            }
            Some(span) => span.phase.name().to_owned(),
            None => String::new(),
        }
    }

    /// Each phase on a line of its own, to scale, with what was learnt in it.
    fn waterfall(&self, report: &Report) -> Vec<String> {
        let spans = report.timings.spans();
        let Some(first) = spans.iter().map(|span| span.started).min() else { return Vec::new() };
        let last = spans.iter().filter_map(|span| span.ended).max().unwrap_or(first);
        let whole = last.duration_since(first).as_secs_f64().max(f64::MIN_POSITIVE);
        let cells =
            |time: Duration| (time.as_secs_f64() / whole * self.bar as f64).round() as usize;
        let line = |span: &Span| {
            let offset = cells(span.started.duration_since(first)).min(self.bar - 1);
            let length = cells(span.elapsed()).clamp(1, self.bar - offset);
            let (mark, style) = mark(span);
            let bar: String = std::iter::repeat_n(mark, length).collect();
            let (before, after) = (" ".repeat(offset), " ".repeat(self.bar - offset - length));
            let name = span.phase.name();
            let elapsed = show_duration(span.elapsed());
            let start = format!("{INDENT}{name:PHASE$}{GAP}{elapsed:>TOTAL$}{GAP}{before}");
            let used = start.width() + length + after.len() + GAP.len();
            let line = match cut(&sanitize(&facts(span)), self.width.saturating_sub(used)) {
                facts if facts.is_empty() => format!("{start}{style}{bar}{style:#}"),
                facts => format!("{start}{style}{bar}{style:#}{after}{GAP}{FAINT}{facts}{FAINT:#}"),
            };
            line.trim_end().to_owned()
        };
        spans.iter().map(line).collect()
    }

    /// What failed, what to do about it, and what should be known.
    fn remarks(&self, report: &Report) -> Vec<String> {
        let mut lines = Vec::new();
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
        lines
    }

    /// The line below the rows, or lines where it is too wide: which mark in the bars is what.
    /// `marks` are the names that [`marks`] gave for their reports.
    #[must_use]
    pub fn legend(&self, marks: &BTreeSet<&str>) -> String {
        let mut legend = INDENT.to_owned();
        let mut used = INDENT.len();
        for (name, mark, color) in MARKS.iter().filter(|(name, ..)| marks.contains(name)) {
            let width = "x ".len() + name.len();
            if used > INDENT.len() && used + GAP.len() + width > self.width {
                legend.push('\n');
                legend.push_str(INDENT);
                used = INDENT.len();
            } else if used > INDENT.len() {
                legend.push_str(GAP);
                used += GAP.len();
            }
            let style = color.on_default();
            legend.push_str(&format!("{style}{mark}{style:#} {name}"));
            used += width;
        }
        legend
    }

    /// Adds `text` as lines that are no wider than the terminal. With a label only that has the
    /// style, and without one the text has.
    fn wrap(&self, lines: &mut Vec<String>, style: Style, label: &str, text: &str) {
        let room = self.width.saturating_sub(INDENT.len() + label.len());
        let mut start = format!("{INDENT}{style}{label}{style:#}");
        for line in fold(&sanitize(text), room) {
            let line = if label.is_empty() { format!("{style}{line}{style:#}") } else { line };
            lines.push(format!("{start}{line}"));
            start = format!("{INDENT}{}", " ".repeat(label.len()));
        }
    }
}

/// Folds `text` into lines of at most `room` columns, between words where it can.
fn fold(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { continue };
        let space = usize::from(!line.is_empty());
        if line.width() + space + word.width() <= room {
            line.push_str(&" ".repeat(space));
            line.push_str(word);
            continue;
        }
        let mut piece = String::new();
        for char in word.chars() {
            if piece.width() + char.width().unwrap_or(0) > room {
                lines.push(std::mem::take(&mut piece));
            }
            piece.push(char);
        }
        lines.push(piece);
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// The names in the legend of what the bar of this report shows.
pub fn marks(report: &Report) -> impl Iterator<Item = &'static str> + '_ {
    report.timings.spans().iter().map(|span| mark_of(span).0)
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

/// The phases of a report in proportion, each with its own mark.
fn bar(report: &Report, width: usize) -> String {
    let spans = report.timings.spans();
    let sum: Duration = spans.iter().map(Span::elapsed).sum();
    let cell = (sum.as_secs_f64() / width as f64).max(f64::MIN_POSITIVE);
    // A failure is seen, however short it was.
    let share =
        |span: &Span| span.elapsed().as_secs_f64().max(if span.failed { cell } else { 0.0 });
    let total: f64 = spans.iter().map(share).sum::<f64>().max(f64::MIN_POSITIVE);
    let mut cells = String::new();
    let mut done = 0.0;
    let mut used = 0;
    for span in spans {
        done += share(span);
        let end = (done / total * width as f64).round() as usize;
        let (mark, style) = mark(span);
        let marks: String = std::iter::repeat_n(mark, end - used).collect();
        used = end;
        if !marks.is_empty() {
            cells.push_str(&format!("{style}{marks}{style:#}"));
        }
    }
    cells + &" ".repeat(width - used)
}

fn mark(span: &Span) -> (char, Style) {
    let (_, mark, color) = mark_of(span);
    (mark, color.on_default())
}

fn mark_of(span: &Span) -> (&'static str, char, AnsiColor) {
    let name = if span.failed { FAILED } else { span.phase.name() };
    *MARKS.iter().find(|(known, ..)| *known == name).unwrap_or(&MARKS[MARKS.len() - 1])
}

/// What was learnt, without what goes without saying or is said on lines of its own.
fn facts(span: &Span) -> String {
    const ELSEWHERE: [&str; 4] = ["origin", "certificate", "chain", "distrust"];
    let told = span.facts.iter().filter(|(name, _)| !ELSEWHERE.contains(name));
    let facts = told.map(|(name, value)| match (*name, value) {
        ("address" | "addresses" | "version" | "cipher" | "alpn", value) => value.to_string(),
        ("bytes", value) => format!("{value} bytes"),
        (name, value) => named(name, value),
    });
    facts.collect::<Vec<_>>().join(", ")
}

/// The peer's certificate in words, where this phase has seen one.
fn certificate(span: &Span) -> Option<String> {
    let fact = |wanted| span.facts.iter().find(|(name, _)| *name == wanted).map(|(_, fact)| fact);
    let Value::Record(parts) = fact("certificate")? else { return None };
    let part = |wanted| {
        let part = parts.iter().find(|(name, _)| *name == wanted);
        part.map_or_else(String::new, |(_, value)| match value {
            Value::List(all) if all.len() > LIST_SHOWN => {
                let shown = Value::List(all[..LIST_SHOWN].to_vec());
                format!("{shown} and {} more", all.len() - LIST_SHOWN)
            }
            value => value.to_string(),
        })
    };
    let (subject, names, issuer) = (part("subject"), part("names"), part("issuer"));
    let (until, days) = (part("not_after"), part("days_left"));
    let until = until.split('T').next().unwrap_or_default();
    let own = format!("{subject} for {names}; from {issuer}; until {until}, {days} days left");
    match fact("chain") {
        Some(Value::List(chain)) if chain.len() > 1 => {
            let issuers: Vec<_> = chain[1..].iter().map(Value::to_string).collect();
            Some(format!("{own}; sent with {}", issuers.join(", ")))
        }
        _ => Some(own),
    }
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
            phases: phases(&report.timings),
            error: report.error.as_ref().map(Failed::new),
            notes: report.notes.clone(),
            attempts: report.timings.attempts().iter().map(AttemptReport::new).collect(),
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

#[cfg(test)]
mod tests;

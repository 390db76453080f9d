//! JSON laid out and in colour, token by token: no value is read, so none is changed.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use serde::de::IgnoredAny;

use super::INDENT;

const KEY: Style = AnsiColor::Blue.on_default().bold();
const TEXT: Style = AnsiColor::Green.on_default();
const NUMBER: Style = AnsiColor::Cyan.on_default();
const WORD: Style = AnsiColor::Magenta.on_default();

/// The JSON text with a line for each member and element; `None` where it is not JSON, or nested
/// more than 128 deep.
pub(super) fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    Some(Printer { is_laid_out: true, ..Printer::default() }.print(text))
}

/// Each line that is JSON in colour, and any other as it is.
pub(super) fn lines(text: &str) -> String {
    let line = |line: &str| match serde_json::from_str::<IgnoredAny>(line) {
        Ok(_) => Printer::default().print(line) + if line.ends_with('\n') { "\n" } else { "" },
        Err(_) => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// What has been printed, and where.
#[derive(Default)]
struct Printer {
    out: String,
    depth: usize,
    is_laid_out: bool,
}

impl Printer {
    /// Prints `text`, which is JSON.
    fn print(mut self, text: &str) -> String {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = length(rest);
            let token = &rest[..length];
            rest = rest[length..].trim_start();
            match first {
                '{' | '[' if rest.starts_with(['}', ']']) => self.out.push_str(token),
                '{' | '[' => self.open(token),
                '}' | ']' if self.out.ends_with(['{', '[']) => self.out.push_str(token),
                '}' | ']' => self.close(token),
                ',' => {
                    self.out.push(',');
                    self.new_line(" ");
                }
                ':' => self.out.push_str(": "),
                '"' if rest.starts_with(':') => self.styled(KEY, token),
                '"' => self.styled(TEXT, token),
                '-' | '0'..='9' => self.styled(NUMBER, token),
                _ => self.styled(WORD, token),
            }
        }
        self.out
    }

    fn open(&mut self, token: &str) {
        self.out.push_str(token);
        self.depth += 1;
        self.new_line("");
    }

    fn close(&mut self, token: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.new_line("");
        self.out.push_str(token);
    }

    /// A new line, or `space` where all stands on one.
    fn new_line(&mut self, space: &str) {
        if self.is_laid_out {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', self.depth * INDENT));
        } else {
            self.out.push_str(space);
        }
    }

    fn styled(&mut self, style: Style, token: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.out, "{style}{token}{style:#}");
    }
}

/// How long the token is that `text` begins with.
fn length(text: &str) -> usize {
    if let Some(inner) = text.strip_prefix('"') {
        let mut is_escaped = false;
        let end = inner.find(|c: char| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        return end.map_or(text.len(), |end| end + 2);
    }
    let is_mark = |c: char| "{}[],:".contains(c);
    if text.starts_with(is_mark) {
        return 1;
    }
    text.find(|c: char| is_mark(c) || c.is_whitespace() || c == '"').unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn plain(text: &str) -> String {
        strip_str(&pretty(text).unwrap()).to_string()
    }

    #[test]
    fn members_have_a_line_each_and_keep_their_text_and_order() {
        let text = r#"{"b":1.50,"a":[true,null,{}],"b":1e400,"c\"{":"x,\\","d":[ ]}"#;
        let expected = r#"{
    "b": 1.50,
    "a": [
        true,
        null,
        {}
    ],
    "b": 1e400,
    "c\"{": "x,\\",
    "d": []
}"#;
        assert_eq!(plain(text), expected);
        assert_eq!(plain(" \"a\" \n"), "\"a\"");
        assert_eq!(plain("-1"), "-1");
    }

    #[test]
    fn keys_and_values_differ_in_colour() {
        let styled = pretty(r#"{"a":"b"}"#).unwrap();
        assert!(styled.contains(&format!("{KEY}\"a\"{KEY:#}: {TEXT}\"b\"{TEXT:#}")), "{styled:?}");
    }

    #[test]
    fn what_is_not_json_is_left() {
        for bad in ["", "{", "{'a':1}", "[1,]", "nan", &"[".repeat(100_000)] {
            assert_eq!(pretty(bad), None);
        }
        assert_eq!(
            strip_str(&lines("{\"a\":1,\"b\":[2,3]}\noops\n{}")).to_string(),
            "{\"a\": 1, \"b\": [2, 3]}\noops\n{}"
        );
    }
}

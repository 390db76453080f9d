//! The JSON body that items make, with nested keys: `a[b]=1`, `a[]=2`, `a[3]=4`, `[]=5`.
//!
//! Values keep their text, so that a number is sent as it was typed. A backslash before `[`, `]`,
//! a backslash or a digit makes it a plain part of a key.

use std::fmt::Write;

use portolan::{Error, Kind};

/// The largest index: what is left out before it is filled with null.
const INDEX_MAX: usize = 1000;

/// A JSON value that grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Json {
    /// Nothing yet.
    #[default]
    Null,
    /// JSON as text.
    Value(String),
    /// An array.
    Array(Vec<Self>),
    /// An object, its keys in the order in which they came.
    Object(Vec<(String, Self)>),
}

/// One step into a value.
#[derive(Debug)]
enum Step {
    Key(String),
    Index(usize),
    /// Behind the last element.
    End,
}

impl Json {
    /// Puts `value`, which is JSON, where the `key` of an item says. The last of two at the same
    /// place stays.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a key that is not well-formed, or steps into what is not an object or
    /// an array.
    pub fn put(&mut self, key: &str, value: String) -> Result<(), Error> {
        let mut place = self;
        for step in steps(key)? {
            place = place.step(step).ok_or_else(|| misfit(key))?;
        }
        match place {
            Self::Array(_) | Self::Object(_) => Err(misfit(key)),
            place => {
                *place = Self::Value(value);
                Ok(())
            }
        }
    }

    /// The place one step within, which is made where it is missing.
    fn step(&mut self, step: Step) -> Option<&mut Self> {
        if *self == Self::Null {
            *self = match step {
                Step::Key(_) => Self::Object(Vec::new()),
                Step::Index(_) | Step::End => Self::Array(Vec::new()),
            };
        }
        match (self, step) {
            (Self::Object(members), Step::Key(key)) => {
                let at = members.iter().position(|(name, _)| *name == key).unwrap_or_else(|| {
                    members.push((key, Self::Null));
                    members.len() - 1
                });
                members.get_mut(at).map(|(_, member)| member)
            }
            (Self::Array(elements), Step::End) => {
                elements.push(Self::Null);
                elements.last_mut()
            }
            (Self::Array(elements), Step::Index(index)) => {
                let missing = (index + 1).saturating_sub(elements.len());
                elements.extend(std::iter::repeat_n(Self::Null, missing));
                elements.get_mut(index)
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Json {
    /// As compact JSON.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let comma = |index| if index == 0 { "" } else { ", " };
        match self {
            Self::Null => f.write_str("null"),
            Self::Value(text) => f.write_str(text),
            Self::Array(elements) => {
                f.write_char('[')?;
                for (index, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", comma(index))?;
                }
                f.write_char(']')
            }
            Self::Object(members) => {
                f.write_char('{')?;
                for (index, (key, member)) in members.iter().enumerate() {
                    write!(f, "{}{}: {member}", comma(index), string(key))?;
                }
                f.write_char('}')
            }
        }
    }
}

/// A JSON string of this text.
#[must_use]
pub fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The steps that a key stands for.
fn steps(key: &str) -> Result<Vec<Step>, Error> {
    let (first, mut rest) = part(key, '[');
    let mut steps = Vec::new();
    if !first.is_empty() || rest.is_empty() {
        steps.push(Step::Key(unescaped(first)));
    }
    while let Some(inner) = rest.strip_prefix('[') {
        let (inside, after) = part(inner, ']');
        rest = after.strip_prefix(']').ok_or_else(|| malformed(key))?;
        steps.push(match inside {
            "" => Step::End,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse() {
                Ok(index) if index <= INDEX_MAX => Step::Index(index),
                _ => return Err(too_far(key)),
            },
            name => Step::Key(unescaped(name)),
        });
    }
    if rest.is_empty() { Ok(steps) } else { Err(malformed(key)) }
}

/// What comes before the first `end` that has no backslash before it, and the rest.
fn part(text: &str, end: char) -> (&str, &str) {
    let mut is_escaped = false;
    let at = text.find(|c: char| {
        let is_end = c == end && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    text.split_at(at.unwrap_or(text.len()))
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match next.filter(|n| c == '\\' && (n.is_ascii_digit() || "[]\\".contains(*n))) {
            Some(next) => {
                plain.push(next);
                chars.next();
            }
            None => plain.push(c),
        }
    }
    plain
}

fn malformed(key: &str) -> Error {
    let message = format!("the key '{key}' is not of the form name[name][0][]");
    Error::new(Kind::Usage, message).with_hint(r"a bracket that is a part of the key is written \[")
}

fn too_far(key: &str) -> Error {
    Error::new(Kind::Usage, format!("the key '{key}' has an index above {INDEX_MAX}"))
}

fn misfit(key: &str) -> Error {
    let message = format!("the key '{key}' does not fit with the items before it");
    Error::new(Kind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(items: &[(&str, &str)]) -> Result<String, Error> {
        let mut body = Json::default();
        for (key, value) in items {
            body.put(key, (*value).to_owned())?;
        }
        Ok(body.to_string())
    }

    #[test]
    fn members_keep_their_order_and_the_text_of_their_values() {
        let items = [("b", "1.50"), ("a", "12345678901234567890"), ("b", "2e0"), ("\"", "\"\"")];
        let expected = r#"{"b": 2e0, "a": 12345678901234567890, "\"": ""}"#;
        assert_eq!(body(&items).unwrap(), expected);
    }

    #[test]
    fn keys_nest() {
        let items = [("a[b][c]", "1"), ("a[d][]", "2"), ("a[d][]", "3"), ("e[2]", "4")];
        let expected = r#"{"a": {"b": {"c": 1}, "d": [2, 3]}, "e": [null, null, 4]}"#;
        assert_eq!(body(&items).unwrap(), expected);
        assert_eq!(body(&[("[]", "1"), ("[][a]", "2")]).unwrap(), r#"[1, {"a": 2}]"#);
        let plain = [(r"a\[b", "1"), (r"c[\0]", "2"), ("d]", "3"), (r"e\f", "4")];
        let expected = r#"{"a[b": 1, "c": {"0": 2}, "d]": 3, "e\\f": 4}"#;
        assert_eq!(body(&plain).unwrap(), expected);
    }

    #[test]
    fn keys_that_make_no_sense_are_refused() {
        for bad in ["a[", "a[b", "a[b]c", "a[1001]", "a[99999999999999999999]"] {
            assert_eq!(body(&[(bad, "1")]).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
        for (first, second) in [("a", "a[b]"), ("a[b]", "a"), ("a[]", "a[b]"), ("a", "[]")] {
            let error = body(&[(first, "1"), (second, "2")]).unwrap_err();
            assert!(error.to_string().contains(&format!("'{second}'")), "{error}");
        }
    }
}

//! The words after a request's URL: HTTPie's items, one field of the request each.
//!
//! The separator that comes first says what an item is; of two that begin at the same place the
//! longer counts. A backslash before a character of a separator takes it into the name. The value
//! is taken as it is.

pub mod json;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use portolan::{Error, Kind};
use serde::de::IgnoredAny;

/// One item.
#[derive(Clone, PartialEq, Eq)]
pub enum Item {
    /// `Name:value`, `Name;` for an empty value, `Name:` for no such field at all.
    Header {
        /// The field's name.
        name: String,
        /// Its value; `None` leaves out a field that would be there.
        value: Option<String>,
    },
    /// `name==value`: a parameter of the query.
    Query(String, String),
    /// `name=value`: a string of the JSON body, or a field of the form.
    Text(String, String),
    /// `name=@file`: the same, from a file.
    TextFile(String, PathBuf),
    /// `name:=json`: a value of the JSON body.
    Json(String, String),
    /// `name:=@file`: the same, from a file.
    JsonFile(String, PathBuf),
    /// `name@file` or `name@file;type=TYPE`: a file of the form.
    Upload {
        /// The field's name.
        name: String,
        /// The file.
        file: PathBuf,
        /// Its media type, where it is given.
        media_type: Option<String>,
    },
    /// `@file`: the whole body; `@-` for stdin.
    Body(PathBuf),
}

impl Item {
    /// Whether the item is a part of the body.
    #[must_use]
    pub const fn is_field(&self) -> bool {
        !matches!(self, Self::Header { .. } | Self::Query(..) | Self::Body(_))
    }
}

/// Values may be secrets: only names are shown.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Header { name, .. } => ("header", name.as_str()),
            Self::Query(name, _) => ("query", name.as_str()),
            Self::Text(name, _) | Self::TextFile(name, _) => ("text", name.as_str()),
            Self::Json(name, _) | Self::JsonFile(name, _) => ("json", name.as_str()),
            Self::Upload { name, .. } => ("upload", name.as_str()),
            Self::Body(_) => ("body", ""),
        };
        write!(f, "Item({kind} {name})")
    }
}

impl FromStr for Item {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, separator, value) = split(text).ok_or_else(|| malformed(text))?;
        let owned = value.to_owned();
        if separator == "@" && name.is_empty() {
            return if value.is_empty() {
                Err(malformed(text))
            } else {
                Ok(Self::Body(value.into()))
            };
        }
        // A nested key may begin without a name, as in `[]:=1`; nothing else may.
        if name.is_empty() {
            return Err(malformed(text));
        }
        if separator.ends_with('@') && value.is_empty() {
            let message = format!("the item '{name}{separator}' needs a file after the @");
            return Err(Error::new(Kind::Usage, message));
        }
        Ok(match separator {
            ";" => Self::Header { name, value: Some(String::new()) },
            ":" => Self::Header {
                name,
                value: Some(owned.trim().to_owned()).filter(|v| !v.is_empty()),
            },
            "==" => Self::Query(name, owned),
            "=" => Self::Text(name, owned),
            "=@" => Self::TextFile(name, owned.into()),
            ":=" => {
                check_json(&name, value)?;
                Self::Json(name, owned)
            }
            ":=@" => Self::JsonFile(name, owned.into()),
            _ => {
                let (file, media_type) = match value.rsplit_once(";type=") {
                    Some((file, media_type)) => (file, Some(media_type.to_owned())),
                    None => (value, None),
                };
                Self::Upload { name, file: file.into(), media_type }
            }
        })
    }
}

/// Refuses the value of the item `name` where it is not JSON. What it is instead is not shown: it
/// may be a secret.
///
/// # Errors
/// [`Kind::Usage`].
pub fn check_json(name: &str, value: &str) -> Result<(), Error> {
    match serde_json::from_str::<IgnoredAny>(value) {
        Ok(_) => Ok(()),
        Err(cause) => {
            let message = format!("the value of '{name}' is not JSON");
            Err(Error::new(Kind::Usage, message)
                .with_source(cause)
                .with_hint(format!("for a string, write {name}=value")))
        }
    }
}

/// Longer ones before those that they begin with.
const SEPARATORS: [&str; 7] = [":=@", ":=", ":", "=@", "==", "=", "@"];

/// Splits an item into name, separator and value.
fn split(text: &str) -> Option<(String, &'static str, &str)> {
    let mut name = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(separator) = SEPARATORS.into_iter().find(|s| rest.starts_with(s)) {
            return Some((name, separator, &rest[separator.len()..]));
        }
        if rest == ";" {
            return Some((name, ";", ""));
        }
        let escaped = rest.strip_prefix('\\').and_then(|after| after.chars().next());
        let taken = escaped.filter(|c| ":=@;".contains(*c)).unwrap_or(first);
        rest = &rest[taken.len_utf8() + usize::from(taken != first)..];
        name.push(taken);
    }
    None
}

fn malformed(text: &str) -> Error {
    // What stands before the first mark of punctuation is no secret.
    let end = text.find(|c: char| c.is_ascii_punctuation() && !"-_.[]\\".contains(c));
    let shown = end.map_or_else(|| text.to_owned(), |end| format!("{}…", &text[..end]));
    Error::new(Kind::Usage, format!("'{shown}' is not an item of a request"))
        .with_hint("items are Name:value, name==value, name=value, name:=json, name@file and @file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Item {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn header(name: &str, value: Option<&str>) -> Item {
        Item::Header { name: name.to_owned(), value: value.map(str::to_owned) }
    }

    fn text(name: &str, value: &str) -> Item {
        Item::Text(name.to_owned(), value.to_owned())
    }

    #[test]
    fn every_separator_makes_its_own_kind() {
        assert_eq!(item("X-A: b "), header("X-A", Some("b")));
        assert_eq!(item("X-A:"), header("X-A", None));
        assert_eq!(item("X-A;"), header("X-A", Some("")));
        assert_eq!(item("q==a b"), Item::Query("q".into(), "a b".into()));
        assert_eq!(item("a=b"), text("a", "b"));
        assert_eq!(item("a="), text("a", ""));
        assert_eq!(item("a=@f.txt"), Item::TextFile("a".into(), "f.txt".into()));
        assert_eq!(item("a:=[1, 2]"), Item::Json("a".into(), "[1, 2]".into()));
        assert_eq!(item("a:=@f.json"), Item::JsonFile("a".into(), "f.json".into()));
        assert_eq!(item("@f"), Item::Body("f".into()));
        assert_eq!(item("@-"), Item::Body("-".into()));
        let upload = |media_type: Option<&str>| Item::Upload {
            name: "a".into(),
            file: "f.png".into(),
            media_type: media_type.map(str::to_owned),
        };
        assert_eq!(item("a@f.png"), upload(None));
        assert_eq!(item("a@f.png;type=image/png"), upload(Some("image/png")));
    }

    #[test]
    fn the_first_separator_counts_and_the_value_is_taken_as_it_is() {
        assert_eq!(
            item("Referer:http://a.test/?b=c"),
            header("Referer", Some("http://a.test/?b=c"))
        );
        assert_eq!(item("url=http://a.test/?b==c"), text("url", "http://a.test/?b==c"));
        assert_eq!(item(r"path=c:\:=x"), text("path", r"c:\:=x"));
        assert_eq!(item("mail=joe@a.test;"), text("mail", "joe@a.test;"));
        assert_eq!(item("ключ=значение"), text("ключ", "значение"));
    }

    #[test]
    fn a_backslash_takes_a_separator_into_the_name() {
        assert_eq!(item(r"a\:b:c"), header("a:b", Some("c")));
        assert_eq!(item(r"a\==b"), text("a=", "b"));
        assert_eq!(item(r"joe\@a.test=b"), text("joe@a.test", "b"));
        assert_eq!(item(r"a\b=c"), text(r"a\b", "c"));
        assert_eq!(item(r"a\[b=c"), text(r"a\[b", "c"));
    }

    #[test]
    fn what_is_not_an_item_is_refused_without_its_secrets() {
        for bad in ["", "a", ":b", "=b", "==b", ";", "@", "a;b", r"a\=b", "a@", "a=@", "a:=@"] {
            let error = bad.parse::<Item>().unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{bad}");
        }
        let error = r#"key:={"password": hunter2}"#.parse::<Item>().unwrap_err();
        assert!(format!("{error:#}").starts_with("the value of 'key' is not JSON: "), "{error:#}");
        assert!(
            !format!("{error:#} {:?} {:?}", error.hint(), item("a=hunter2")).contains("hunter2")
        );
        assert!(!"pass|hunter2".parse::<Item>().unwrap_err().to_string().contains("hunter2"));
    }
}

//! Conditional requests (RFC 9110 section 13): which version a client has, or wants changed.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use http::header::{self, HeaderMap, HeaderName};

use super::field;

/// The name of one version of a file (RFC 9110 section 8.8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag {
    opaque: Vec<u8>,
    is_weak: bool,
}

/// By what a version of a file is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    /// Its tag.
    pub tag: EntityTag,
    /// When it came about.
    pub modified: SystemTime,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Do what the request says.
    Proceed,
    /// The client has this version: 304.
    NotModified,
    /// The client means another version: 412.
    Failed,
}

impl EntityTag {
    /// A strong tag: files that share it are the same, byte for byte. It has no quotes, spaces or
    /// control characters.
    #[must_use]
    pub fn strong(opaque: impl Into<Vec<u8>>) -> Self {
        Self { opaque: opaque.into(), is_weak: false }
    }

    /// A weak tag: files that share it mean the same.
    #[must_use]
    pub fn weak(opaque: impl Into<Vec<u8>>) -> Self {
        Self { opaque: opaque.into(), is_weak: true }
    }

    /// Reads one tag at the beginning of `field`, and gives what follows it.
    fn parse(field: &[u8]) -> Option<(Self, &[u8])> {
        let (is_weak, quoted) = match field.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, field),
        };
        let rest = quoted.strip_prefix(b"\"")?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        let (opaque, rest) = (&rest[..end], &rest[end + 1..]);
        let is_valid = opaque.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..));
        is_valid.then(|| (Self { opaque: opaque.to_vec(), is_weak }, rest))
    }

    fn is_same(&self, other: &Self, comparison: Comparison) -> bool {
        let is_strong = !self.is_weak && !other.is_weak;
        self.opaque == other.opaque && (is_strong || comparison == Comparison::Weak)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.is_weak { "W/" } else { "" };
        write!(f, "{prefix}\"{}\"", String::from_utf8_lossy(&self.opaque))
    }
}

/// How tags are compared (RFC 9110 section 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

impl Validators {
    /// Adds the fields that tell a client what it gets.
    pub(super) fn insert_into(&self, headers: &mut HeaderMap) {
        headers.insert(header::ETAG, field(self.tag.to_string()));
        // No date lies ahead (RFC 9110 section 8.8.2.1).
        let modified = httpdate::fmt_http_date(self.modified.min(SystemTime::now()));
        headers.insert(header::LAST_MODIFIED, field(modified));
    }

    /// Whether the ranges of a request are of this version (`If-Range`, RFC 9110 section 13.1.5).
    /// Only a tag can tell: two versions of one second have the same date, and who has the tag may
    /// not send the date.
    #[must_use]
    pub fn have_range(&self, headers: &HeaderMap) -> bool {
        let Some(condition) = headers.get(header::IF_RANGE) else { return true };
        EntityTag::parse(condition.as_bytes()).is_some_and(|(tag, rest)| {
            rest.is_empty() && tag.is_same(&self.tag, Comparison::Strong)
        })
    }

    fn is_newer_than(&self, date: SystemTime) -> bool {
        whole_seconds(self.modified) > date
    }
}

impl Verdict {
    /// Judges the conditions of a request in the order of RFC 9110 section 13.2.2; `current` is
    /// what there is, if anything.
    #[must_use]
    pub fn of(method: &Method, headers: &HeaderMap, current: Option<&Validators>) -> Self {
        let is_reading = matches!(*method, Method::GET | Method::HEAD);
        let matches = |name, comparison| matches(headers, name, current, comparison);
        if let Some(is_match) = matches(&header::IF_MATCH, Comparison::Strong) {
            if !is_match {
                return Self::Failed;
            }
        } else if let Some(limit) = date(headers, &header::IF_UNMODIFIED_SINCE)
            && current.is_some_and(|current| current.is_newer_than(limit))
        {
            return Self::Failed;
        }
        if let Some(is_match) = matches(&header::IF_NONE_MATCH, Comparison::Weak) {
            return match (is_match, is_reading) {
                (false, _) => Self::Proceed,
                (true, true) => Self::NotModified,
                (true, false) => Self::Failed,
            };
        }
        let limit = date(headers, &header::IF_MODIFIED_SINCE).filter(|_| is_reading);
        if let (Some(limit), Some(current)) = (limit, current)
            && !current.is_newer_than(limit)
        {
            return Self::NotModified;
        }
        Self::Proceed
    }
}

/// Whether one of the tags in this field is that of `current`; `None` without the field. What
/// cannot be read matches nothing.
fn matches(
    headers: &HeaderMap,
    name: &HeaderName,
    current: Option<&Validators>,
    comparison: Comparison,
) -> Option<bool> {
    let mut fields = headers.get_all(name).iter().peekable();
    fields.peek()?;
    let is_match =
        |tag: EntityTag| current.is_some_and(|current| tag.is_same(&current.tag, comparison));
    Some(fields.any(|field| match field.as_bytes().trim_ascii() {
        b"*" => current.is_some(),
        list => tags(list).any(is_match),
    }))
}

/// The tags of a list, up to the first that cannot be read.
fn tags(mut list: &[u8]) -> impl Iterator<Item = EntityTag> {
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', rest @ ..] = list {
            list = rest;
        }
        let (tag, rest) = EntityTag::parse(list)?;
        let rest = rest.trim_ascii_start();
        list = if rest.is_empty() { rest } else { rest.strip_prefix(b",")? };
        Some(tag)
    })
}

/// The date in this field; what cannot be read is as if it were not there.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut fields = headers.get_all(name).iter();
    let field = fields.next().filter(|_| fields.next().is_none())?;
    httpdate::parse_http_date(field.to_str().ok()?.trim()).ok()
}

/// As precise as a date in a field can be.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn current(tag: EntityTag) -> Validators {
        let modified = httpdate::parse_http_date(DATE).unwrap() + Duration::from_millis(900);
        Validators { tag, modified }
    }

    fn fields(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn conditions_are_judged_in_their_order() {
        use Verdict::{Failed, NotModified, Proceed};
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};

        let current = current(EntityTag::strong("a"));
        for (headers, reading, writing) in [
            (&[][..], Proceed, Proceed),
            (&[(IF_MATCH, "\"a\"")], Proceed, Proceed),
            (&[(IF_MATCH, "\"b\" , W/\"c\",\"a\"")], Proceed, Proceed),
            (&[(IF_MATCH, "*")], Proceed, Proceed),
            (&[(IF_MATCH, "W/\"a\"")], Failed, Failed),
            (&[(IF_MATCH, "\"b\"")], Failed, Failed),
            (&[(IF_MATCH, "a")], Failed, Failed),
            (&[(IF_MATCH, "\"b\""), (IF_MATCH, "\"a\"")], Proceed, Proceed),
            // A date counts only where there is no tag.
            (&[(IF_MATCH, "\"a\""), (IF_UNMODIFIED_SINCE, EARLIER)], Proceed, Proceed),
            (&[(IF_UNMODIFIED_SINCE, EARLIER)], Failed, Failed),
            (&[(IF_UNMODIFIED_SINCE, DATE)], Proceed, Proceed),
            (&[(IF_UNMODIFIED_SINCE, "yesterday")], Proceed, Proceed),
            (&[(IF_NONE_MATCH, "\"a\"")], NotModified, Failed),
            (&[(IF_NONE_MATCH, "W/\"a\"")], NotModified, Failed),
            (&[(IF_NONE_MATCH, "*")], NotModified, Failed),
            (&[(IF_NONE_MATCH, "\"b\", \"a,\"")], Proceed, Proceed),
            (&[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, DATE)], Proceed, Proceed),
            (&[(IF_NONE_MATCH, "\"b\" \"a\"")], Proceed, Proceed),
            (&[(IF_MODIFIED_SINCE, DATE)], NotModified, Proceed),
            (&[(IF_MODIFIED_SINCE, EARLIER)], Proceed, Proceed),
            (&[(IF_MODIFIED_SINCE, "0")], Proceed, Proceed),
            (&[(IF_MATCH, "\"a\""), (IF_NONE_MATCH, "\"a\"")], NotModified, Failed),
        ] {
            let shown = format!("{headers:?}");
            let headers = fields(headers);
            assert_eq!(Verdict::of(&Method::GET, &headers, Some(&current)), reading, "{shown}");
            assert_eq!(Verdict::of(&Method::HEAD, &headers, Some(&current)), reading, "{shown}");
            assert_eq!(Verdict::of(&Method::PUT, &headers, Some(&current)), writing, "{shown}");
        }
    }

    #[test]
    fn what_is_not_there_matches_nothing() {
        let verdict = |name, value| Verdict::of(&Method::PUT, &fields(&[(name, value)]), None);
        assert_eq!(verdict(header::IF_NONE_MATCH, "*"), Verdict::Proceed);
        assert_eq!(verdict(header::IF_MATCH, "*"), Verdict::Failed);
        assert_eq!(verdict(header::IF_MATCH, "\"a\""), Verdict::Failed);
    }

    #[test]
    fn ranges_are_of_the_same_version_byte_for_byte() {
        let have = |tag: EntityTag, value: &str| {
            current(tag).have_range(&fields(&[(header::IF_RANGE, value)]))
        };
        let strong = || EntityTag::strong("a");
        assert!(current(strong()).have_range(&HeaderMap::new()));
        assert!(have(strong(), "\"a\""));
        assert!(!have(strong(), DATE));
        for other in
            ["\"b\"", "W/\"a\"", "\"a\", \"b\"", EARLIER, "Sun, 06 Nov 2094 08:49:37 GMT", ""]
        {
            assert!(!have(strong(), other), "{other}");
        }
        assert!(!have(EntityTag::weak("a"), "W/\"a\""));
    }

    proptest! {
        #[test]
        fn any_field_gives_a_verdict(field in prop::collection::vec(any::<u8>(), 0..60)) {
            let Ok(value) = HeaderValue::from_bytes(&field) else { return Ok(()) };
            let current = current(EntityTag::strong("a"));
            for name in [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_RANGE] {
                let headers = HeaderMap::from_iter([(name, value.clone())]);
                let _ = Verdict::of(&Method::GET, &headers, Some(&current));
                let _ = current.have_range(&headers);
            }
        }

        #[test]
        fn a_tag_is_found_in_its_list(
            before in "(W/)?\"[!a-z,]{0,5}\"",
            opaque in "[!#-~]{0,20}",
            is_weak in any::<bool>(),
        ) {
            let tag = EntityTag { opaque: opaque.into_bytes(), is_weak };
            let value = format!("{before}, {tag}").parse().unwrap();
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, value)]);
            let verdict = Verdict::of(&Method::GET, &headers, Some(&current(tag)));
            prop_assert_eq!(verdict, Verdict::NotModified);
        }
    }
}

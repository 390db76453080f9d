//! From the path of a request to a path beneath the root. Pure: whether there is such a file, and
//! whether a symlink leads out of the root, is for `root.rs` to find out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// What stands for itself in a URL (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a request points to, beneath the root of what is served.
///
/// Names are bytes, as the file system has them: what is no UTF-8, overlong forms among it, is a
/// name like any other, and so are those that Windows reserves. Empty segments do not count.
///
/// ```
/// use std::path::Path;
/// use portolan_http::RequestPath;
///
/// let path = RequestPath::parse(b"/a/caf%C3%A9/")?;
/// assert_eq!(path.path(), Path::new("a/café"));
/// assert!(path.is_directory());
/// assert!(RequestPath::parse(b"/a/%2e%2e/b").is_err());
/// # Ok::<(), portolan_http::PathError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath {
    path: PathBuf,
    is_directory: bool,
}

/// Why no file can have this path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    Relative,
    /// A percent sign without two hexadecimal digits after it (RFC 3986 section 2.1).
    #[error("the path has a percent sign without two hexadecimal digits")]
    Percent,
    /// A `.` or `..`, encoded or not: clients resolve them before they ask.
    #[error("the path has a segment that is . or ..")]
    Dots,
    /// A slash that is encoded, a backslash or a NUL within a name.
    #[error("the path has a slash, a backslash or a NUL within a name")]
    Separator,
}

impl RequestPath {
    /// Reads the path of a request's target, as it was sent and without the query.
    ///
    /// # Errors
    /// A [`PathError`] where no file can be meant.
    pub fn parse(path: &[u8]) -> Result<Self, PathError> {
        let path = path.strip_prefix(b"/").ok_or(PathError::Relative)?;
        let mut found = PathBuf::new();
        for segment in path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
            let name = decode(segment)?;
            if matches!(name.as_slice(), b"." | b"..") {
                return Err(PathError::Dots);
            }
            if name.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0)) {
                return Err(PathError::Separator);
            }
            found.push(OsStr::from_bytes(&name));
        }
        Ok(Self { path: found, is_directory: path.last().is_none_or(|byte| *byte == b'/') })
    }

    /// The path from the root: names alone, and empty for the root itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it ends with a slash, as those of directories do.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// Whether one of its names begins with a dot.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.path.iter().any(|name| name.as_bytes().starts_with(b"."))
    }
}

/// The bytes of one segment.
fn decode(segment: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut rest = segment;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        rest = &rest[at + 1..];
        if !matches!(rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()) {
            return Err(PathError::Percent);
        }
    }
    Ok(percent_decode(segment).collect())
}

/// The relative reference to a name in the same directory (RFC 3986 section 4.2). It begins with
/// `./`, so that no name is taken for a scheme or for a host.
pub(super) fn reference(name: &OsStr, is_directory: bool) -> String {
    let slash = if is_directory { "/" } else { "" };
    format!("./{}{slash}", percent_encode(name.as_bytes(), RESERVED))
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    fn parsed(path: &[u8]) -> Result<(Vec<u8>, bool), PathError> {
        let path = RequestPath::parse(path)?;
        Ok((path.path().as_os_str().as_bytes().to_vec(), path.is_directory()))
    }

    #[test]
    fn names_are_decoded_once() {
        for (path, found, is_directory) in [
            (&b"/"[..], &b""[..], true),
            (b"//", b"", true),
            (b"/a", b"a", false),
            (b"/a/", b"a", true),
            (b"//a///b", b"a/b", false),
            (b"/caf%C3%a9", "café".as_bytes(), false),
            ("/café".as_bytes(), "café".as_bytes(), false),
            (b"/%252e%252e/%252f", b"%2e%2e/%2f", false),
            (b"/a+b%20c%3F%23", b"a+b c?#", false),
            (b"/.../..a/a..", b".../..a/a..", false),
            (b"/CON/a.txt::$DATA/C:", b"CON/a.txt::$DATA/C:", false),
            // An overlong `..` is four bytes that the kernel takes for a name.
            (b"/%c0%ae%c0%ae/%c0%af", b"\xc0\xae\xc0\xae/\xc0\xaf", false),
            (b"/%ff%fe\n", b"\xff\xfe\n", false),
        ] {
            let shown = path.escape_ascii();
            assert_eq!(parsed(path), Ok((found.to_vec(), is_directory)), "{shown}");
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for (path, error) in [
            (&b""[..], PathError::Relative),
            (b"*", PathError::Relative),
            (b"a/b", PathError::Relative),
            (b"/..", PathError::Dots),
            (b"/../etc/passwd", PathError::Dots),
            (b"/a/../b", PathError::Dots),
            (b"/a/./b", PathError::Dots),
            (b"/%2e%2E/b", PathError::Dots),
            (b"/.%2e/b", PathError::Dots),
            (b"/a%2f..%2fb", PathError::Separator),
            (b"/%2F", PathError::Separator),
            (b"/..%5c..%5cb", PathError::Separator),
            (b"/a\\b", PathError::Separator),
            (b"/a%00.txt", PathError::Separator),
            (b"/a\0", PathError::Separator),
            (b"/%", PathError::Percent),
            (b"/%2", PathError::Percent),
            (b"/%2/e", PathError::Percent),
            (b"/%zz", PathError::Percent),
            (b"/%%32e", PathError::Percent),
        ] {
            assert_eq!(parsed(path), Err(error), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn names_with_a_dot_in_front_are_hidden() {
        for (path, is_hidden) in
            [("/.git/config", true), ("/a/.env", true), ("/%2eenv", true), ("/a.b/c.", false)]
        {
            assert_eq!(RequestPath::parse(path.as_bytes()).unwrap().is_hidden(), is_hidden);
        }
    }

    #[test]
    fn references_are_no_scheme_and_no_host() {
        let referred = |name: &[u8]| reference(OsStr::from_bytes(name), false);
        assert_eq!(referred(b"javascript:alert(1)"), "./javascript%3Aalert%281%29");
        assert_eq!(referred("é?#%\"<".as_bytes()), "./%C3%A9%3F%23%25%22%3C");
        assert_eq!(reference(OsStr::new("evil.test"), true), "./evil.test/");
    }

    proptest! {
        #[test]
        fn any_path_stays_beneath_the_root(path in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "(/|%2[eEfF]|%5[cC]|%00|\\.|\\\\|a|%c0%ae){0,20}".prop_map(String::into_bytes),
        ]) {
            let Ok(found) = RequestPath::parse(&path) else { return Ok(()) };
            prop_assert!(found.path().components().all(|part| matches!(part, Component::Normal(_))));
            prop_assert!(!found.path().as_os_str().as_bytes().contains(&0));
        }

        #[test]
        fn a_reference_leads_back_to_its_name(name in prop::collection::vec(any::<u8>(), 1..40)) {
            let is_name = !name.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0))
                && !matches!(name.as_slice(), b"." | b"..");
            prop_assume!(is_name);
            let reference = reference(OsStr::from_bytes(&name), true);
            let path = reference.strip_prefix('.').unwrap();
            prop_assert_eq!(parsed(path.as_bytes()), Ok((name, true)));
        }
    }
}

//! References that are relative to a URL (RFC 3986 section 5).

use super::{URL_MAX, Url, UrlError};

impl Url {
    /// The URL that `reference` stands for where this one is the base, as in the `Location` of a
    /// response: the strict rules of RFC 3986 section 5.2, without the fragment. User name and
    /// password stay with their authority.
    ///
    /// ```
    /// use portolan_core::Url;
    ///
    /// let base: Url = "https://host/a/b?c".parse()?;
    /// assert_eq!(base.join("../d?e#f")?.to_string(), "https://host/d?e");
    /// assert_eq!(base.join("//other/d")?.to_string(), "https://other/d");
    /// # Ok::<(), portolan_core::UrlError>(())
    /// ```
    ///
    /// # Errors
    /// See [`UrlError`]; [`UrlError::Path`] if this scheme has no path.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        if !self.scheme.has_path() {
            return Err(UrlError::Path(self.scheme));
        }
        if reference.len() > URL_MAX || reference.chars().any(char::is_control) {
            return Err(UrlError::Malformed);
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let joined = if has_scheme(reference) {
            reference.parse()?
        } else if reference.starts_with("//") {
            Self::parse_rest(self.scheme, reference)?
        } else {
            self.clone().with_path(&merge(&self.path_and_query, reference))?
        };
        if !joined.scheme.has_path() {
            return Ok(joined);
        }
        let (path, query) = split_query(&joined.path_and_query);
        let path = format!("{}{query}", without_dots(path));
        joined.with_path(&path)
    }
}

/// Whether a scheme stands before the first `/` or `?` (RFC 3986 section 4.2).
fn has_scheme(reference: &str) -> bool {
    let before = reference.split(['/', '?']).next().unwrap_or_default();
    before.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

/// The path and query of a reference that has neither scheme nor authority (section 5.2.2).
fn merge(base: &str, reference: &str) -> String {
    let (base_path, base_query) = split_query(base);
    let (path, query) = split_query(reference);
    match path {
        "" if query.is_empty() => format!("{base_path}{base_query}"),
        "" => format!("{base_path}{query}"),
        path if path.starts_with('/') => reference.to_owned(),
        _ => {
            let directory = base_path.rfind('/').map_or("/", |slash| &base_path[..=slash]);
            format!("{directory}{reference}")
        }
    }
}

/// Splits off the query, with its question mark.
fn split_query(path_and_query: &str) -> (&str, &str) {
    path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()))
}

/// Removes the segments `.` and `..` of an absolute path (section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        ends_in_slash = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let slash = if ends_in_slash && !kept.is_empty() { "/" } else { "" };
    format!("/{}{slash}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 3986 sections 5.4.1 and 5.4.2, without fragments.
    #[test]
    fn the_examples_of_the_rfc() {
        let base: Url = "http://a/b/c/d;p?q".parse().unwrap();
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("g;x", "http://a/b/c/g;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            (".g", "http://a/b/c/.g"),
            ("g..", "http://a/b/c/g.."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), expected, "{reference}");
        }
        assert_eq!(base.join("g://h"), Err(UrlError::UnknownScheme));
    }

    #[test]
    fn secrets_stay_with_their_authority() {
        let base: Url = "https://u:p@host/a".parse().unwrap();
        assert_eq!(base.join("b").unwrap().password(), Some("p"));
        assert_eq!(base.join("//host/b").unwrap().user(), None);
        assert_eq!(base.join("https://other/b").unwrap().user(), None);
    }

    #[test]
    fn control_characters_are_refused() {
        let base: Url = "https://host/a".parse().unwrap();
        assert_eq!(base.join("/b\r\nx: y"), Err(UrlError::Malformed));
        assert_eq!(base.join("/b c\\d").unwrap().path_and_query(), "/b%20c%5Cd");
    }

    proptest! {
        #[test]
        fn a_joined_url_is_read_back(reference in "\\PC{0,60}") {
            let base: Url = "https://u:p@host:1/a/b?c".parse().unwrap();
            if let Ok(url) = base.join(&reference) {
                let read = url.with_secrets().parse();
                prop_assert_eq!(read, Ok(url));
            }
        }
    }
}

//! Under which name a response is saved: that of `Content-Disposition` (RFC 6266, RFC 8187), or
//! else the last segment of the URL, made safe as the name of one file in one directory.

use http::header::{self, HeaderMap};
use percent_encoding::percent_decode_str;
use portolan_core::{Url, is_invisible};

/// The most bytes of a name: what file systems allow, less room for the names beside it.
const NAME_MAX: usize = 200;
/// Where neither the server nor the URL gives a name.
const NAMELESS: &str = "index.html";

/// The name for the response with these fields to a request for `url`.
///
/// ```
/// use http::HeaderMap;
/// use portolan_http::file_name;
///
/// let mut headers = HeaderMap::new();
/// let url = "https://host/a/b%20c?d=e".parse()?;
/// assert_eq!(file_name(&headers, &url), "b c");
/// headers.insert("content-disposition", "attachment; filename=\"../../x\"".parse()?);
/// assert_eq!(file_name(&headers, &url), "x");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn file_name(headers: &HeaderMap, url: &Url) -> String {
    let given = headers.get(header::CONTENT_DISPOSITION).and_then(|value| {
        // Many servers send UTF-8 where the standard has ASCII.
        given_name(&String::from_utf8_lossy(value.as_bytes()))
    });
    let path = url.path_and_query().split('?').next().unwrap_or_default();
    let segment = path.rsplit('/').next().unwrap_or_default();
    given
        .and_then(|name| safe_name(&name))
        .or_else(|| safe_name(&percent_decode_str(segment).decode_utf8_lossy()))
        .unwrap_or_else(|| NAMELESS.to_owned())
}

/// A name for one file in one directory, made from what a peer has sent: its last component, with
/// neither control nor invisible characters nor what other systems reserve, and not hidden; at most
/// 200 bytes, of which a short extension stays. `None` where nothing is left of it.
#[must_use]
pub fn safe_name(name: &str) -> Option<String> {
    let name = shorten(&portable_name(name));
    (!name.is_empty()).then_some(name)
}

/// The same of any length; empty where nothing is left.
pub(crate) fn portable_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let replaced = last.chars().filter(|c| !is_invisible(*c)).map(|c| match c {
        '<' | '>' | ':' | '"' | '|' | '?' | '*' => '_',
        c => c,
    });
    let replaced: String = replaced.collect();
    let trimmed = replaced.trim_matches(|c: char| c == '.' || c.is_whitespace());
    let stem = trimmed.split('.').next().unwrap_or_default().trim_end();
    if is_device(stem) { format!("_{trimmed}") } else { trimmed.to_owned() }
}

/// Names that Windows takes for devices, with any extension.
fn is_device(stem: &str) -> bool {
    let stem = stem.to_ascii_uppercase();
    let numbered = |prefix| {
        stem.strip_prefix(prefix)
            .is_some_and(|n: &str| n.len() == 1 && n.as_bytes()[0].is_ascii_digit())
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

fn shorten(name: &str) -> String {
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let extension = name.rfind('.').map(|dot| &name[dot..]).filter(|part| part.len() <= 20);
    let extension = extension.unwrap_or_default();
    let end = name.floor_char_boundary(NAME_MAX - extension.len());
    format!("{}{extension}", name[..end].trim_end_matches(|c: char| c == '.' || c.is_whitespace()))
}

/// The file name in a `Content-Disposition`: `filename*` where it can be read, or else `filename`
/// (RFC 6266 section 4.3).
fn given_name(field: &str) -> Option<String> {
    let mut plain = None;
    let mut extended = None;
    for (name, value) in parameters(field) {
        if name.eq_ignore_ascii_case("filename*") {
            extended = extended.or_else(|| decode_extended(&value));
        } else if name.eq_ignore_ascii_case("filename") {
            plain = plain.or(Some(value));
        }
    }
    extended.or(plain)
}

/// The parameters after the disposition type: names as they stand, values without quotes.
fn parameters(field: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = field.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        // Rubbish before the name, up to a `;`, is no parameter.
        let name = name.rsplit(';').next().unwrap_or_default().trim();
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim_end().to_owned(), &after[end..])
            }
        };
        found.push((name, value));
        rest = after.split_once(';').map_or("", |(_, rest)| rest);
    }
    found
}

/// The inside of a quoted string, and what follows its end.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            // Only these two are escaped: some servers send a path with bare backslashes.
            '\\' if chars.as_str().starts_with(['"', '\\']) => {
                value.extend(chars.next().map(|(_, c)| c));
            }
            c => value.push(c),
        }
    }
    (value, "")
}

/// Reads `charset'language'percent-encoded` (RFC 8187 section 3.2).
fn decode_extended(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _, text) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = percent_decode_str(text);
    if charset.eq_ignore_ascii_case("UTF-8") {
        return bytes.decode_utf8().ok().map(Into::into);
    }
    charset.eq_ignore_ascii_case("ISO-8859-1").then(|| bytes.map(char::from).collect())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn named(disposition: &str) -> String {
        let value = HeaderValue::from_bytes(disposition.as_bytes()).unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_DISPOSITION, value)]);
        file_name(&headers, &"http://host/fallback".parse().unwrap())
    }

    /// RFC 6266 section 5, RFC 8187 section 3.2.3.
    #[test]
    fn the_examples_of_the_rfcs() {
        for (field, name) in [
            ("Attachment; filename=example.html", "example.html"),
            ("INLINE; FILENAME= \"an example.html\"", "an example.html"),
            ("attachment; filename*= UTF-8''%e2%82%ac%20rates", "€ rates"),
            ("attachment; filename=\"EURO rates\"; filename*=utf-8''%e2%82%ac%20rates", "€ rates"),
            ("attachment; filename*=UTF-8''%c2%a3%20and%20%e2%82%ac%20rates", "£ and € rates"),
            ("attachment; filename*=iso-8859-1'en'%A3%20rates", "£ rates"),
        ] {
            assert_eq!(named(field), name, "{field}");
        }
    }

    #[test]
    fn fields_as_servers_write_them() {
        for (field, name) in [
            ("attachment", "fallback"),
            ("attachment; filename=", "fallback"),
            ("attachment; filename=\"\"", "fallback"),
            ("attachment; filename=a b.txt; size=7", "a b.txt"),
            ("attachment; filename=\"a;b\\\"c.txt\"; x", "a;b_c.txt"),
            ("attachment; filename=\"C:\\dir\\file.txt\"", "file.txt"),
            ("attachment; filename=\"naïve.txt\"", "naïve.txt"),
            ("attachment; filename=\"unended", "unended"),
            ("attachment; filename*=utf-8''%ff; filename=plain", "plain"),
            ("attachment; filename*=koi8-r''x; filename=plain", "plain"),
            ("attachment; junk; filename=a", "a"),
            ("attachment; xfilename=b; filename=a; filename=c", "a"),
            ("attachment; filename=\"%2e%2e%2fa\"", "%2e%2e%2fa"),
        ] {
            assert_eq!(named(field), name, "{field}");
        }
    }

    #[test]
    fn no_name_leaves_its_directory_or_hides() {
        for (name, safe) in [
            ("../../x", Some("x")),
            ("..\\..\\x", Some("x")),
            ("/etc/passwd", Some("passwd")),
            ("..", None),
            ("a/..", None),
            ("dir/", None),
            ("", None),
            (" . ", None),
            (".bashrc", Some("bashrc")),
            ("a\0b\r\n\u{1b}[31mc", Some("ab[31mc")),
            ("gpj.\u{202e}exe", Some("gpj.exe")),
            ("a:b|c?.txt", Some("a_b_c_.txt")),
            ("con", Some("_con")),
            ("Com1.txt", Some("_Com1.txt")),
            ("com10", Some("com10")),
            ("trailing. ", Some("trailing")),
            ("-rf", Some("-rf")),
        ] {
            assert_eq!(safe_name(name).as_deref(), safe, "{name}");
        }
        let long = format!("{}.tar.gz", "é".repeat(300));
        let name = safe_name(&long).unwrap();
        assert!(name.len() <= NAME_MAX && name.ends_with("é.gz"), "{name}");
    }

    #[test]
    fn the_url_gives_the_name_where_the_server_does_not() {
        let named = |url: &str| file_name(&HeaderMap::new(), &url.parse().unwrap());
        assert_eq!(named("http://host/a/b.tar.gz?x=/y"), "b.tar.gz");
        assert_eq!(named("http://host/a%2fb%2e%2E"), "b");
        assert_eq!(named("http://host/%2e%2e%2f%2e%2e"), "index.html");
        assert_eq!(named("http://host/"), "index.html");
        assert_eq!(named("http://host/caf%c3%a9"), "café");
    }

    fn is_safe(name: &str) -> bool {
        !name.is_empty()
            && name.len() <= NAME_MAX
            && !name.starts_with('.')
            && !name.contains(['/', '\\'])
            && !name.chars().any(char::is_control)
    }

    proptest! {
        #[test]
        fn any_field_gives_a_safe_name(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let field = [b"attachment; filename=", bytes.as_slice()].concat();
            let Ok(value) = HeaderValue::from_bytes(&field) else { return Ok(()) };
            let headers = HeaderMap::from_iter([(header::CONTENT_DISPOSITION, value)]);
            let name = file_name(&headers, &"http://host/".parse().unwrap());
            prop_assert!(is_safe(&name), "{name}");
        }

        #[test]
        fn a_safe_name_stays(name in "\\PC{0,300}|[a./\\\\ ]{0,20}") {
            if let Some(name) = safe_name(&name) {
                prop_assert!(is_safe(&name), "{name}");
                let again = safe_name(&name);
                prop_assert_eq!(again.as_deref(), Some(name.as_str()));
            }
        }
    }
}

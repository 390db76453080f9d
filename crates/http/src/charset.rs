//! In which character encoding a text is: by its byte order mark, by `Content-Type`, or else UTF-8
//! (the Encoding Standard, section 6; RFC 9110 section 8.3.2). What HTML says of itself in a
//! `<meta>` is not read.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};
use http::header::{self, HeaderMap};

/// The text of a body with these fields. What is malformed becomes U+FFFD, and a byte order mark
/// is left out.
#[must_use]
pub(crate) fn decode<'a>(body: &'a [u8], headers: &HeaderMap) -> Cow<'a, str> {
    encoding(headers).decode(body).0
}

/// The encoding that `Content-Type` names; UTF-8 where it names none or one that nobody knows.
#[must_use]
pub(crate) fn encoding(headers: &HeaderMap) -> &'static Encoding {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type
        .and_then(charset)
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .unwrap_or(UTF_8)
}

/// The value of the parameter `charset`, without quotes.
fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn fields(content_type: &str) -> HeaderMap {
        let value = HeaderValue::from_bytes(content_type.as_bytes()).unwrap();
        HeaderMap::from_iter([(header::CONTENT_TYPE, value)])
    }

    #[test]
    fn the_charset_is_found() {
        for (content_type, name) in [
            ("text/html; charset=ISO-8859-1", "windows-1252"),
            ("text/html;CHARSET=\"Shift_JIS\"; x=y", "Shift_JIS"),
            ("text/html; a=b; charset = 'koi8-r'", "KOI8-R"),
            ("text/html; charset=utf-16", "UTF-16LE"),
            ("text/html; charset=nonsense", "UTF-8"),
            ("text/html; xcharset=koi8-r", "UTF-8"),
            ("charset=koi8-r", "UTF-8"),
            ("application/json", "UTF-8"),
        ] {
            assert_eq!(encoding(&fields(content_type)).name(), name, "{content_type}");
        }
        assert_eq!(encoding(&HeaderMap::new()), UTF_8);
    }

    #[test]
    fn a_byte_order_mark_goes_before_the_field() {
        let latin = fields("text/plain; charset=latin1");
        assert_eq!(decode(b"caf\xe9", &latin), "café");
        assert_eq!(decode(b"\xef\xbb\xbfcaf\xc3\xa9", &latin), "café");
        assert_eq!(decode(b"\xff\xfea\0", &HeaderMap::new()), "a");
        assert_eq!(decode(b"caf\xe9!", &HeaderMap::new()), "caf\u{fffd}!");
    }

    proptest! {
        #[test]
        fn utf_8_is_itself(text in "\\PC{0,40}") {
            let is_marked = text.starts_with('\u{feff}');
            prop_assert!(is_marked || decode(text.as_bytes(), &fields("text/plain")) == text);
        }

        #[test]
        fn any_bytes_are_text(
            body in prop::collection::vec(any::<u8>(), 0..60), content_type in "[ -~]{0,40}",
        ) {
            let headers = fields(&format!("text/plain; charset={content_type}"));
            prop_assert!(decode(&body, &headers).len() <= 3 * body.len());
        }
    }
}

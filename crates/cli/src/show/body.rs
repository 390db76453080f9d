//! A body for people: its charset read, harmless for a terminal, laid out and in colour.

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::format::Syntax;
use crate::sanitize::Sanitizer;

/// The longest text that is laid out; a longer one is shown as it comes.
const LAID_OUT: usize = 4 * 1024 * 1024;

/// A body that comes in pieces.
pub struct Body {
    decoder: Decoder,
    sanitizer: Sanitizer,
    syntax: Option<Syntax>,
    /// What waits to be laid out.
    kept: String,
    /// Whether what was shown is a whole line, or nothing.
    is_whole_line: bool,
}

impl Body {
    /// A body of this media type that begins with `first`; `None` where that is not text.
    #[must_use]
    pub fn begin(media_type: &str, first: &[u8]) -> Option<Self> {
        let encoding = charset(media_type).unwrap_or(UTF_8);
        let has_bom = Encoding::for_bom(first).is_some();
        let is_wide = has_bom || encoding == UTF_16LE || encoding == UTF_16BE;
        (is_wide || !first.contains(&0)).then(|| Self {
            decoder: encoding.new_decoder(),
            sanitizer: Sanitizer::default(),
            syntax: Syntax::of(media_type),
            kept: String::new(),
            is_whole_line: true,
        })
    }

    /// Takes in the next piece, and gives what is to be shown now.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let text = self.decoded(bytes, false);
        let shown = match self.syntax {
            None | Some(Syntax::Events) => text,
            Some(Syntax::JsonLines) => {
                self.kept.push_str(&text);
                let whole = self.kept.rfind('\n').map_or(0, |at| at + 1);
                let lines: String = self.kept.drain(..whole).collect();
                Syntax::JsonLines.format(&lines)
            }
            Some(_) => {
                self.kept.push_str(&text);
                if self.kept.len() <= LAID_OUT {
                    return String::new();
                }
                self.syntax = None;
                std::mem::take(&mut self.kept)
            }
        };
        if !shown.is_empty() {
            self.is_whole_line = shown.ends_with('\n');
        }
        shown
    }

    /// What is left to be shown at the end, which is the end of a line.
    #[must_use]
    pub fn finish(mut self) -> String {
        let rest = self.decoded(&[], true);
        let kept = std::mem::take(&mut self.kept) + &rest;
        let mut shown = self.syntax.map_or_else(|| kept.clone(), |syntax| syntax.format(&kept));
        let is_whole_line =
            if shown.is_empty() { self.is_whole_line } else { shown.ends_with('\n') };
        if !is_whole_line {
            shown.push('\n');
        }
        shown
    }

    fn decoded(&mut self, bytes: &[u8], is_last: bool) -> String {
        let room = self.decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(0);
        let mut text = String::with_capacity(room);
        // The room is for all of it.
        let _ = self.decoder.decode_to_string(bytes, &mut text, is_last);
        self.sanitizer.text(text.as_bytes())
    }
}

/// The charset that a media type names, where it is known.
fn charset(media_type: &str) -> Option<&'static Encoding> {
    let parameter = media_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })?;
    Encoding::for_label(parameter.as_bytes())
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    /// What is shown piece by piece, and at the end, without colours.
    fn shown(media_type: &str, pieces: &[&[u8]]) -> Vec<String> {
        let mut body = Body::begin(media_type, pieces[0]).unwrap();
        let mut shown: Vec<_> = pieces.iter().map(|piece| body.push(piece)).collect();
        shown.push(body.finish());
        shown.iter().map(|text| strip_str(text).to_string()).collect()
    }

    #[test]
    fn json_waits_for_its_end() {
        assert_eq!(
            shown("application/json", &[b"{\"a\"", b":1}"]),
            ["", "", "{\n    \"a\": 1\n}\n"]
        );
        assert_eq!(shown("application/json", &[b"{oops"]), ["", "{oops\n"]);
    }

    #[test]
    fn lines_and_events_do_not() {
        let pieces: [&[u8]; 3] = [b"{\"a\":", b"1}\n{\"b\"", b":2}"];
        assert_eq!(
            shown("application/x-ndjson", &pieces),
            ["", "{\"a\": 1}\n", "", "{\"b\": 2}\n"]
        );
        assert_eq!(
            shown("text/event-stream", &[b"data: 1\n\n", b"data"]),
            ["data: 1\n\n", "data", "\n"]
        );
    }

    #[test]
    fn charsets_are_read_and_escapes_taken_away() {
        assert_eq!(shown("text/plain; charset=\"ISO-8859-1\"", &[b"caf\xe9\n"]), ["café\n", ""]);
        assert_eq!(shown("text/plain;charset=utf-16le", &[b"a\0", b"b\0"]), ["a", "b", "\n"]);
        assert_eq!(shown("text/plain", &[b"\x1b[2Jgr\xc3", b"\xbcn"]), ["[2Jgr", "ün", "\n"]);
    }

    #[test]
    fn what_is_long_is_shown_as_it_comes() {
        let long = format!("[{}", "1,".repeat(LAID_OUT / 2));
        let shown = shown("application/json", &[long.as_bytes(), b"2]"]);
        assert_eq!(
            (shown[0].len(), &shown[1..]),
            (long.len(), &["2]".to_owned(), "\n".to_owned()][..])
        );
    }

    #[test]
    fn what_is_not_text_is_not_shown() {
        assert!(Body::begin("image/png", b"\x89PNG\0").is_none());
        assert!(Body::begin("text/plain", b"\xff\xfea\0").is_some());
    }
}

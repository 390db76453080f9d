//! Text from a peer, made harmless for a terminal.

use std::borrow::Cow;

use portolan::is_invisible;

/// Removes what can steer a terminal or disguise text: control characters, and those that change
/// direction or have no width. White space of any kind becomes a space, so that one line stays
/// one.
pub(crate) fn sanitize(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let plain = text.chars().filter_map(|c| match c {
        c if is_plain(c) => Some(c),
        '\n' | '\t' => Some(' '),
        _ => None,
    });
    Cow::Owned(plain.collect())
}

/// Makes a stream of text harmless that comes in pieces, which may end within a character. Lines
/// stay lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sanitizer {
    /// The beginning of a character, the rest of which has yet to come.
    begun: Vec<u8>,
}

impl Sanitizer {
    /// The next piece, with a replacement character for what is not UTF-8.
    pub(crate) fn text(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let mut text = String::new();
        let mut kept = 0;
        for chunk in self.begun.utf8_chunks() {
            text.extend(chunk.valid().chars().filter(|c| is_plain(*c) || "\n\t".contains(*c)));
            kept += chunk.valid().len();
            let is_last = kept + chunk.invalid().len() == self.begun.len();
            if is_last && is_begun(chunk.invalid()) {
                break;
            }
            kept += chunk.invalid().len();
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.begun.drain(..kept);
        text
    }
}

/// Whether these bytes may yet become a character.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

fn is_plain(c: char) -> bool {
    !is_invisible(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(sanitize("Grüße, 世界 🚢"), Cow::Borrowed(_)));
    }

    #[test]
    fn pieces_are_made_harmless_together() {
        let mut sanitizer = Sanitizer::default();
        let pieces: [&[u8]; 5] = [b"a\x1b[1", b"m\xe4\xb8", b"\x96\n", b"\xc2", b"\x9bx\xffy\xf0"];
        let text = pieces.map(|piece| sanitizer.text(piece));
        assert_eq!(text, ["a[1", "m", "\u{4e16}\n", "", "x\u{fffd}y"]);
    }

    #[test]
    fn escapes_and_disguises_are_removed() {
        assert_eq!(sanitize("\u{1b}[2Jgone\r\n\u{9b}31mred"), "[2Jgone 31mred");
        assert_eq!(sanitize("txt\u{202e}exe\u{200b}.\u{feff}\u{e0041}"), "txtexe.");
    }
}

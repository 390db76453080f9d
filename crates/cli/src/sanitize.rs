//! Text from a peer, made harmless for a terminal.

use std::borrow::Cow;

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

fn is_plain(c: char) -> bool {
    !c.is_control() && !is_invisible(c)
}

/// Bidirectional controls (UAX #9), zero-width characters, and the invisible tags.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(sanitize("Grüße, 世界 🚢"), Cow::Borrowed(_)));
    }

    #[test]
    fn escapes_and_disguises_are_removed() {
        assert_eq!(sanitize("\u{1b}[2Jgone\r\n\u{9b}31mred"), "[2Jgone 31mred");
        assert_eq!(sanitize("txt\u{202e}exe\u{200b}.\u{feff}\u{e0041}"), "txtexe.");
    }
}

//! Text that somebody else wrote.

/// Whether `c` is not seen, or steers what stands beside it: control characters, line ends among
/// them; bidirectional controls (UAX #9); characters without a width; invisible tags.
///
/// ```
/// use portolan_core::is_invisible;
///
/// assert!(is_invisible('\u{202e}') && is_invisible('\n'));
/// assert!(!"Grüße, 世界 🚢".chars().any(is_invisible));
/// ```
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
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

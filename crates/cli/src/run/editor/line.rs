//! A line that is edited by the keys of readline(3), and the lines before it: without I/O.
//!
//! The history is kept in memory only: what is sent may be secret.

use std::collections::VecDeque;

use terminput::{Event, KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, InputRequest};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

const PROMPT: &str = "> ";
/// How many lines are remembered.
const REMEMBERED: usize = 1000;
const ESCAPE: u8 = 0x1b;
/// The report of a mouse begins so, and ends with M or m, as that of no key does.
const MOUSE: &[u8] = b"\x1b[";
/// With these a letter is not typed, but does something.
const COMMANDS: KeyModifiers = KeyModifiers::CTRL.union(KeyModifiers::ALT);

/// What came of keys, where it is more than that the line has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    /// This line is finished, and the next begins.
    Finish(String),
    /// The screen is to be cleared.
    Clear,
    /// There will be no more.
    End,
}

/// The line that is edited, and the history.
#[derive(Default)]
pub(super) struct Line {
    keys: Keys,
    input: Input,
    /// Characters that are to be inserted: together, as there may be many when they are pasted.
    typed: String,
    before: VecDeque<String>,
    /// The one of those that was called up, and what was typed until then.
    recalled: Option<(usize, String)>,
}

impl Line {
    /// Takes in what a terminal sends for keys.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Pressed> {
        let mut pressed = Vec::new();
        for byte in bytes {
            match self.keys.push(*byte) {
                Some(KeyEvent { code: KeyCode::Char(c), modifiers, .. })
                    if !modifiers.intersects(COMMANDS) =>
                {
                    self.typed.push(c);
                }
                Some(key) => {
                    self.insert_typed();
                    pressed.extend(self.press(key));
                }
                None => {}
            }
        }
        self.insert_typed();
        pressed
    }

    fn insert_typed(&mut self) {
        if self.typed.is_empty() {
            return;
        }
        let (cursor, mut line) = (self.input.cursor(), self.input.value().to_owned());
        let place = line.char_indices().nth(cursor).map_or(line.len(), |(place, _)| place);
        line.insert_str(place, &self.typed);
        let end = cursor + self.typed.chars().count();
        self.typed.clear();
        self.replace(line);
        self.input.handle(InputRequest::SetCursor(end));
    }

    fn press(&mut self, key: KeyEvent) -> Option<Pressed> {
        let is_empty = self.input.value().is_empty();
        match (key.code, key.modifiers) {
            (KeyCode::Enter, _) | (KeyCode::Char('j'), KeyModifiers::CTRL) => {
                return Some(Pressed::Finish(self.finish()));
            }
            (KeyCode::Char('d'), KeyModifiers::CTRL) if is_empty => return Some(Pressed::End),
            (KeyCode::Char('l'), KeyModifiers::CTRL) => return Some(Pressed::Clear),
            (KeyCode::Up, _) | (KeyCode::Char('p'), KeyModifiers::CTRL) => self.earlier(),
            (KeyCode::Down, _) | (KeyCode::Char('n'), KeyModifiers::CTRL) => self.later(),
            _ => _ = edit(key).and_then(|request| self.input.handle(request)),
        }
        None
    }

    /// What was typed and is not finished.
    pub(super) fn unfinished(&self) -> Option<&str> {
        Some(self.input.value()).filter(|line| !line.is_empty())
    }

    /// How the line is drawn in one row of this many columns: the part of it that is around the
    /// cursor, and the cursor in its place.
    pub(super) fn row(&self, columns: usize) -> String {
        // The cursor may stand after the last character, and no terminal is to wrap there.
        let room = columns.saturating_sub(PROMPT.len() + 1).max(1);
        let (line, cursor) = (self.input.value(), self.input.visual_cursor());
        let half = room.div_ceil(2);
        let start = if line.width() > room { (cursor / half).saturating_sub(1) * half } else { 0 };
        let (mut part, mut before, mut width) = (String::new(), 0, 0);
        for character in line.graphemes(true) {
            if before < start {
                before += character.width();
            } else if width + character.width() <= room {
                part.push_str(character);
                width += character.width();
            } else {
                break;
            }
        }
        let cursor = PROMPT.len() + cursor.saturating_sub(before);
        // Carriage return, then cursor forward (ECMA-48: CUF).
        format!("{}\r\x1b[{cursor}C", shown(&part))
    }

    fn finish(&mut self) -> String {
        let line = self.input.value_and_reset();
        self.recalled = None;
        if !line.is_empty() && self.before.back() != Some(&line) {
            self.before.push_back(line.clone());
        }
        if self.before.len() > REMEMBERED {
            self.before.pop_front();
        }
        line
    }

    fn earlier(&mut self) {
        let place = self.recalled.as_ref().map_or(self.before.len(), |(place, _)| *place);
        let Some(line) = place.checked_sub(1).and_then(|place| self.before.get(place)) else {
            return;
        };
        let typed = match self.recalled.take() {
            Some((_, typed)) => typed,
            None => self.input.value().to_owned(),
        };
        self.recalled = Some((place - 1, typed));
        self.replace(line.clone());
    }

    fn later(&mut self) {
        let Some((place, typed)) = self.recalled.take() else { return };
        match self.before.get(place + 1) {
            Some(line) => {
                let line = line.clone();
                self.recalled = Some((place + 1, typed));
                self.replace(line);
            }
            None => self.replace(typed),
        }
    }

    fn replace(&mut self, line: String) {
        self.input = std::mem::take(&mut self.input).with_value(line);
    }
}

/// A line after the prompt. What moves a cursor has one column instead, as it is counted.
pub(super) fn shown(line: &str) -> String {
    let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    PROMPT.chars().chain(plain).collect()
}

/// Makes keys of what a terminal sends for them.
#[derive(Default)]
struct Keys {
    begun: Vec<u8>,
}

impl Keys {
    /// Takes in a byte, and gives the key that it completes.
    fn push(&mut self, byte: u8) -> Option<KeyEvent> {
        if byte == ESCAPE {
            // What had begun is not a key. This may be the key itself, which does nothing here.
            self.begun = vec![ESCAPE];
            return None;
        }
        self.begun.push(byte);
        if self.begun.starts_with(MOUSE) && b"Mm".contains(&byte) {
            // What nobody has asked for is not parsed: the parser does not expect any column 0.
            self.begun.clear();
            return None;
        }
        let parsed = Event::parse_from(&self.begun);
        if !matches!(parsed, Ok(None)) {
            self.begun.clear();
        }
        match parsed {
            Ok(Some(Event::Key(key))) => Some(key),
            _ => None,
        }
    }
}

/// What a key does with the line itself.
fn edit(key: KeyEvent) -> Option<InputRequest> {
    let has_alt = key.modifiers.contains(KeyModifiers::ALT);
    let has_ctrl = key.modifiers.contains(KeyModifiers::CTRL);
    let by_word = key.modifiers.intersects(COMMANDS);
    Some(match key.code {
        KeyCode::Left if by_word => InputRequest::GoToPrevWord,
        KeyCode::Right if by_word => InputRequest::GoToNextWord,
        KeyCode::Left => InputRequest::GoToPrevChar,
        KeyCode::Right => InputRequest::GoToNextChar,
        KeyCode::Home => InputRequest::GoToStart,
        KeyCode::End => InputRequest::GoToEnd,
        KeyCode::Backspace if has_alt => InputRequest::DeletePrevWord,
        KeyCode::Backspace => InputRequest::DeletePrevChar,
        KeyCode::Delete => InputRequest::DeleteNextChar,
        KeyCode::Tab => InputRequest::InsertChar('\t'),
        KeyCode::Char(c) if has_ctrl => match c {
            'a' => InputRequest::GoToStart,
            'b' => InputRequest::GoToPrevChar,
            'd' => InputRequest::DeleteNextChar,
            'e' => InputRequest::GoToEnd,
            'f' => InputRequest::GoToNextChar,
            'h' => InputRequest::DeletePrevChar,
            'k' => InputRequest::DeleteTillEnd,
            'u' => InputRequest::DeleteFromStart,
            'w' => InputRequest::DeletePrevWord,
            'y' => InputRequest::Yank,
            _ => return None,
        },
        KeyCode::Char('b') => InputRequest::GoToPrevWord,
        KeyCode::Char('d') => InputRequest::DeleteNextWord,
        KeyCode::Char('f') => InputRequest::GoToNextWord,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEFT: &str = "\x1b[D";
    const RIGHT: &str = "\x1b[C";
    const UP: &str = "\x1b[A";
    const DOWN: &str = "\x1b[B";

    fn press(line: &mut Line, typed: &str) -> Vec<Pressed> {
        line.take(typed.as_bytes())
    }

    fn edited(typed: &str) -> String {
        let mut line = Line::default();
        assert_eq!(press(&mut line, typed), []);
        line.input.value().to_owned()
    }

    #[test]
    fn keys_edit_the_line() {
        assert_eq!(edited("helo\x1b[Dl"), "hello");
        assert_eq!(edited(&format!("Grüße{LEFT}{LEFT}\x7f{RIGHT}!")), "Grß!e");
        assert_eq!(edited("👩‍🚀a\x02\x7fb"), "ba");
        assert_eq!(edited("one two\x17three"), "one three");
        assert_eq!(edited("one two\x1bb\x0b\x01\x19\x05!"), "twoone !");
        assert_eq!(edited("one\x1b[H\x1b[3~\x04\x1bOFx"), "ex");
        assert_eq!(edited("one two\x1b[1;5D\x15"), "two");
        assert_eq!(edited("a\tb"), "a\tb");
    }

    #[test]
    fn what_is_no_key_does_nothing() {
        for typed in
            ["\x1b[<0;0;0M", "\x1b[32;0;0M", "\x1b[999~", "\x1b[15~", "\x1bz", "\x16", "\x1b\x1b[C"]
        {
            assert_eq!(edited(&format!("a{typed}b")), "ab", "{}", typed.escape_debug());
        }
        let mut keys = Keys::default();
        let bytes = [0xff, b'a', 0xc3, 0xbc, 0x80];
        let typed: Vec<_> = bytes.into_iter().filter_map(|byte| keys.push(byte)).collect();
        assert_eq!(
            typed.iter().map(|key| key.code).collect::<Vec<_>>(),
            [KeyCode::Char('a'), KeyCode::Char('ü')]
        );
    }

    #[test]
    fn a_line_ends_with_either_key_and_the_input_on_an_empty_one() {
        let mut line = Line::default();
        let finished = |line: &str| Pressed::Finish(line.to_owned());
        assert_eq!(press(&mut line, "a\rb\n\n"), [finished("a"), finished("b"), finished("")]);
        assert_eq!(press(&mut line, "ab\x01\x04\x0c"), [Pressed::Clear]);
        assert_eq!(line.unfinished(), Some("b"));
        assert_eq!(press(&mut line, "\x04\x04"), [Pressed::End]);
    }

    #[test]
    fn lines_before_are_called_up_and_what_was_typed_is_kept() {
        let mut line = Line::default();
        let mut after = |typed: &str| {
            press(&mut line, typed);
            line.input.value().to_owned()
        };
        assert_eq!(after(&format!("{UP}{DOWN}x")), "x");
        assert_eq!(after("\rtwo\rtwo\r\rdraft"), "draft");
        assert_eq!(after(UP), "two");
        assert_eq!(after(&format!("{UP}{UP}")), "x");
        assert_eq!(after(&format!("y{DOWN}")), "two");
        assert_eq!(after(&format!("{DOWN}{DOWN}s")), "drafts");
        assert_eq!(after("\r\x10\x10\x0e"), "drafts");
    }

    proptest! {
        #[test]
        fn whatever_is_typed_fits_the_row(
            pieces in prop::collection::vec("[ -~ü世\\x00-\\x1f\\x7f]{0,4}|(\x1b\\[|\x1bO)[0-9;<]{0,6}[A-Za-z~]|\\PC", 0..40),
            columns in 4..30_usize,
        ) {
            let mut line = Line::default();
            for piece in &pieces {
                line.take(piece.as_bytes());
                let row = line.row(columns);
                let (text, cursor) = row.split_once("\r\x1b[").unwrap();
                prop_assert!(text.width() < columns, "{text:?}");
                prop_assert!(cursor.trim_end_matches('C').parse::<usize>().unwrap() < columns);
            }
        }

        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>) {
            Line::default().take(&bytes);
        }
    }

    #[test]
    fn no_more_is_remembered_than_the_bound() {
        let mut line = Line::default();
        for number in 0..=REMEMBERED {
            press(&mut line, &format!("{number}\r"));
        }
        assert_eq!((line.before.len(), line.before[0].as_str()), (REMEMBERED, "1"));
    }

    #[test]
    fn the_row_has_the_cursor_and_what_is_around_it() {
        let row = |columns, typed: &str| {
            let mut line = Line::default();
            press(&mut line, typed);
            line.row(columns)
        };
        assert_eq!(row(80, ""), "> \r\x1b[2C");
        assert_eq!(row(80, &format!("世a\t{LEFT}")), "> 世a \r\x1b[5C");
        // Ten columns have room for seven, and the cursor after them.
        assert_eq!(row(10, "1234567"), "> 1234567\r\x1b[9C");
        assert_eq!(row(10, "12345678"), "> 5678\r\x1b[6C");
        assert_eq!(row(10, &format!("123456789{LEFT}{LEFT}{LEFT}")), "> 1234567\r\x1b[8C");
        // What is wider than a column is left out where only a part of it would fit.
        assert_eq!(row(10, "世世世世世"), "> 世世世\r\x1b[8C");
        for columns in 0..4 {
            row(columns, "世世");
        }
    }
}

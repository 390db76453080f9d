//! The row that stays below all that is written to a terminal, such as a line that is being edited.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One for the process, which has one terminal.
static ROW: Mutex<Row> = Mutex::new(Row::NONE);

/// Back to the first column, and erase the row from there (ECMA-48: CR, EL).
const ERASE: &str = "\r\x1b[K";

/// Writes this, above the row where there is one.
pub(crate) fn write_above(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let mut row = lock();
    if row.text.is_empty() {
        // Who waits for one stream keeps nobody from another.
        drop(row);
        out.write_all(bytes)?;
    } else {
        row.write_above(out, bytes)?;
    }
    out.flush()
}

/// Draws this in place of what the row was; there is none where this is empty.
pub(crate) fn replace(out: &mut impl Write, text: String) -> io::Result<()> {
    lock().replace(out, text)?;
    out.flush()
}

fn lock() -> MutexGuard<'static, Row> {
    ROW.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The row, as it is drawn.
struct Row {
    text: String,
    /// Whether a line above has begun and not ended: the row is back when it has.
    is_hidden: bool,
}

impl Row {
    const NONE: Self = Self { text: String::new(), is_hidden: false };

    fn write_above(&mut self, out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let erase = if self.is_hidden { "" } else { ERASE };
        self.is_hidden = !bytes.ends_with(b"\n");
        let row = if self.is_hidden { "" } else { &self.text };
        out.write_all(&[erase.as_bytes(), bytes, row.as_bytes()].concat())
    }

    fn replace(&mut self, out: &mut impl Write, text: String) -> io::Result<()> {
        let is_drawn = !self.is_hidden;
        self.text = text;
        self.is_hidden &= !self.text.is_empty();
        if is_drawn { write!(out, "{ERASE}{}", self.text) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_goes_above_the_row() {
        let (mut row, mut out) = (Row::NONE, Vec::new());
        row.replace(&mut out, "> a".to_owned()).unwrap();
        row.write_above(&mut out, b"news\n").unwrap();
        row.write_above(&mut out, b"").unwrap();
        row.replace(&mut out, String::new()).unwrap();
        let shown = "\r\x1b[K> a\r\x1b[Knews\n> a\r\x1b[K";
        assert_eq!(String::from_utf8(out).unwrap(), shown);
    }

    #[test]
    fn the_row_is_away_while_a_line_is_unfinished() {
        let (mut row, mut out) = (Row::NONE, Vec::new());
        row.replace(&mut out, "> a".to_owned()).unwrap();
        out.clear();
        row.write_above(&mut out, b"be").unwrap();
        row.replace(&mut out, "> ab".to_owned()).unwrap();
        row.write_above(&mut out, b"gun\n").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\r\x1b[Kbegun\n> ab");
    }
}

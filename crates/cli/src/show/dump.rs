//! Bytes in hexadecimal, sixteen a line, with what of them is ASCII beside it: as `hexdump -C` has
//! it, and before each line which way they went.

use std::fmt::Write;

use portolan::Direction;

/// How many bytes stand in a line.
const WIDTH: usize = 16;

/// The dump of a conversation; each direction has its own offset.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dump {
    sent: usize,
    received: usize,
}

impl Dump {
    /// The lines for bytes that went this way.
    pub fn lines(&mut self, direction: Direction, bytes: &[u8]) -> String {
        let offset = match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        };
        let mut lines = String::new();
        for row in bytes.chunks(WIDTH) {
            line(&mut lines, direction, *offset, row);
            *offset += row.len();
        }
        lines
    }
}

/// The lines for a message that went this way, with offsets of its own; an empty one has a line,
/// too.
#[must_use]
pub fn message(direction: Direction, bytes: &[u8]) -> String {
    let mut lines = Dump::default().lines(direction, bytes);
    if bytes.is_empty() {
        line(&mut lines, direction, 0, bytes);
    }
    lines
}

/// Adds the line for one row.
fn line(lines: &mut String, direction: Direction, offset: usize, row: &[u8]) {
    let mark = match direction {
        Direction::Sent => '>',
        Direction::Received => '<',
    };
    let hex = row
        .chunks(WIDTH / 2)
        .map(|half| half.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "));
    let hex = hex.collect::<Vec<_>>().join("  ");
    let is_plain = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let text = row.iter().map(|byte| if is_plain(byte) { char::from(*byte) } else { '.' });
    let text = text.collect::<String>();
    let _ = writeln!(lines, "{mark} {offset:08x}  {hex:48}  |{text}|");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_its_own_offset() {
        let mut dump = Dump::default();
        assert_eq!(
            dump.lines(Direction::Sent, b"GET / HTTP/1.1\r\n\r\n"),
            "> 00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|\n\
             > 00000010  0d 0a                                             |..|\n"
        );
        assert_eq!(
            dump.lines(Direction::Received, b"\xff ok"),
            "< 00000000  ff 20 6f 6b                                       |. ok|\n"
        );
        assert!(dump.lines(Direction::Sent, b"x").starts_with("> 00000012  78 "));
    }

    #[test]
    fn each_message_has_its_own_offset() {
        for text in ["ahoy", "hi"] {
            let line = message(Direction::Received, text.as_bytes());
            assert!(line.starts_with("< 00000000  ") && line.ends_with(&format!("|{text}|\n")));
        }
        let empty = message(Direction::Sent, b"");
        assert_eq!(empty.split_whitespace().collect::<Vec<_>>(), [">", "00000000", "||"]);
    }
}

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
        let (mark, offset) = match direction {
            Direction::Sent => ('>', &mut self.sent),
            Direction::Received => ('<', &mut self.received),
        };
        let mut lines = String::new();
        for row in bytes.chunks(WIDTH) {
            let hex = row.chunks(WIDTH / 2).map(|half| {
                half.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
            });
            let hex = hex.collect::<Vec<_>>().join("  ");
            let is_plain = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
            let text: String = row
                .iter()
                .map(|byte| if is_plain(byte) { char::from(*byte) } else { '.' })
                .collect();
            let _ = writeln!(lines, "{mark} {offset:08x}  {hex:48}  |{text}|");
            *offset += row.len();
        }
        lines
    }
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
}

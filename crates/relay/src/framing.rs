//! Between bytes and messages: pure, without I/O.

/// How bytes become messages, and messages bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// What is read at once is a message; messages are written one after the other.
    #[default]
    Chunks,
    /// A line is a message, without its line feed; a message is written as a line.
    Lines,
    /// So many bytes are a message, and the rest at the end one more; messages are written one
    /// after the other.
    Size(usize),
}

/// A line is longer than a message can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of more than {max} bytes does not fit a message")]
pub(crate) struct TooLong {
    max: usize,
}

/// Cuts a stream of bytes into messages of at most `max` bytes.
#[derive(Debug)]
pub(crate) struct Cutter {
    framing: Framing,
    max: usize,
    rest: Vec<u8>,
}

impl Cutter {
    pub(crate) const fn new(framing: Framing, max: usize) -> Self {
        Self { framing, max, rest: Vec::new() }
    }

    /// Takes in bytes, and gives the messages that they complete.
    pub(crate) fn cut(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut messages = Vec::new();
        match self.framing {
            Framing::Chunks => messages.extend(bytes.chunks(self.max).map(<[u8]>::to_vec)),
            Framing::Size(size) => {
                self.rest.extend_from_slice(bytes);
                let whole = self.rest.len() - self.rest.len() % size;
                messages.extend(self.rest.drain(..whole).as_slice().chunks(size).map(Vec::from));
            }
            Framing::Lines => {
                for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                    self.rest.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
                    if self.rest.len() > self.max {
                        return Err(TooLong { max: self.max });
                    }
                    if piece.ends_with(b"\n") {
                        messages.push(std::mem::take(&mut self.rest));
                    }
                }
            }
        }
        Ok(messages)
    }

    /// What is left when no more bytes come, if anything.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.rest)).filter(|rest| !rest.is_empty())
    }

    /// A message as bytes.
    pub(crate) fn paste(&self, message: &mut Vec<u8>) {
        if self.framing == Framing::Lines && !message.ends_with(b"\n") {
            message.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(framing: Framing, pieces: &[&[u8]]) -> Vec<String> {
        let mut cutter = Cutter::new(framing, 8);
        let mut messages: Vec<_> =
            pieces.iter().flat_map(|piece| cutter.cut(piece).unwrap()).collect();
        messages.extend(cutter.finish());
        messages.into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
    }

    #[test]
    fn lines_are_messages_wherever_they_were_cut() {
        assert_eq!(
            cut(Framing::Lines, &[b"on", b"e\n\ntwo\nth", b"ree"]),
            ["one", "", "two", "three"]
        );
        let mut cutter = Cutter::new(Framing::Lines, 8);
        assert_eq!(cutter.cut(b"12345678\n").unwrap().len(), 1);
        assert_eq!(cutter.cut(b"123456789\n"), Err(TooLong { max: 8 }));
    }

    #[test]
    fn sizes_and_chunks() {
        assert_eq!(cut(Framing::Size(3), &[b"ab", b"cdef", b"g"]), ["abc", "def", "g"]);
        assert_eq!(cut(Framing::Chunks, &[b"ab", b"0123456789"]), ["ab", "01234567", "89"]);
    }

    #[test]
    fn a_message_is_written_as_one_line() {
        let cutter = Cutter::new(Framing::Lines, 8);
        for (message, line) in [("a", "a\n"), ("a\n", "a\n"), ("", "\n")] {
            let mut bytes = message.as_bytes().to_vec();
            cutter.paste(&mut bytes);
            assert_eq!(bytes, line.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_however_it_is_cut(bytes: Vec<u8>, piece in 1..9_usize, size in 1..9_usize) {
            for framing in [Framing::Chunks, Framing::Size(size)] {
                let mut cutter = Cutter::new(framing, 8);
                let mut out = Vec::new();
                for piece in bytes.chunks(piece) {
                    out.extend(cutter.cut(piece).unwrap().concat());
                }
                out.extend(cutter.finish().unwrap_or_default());
                prop_assert_eq!(&out, &bytes);
            }
        }
    }
}

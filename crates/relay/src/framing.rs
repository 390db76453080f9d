//! Between bytes and messages: pure, without I/O.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// How bytes become messages, and messages bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// What is read at once is a message; messages are written one after the other.
    #[default]
    Chunks,
    /// A line is a message, without its line feed, and a text where messages can be that; a message
    /// is written as a line.
    Lines,
    /// So many bytes are a message, and the rest at the end one more; messages are written one
    /// after the other.
    Size(usize),
    /// A line is a message in Base64 (RFC 4648 section 4), and so is a message written.
    Base64,
    /// Before each message stands its length, as four bytes of which the first is the greatest.
    Length,
}

/// Why bytes are not messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// A line is longer than a message can be.
    #[error("line {line} has more than {max} bytes, which does not fit a message")]
    Line { line: usize, max: usize },
    /// A length is larger than a message can be.
    #[error("a message of {length} bytes is larger than {max} bytes")]
    Length { length: usize, max: usize },
    /// The bytes end before a message does.
    #[error("the input ends within a message")]
    Half,
    /// The line of this number is not Base64.
    #[error("line {0} is not Base64")]
    Base64(usize),
    /// The line of this number is not UTF-8, as a text must be.
    #[error("line {0} is not UTF-8")]
    Utf8(usize),
}

/// Cuts a stream of bytes into messages of at most `max` bytes.
#[derive(Debug)]
pub(crate) struct Cutter {
    framing: Framing,
    max: usize,
    rest: Vec<u8>,
    /// How many lines were cut off.
    lines: usize,
}

impl Cutter {
    pub(crate) const fn new(framing: Framing, max: usize) -> Self {
        Self { framing, max, rest: Vec::new(), lines: 0 }
    }

    /// How many lines were cut off so far.
    pub(crate) const fn lines(&self) -> usize {
        self.lines
    }

    /// Takes in bytes, and puts the messages that they complete behind the others: where some do
    /// not fit, those before them.
    pub(crate) fn cut(&mut self, bytes: &[u8], messages: &mut Vec<Vec<u8>>) -> Result<(), Unfit> {
        match self.framing {
            Framing::Chunks => messages.extend(bytes.chunks(self.max).map(<[u8]>::to_vec)),
            Framing::Size(size) => {
                self.rest.extend_from_slice(bytes);
                let whole = self.rest.len() - self.rest.len() % size;
                let whole = self.rest.drain(..whole);
                messages.extend(whole.as_slice().chunks(size).map(Vec::from));
            }
            Framing::Lines => {
                return self.cut_lines(bytes, self.max, |_, line| {
                    messages.push(line);
                    Ok(())
                });
            }
            // Four characters are three bytes; a carriage return may stand at the end.
            Framing::Base64 => {
                let max = self.max.div_ceil(3) * 4 + 1;
                return self.cut_lines(bytes, max, |number, line| {
                    messages.push(from_base64(&line, number)?);
                    Ok(())
                });
            }
            Framing::Length => return self.measured(bytes, messages),
        }
        Ok(())
    }

    /// Hands each line that is complete, and its number, to `take`.
    fn cut_lines(
        &mut self,
        bytes: &[u8],
        max: usize,
        mut take: impl FnMut(usize, Vec<u8>) -> Result<(), Unfit>,
    ) -> Result<(), Unfit> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            if self.rest.len() > max {
                return Err(Unfit::Line { line: self.lines + 1, max: self.max });
            }
            if piece.ends_with(b"\n") {
                self.lines += 1;
                take(self.lines, std::mem::take(&mut self.rest))?;
            }
        }
        Ok(())
    }

    fn measured(&mut self, bytes: &[u8], messages: &mut Vec<Vec<u8>>) -> Result<(), Unfit> {
        self.rest.extend_from_slice(bytes);
        let mut start = 0;
        while let Some((length, after)) = self.rest[start..].split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > self.max {
                return Err(Unfit::Length { length, max: self.max });
            }
            let Some(message) = after.get(..length) else { break };
            messages.push(message.to_vec());
            start += size_of::<u32>() + length;
        }
        self.rest.drain(..start);
        Ok(())
    }

    /// What is left when no more bytes come, if anything.
    pub(crate) fn finish(&mut self) -> Result<Option<Vec<u8>>, Unfit> {
        let rest = Some(std::mem::take(&mut self.rest)).filter(|rest| !rest.is_empty());
        self.lines += usize::from(rest.is_some());
        match (self.framing, rest) {
            (Framing::Length, Some(_)) => Err(Unfit::Half),
            (Framing::Base64, Some(rest)) => from_base64(&rest, self.lines).map(Some),
            (_, rest) => Ok(rest),
        }
    }
}

fn from_base64(line: &[u8], number: usize) -> Result<Vec<u8>, Unfit> {
    BASE64_STANDARD.decode(line.trim_ascii()).map_err(|_| Unfit::Base64(number))
}

impl Framing {
    /// A message as bytes.
    pub(crate) fn paste(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Chunks | Self::Size(_) => message.to_vec(),
            Self::Lines if message.ends_with(b"\n") => message.to_vec(),
            Self::Lines => [message, b"\n"].concat(),
            Self::Base64 => (BASE64_STANDARD.encode(message) + "\n").into_bytes(),
            // No message is larger: what is received has a limit.
            Self::Length => {
                let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
                [&length.to_be_bytes(), message].concat()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(framing: Framing, pieces: &[&[u8]]) -> Vec<String> {
        let (mut cutter, mut messages) = (Cutter::new(framing, 8), Vec::new());
        for piece in pieces {
            cutter.cut(piece, &mut messages).unwrap();
        }
        messages.extend(cutter.finish().unwrap());
        messages.into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
    }

    #[test]
    fn lines_are_messages_wherever_they_were_cut() {
        assert_eq!(
            cut(Framing::Lines, &[b"on", b"e\n\ntwo\nth", b"ree"]),
            ["one", "", "two", "three"]
        );
        let mut cutter = Cutter::new(Framing::Lines, 8);
        let mut lines = Vec::new();
        assert_eq!(cutter.cut(b"12345678\n", &mut lines), Ok(()));
        assert_eq!(
            cutter.cut(b"fine\n123456789\n", &mut lines),
            Err(Unfit::Line { line: 3, max: 8 })
        );
        assert_eq!(lines, [&b"12345678"[..], b"fine"]);
    }

    #[test]
    fn sizes_and_chunks() {
        assert_eq!(cut(Framing::Size(3), &[b"ab", b"cdef", b"g"]), ["abc", "def", "g"]);
        assert_eq!(cut(Framing::Chunks, &[b"ab", b"0123456789"]), ["ab", "01234567", "89"]);
    }

    #[test]
    fn lengths_and_base64_keep_any_bytes_apart() {
        assert_eq!(
            cut(Framing::Length, &[b"\0\0", b"\0\x02ab\0\0\0\0", b"\0\0\0\x01\n"]),
            ["ab", "", "\n"]
        );
        assert_eq!(cut(Framing::Base64, &[b"YWI", b"=\r\n\nCg=="]), ["ab", "", "\n"]);
        let refused = |framing, bytes: &[u8]| {
            let mut cutter = Cutter::new(framing, 8);
            cutter.cut(bytes, &mut Vec::new()).and_then(|()| cutter.finish()).unwrap_err()
        };
        let length = Unfit::Length { length: 9, max: 8 };
        assert_eq!(refused(Framing::Length, b"\0\0\0\x09"), length);
        assert_eq!(refused(Framing::Length, b"\0\0\0\x08abc"), Unfit::Half);
        assert_eq!(refused(Framing::Base64, b"YWE=\nYW*=\n"), Unfit::Base64(2));
        assert_eq!(refused(Framing::Base64, &[b'A'; 14]), Unfit::Line { line: 1, max: 8 });
    }

    #[test]
    fn a_message_is_written_so_that_it_can_be_read() {
        for (message, line) in [("a", "a\n"), ("a\n", "a\n"), ("", "\n")] {
            assert_eq!(Framing::Lines.paste(message.as_bytes()), line.as_bytes());
        }
        assert_eq!(Framing::Base64.paste(b"ab"), b"YWI=\n");
        assert_eq!(Framing::Length.paste(b"ab"), b"\0\0\0\x02ab");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_however_it_is_cut(bytes: Vec<u8>, piece in 1..9_usize, size in 1..9_usize) {
            for framing in [Framing::Chunks, Framing::Size(size)] {
                let mut cutter = Cutter::new(framing, 8);
                let mut out = Vec::new();
                for piece in bytes.chunks(piece) {
                    let mut messages = Vec::new();
                    cutter.cut(piece, &mut messages).unwrap();
                    out.extend(messages.concat());
                }
                out.extend(cutter.finish().unwrap().unwrap_or_default());
                prop_assert_eq!(&out, &bytes);
            }
        }

        #[test]
        fn messages_are_read_as_they_were_written(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..5),
            piece in 1..9_usize,
        ) {
            for framing in [Framing::Base64, Framing::Length] {
                let mut cutter = Cutter::new(framing, 8);
                let bytes: Vec<_> =
                    messages.iter().flat_map(|message| framing.paste(message)).collect();
                let mut read = Vec::new();
                for piece in bytes.chunks(piece) {
                    cutter.cut(piece, &mut read).unwrap();
                }
                prop_assert_eq!(&read, &messages);
                prop_assert_eq!(cutter.finish(), Ok(None));
            }
        }
    }
}

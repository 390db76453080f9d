//! The headers of frames (RFC 6455 section 5.2), and what breaks the protocol.

use bytes::BufMut;

use super::{CloseCode, Role};

/// The longest payload of a control frame (RFC 6455 section 5.5).
pub(crate) const CONTROL_MAX: usize = 125;
/// The longest header.
pub(crate) const HEADER_MAX: usize = 14;

/// What a frame is (RFC 6455 section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OpCode {
    /// A further part of a message.
    Continuation = 0,
    /// The first part of a text.
    Text = 1,
    /// The first part of a binary message.
    Binary = 2,
    /// The end of the connection.
    Close = 8,
    /// A question for a sign of life.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

impl OpCode {
    const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether it is a control frame.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether it is the last frame of its message.
    pub fin: bool,
    /// Whether RSV1 is set: the message that begins is compressed (RFC 7692 section 6).
    pub compressed: bool,
    /// What it is.
    pub opcode: OpCode,
    /// What its payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// How long its payload is, in bytes.
    pub length: u64,
}

impl Header {
    /// Reads the header that `bytes` begin with, as `role` may receive it, and gives its length;
    /// `None` where there is more to come.
    ///
    /// # Errors
    /// [`Violation`], as soon as the bytes show it.
    pub fn parse(bytes: &[u8], role: Role) -> Result<Option<(Self, usize)>, Violation> {
        let [first, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x30 != 0 {
            return Err(Violation::ReservedBits);
        }
        let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        let opcode = OpCode::from_bits(first & 0x0f);
        let opcode = opcode.ok_or(Violation::ReservedOpCode(first & 0x0f))?;
        if compressed && !matches!(opcode, OpCode::Text | OpCode::Binary) {
            return Err(Violation::ReservedBits);
        }
        if opcode.is_control() && !fin {
            return Err(Violation::FragmentedControl);
        }
        let [second, rest @ ..] = rest else { return Ok(None) };
        match (role, second & 0x80 != 0) {
            (Role::Server, false) => return Err(Violation::Unmasked),
            (Role::Client, true) => return Err(Violation::Masked),
            _ => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > CONTROL_MAX {
            return Err(Violation::LongControl);
        }
        let Some((length, rest)) = parse_length(short, rest)? else { return Ok(None) };
        let (mask, rest) = match (role, rest.split_first_chunk()) {
            (Role::Client, _) => (None, rest),
            (Role::Server, Some((mask, rest))) => (Some(*mask), rest),
            (Role::Server, None) => return Ok(None),
        };
        let header = Self { fin, compressed, opcode, mask, length };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// Writes the header, with the shortest form of the length.
    pub fn write(&self, output: &mut Vec<u8>) {
        let flags = u8::from(self.fin) << 7 | u8::from(self.compressed) << 6;
        let masked = u8::from(self.mask.is_some()) << 7;
        output.put_u8(flags | self.opcode as u8);
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(length @ ..=125), _) => output.put_u8(masked | length),
            (_, Ok(length)) => {
                output.put_u8(masked | 126);
                output.put_u16(length);
            }
            _ => {
                output.put_u8(masked | 127);
                output.put_u64(self.length);
            }
        }
        if let Some(mask) = self.mask {
            output.put_slice(&mask);
        }
    }
}

/// Reads the length, of which `short` is the first byte; gives what follows it, too.
fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (length, least, rest) = match short {
        126 => match rest.split_first_chunk() {
            Some((bytes, rest)) => (u64::from(u16::from_be_bytes(*bytes)), 126, rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((bytes, rest)) => (u64::from_be_bytes(*bytes), 1 << 16, rest),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, rest),
    };
    if length < least || length >> 63 != 0 {
        return Err(Violation::Length);
    }
    Ok(Some((length, rest)))
}

/// What a peer does that breaks the protocol, or a limit of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A bit is set that no extension gave a meaning (RFC 6455 section 5.2).
    #[error("a frame has reserved bits set")]
    ReservedBits,
    /// No frame has this opcode (RFC 6455 section 5.2).
    #[error("a frame has the reserved opcode {0}")]
    ReservedOpCode(u8),
    /// A control frame is in fragments (RFC 6455 section 5.5).
    #[error("a control frame is in fragments")]
    FragmentedControl,
    /// A control frame has more than 125 bytes (RFC 6455 section 5.5).
    #[error("a control frame has more than 125 bytes")]
    LongControl,
    /// A client does not mask (RFC 6455 section 5.1).
    #[error("a frame of the client is not masked")]
    Unmasked,
    /// A server masks (RFC 6455 section 5.1).
    #[error("a frame of the server is masked")]
    Masked,
    /// A length is not in its shortest form, or is beyond 63 bits (RFC 6455 section 5.2).
    #[error("the length of a frame is malformed")]
    Length,
    /// A continuation continues nothing (RFC 6455 section 5.4).
    #[error("a continuation frame continues no message")]
    NothingToContinue,
    /// A message begins within another one (RFC 6455 section 5.4).
    #[error("a message begins before the last one ended")]
    Interleaved,
    /// A text or the reason of a close is not UTF-8 (RFC 6455 section 8.1).
    #[error("a text is not UTF-8")]
    Utf8,
    /// A close frame has one byte, which can be no code (RFC 6455 section 5.5.1).
    #[error("a close frame has half a code")]
    HalfCode,
    /// A close frame has a code that may not be sent (RFC 6455 section 7.4).
    #[error("a close frame has the code {0}, which may not be sent")]
    CloseCode(u16),
    /// A compressed message is not DEFLATE (RFC 7692 section 7.2.2).
    #[error("a compressed message cannot be decompressed")]
    Deflate,
    /// A message is larger than we take.
    #[error("a message has more than {0} bytes")]
    MessageTooLarge(usize),
    /// A frame is larger than we take.
    #[error("a frame has more than {0} bytes")]
    FrameTooLarge(usize),
    /// A message is in more fragments than it may have bytes.
    #[error("a message is in more than {0} fragments")]
    Fragments(usize),
    /// A message has more fragments without a byte than any sender needs.
    #[error("a message has more than {0} empty fragments")]
    EmptyFragments(usize),
    /// There is no end to pings and pongs.
    #[error("more than {0} pings and pongs came within a second")]
    Flood(u32),
    /// A message inflates beyond all measure.
    #[error("a message inflates to more than {0} times its size: this may be a decompression bomb")]
    Bomb(u32),
}

impl Violation {
    /// The code that the connection is closed with because of it (RFC 6455 section 7.4.1).
    #[must_use]
    pub const fn code(self) -> CloseCode {
        match self {
            Self::Utf8 => CloseCode::INVALID_DATA,
            Self::Flood(_) => CloseCode::POLICY_VIOLATION,
            Self::MessageTooLarge(_)
            | Self::FrameTooLarge(_)
            | Self::Fragments(_)
            | Self::EmptyFragments(_)
            | Self::Bomb(_) => CloseCode::TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = Header> {
        let opcode = prop::sample::select(vec![
            OpCode::Continuation,
            OpCode::Text,
            OpCode::Binary,
            OpCode::Close,
            OpCode::Ping,
            OpCode::Pong,
        ]);
        let length = prop_oneof![0..=125_u64, 126..=0xffff_u64, 0x1_0000..=u64::MAX >> 1];
        (opcode, any::<(bool, bool, Option<[u8; 4]>)>(), length).prop_map(
            |(opcode, (fin, compressed, mask), length)| Header {
                fin: fin || opcode.is_control(),
                compressed: compressed && matches!(opcode, OpCode::Text | OpCode::Binary),
                opcode,
                mask,
                length: if opcode.is_control() { length % 126 } else { length },
            },
        )
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written(header in header(), more: [u8; 4]) {
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            let length = bytes.len();
            prop_assert!(length <= HEADER_MAX);
            let role = if header.mask.is_some() { Role::Server } else { Role::Client };
            for end in 0..length {
                prop_assert_eq!(Header::parse(&bytes[..end], role), Ok(None));
            }
            bytes.extend_from_slice(&more);
            prop_assert_eq!(Header::parse(&bytes, role), Ok(Some((header, length))));
        }
    }

    #[test]
    fn lengths_are_as_short_as_can_be() {
        let parse = |bytes: &[u8]| Header::parse(bytes, Role::Client).unwrap_err();
        assert_eq!(parse(&[0x82, 126, 0, 125]), Violation::Length);
        assert_eq!(parse(&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255]), Violation::Length);
        assert_eq!(parse(&[0x82, 127, 128, 0, 0, 0, 0, 1, 0, 0]), Violation::Length);
    }
}

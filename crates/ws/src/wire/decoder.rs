//! From bytes to messages.

use bytes::{Buf, Bytes, BytesMut};

use super::deflate::Inflater;
use super::frame::{HEADER_MAX, Header, OpCode};
use super::mask::mask;
use super::utf8::{check, check_whole};
use super::{Close, Parameters, Role, Violation};
use crate::{Message, Text};

/// How much is made room for at least.
const SMALL: usize = 256;
/// How much memory is kept while there is no input.
const KEPT: usize = 4 * 1024;
/// How much is made room for at once, however long the peer says that a frame is.
const CHUNK: usize = 64 * 1024;

/// How many fragments of a message may be empty.
const EMPTY_MAX: usize = 4096;

/// How much a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message, in bytes, once it is decompressed.
    pub max_message: usize,
    /// The largest frame, in bytes.
    pub max_frame: usize,
    /// How many times its size a compressed message may become once it is beyond 1 MiB.
    pub max_ratio: u32,
}

impl Default for Limits {
    /// 16 MiB, 16 MiB, and 100 times.
    fn default() -> Self {
        Self { max_message: 16 << 20, max_frame: 16 << 20, max_ratio: 100 }
    }
}

/// What a peer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message(Message),
    /// A ping, to be answered by a pong with the same payload (RFC 6455 section 5.5.2).
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// The last that comes.
    Close(Close),
}

/// Turns bytes, in whatever pieces they come, into what the peer said. A message in one plain frame
/// is not copied; texts are checked as they come.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    limits: Limits,
    buffer: BytesMut,
    /// Whether the buffer was made larger than an idle connection should keep.
    is_large: bool,
    /// The frame of which the header was read.
    frame: Option<Frame>,
    /// The message that comes in several frames, or compressed.
    message: Option<Partial>,
    inflater: Option<Box<Inflater>>,
}

/// A frame of which the payload is awaited.
#[derive(Clone, Copy, Debug)]
struct Frame {
    header: Header,
    length: usize,
    /// How much of the payload is unmasked.
    done: usize,
    /// How much of the payload is known to be UTF-8.
    checked: usize,
}

impl Decoder {
    /// A decoder for what `role` receives.
    #[must_use]
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            buffer: BytesMut::new(),
            is_large: false,
            frame: None,
            message: None,
            inflater: None,
        }
    }

    /// Takes compressed messages, as was agreed on.
    #[must_use]
    pub fn with_deflate(mut self, parameters: &Parameters) -> Self {
        self.inflater = Some(Box::new(Inflater::new(self.role, parameters)));
        self
    }

    /// How much the peer may send.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes in bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.buffer.capacity() - self.buffer.len() < bytes.len() {
            self.reserve(bytes.len());
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether some of a message has come, and not all of it.
    #[must_use]
    pub const fn is_within_message(&self) -> bool {
        self.frame.is_some() || self.message.is_some()
    }

    /// How many bytes of the payload that has begun are missing.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.frame.map_or(0, |frame| match self.is_streamed(&frame) {
            true => frame.length - frame.done,
            false => frame.length - self.buffer.len().min(frame.length),
        })
    }

    /// Where to put what is missing, with room for some of it.
    pub fn spare(&mut self) -> &mut BytesMut {
        self.reserve(self.missing().min(CHUNK));
        &mut self.buffer
    }

    fn reserve(&mut self, more: usize) {
        self.is_large |= self.buffer.len() + more > KEPT;
        self.buffer.reserve(more.max(SMALL));
    }

    /// The next that the peer said; `None` where more must come first.
    ///
    /// # Errors
    /// [`Violation`], as soon as the bytes show it; nothing more can be decoded then.
    #[expect(clippy::should_implement_trait, reason = "an iterator ends, this goes on after None")]
    pub fn next(&mut self) -> Result<Option<Received>, Violation> {
        loop {
            let begun = match self.frame.take() {
                Some(frame) => Some(frame),
                None => self.begin()?,
            };
            let Some(mut frame) = begun else {
                self.release();
                return Ok(None);
            };
            let received = match self.is_streamed(&frame) {
                true => self.stream(&mut frame)?,
                false => self.whole(&mut frame)?,
            };
            match received {
                Progress::Received(received) => return Ok(Some(received)),
                Progress::Fragment => {}
                Progress::Awaits => {
                    self.frame = Some(frame);
                    return Ok(None);
                }
            }
        }
    }

    /// Reads the next header, where it is there.
    fn begin(&mut self) -> Result<Option<Frame>, Violation> {
        let head = &self.buffer[..self.buffer.len().min(HEADER_MAX)];
        let Some((header, length)) = Header::parse(head, self.role)? else { return Ok(None) };
        self.buffer.advance(length);
        let frame = self.admit(header)?;
        Ok(Some(Frame { header, length: frame, done: 0, checked: 0 }))
    }

    /// Whether this frame may come now; gives its length.
    fn admit(&mut self, header: Header) -> Result<usize, Violation> {
        let Limits { max_frame, max_message, .. } = self.limits;
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        if header.opcode.is_control() {
            return Ok(length);
        }
        if header.compressed && self.inflater.is_none() {
            return Err(Violation::ReservedBits);
        }
        let is_first = header.opcode != OpCode::Continuation;
        match &self.message {
            None if !is_first => return Err(Violation::NothingToContinue),
            Some(_) if is_first => return Err(Violation::Interleaved),
            _ => {}
        }
        if length > max_frame {
            return Err(Violation::FrameTooLarge(max_frame));
        }
        if is_first && (!header.fin || header.compressed) {
            self.message = Some(Partial::new(header));
        }
        match &mut self.message {
            Some(message) => message.admit(length, &self.limits)?,
            None if length > max_message => return Err(Violation::MessageTooLarge(max_message)),
            None => {}
        }
        Ok(length)
    }

    /// Whether the payload goes to a message that is put together.
    const fn is_streamed(&self, frame: &Frame) -> bool {
        self.message.is_some() && !frame.header.opcode.is_control()
    }

    /// Takes what is there of a payload to the message that it is a part of.
    fn stream(&mut self, frame: &mut Frame) -> Result<Progress, Violation> {
        let Some(mut message) = self.message.take() else { return Ok(Progress::Fragment) };
        let there = self.buffer.len().min(frame.length - frame.done);
        let piece = &mut self.buffer[..there];
        if let Some(key) = frame.header.mask {
            mask(piece, key, frame.done);
        }
        message.take(piece, self.inflater.as_deref_mut(), &self.limits)?;
        self.buffer.advance(there);
        frame.done += there;
        let is_done = frame.done == frame.length;
        if is_done && frame.header.fin {
            let message = message.finish(self.inflater.as_deref_mut(), &self.limits)?;
            return Ok(Progress::Received(Received::Message(message)));
        }
        self.message = Some(message);
        Ok(if is_done { Progress::Fragment } else { Progress::Awaits })
    }

    /// Takes a payload once all of it is there.
    fn whole(&mut self, frame: &mut Frame) -> Result<Progress, Violation> {
        let there = self.buffer.len().min(frame.length);
        if let Some(key) = frame.header.mask {
            mask(&mut self.buffer[frame.done..there], key, frame.done);
        }
        frame.done = there;
        let is_text = frame.header.opcode == OpCode::Text;
        if there < frame.length {
            if is_text {
                frame.checked = check(&self.buffer[..there], frame.checked)?;
            }
            return Ok(Progress::Awaits);
        }
        let payload = self.buffer.split_to(there).freeze();
        if is_text {
            check_whole(&payload, frame.checked)?;
        }
        Ok(Progress::Received(match frame.header.opcode {
            OpCode::Ping => Received::Ping(payload),
            OpCode::Pong => Received::Pong(payload),
            OpCode::Close => Received::Close(Close::parse(payload)?),
            OpCode::Text => Received::Message(Message::Text(Text::checked(payload))),
            OpCode::Binary | OpCode::Continuation => Received::Message(Message::Binary(payload)),
        }))
    }

    /// Lets go of memory that a large message needed.
    fn release(&mut self) {
        if self.buffer.is_empty() && self.is_large {
            self.buffer = BytesMut::new();
            self.is_large = false;
        }
    }
}

enum Progress {
    Received(Received),
    /// The frame is done, and its message is not.
    Fragment,
    /// More of the payload must come.
    Awaits,
}

/// A message of which not all is there.
#[derive(Debug)]
struct Partial {
    is_text: bool,
    is_compressed: bool,
    bytes: Vec<u8>,
    /// How much of it is known to be UTF-8.
    checked: usize,
    fragments: usize,
    /// How many of them are empty.
    empty: usize,
    /// How many bytes came for it.
    received: usize,
}

impl Partial {
    fn new(header: Header) -> Self {
        Self {
            is_text: header.opcode == OpCode::Text,
            is_compressed: header.compressed,
            bytes: Vec::new(),
            checked: 0,
            fragments: 0,
            empty: 0,
            received: 0,
        }
    }

    /// Whether a further fragment of this length may come.
    fn admit(&mut self, length: usize, limits: &Limits) -> Result<(), Violation> {
        self.fragments += 1;
        if self.fragments > limits.max_message.max(1) {
            return Err(Violation::Fragments(limits.max_message));
        }
        self.empty += usize::from(length == 0);
        if self.empty > EMPTY_MAX {
            return Err(Violation::EmptyFragments(EMPTY_MAX));
        }
        // What is compressed is measured once it is not.
        if !self.is_compressed && length > limits.max_message - self.bytes.len() {
            return Err(Violation::MessageTooLarge(limits.max_message));
        }
        Ok(())
    }

    fn take(
        &mut self,
        piece: &[u8],
        inflater: Option<&mut Inflater>,
        limits: &Limits,
    ) -> Result<(), Violation> {
        self.received += piece.len();
        let taken = match inflater {
            Some(inflater) if self.is_compressed => {
                inflater.inflate(piece, &mut self.bytes, self.received, limits)
            }
            _ => {
                self.bytes.extend_from_slice(piece);
                Ok(())
            }
        };
        // What came before a failure counts first, as it would in smaller pieces.
        if self.is_text {
            self.checked = check(&self.bytes, self.checked)?;
        }
        taken
    }

    fn finish(
        mut self,
        inflater: Option<&mut Inflater>,
        limits: &Limits,
    ) -> Result<Message, Violation> {
        if let Some(inflater) = inflater.filter(|_| self.is_compressed) {
            inflater.finish(&mut self.bytes, self.received, limits)?;
        }
        if self.is_text {
            check_whole(&self.bytes, self.checked)?;
        }
        let bytes = Bytes::from(self.bytes);
        Ok(if self.is_text { Text::checked(bytes).into() } else { bytes.into() })
    }
}

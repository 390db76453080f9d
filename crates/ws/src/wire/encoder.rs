//! From messages to frames.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::deflate::Deflater;
use super::frame::{CONTROL_MAX, Header, OpCode};
use super::mask::{mask, random_key};
use super::output::SHARED_MIN;
use super::{Close, Output, Parameters, Role};
use crate::Message;

/// Turns messages into frames, one each.
#[derive(Debug)]
pub struct Encoder {
    role: Role,
    /// Boxed, like its counterpart in the decoder: most connections have none.
    deflater: Option<Box<Deflater>>,
}

impl Encoder {
    /// An encoder for what `role` sends.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self { role, deflater: None }
    }

    /// Compresses messages, as was agreed on.
    #[must_use]
    pub fn with_deflate(mut self, parameters: &Parameters) -> Self {
        self.deflater = Some(Box::new(Deflater::new(self.role, parameters)));
        self
    }

    /// Puts `message` at the end of `output`.
    pub fn message(&mut self, message: &Message, output: &mut Output) {
        let payload = message.as_bytes();
        let opcode = opcode(message);
        let role = self.role;
        match self.deflater.as_mut().filter(|deflater| deflater.wants(payload.len())) {
            Some(deflater) => deflater.deflate(payload, |compressed| {
                output.append(|tail| frame(role, opcode, true, compressed, tail));
            }),
            None if role == Role::Server && payload.len() >= SHARED_MIN => {
                let header = header(opcode, false, payload.len(), None);
                output.append(|tail| header.write(tail));
                output.push(payload);
            }
            None => output.append(|tail| frame(role, opcode, false, payload, tail)),
        }
    }

    /// Puts a message at the end of `output` that others get, too.
    pub fn shared(&mut self, shared: &Shared, output: &mut Output) {
        let length = shared.0.message.as_bytes().len();
        match self.deflater.as_mut().filter(|deflater| deflater.wants(length)) {
            _ if self.role == Role::Client => self.message(&shared.0.message, output),
            Some(deflater) => {
                output.push(&shared.compressed(deflater));
                deflater.forget();
            }
            None => output.push(shared.plain()),
        }
    }

    /// Puts a ping at the end of `output`, with the first 125 bytes of `payload`.
    pub fn ping(&self, payload: &[u8], output: &mut Output) {
        self.control(OpCode::Ping, payload, output);
    }

    /// Puts a pong at the end of `output`, with the first 125 bytes of `payload`.
    pub fn pong(&self, payload: &[u8], output: &mut Output) {
        self.control(OpCode::Pong, payload, output);
    }

    /// Puts a close frame at the end of `output`.
    pub fn close(&self, close: &Close, output: &mut Output) {
        self.control(OpCode::Close, &close.payload(), output);
    }

    fn control(&self, opcode: OpCode, payload: &[u8], output: &mut Output) {
        let payload = &payload[..payload.len().min(CONTROL_MAX)];
        output.append(|tail| frame(self.role, opcode, false, payload, tail));
    }
}

/// A message for many: it is encoded once, and compressed once for each size of window.
///
/// Cheap to clone; a clone is the same message.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Encoded>);

#[derive(Debug)]
struct Encoded {
    message: Message,
    plain: OnceLock<Bytes>,
    /// By the bits of the window, from 9 to 15.
    compressed: [OnceLock<Bytes>; 7],
}

impl Shared {
    /// A message that is encoded when the first one gets it.
    #[must_use]
    pub fn new(message: Message) -> Self {
        let encoded =
            Encoded { message, plain: OnceLock::new(), compressed: [const { OnceLock::new() }; 7] };
        Self(Arc::new(encoded))
    }

    /// The message itself.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    fn plain(&self) -> &Bytes {
        self.0.plain.get_or_init(|| self.encode(false, self.0.message.as_bytes()))
    }

    fn compressed(&self, deflater: &Deflater) -> Bytes {
        let (level, bits) = deflater.shape();
        let place = &self.0.compressed[usize::from(bits.clamp(9, 15) - 9)];
        let compress = || {
            let mut alone = Deflater::alone(level, bits);
            alone.deflate(self.0.message.as_bytes(), |compressed| self.encode(true, compressed))
        };
        place.get_or_init(compress).clone()
    }

    fn encode(&self, is_compressed: bool, payload: &[u8]) -> Bytes {
        let mut bytes = Vec::with_capacity(payload.len() + 10);
        frame(Role::Server, opcode(&self.0.message), is_compressed, payload, &mut bytes);
        bytes.into()
    }
}

const fn opcode(message: &Message) -> OpCode {
    match message {
        Message::Text(_) => OpCode::Text,
        Message::Binary(_) => OpCode::Binary,
    }
}

const fn header(opcode: OpCode, compressed: bool, length: usize, mask: Option<[u8; 4]>) -> Header {
    Header { fin: true, compressed, opcode, mask, length: length as u64 }
}

fn frame(role: Role, opcode: OpCode, compressed: bool, payload: &[u8], tail: &mut Vec<u8>) {
    let key = match role {
        Role::Client => Some(random_key()),
        Role::Server => None,
    };
    header(opcode, compressed, payload.len(), key).write(tail);
    let start = tail.len();
    tail.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut tail[start..], key, 0);
    }
}

//! From messages to frames.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::deflate::Deflater;
use super::frame::{CONTROL_MAX, HEADER_MAX, Header, OpCode};
use super::mask::{mask, random_key};
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
            None if role == Role::Server => plain(message, output),
            None => output.append(|tail| frame(role, opcode, false, payload, tail)),
        }
    }

    /// Puts a message at the end of `output` that others get, too.
    pub fn shared(&mut self, shared: &Shared, output: &mut Output) {
        let length = shared.0.message.as_bytes().len();
        if self.role == Role::Client {
            return self.message(&shared.0.message, output);
        }
        let deflater = self.deflater.as_mut().filter(|deflater| deflater.wants(length));
        match deflater.and_then(|deflater| Some((shared.compressed(deflater)?, deflater))) {
            Some((compressed, deflater)) => {
                output.push(compressed);
                deflater.forget();
            }
            None => plain(&shared.0.message, output),
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

/// A message for many: it is compressed once for each size of window. Where that makes it no smaller,
/// it is sent as it is.
///
/// Cheap to clone; a clone is the same message.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Encoded>);

#[derive(Debug)]
struct Encoded {
    message: Message,
    /// The frames by the bits of the window, from 9 to 15, where they are smaller than the message.
    compressed: [OnceLock<Option<Bytes>>; 7],
}

impl Shared {
    /// A message that is compressed when the first one gets it.
    #[must_use]
    pub fn new(message: Message) -> Self {
        Self(Arc::new(Encoded { message, compressed: [const { OnceLock::new() }; 7] }))
    }

    /// The message itself.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// The frame for this deflater, unless the message is better sent as it is.
    fn compressed(&self, deflater: &Deflater) -> Option<&Bytes> {
        let (level, bits) = deflater.shape();
        let place = &self.0.compressed[usize::from(bits.clamp(9, 15) - 9)];
        let compress = || {
            let payload = self.0.message.as_bytes();
            Deflater::alone(level, bits).deflate(payload, |compressed| {
                if compressed.len() >= payload.len() {
                    return None;
                }
                let mut bytes = Vec::with_capacity(HEADER_MAX + compressed.len());
                frame(Role::Server, opcode(&self.0.message), true, compressed, &mut bytes);
                Some(bytes.into())
            })
        };
        place.get_or_init(compress).as_ref()
    }
}

/// Puts the frame of a server at the end of `output`, with the message's own bytes.
fn plain(message: &Message, output: &mut Output) {
    let payload = message.as_bytes();
    output.append(|tail| header(opcode(message), false, payload.len(), None).write(tail));
    output.push(payload);
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

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::super::mask::fill;
    use super::*;

    #[test]
    fn a_message_for_many_is_kept_once() {
        let mut noise = vec![0; 100_000];
        fill(&mut noise);
        let shared = Shared::new(Message::from(noise));
        let payload = shared.message().as_bytes();
        let parameters = Parameters {
            level: 6,
            threshold: 0,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 12,
            client_max_window_bits: 12,
        };
        let compressing = Encoder::new(Role::Server).with_deflate(&parameters);
        for mut encoder in [Encoder::new(Role::Server), compressing] {
            let mut output = Output::default();
            encoder.shared(&shared, &mut output);
            assert_eq!(output.len(), 10 + payload.len());
            output.advance(10);
            assert_eq!(output.chunk().as_ptr(), payload.as_ptr());
        }
        let kept = |place: &OnceLock<Option<Bytes>>| place.get().is_some_and(Option::is_some);
        assert!(!shared.0.compressed.iter().any(kept));
    }
}

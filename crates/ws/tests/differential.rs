//! The decoder beside tungstenite's: the same frames, the same messages, and an end at the same
//! place. Compression is not compared, since tungstenite has none.

use std::io::{self, Read, Write};

use portolan_ws::Message;
use portolan_ws::wire::{Decoder, Limits, Received, Role};
use proptest::prelude::*;
use tungstenite::protocol::{self, WebSocket};

/// What comes out of bytes, in words that both share.
#[derive(Debug, PartialEq)]
enum Heard {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame, or what breaks the protocol.
    End,
}

fn ours(bytes: &[u8]) -> Vec<Heard> {
    let mut decoder = Decoder::new(Role::Server, Limits::default());
    decoder.feed(bytes);
    let mut all = Vec::new();
    loop {
        all.push(match decoder.next() {
            Ok(Some(Received::Message(Message::Text(text)))) => {
                Heard::Text(text.as_bytes().to_vec())
            }
            Ok(Some(Received::Message(Message::Binary(bytes)))) => Heard::Binary(bytes.to_vec()),
            Ok(Some(Received::Ping(payload))) => Heard::Ping(payload.to_vec()),
            Ok(Some(Received::Pong(payload))) => Heard::Pong(payload.to_vec()),
            Ok(Some(Received::Close(_))) | Err(_) => {
                all.push(Heard::End);
                return all;
            }
            Ok(None) => return all,
        });
    }
}

/// Bytes that came, and no more.
struct Came<'a>(&'a [u8]);

impl Read for Came<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Came<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(bytes: &[u8]) -> Vec<Heard> {
    let mut socket = WebSocket::from_raw_socket(Came(bytes), protocol::Role::Server, None);
    let mut all = Vec::new();
    loop {
        all.push(match socket.read() {
            Ok(tungstenite::Message::Text(text)) => Heard::Text(text.as_bytes().to_vec()),
            Ok(tungstenite::Message::Binary(bytes)) => Heard::Binary(bytes.to_vec()),
            Ok(tungstenite::Message::Ping(payload)) => Heard::Ping(payload.to_vec()),
            Ok(tungstenite::Message::Pong(payload)) => Heard::Pong(payload.to_vec()),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return all;
            }
            Ok(_) | Err(_) => {
                all.push(Heard::End);
                return all;
            }
        });
    }
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x01, 0x02, 0x00, 0x80, 0x81, 0x82, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..140),
        Just(vec![b'a'; 70_000]),
    ];
    (first, payload, any::<[u8; 4]>(), prop::bool::weighted(0.97)).prop_map(
        |(first, payload, key, is_masked)| {
            let masked = if is_masked { 0x80 } else { 0 };
            let mut frame = vec![first];
            match payload.len() {
                length @ ..126 => frame.push(masked | length as u8),
                length @ ..0x1_0000 => {
                    frame.push(masked | 126);
                    frame.extend((length as u16).to_be_bytes());
                }
                length => {
                    frame.push(masked | 127);
                    frame.extend((length as u64).to_be_bytes());
                }
            }
            if is_masked {
                frame.extend(key);
            }
            frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
            frame
        },
    )
}

proptest! {
    #[test]
    fn both_hear_the_same(frames in prop::collection::vec(frame(), 0..6)) {
        let bytes = frames.concat();
        prop_assert_eq!(ours(&bytes), theirs(&bytes));
    }
}

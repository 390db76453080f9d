//! WebSocket for the load: frames that are made once, and the opening handshake.
#![expect(clippy::disallowed_types, reason = "the load owes nothing to the side that is ours")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, bail};
use portolan_ws::Message;
use portolan_ws::wire::{Encoder, Output, Parameters, Role};

use crate::crowd::Crowd;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const COMPRESSED: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// A text of so many bytes, as a client's frame. The text has words and numbers, as JSON has.
pub(crate) fn frame(size: usize, is_compressed: bool) -> Vec<u8> {
    let mut text: String = (0..).map(word).take(size / 8 + 1).collect();
    text.truncate(size);
    let mut encoder = Encoder::new(Role::Client);
    if is_compressed {
        encoder = encoder.with_deflate(&parameters());
    }
    let mut output = Output::default();
    // The first message refers to none before it: it can be sent again and again.
    encoder.message(&Message::from(text), &mut output);
    output.take_all().to_vec()
}

/// A key and a number, in some 18 characters.
fn word(number: u32) -> String {
    format!("\"key{}\":{},", number % 7, number.wrapping_mul(2_654_435_761))
}

fn parameters() -> Parameters {
    Parameters {
        level: 6,
        threshold: 0,
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    }
}

/// So many clients whose WebSockets are open.
pub(crate) fn crowd(
    address: SocketAddr,
    clients: usize,
    is_compressed: bool,
) -> anyhow::Result<Crowd> {
    Crowd::connect_by(address, clients, |stream| shake_hands(stream, is_compressed))
}

fn shake_hands(stream: &mut TcpStream, is_compressed: bool) -> anyhow::Result<()> {
    let extensions = if is_compressed { COMPRESSED } else { "" };
    stream.write_all(format!("{REQUEST}{extensions}\r\n").as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).context("shaking hands")?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    if !head.starts_with("http/1.1 101") {
        bail!("the server answered {}", head.lines().next().unwrap_or_default());
    }
    if head.contains("permessage-deflate") != is_compressed {
        bail!("the server does not compress as it was asked to");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_large_as_its_text() {
        assert_eq!(frame(20, false).len(), 2 + 4 + 20);
        assert_eq!(frame(1024, false).len(), 4 + 4 + 1024);
        assert_eq!(frame(64 << 10, false).len(), 10 + 4 + (64 << 10));
        let compressed = frame(64 << 10, true);
        assert!(compressed.len() < 32 << 10, "{}", compressed.len());
        assert_eq!(compressed[0], 0xc1);
    }
}

//! WebSocket frames as a peer sends them: into which pieces they fall does not matter, and no
//! message is larger than the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_ws::Violation;
use portolan_ws::wire::{Decoder, Limits, Parameters, Received, Role};

const LIMITS: Limits = Limits { max_message: 4096, max_frame: 2048, max_ratio: 100 };

fuzz_target!(|input: (bool, bool, u8, &[u8])| {
    let (is_client, is_compressed, size, bytes) = input;
    let new = || {
        let role = if is_client { Role::Client } else { Role::Server };
        let decoder = Decoder::new(role, LIMITS);
        if is_compressed { decoder.with_deflate(&parameters()) } else { decoder }
    };
    let whole = decode(new(), [bytes].into_iter());
    for received in &whole.0 {
        if let Received::Message(message) = received {
            assert!(message.as_bytes().len() <= LIMITS.max_message);
            assert!(!message.is_text() || std::str::from_utf8(message.as_bytes()).is_ok());
        }
    }
    assert_eq!(whole, decode(new(), bytes.chunks(usize::from(size).max(1))));
});

fn parameters() -> Parameters {
    Parameters {
        level: 6,
        threshold: 0,
        server_no_context_takeover: false,
        client_no_context_takeover: true,
        server_max_window_bits: 15,
        client_max_window_bits: 9,
    }
}

fn decode<'a>(
    mut decoder: Decoder,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Received>, Option<Violation>) {
    let mut all = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(received)) => all.push(received),
                Ok(None) => break,
                Err(violation) => return (all, Some(violation)),
            }
        }
    }
    (all, None)
}

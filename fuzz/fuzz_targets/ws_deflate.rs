//! Compressed messages: any bytes inflate to no more than the limit, and what is compressed is what
//! was, whatever the parameters and whatever came before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_ws::Message;
use portolan_ws::wire::{Decoder, Encoder, Limits, Output, Parameters, Received, Role, Shared};

const LIMITS: Limits = Limits { max_message: 64 * 1024, max_frame: 64 * 1024, max_ratio: 100 };

fuzz_target!(|input: (u8, u8, bool, Vec<&[u8]>)| {
    let (level, bits, no_takeover, messages) = input;
    let parameters = Parameters {
        level: u32::from(level % 10),
        threshold: 0,
        server_no_context_takeover: no_takeover,
        client_no_context_takeover: no_takeover,
        server_max_window_bits: 8 + bits % 8,
        client_max_window_bits: 8 + bits % 8,
    };
    let mut encoder = Encoder::new(Role::Server).with_deflate(&parameters);
    let mut decoder = Decoder::new(Role::Client, LIMITS).with_deflate(&parameters);
    let mut hostile = Decoder::new(Role::Client, LIMITS).with_deflate(&parameters);
    for (index, bytes) in messages.into_iter().enumerate() {
        let message = Message::from(bytes);
        let mut output = Output::default();
        match index % 3 {
            2 => encoder.shared(&Shared::new(message.clone()), &mut output),
            _ => encoder.message(&message, &mut output),
        }
        decoder.feed(&output.take_all());
        assert_eq!(decoder.next(), Ok(Some(Received::Message(message))));

        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).max(126);
        hostile.feed(&[0xc2, 126]);
        hostile.feed(&length.to_be_bytes());
        hostile.feed(&bytes[..bytes.len().min(length.into())]);
        hostile.feed(&vec![0; usize::from(length).saturating_sub(bytes.len())]);
        match hostile.next() {
            Ok(Some(Received::Message(message))) => {
                assert!(message.as_bytes().len() <= LIMITS.max_message);
            }
            Ok(received) => panic!("{received:?}"),
            Err(_) => return,
        }
    }
});

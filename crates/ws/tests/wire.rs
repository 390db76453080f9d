//! The wire, from both ends: what is sent is received, however it is cut.

use bytes::Bytes;
use portolan_ws::wire::{
    Close, CloseCode, Decoder, Encoder, Limits, Output, Parameters, Received, Role, Shared,
};
use portolan_ws::{Message, Violation};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Said {
    Message(Message),
    Shared(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = prop::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..300);
    let large = (0..3_usize, any::<u8>()).prop_map(|(size, byte)| vec![byte; size * 40_000]);
    prop_oneof![
        any::<String>().prop_map(Message::from),
        bytes.prop_map(Message::from),
        large.prop_map(Message::from),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    let payload = || prop::collection::vec(any::<u8>(), 0..=125);
    prop_oneof![
        3 => message().prop_map(Said::Message),
        1 => message().prop_map(Said::Shared),
        1 => payload().prop_map(Said::Ping),
        1 => payload().prop_map(Said::Pong),
    ]
}

fn parameters() -> impl Strategy<Value = Option<Parameters>> {
    let parameters = (any::<[bool; 2]>(), 8..=15_u8, 8..=15_u8, 0..=9_u32, 0..40_usize).prop_map(
        |([server, client], server_bits, client_bits, level, threshold)| Parameters {
            level,
            threshold,
            server_no_context_takeover: server,
            client_no_context_takeover: client,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
        },
    );
    prop::option::of(parameters)
}

/// All that comes out of bytes that are cut into pieces of these sizes, in turn.
fn decode(
    mut decoder: Decoder,
    mut bytes: &[u8],
    sizes: &[usize],
) -> (Vec<Received>, Option<Violation>) {
    let mut all = Vec::new();
    for size in sizes.iter().cycle() {
        let (piece, rest) = bytes.split_at((*size).min(bytes.len()));
        bytes = rest;
        // Where a payload is missing, it may be put where it is to be.
        match decoder.missing() > 0 && size % 2 == 0 {
            true => decoder.spare().extend_from_slice(piece),
            false => decoder.feed(piece),
        }
        loop {
            match decoder.next() {
                Ok(Some(received)) => all.push(received),
                Ok(None) => break,
                Err(violation) => return (all, Some(violation)),
            }
        }
        if bytes.is_empty() {
            return (all, None);
        }
    }
    (all, None)
}

proptest! {
    #[test]
    fn what_is_said_is_received(
        said in prop::collection::vec(said(), 0..8),
        parameters in parameters(),
        is_client: bool,
        sizes in prop::collection::vec(1_usize..5000, 1..5),
    ) {
        let (from, to) =
            if is_client { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let mut encoder = Encoder::new(from);
        let mut decoder = Decoder::new(to, Limits::default());
        if let Some(parameters) = &parameters {
            encoder = encoder.with_deflate(parameters);
            decoder = decoder.with_deflate(parameters);
        }
        let (mut output, mut expected) = (Output::default(), Vec::new());
        for said in said {
            expected.push(match said {
                Said::Message(message) => {
                    encoder.message(&message, &mut output);
                    Received::Message(message)
                }
                Said::Shared(message) => {
                    encoder.shared(&Shared::new(message.clone()), &mut output);
                    Received::Message(message)
                }
                Said::Ping(payload) => {
                    encoder.ping(&payload, &mut output);
                    Received::Ping(payload.into())
                }
                Said::Pong(payload) => {
                    encoder.pong(&payload, &mut output);
                    Received::Pong(payload.into())
                }
            });
        }
        let close = Close::new(CloseCode::NORMAL, "done");
        encoder.close(&close, &mut output);
        expected.push(Received::Close(close));
        let (received, violation) = decode(decoder, &output.take_all(), &sizes);
        prop_assert_eq!(violation, None);
        prop_assert_eq!(received, expected);
    }

    #[test]
    fn any_bytes_are_the_same_in_any_pieces(
        bytes in prop::collection::vec(prop_oneof![
            prop::sample::select(vec![0x01, 0x02, 0x80, 0x81, 0x82, 0x89, 0xc1, 0x41, 0, 1, 2, 5]),
            any::<u8>(),
        ], 0..80),
        is_client: bool,
        is_compressed: bool,
        sizes in prop::collection::vec(1_usize..9, 1..5),
    ) {
        let parameters = Parameters {
            level: 6,
            threshold: 0,
            server_no_context_takeover: false,
            client_no_context_takeover: true,
            server_max_window_bits: 15,
            client_max_window_bits: 9,
        };
        let limits = Limits { max_message: 64, max_frame: 48, max_ratio: 100 };
        let role = if is_client { Role::Client } else { Role::Server };
        let new = || match is_compressed {
            true => Decoder::new(role, limits).with_deflate(&parameters),
            false => Decoder::new(role, limits),
        };
        prop_assert_eq!(decode(new(), &bytes, &[usize::MAX]), decode(new(), &bytes, &sizes));
    }
}

/// A decoder that has received `frames` as a client.
fn after(limits: Limits, frames: &[&[u8]]) -> Result<Option<Received>, Violation> {
    let mut decoder = Decoder::new(Role::Client, limits);
    let mut last = Ok(None);
    for frame in frames {
        decoder.feed(frame);
        last = decoder.next();
        if last.is_err() {
            break;
        }
    }
    last
}

#[test]
fn limits_hold_as_soon_as_a_header_exceeds_them() {
    let limits = Limits { max_message: 10, max_frame: 6, ..Limits::default() };
    assert_eq!(after(limits, &[&[0x82, 7]]), Err(Violation::FrameTooLarge(6)));
    let limits = Limits { max_message: 10, ..Limits::default() };
    assert_eq!(after(limits, &[&[0x82, 11]]), Err(Violation::MessageTooLarge(10)));
    let frames: [&[u8]; 2] = [b"\x02\x0612345\x36", &[0x80, 5]];
    assert_eq!(after(limits, &frames), Err(Violation::MessageTooLarge(10)));
    let frames = [&[0x02, 0][..]].into_iter().chain([&[0x00, 0][..]; 10]);
    let frames: Vec<_> = frames.collect();
    assert_eq!(after(limits, &frames), Err(Violation::Fragments(10)));
    let frames = [&[0x02, 0][..]].into_iter().chain([&[0x00, 0][..]; 4096]);
    let frames: Vec<_> = frames.collect();
    assert_eq!(after(Limits::default(), &frames[1..]), Err(Violation::NothingToContinue));
    assert_eq!(after(Limits::default(), &frames[..4096]), Ok(None));
    assert_eq!(after(Limits::default(), &frames), Err(Violation::EmptyFragments(4096)));
}

#[test]
fn a_plain_message_is_not_copied() {
    let mut decoder = Decoder::new(Role::Client, Limits::default());
    decoder.feed(&[0x82, 126, 0x10, 0]);
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.missing(), 4096);
    let spare = decoder.spare();
    spare.extend_from_slice(&[7; 4096]);
    let place = spare.as_ptr();
    let Ok(Some(Received::Message(Message::Binary(bytes)))) = decoder.next() else {
        panic!("no message");
    };
    assert_eq!((bytes.as_ptr(), bytes), (place, Bytes::from(vec![7; 4096])));
}

#[test]
fn no_more_room_is_made_than_a_peer_fills() {
    let mut decoder = Decoder::new(Role::Client, Limits::default());
    decoder.feed(&[0x82, 127, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff]);
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.spare().capacity() <= 128 * 1024);
}

//! The families of cases, by the numbers that they have in Autobahn.

use super::{Case, Deflate, End, Expect, Send, Sender};

/// Opcodes with FIN.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The last continuation, and what takes FIN off.
const LAST: u8 = 0x80;
const MORE: u8 = 0x7f;

/// What is not UTF-8, each for another reason.
const BAD_UTF8: [&[u8]; 22] = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\x80",
    b"\xbf",
    b"\x80\xbf\x80\xbf",
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xce",
    b"\xe1\xbd",
    b"\xf0\x90\x80",
    b"\xc3\x28",
];
/// The edges of what is.
const GOOD_UTF8: [&str; 14] = [
    "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}",
    "\0",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{fff}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10000}",
    "\u{10ffff}",
    "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!",
];

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in [
        framing,
        pings,
        reserved_bits,
        opcodes,
        fragments,
        utf8,
        utf8_early,
        closing,
        close_codes,
        limits,
        compression,
        windows,
    ] {
        family(&mut cases);
    }
    cases
}

fn frame(first: u8, payload: impl AsRef<[u8]>) -> Send {
    Send::Frame { first, payload: payload.as_ref().to_vec() }
}

fn message(first: u8, payload: impl AsRef<[u8]>) -> Expect {
    Expect::Message { is_text: first & 1 == 1, payload: payload.as_ref().to_vec() }
}

fn pong(payload: impl AsRef<[u8]>) -> Expect {
    Expect::Pong(payload.as_ref().to_vec())
}

fn add(
    cases: &mut Vec<Case>,
    id: impl Into<String>,
    sends: Vec<Send>,
    expects: Vec<Expect>,
    end: End,
) {
    cases.push(Case { id: id.into(), sends, chop: usize::MAX, expects, end, deflate: None });
}

/// The same case once more, written in pieces.
fn chop_last(cases: &mut Vec<Case>, id: &str, chop: usize) {
    let last = cases.last().expect("a case").clone();
    cases.push(Case { id: id.to_owned(), chop, ..last });
}

/// A payload that is split into fragments of this size.
fn fragmented(first: u8, payload: &[u8], size: usize) -> Vec<Send> {
    let mut parts: Vec<_> = payload.chunks(size).map(|part| frame(0, part)).collect();
    if let Some(Send::Frame { first: bits, .. }) = parts.last_mut() {
        *bits |= LAST;
    }
    if let Some(Send::Frame { first: bits, .. }) = parts.first_mut() {
        *bits |= first & 0x0f;
    }
    parts
}

fn framing(cases: &mut Vec<Case>) {
    for (kind, first) in [(1, TEXT), (2, BINARY)] {
        for (number, length) in [0, 125, 126, 127, 128, 65535, 65536].into_iter().enumerate() {
            let payload = vec![b'*'; length];
            let id = format!("1.{kind}.{}", number + 1);
            add(cases, id, vec![frame(first, &payload)], vec![message(first, &payload)], End::Open);
        }
        chop_last(cases, &format!("1.{kind}.8"), 997);
    }
}

fn pings(cases: &mut Vec<Case>) {
    let bytes = *b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";
    add(cases, "2.1", vec![frame(PING, "")], vec![pong("")], End::Open);
    add(cases, "2.2", vec![frame(PING, "Hello, world!")], vec![pong("Hello, world!")], End::Open);
    add(cases, "2.3", vec![frame(PING, bytes)], vec![pong(bytes)], End::Open);
    let long = [0xfe; 125];
    add(cases, "2.4", vec![frame(PING, long)], vec![pong(long)], End::Open);
    chop_last(cases, "2.6", 1);
    add(cases, "2.5", vec![frame(PING, [0xfe; 126])], vec![], End::Fails(1002));
    add(cases, "2.7", vec![frame(PONG, "")], vec![], End::Open);
    add(cases, "2.8", vec![frame(PONG, "unsolicited")], vec![], End::Open);
    let sends = vec![frame(PONG, "unsolicited"), frame(PING, "payload")];
    add(cases, "2.9", sends, vec![pong("payload")], End::Open);
    let names: Vec<_> = (0..10).map(|number| format!("payload-{number}")).collect();
    let sends = names.iter().map(|name| frame(PING, name)).collect();
    add(cases, "2.10", sends, names.iter().map(pong).collect(), End::Open);
    chop_last(cases, "2.11", 1);
}

fn reserved_bits(cases: &mut Vec<Case>) {
    let fails = End::Fails(1002);
    for (number, first) in [(1, TEXT), (5, BINARY), (6, PING), (7, CLOSE)] {
        let bits = (number as u8) << 4;
        add(cases, format!("3.{number}"), vec![frame(first | bits, "")], vec![], fails);
    }
    for (number, chop) in [(2, usize::MAX), (3, 7), (4, 1)] {
        let bits = (number as u8) << 4;
        let sends = vec![frame(TEXT, "Hello"), frame(TEXT | bits, "Hello"), frame(PING, "")];
        add(cases, format!("3.{number}"), sends, vec![message(TEXT, "Hello")], fails);
        cases.last_mut().expect("a case").chop = chop;
    }
}

fn opcodes(cases: &mut Vec<Case>) {
    for (family, base) in [(1, 3), (2, 11)] {
        for number in 0..5_u8 {
            let opcode = 0x80 | (base + number);
            let id = format!("4.{family}.{}", number + 1);
            match number {
                0 => add(cases, id, vec![frame(opcode, "")], vec![], End::Fails(1002)),
                1 => add(cases, id, vec![frame(opcode, "reserved")], vec![], End::Fails(1002)),
                _ => {
                    let reserved = frame(opcode, if number == 2 { "" } else { "reserved" });
                    let sends = vec![frame(TEXT, "Hello"), reserved, frame(PING, "")];
                    add(cases, id, sends, vec![message(TEXT, "Hello")], End::Fails(1002));
                    cases.last_mut().expect("a case").chop =
                        if number == 4 { 1 } else { usize::MAX };
                }
            }
        }
    }
}

fn fragments(cases: &mut Vec<Case>) {
    let fails = End::Fails(1002);
    let (one, two) = (frame(TEXT & MORE, "fragment1"), frame(LAST, "fragment2"));
    let whole = message(TEXT, "fragment1fragment2");
    let ping = frame(PING, "ping payload");
    let between = vec![one.clone(), ping.clone(), two.clone()];
    let middle = || frame(0, "more");
    add(cases, "5.1", vec![frame(PING & MORE, "fragment1"), two.clone()], vec![], fails);
    add(cases, "5.2", vec![frame(PONG & MORE, "fragment1"), two.clone()], vec![], fails);
    add(cases, "5.3", vec![one.clone(), two.clone()], vec![whole.clone()], End::Open);
    chop_last(cases, "5.4", 7);
    chop_last(cases, "5.5", 1);
    add(cases, "5.6", between, vec![pong("ping payload"), whole.clone()], End::Open);
    chop_last(cases, "5.7", 7);
    chop_last(cases, "5.8", 1);
    for (number, first) in [(9, LAST), (12, 0)] {
        let id = |more| format!("5.{}", number + more);
        add(cases, id(0), vec![frame(first, "nothing"), frame(TEXT, "Hello")], vec![], fails);
        chop_last(cases, &id(1), 7);
        chop_last(cases, &id(2), 1);
    }
    let sends = vec![one.clone(), two.clone(), frame(0, "nothing"), frame(TEXT, "Hello")];
    add(cases, "5.15", sends, vec![whole.clone()], fails);
    let sends = vec![frame(0, "fragment1"), frame(TEXT & MORE, "fragment2"), frame(LAST, "3")];
    add(cases, "5.16", sends, vec![], fails);
    let sends = vec![frame(LAST, "fragment1"), frame(TEXT & MORE, "fragment2"), frame(LAST, "3")];
    add(cases, "5.17", sends, vec![], fails);
    add(cases, "5.18", vec![one.clone(), frame(TEXT, "fragment2")], vec![], fails);
    let sends = vec![one, middle(), ping.clone(), middle(), middle(), frame(PING, "second"), two];
    let whole = message(TEXT, "fragment1moremoremorefragment2");
    add(cases, "5.19", sends, vec![pong("ping payload"), pong("second"), whole], End::Open);
    chop_last(cases, "5.20", 1);
}

fn utf8(cases: &mut Vec<Case>) {
    let nothing = vec![message(TEXT, "")];
    add(cases, "6.1.1", vec![frame(TEXT, "")], nothing.clone(), End::Open);
    let empty = |middle| vec![frame(TEXT & MORE, ""), frame(0, middle), frame(LAST, "")];
    add(cases, "6.1.2", empty(""), nothing, End::Open);
    add(cases, "6.1.3", empty("middle"), vec![message(TEXT, "middle")], End::Open);
    for (number, text) in GOOD_UTF8.iter().enumerate() {
        let echo = vec![message(TEXT, text)];
        let id = |part| format!("6.2.{}.{part}", number + 1);
        add(cases, id(1), vec![frame(TEXT, text)], echo.clone(), End::Open);
        chop_last(cases, &id(2), 1);
        add(cases, id(3), fragmented(TEXT, text.as_bytes(), 1), echo, End::Open);
        chop_last(cases, &id(4), 1);
    }
    for (number, bytes) in BAD_UTF8.iter().enumerate() {
        let id = |part| format!("6.3.{}.{part}", number + 1);
        add(cases, id(1), vec![frame(TEXT, bytes)], vec![], End::Fails(1007));
        chop_last(cases, &id(2), 1);
        add(cases, id(3), fragmented(TEXT, bytes, 1), vec![], End::Fails(1007));
        add(cases, id(4), vec![frame(BINARY, bytes)], vec![message(BINARY, bytes)], End::Open);
    }
}

/// The message does not end: the peer must not wait for that.
fn utf8_early(cases: &mut Vec<Case>) {
    let fails = End::Fails(1007);
    for (number, bad) in [&b"\xf4\x90"[..], b"\xed\xa0", b"\xff"].into_iter().enumerate() {
        let good = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}".as_bytes();
        let both = [good, bad].concat();
        let id = |part| format!("6.4.{}.{part}", number + 1);
        let sends = vec![frame(TEXT & MORE, good), frame(0, bad)];
        add(cases, id(1), sends, vec![], fails);
        chop_last(cases, &id(2), 1);
        add(cases, id(3), vec![frame(TEXT & MORE, &both)], vec![], fails);
        let sends = vec![frame(TEXT & MORE, ""), frame(PING, "between"), frame(0, &both)];
        add(cases, id(4), sends, vec![pong("between")], fails);
    }
}

fn closing(cases: &mut Vec<Case>) {
    let close = || frame(CLOSE, 1000_u16.to_be_bytes());
    let done = End::Answered(1000);
    let hello = || vec![message(TEXT, "Hello")];
    add(cases, "7.1.1", vec![frame(TEXT, "Hello"), close()], hello(), done);
    add(cases, "7.1.2", vec![close(), close()], vec![], done);
    add(cases, "7.1.3", vec![close(), frame(PING, "")], vec![], done);
    add(cases, "7.1.4", vec![close(), frame(TEXT, "Hello")], vec![], done);
    let sends = vec![frame(TEXT & MORE, "Hello"), close(), frame(LAST, "fragment2")];
    add(cases, "7.1.5", sends, vec![], done);
    let large = vec![b'*'; 256 * 1024];
    let sends = vec![frame(TEXT, &large), close(), frame(PING, "")];
    add(cases, "7.1.6", sends, vec![message(TEXT, &large)], done);
    let with_reason = |reason: &[u8]| frame(CLOSE, [&1000_u16.to_be_bytes()[..], reason].concat());
    add(cases, "7.3.1", vec![frame(CLOSE, "")], vec![], End::Answered(1005));
    add(cases, "7.3.2", vec![frame(CLOSE, "a")], vec![], End::Fails(1002));
    add(cases, "7.3.3", vec![close()], vec![], done);
    add(cases, "7.3.4", vec![with_reason(b"Hello World!")], vec![], done);
    add(cases, "7.3.5", vec![with_reason(&[b'*'; 123])], vec![], done);
    add(cases, "7.3.6", vec![with_reason(&[b'*'; 124])], vec![], End::Fails(1002));
    let bad = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    add(cases, "7.5.1", vec![with_reason(bad)], vec![], End::Fails(1007));
}

fn close_codes(cases: &mut Vec<Case>) {
    let good = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    for (number, code) in good.into_iter().enumerate() {
        let sends = vec![frame(CLOSE, u16::to_be_bytes(code))];
        add(cases, format!("7.7.{}", number + 1), sends, vec![], End::Answered(code));
    }
    let bad = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535];
    for (number, code) in bad.into_iter().enumerate() {
        let sends = vec![frame(CLOSE, u16::to_be_bytes(code))];
        add(cases, format!("7.9.{}", number + 1), sends, vec![], End::Fails(1002));
    }
}

fn limits(cases: &mut Vec<Case>) {
    for (kind, first) in [(1, TEXT), (2, BINARY)] {
        for (number, size) in [64 << 10, 256 << 10, 512 << 10].into_iter().enumerate() {
            let payload = vec![b'*'; size];
            let id = format!("9.{kind}.{}", number + 1);
            add(cases, id, vec![frame(first, &payload)], vec![message(first, &payload)], End::Open);
        }
        let payload: Vec<_> = (0..=u8::MAX).map(|byte| byte & 0x7f).cycle().take(200_000).collect();
        for (number, size) in [64, 256, 4 << 10, 64 << 10].into_iter().enumerate() {
            let id = format!("9.{}.{}", kind + 2, number + 1);
            let sends = fragmented(first, &payload, size);
            add(cases, id, sends, vec![message(first, &payload)], End::Open);
        }
        add(
            cases,
            format!("9.{}.1", kind + 4),
            vec![frame(first, &payload)],
            vec![message(first, &payload)],
            End::Open,
        );
        cases.last_mut().expect("a case").chop = 4096;
        for (number, size) in [0, 16, 64, 256, 1024].into_iter().enumerate() {
            let id = format!("9.{}.{}", kind + 6, number + 1);
            let payload = vec![b'x'; size];
            let sends = vec![frame(first, &payload); 100];
            add(cases, id, sends, vec![message(first, &payload); 100], End::Open);
        }
    }
}

/// Text that can be compressed, and cannot be guessed.
fn prose(length: usize) -> Vec<u8> {
    let words = ["port", "course", "chart", "wind", "rose", "harbour", "\u{fc}ber", "sea"];
    let mut state = 7_u32;
    let mut text = String::new();
    while text.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(words[(state >> 24) as usize % words.len()]);
        text.push(if state & 0x1000 == 0 { ' ' } else { ',' });
    }
    text.truncate(text.floor_char_boundary(length));
    text.into_bytes()
}

const PLAIN: Deflate = Deflate {
    offer: "permessage-deflate",
    answer: "permessage-deflate",
    client: FULL,
    server: FULL,
};
const FULL: Sender = Sender { window_bits: 15, takes_over: true };
const FORGETFUL: Sender = Sender { window_bits: 15, takes_over: false };

fn compression(cases: &mut Vec<Case>) {
    let sizes = [1, 16, 64, 256, 1024, 4096, 16384, 65536];
    for (number, size) in sizes.into_iter().enumerate() {
        for (kind, is_text) in [(1, true), (2, false)] {
            let payload = prose(size);
            for (part, fragment) in [(1, usize::MAX), (2, 128)] {
                let send = Send::Compressed { is_text, payload: payload.clone(), fragment };
                let echo = Expect::Message { is_text, payload: payload.clone() };
                let id = format!("12.{kind}.{}.{part}", number + 1);
                let (sends, expects) = (vec![send; 2], vec![echo; 2]);
                add(cases, id, sends, expects, End::Open);
                cases.last_mut().expect("a case").deflate = Some(PLAIN);
            }
        }
    }
    let with_plain = |cases: &mut Vec<Case>| {
        cases.last_mut().expect("a case").deflate = Some(PLAIN);
    };
    // What is not compressed may come all the same (RFC 7692 section 6).
    add(cases, "12.6.1", vec![frame(TEXT, "ahoy")], vec![message(TEXT, "ahoy")], End::Open);
    with_plain(cases);
    // The examples of RFC 7692 section 7.2.3: one block, no compression, two blocks, a last block.
    let hello: [&[u8]; 4] = [
        b"\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
    ];
    for (number, bytes) in hello.into_iter().enumerate() {
        let id = format!("12.7.{}", number + 1);
        add(cases, id, vec![frame(TEXT | 0x40, bytes)], vec![message(TEXT, "Hello")], End::Open);
        with_plain(cases);
    }
    // An empty message (section 7.2.3.6), twice.
    let empty = || frame(TEXT | 0x40, b"\x00");
    add(cases, "12.8.1", vec![empty(), empty()], vec![message(TEXT, ""); 2], End::Open);
    with_plain(cases);
    add(cases, "12.9.1", vec![frame(TEXT | 0x40, b"\xff\xff\xff")], vec![], End::Fails(1002));
    with_plain(cases);
    let fragments = vec![frame(TEXT & MORE | 0x40, b"\xf2\x48\xcd"), frame(LAST | 0x40, b"\xc9")];
    add(cases, "12.9.2", fragments, vec![], End::Fails(1002));
    with_plain(cases);
    add(cases, "12.9.3", vec![frame(PING | 0x40, "")], vec![], End::Fails(1002));
    with_plain(cases);
}

fn windows(cases: &mut Vec<Case>) {
    let shapes = [
        PLAIN,
        Deflate {
            offer: "permessage-deflate; client_no_context_takeover",
            answer: "permessage-deflate; client_no_context_takeover",
            client: FORGETFUL,
            ..PLAIN
        },
        Deflate {
            offer: "permessage-deflate; server_no_context_takeover",
            answer: "permessage-deflate; server_no_context_takeover",
            server: FORGETFUL,
            ..PLAIN
        },
        Deflate {
            offer: "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9",
            answer: "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9",
            client: Sender { window_bits: 9, ..FULL },
            server: Sender { window_bits: 9, ..FULL },
        },
        Deflate {
            offer: "permessage-deflate; client_max_window_bits; server_max_window_bits=8; \
                    server_no_context_takeover; client_no_context_takeover",
            answer: "permessage-deflate; client_max_window_bits=8; server_no_context_takeover; \
                     client_no_context_takeover",
            client: Sender { window_bits: 9, ..FORGETFUL },
            server: FORGETFUL,
        },
        Deflate {
            offer: "x-unknown; a=\"b\", permessage-deflate; unknown, permessage-deflate; \
                    server_max_window_bits=\"10\"",
            answer: "permessage-deflate; server_max_window_bits=10",
            server: Sender { window_bits: 10, ..FULL },
            ..PLAIN
        },
        Deflate {
            offer: "permessage-deflate; server_no_context_takeover; server_max_window_bits=15, \
                    permessage-deflate",
            answer: "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
            server: FORGETFUL,
            ..PLAIN
        },
    ];
    for (number, shape) in shapes.into_iter().enumerate() {
        for (part, size) in [16, 256, 16384].into_iter().enumerate() {
            let payloads = (0..3).map(|round| prose(size + round * 7));
            let sends = payloads.clone().map(|payload| Send::Compressed {
                is_text: true,
                payload,
                fragment: 1000,
            });
            let echoes = payloads.map(|payload| Expect::Message { is_text: true, payload });
            let id = format!("13.{}.{}", number + 1, part + 1);
            let (sends, echoes) = (sends.collect(), echoes.collect());
            add(cases, id, sends, echoes, End::Open);
            cases.last_mut().expect("a case").deflate = Some(shape);
        }
    }
}

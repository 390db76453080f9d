//! Server-sent events: into which pieces a stream falls does not matter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_http::{EventParser, ServerEvent};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, stream) = input;
    let pieces = stream.chunks(usize::from(size).max(1));
    assert_eq!(events(pieces), events([stream].into_iter()));
});

fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<ServerEvent> {
    let mut parser = EventParser::new();
    pieces.for_each(|piece| parser.push(piece).expect("it is below the limit"));
    std::iter::from_fn(|| parser.next_event()).collect()
}

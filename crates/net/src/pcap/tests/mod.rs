//! Captures of real connections, read back.

mod connections;
mod file;
mod read;
mod secrets;

use portolan_core::{Direction, Timeouts, Url};

use self::read::{Memory, Packet};
use super::packet::{ACK, FIN, RST, SYN};
use super::*;
use crate::{Connection, Context, Dialer, Listener, Stream};

fn memory() -> (Memory, Capture) {
    let memory = Memory::default();
    let capture = Capture::builder().write_to(memory.clone(), "memory").unwrap();
    (memory, capture)
}

fn context() -> Context {
    Context::new(Timeouts::default())
}

/// Both ends of a connection to `listener`, ours first.
async fn connect(dialer: &Dialer, listener: &Listener) -> (Connection, Connection) {
    let (url, cx) = (listener.local_url(), context());
    let accepted = async { listener.accept().await.establish(&context()).await };
    let (dialled, accepted) = tokio::join!(dialer.dial_url(&url, &cx), accepted);
    (dialled.unwrap(), accepted.unwrap().unwrap())
}

/// The flags of each segment: `>` before what we sent, `<` before what we received.
fn story(packets: &[Packet]) -> String {
    let word = |packet: &Packet| {
        let flags = packet.tcp.unwrap().flags;
        let names = [(SYN, "S"), (FIN, "F"), (RST, "R"), (ACK, "")];
        let names: String =
            names.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect();
        let mark = if packet.is_sent { ">" } else { "<" };
        format!("{mark}{names}{}", String::from_utf8_lossy(&packet.payload))
    };
    packets.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Every segment stands where the last of its side ended, and acknowledges what there was. What
/// is returned are the bytes that the first address sent, and the other.
fn reassembled(packets: &[Packet]) -> [Vec<u8>; 2] {
    let opener = packets[0].from;
    let mut next = [None, None];
    let mut streams = [Vec::new(), Vec::new()];
    for packet in packets {
        let side = usize::from(packet.from != opener);
        let tcp = packet.tcp.unwrap();
        let expected = next[side].unwrap_or(tcp.sequence);
        assert_eq!(tcp.sequence, expected, "{packet:?}");
        if tcp.flags & ACK != 0 {
            assert_eq!(Some(tcp.acknowledged), next[1 - side], "{packet:?}");
        }
        let length = packet.payload.len() as u32 + u32::from(tcp.flags & (SYN | FIN) != 0);
        next[side] = Some(expected.wrapping_add(length));
        streams[side].extend_from_slice(&packet.payload);
    }
    assert!(packets.is_sorted_by_key(|packet| packet.time));
    streams
}

/// A stream over memory that is captured as a connection that we dialled, and its other end.
fn tapped(capture: &Capture, buffer: usize) -> (Stream, tokio::io::DuplexStream) {
    let (near, far) = tokio::io::duplex(buffer);
    let local = "192.0.2.1:50000".parse().unwrap();
    let ends = Ends::Inet { local, remote: "192.0.2.2:80".parse().unwrap() };
    let tap = Tap::open(capture.clone(), ends, Direction::Sent);
    (Stream::boxed(near).tapped(tap), far)
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

//! Cases of conformance in the families of the Autobahn test suite, as data: what a tester sends to
//! a peer that echoes messages, and what must come back. It knows nothing of our own crate, so that
//! it judges any peer.

#![allow(dead_code, reason = "each test uses its own part of it")]

mod families;
mod tester;

pub(crate) use families::all;
pub(crate) use tester::Tester;

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The family and the number, as in Autobahn where it has the same case.
    pub(crate) id: String,
    /// What is sent, in order.
    pub(crate) sends: Vec<Send>,
    /// How many bytes are written at once.
    pub(crate) chop: usize,
    /// What must come back, in order.
    pub(crate) expects: Vec<Expect>,
    /// How the connection ends.
    pub(crate) end: End,
    /// With which compression.
    pub(crate) deflate: Option<Deflate>,
}

/// Something that the tester sends.
#[derive(Clone, Debug)]
pub(crate) enum Send {
    /// A frame, whatever its first byte says.
    Frame {
        /// FIN, RSV1 to RSV3 and the opcode.
        first: u8,
        /// The payload.
        payload: Vec<u8>,
    },
    /// A compressed message in fragments of this many bytes.
    Compressed {
        /// Whether it is a text.
        is_text: bool,
        /// The message before compression.
        payload: Vec<u8>,
        /// The most bytes of a fragment.
        fragment: usize,
    },
}

/// Something that must come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A message, whole and decompressed.
    Message {
        /// Whether it is a text.
        is_text: bool,
        /// The payload.
        payload: Vec<u8>,
    },
    /// A pong. It may be missing where another one follows (RFC 6455 section 5.5.3).
    Pong(Vec<u8>),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It does not: the tester closes with 1000, which must be answered.
    Open,
    /// The tester has sent a close frame, which must be answered by one with this code; by an empty
    /// one for 1005.
    Answered(u16),
    /// The peer must close with this code.
    Fails(u16),
}

/// The compression of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deflate {
    /// What a tester offers that is the client.
    pub(crate) offer: &'static str,
    /// What a tester agrees to that is the server.
    pub(crate) answer: &'static str,
    /// What a tester that is the client keeps to.
    pub(crate) client: Sender,
    /// What a tester that is the server keeps to.
    pub(crate) server: Sender,
}

/// How one end compresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    /// How far back its messages refer, as a power of two.
    pub(crate) window_bits: u8,
    /// Whether they refer to earlier messages.
    pub(crate) takes_over: bool,
}

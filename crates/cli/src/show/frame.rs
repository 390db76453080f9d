//! A frame of WebSocket, as JSON and `-vv` have it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use portolan::ws::Close;
use portolan::{Direction, Endpoint, Frame};
use serde::Serialize;

/// A message or a control frame: as text where it is UTF-8, else in Base64; a close frame as its
/// code and reason.
#[derive(Debug, Serialize)]
pub struct FrameReport<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    direction: &'static str,
    opcode: &'static str,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl<'a> FrameReport<'a> {
    /// The object for a frame that went this way, from or to `peer` where there are several.
    #[must_use]
    pub fn new(direction: Direction, frame: &'a Frame, peer: Option<&Endpoint>) -> Self {
        let close = close(frame);
        let is_text = frame.kind == "text";
        let text = std::str::from_utf8(&frame.payload).ok().filter(|_| is_text);
        let is_bytes = text.is_none() && close.is_none();
        Self {
            peer: peer.map(ToString::to_string),
            direction: match direction {
                Direction::Sent => "sent",
                Direction::Received => "received",
            },
            opcode: frame.kind,
            bytes: frame.payload.len(),
            text,
            base64: is_bytes.then(|| STANDARD.encode(&frame.payload)),
            code: close.as_ref().map(|close| close.code.0),
            reason: close.map(|close| close.reason.to_string()),
        }
    }
}

/// The words for a frame, without what a message says.
#[must_use]
pub fn words(frame: &Frame) -> String {
    match close(frame) {
        Some(close) => format!("close {close}"),
        None => format!("{} {} bytes", frame.kind, frame.payload.len()),
    }
}

fn close(frame: &Frame) -> Option<Close> {
    let payload = Bytes::copy_from_slice(&frame.payload);
    (frame.kind == "close").then(|| Close::parse(payload).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: &'static str, payload: &[u8]) -> Frame {
        Frame { kind, payload: payload.to_vec() }
    }

    fn object(kind: &'static str, payload: &[u8]) -> String {
        let frame = frame(kind, payload);
        serde_json::to_string(&FrameReport::new(Direction::Sent, &frame, None)).unwrap()
    }

    #[test]
    fn each_frame_shows_what_is_in_it() {
        let text = r#"{"direction":"sent","opcode":"text","bytes":4,"text":"ahoy"}"#;
        assert_eq!(object("text", b"ahoy"), text);
        let binary = r#"{"direction":"sent","opcode":"binary","bytes":2,"base64":"aGk="}"#;
        assert_eq!(object("binary", b"hi"), binary);
        let close = r#"{"direction":"sent","opcode":"close","bytes":5,"code":1000,"reason":"bye"}"#;
        assert_eq!(object("close", b"\x03\xe8bye"), close);
    }

    #[test]
    fn words_leave_out_what_a_message_says() {
        assert_eq!(words(&frame("text", b"a secret")), "text 8 bytes");
        assert_eq!(words(&frame("close", b"\x03\xe8")), "close 1000 (normal closure)");
        assert_eq!(words(&frame("close", b"")), "close 1005 (no status)");
    }
}

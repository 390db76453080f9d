//! What went over a connection, as JSON has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan::Direction;
use serde::Serialize;

/// Some bytes, or a message: as text where they are UTF-8, else in Base64.
#[derive(Debug, Serialize)]
pub struct DataReport<'a> {
    direction: &'static str,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl<'a> DataReport<'a> {
    /// The object for `bytes` that went this way.
    #[must_use]
    pub fn new(direction: Direction, bytes: &'a [u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        Self {
            direction: match direction {
                Direction::Sent => "sent",
                Direction::Received => "received",
            },
            bytes: bytes.len(),
            text,
            base64: text.is_none().then(|| STANDARD.encode(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_text_is_in_base64() {
        let object =
            |bytes| serde_json::to_string(&DataReport::new(Direction::Received, bytes)).unwrap();
        assert_eq!(object(b"ahoy"), r#"{"direction":"received","bytes":4,"text":"ahoy"}"#);
        assert_eq!(object(b"\xff\0"), r#"{"direction":"received","bytes":2,"base64":"/wA="}"#);
    }
}

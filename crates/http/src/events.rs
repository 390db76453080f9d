//! Server-sent events (WHATWG HTML, section 9.2): bytes in, events out. Reconnecting is left to
//! the caller, who gets the pause and the last id for it.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use portolan_core::{Error, Kind};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEvent {
    /// Its type.
    pub event: String,
    /// Its data; lines are separated by `\n`.
    pub data: String,
    /// The id of this event, or else of the last one before it that had one: what
    /// `Last-Event-ID` holds when the client comes back.
    pub id: String,
}

/// Reads a `text/event-stream` piece by piece.
///
/// # Defaults
/// 1 MiB for each event.
///
/// ```
/// use portolan_http::EventParser;
///
/// let mut parser = EventParser::new();
/// parser.push(b"data: first\ndata: second\n\ndata: half an ev")?;
/// let event = parser.next_event().unwrap();
/// assert_eq!((event.event.as_str(), event.data.as_str()), ("message", "first\nsecond"));
/// assert!(parser.next_event().is_none());
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Debug)]
pub struct EventParser {
    limit: usize,
    /// The line that has not ended.
    line: Vec<u8>,
    /// Whether the last byte was CR: an LF after it belongs to the same end of line.
    was_cr: bool,
    is_first_line: bool,
    event: String,
    data: String,
    id: String,
    retry: Option<Duration>,
    ready: VecDeque<ServerEvent>,
}

impl Default for EventParser {
    fn default() -> Self {
        Self::new()
    }
}

impl EventParser {
    /// A parser at the beginning of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            limit: 1024 * 1024,
            line: Vec::new(),
            was_cr: false,
            is_first_line: true,
            event: String::new(),
            data: String::new(),
            id: String::new(),
            retry: None,
            ready: VecDeque::new(),
        }
    }

    /// The most bytes of one event.
    #[must_use]
    pub const fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Reads the next piece of the stream. An event that the stream ends in is none.
    ///
    /// # Errors
    /// [`Kind::Protocol`] where an event is larger than the limit.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        if self.was_cr && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            self.was_cr = false;
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.keep(&bytes[..end])?;
            self.end_line();
            let after = &bytes[end + 1..];
            self.was_cr = bytes[end] == b'\r' && after.is_empty();
            bytes = match bytes[end] {
                b'\r' => after.strip_prefix(b"\n").unwrap_or(after),
                _ => after,
            };
        }
        self.keep(bytes)
    }

    /// The next event that has come whole.
    pub fn next_event(&mut self) -> Option<ServerEvent> {
        self.ready.pop_front()
    }

    /// The pause before coming back that the server has asked for last.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The last id that the server has sent.
    #[must_use]
    pub fn last_id(&self) -> &str {
        &self.id
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), Error> {
        if self.line.len() + part.len() + self.data.len() > self.limit {
            let message = format!("a server-sent event is larger than {} bytes", self.limit);
            return Err(Error::new(Kind::Protocol, message));
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self) {
        let line = mem::take(&mut self.line);
        let mut line = line.as_slice();
        if mem::take(&mut self.is_first_line) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            // A comment, or a field of the future.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let event = mem::take(&mut self.event);
        let mut data = mem::take(&mut self.data);
        if data.pop().is_none() {
            return;
        }
        let event = if event.is_empty() { "message".to_owned() } else { event };
        self.ready.push_back(ServerEvent { event, data, id: self.id.clone() });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The events of a stream that comes in pieces of this size, as `type|data|id`.
    fn events(stream: &[u8], size: usize) -> Vec<String> {
        let mut parser = EventParser::new();
        let mut shown = Vec::new();
        for piece in stream.chunks(size) {
            parser.push(piece).unwrap();
            while let Some(event) = parser.next_event() {
                shown.push(format!("{}|{}|{}", event.event, event.data, event.id));
            }
        }
        shown
    }

    /// WHATWG HTML section 9.2.6.
    #[test]
    fn the_examples_of_the_standard() {
        for (stream, expected) in [
            (
                "data: This is the first message.\n\ndata: This is the second message, it\n\
                 data: has two lines.\n\ndata: This is the third message.\n\n",
                &[
                    "message|This is the first message.|",
                    "message|This is the second message, it\nhas two lines.|",
                    "message|This is the third message.|",
                ][..],
            ),
            (
                "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n",
                &["add|73857293|", "remove|2153|"],
            ),
            ("data: YHOO\ndata: +2\ndata: 10\n\n", &["message|YHOO\n+2\n10|"]),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n\
                 data:  third event\n\n",
                &["message|first event|1", "message|second event|", "message| third event|"],
            ),
            ("data\n\ndata\ndata\n\ndata:", &["message||", "message|\n|"]),
            ("data:test\n\ndata: test\n\n", &["message|test|", "message|test|"]),
        ] {
            for size in [1, 2, 3, 1000] {
                assert_eq!(events(stream.as_bytes(), size), expected, "{size}");
                let crlf = stream.replace('\n', "\r\n");
                assert_eq!(events(crlf.as_bytes(), size), expected, "{size}");
            }
        }
    }

    #[test]
    fn the_corners_of_the_grammar() {
        assert_eq!(
            events("\u{feff}data: a\r\rdata: b\n\r".as_bytes(), 1),
            ["message|a|", "message|b|"]
        );
        assert_eq!(
            events(b"id: 7\n\ndata: a\n\nid: 8\0\ndata: b\n\n", 5),
            ["message|a|7", "message|b|7"]
        );
        assert_eq!(events(b"event: x\n\ndata: a\n\n", 99), ["message|a|"]);
        assert_eq!(events(b"data: \xff\n\n", 99), ["message|\u{fffd}|"]);
    }

    #[test]
    fn the_pause_and_the_last_id_are_kept() {
        let mut parser = EventParser::new();
        parser.push(b"retry: 2500\nid: a\nretry: soon\nretry: 99999999999999999999\n\n").unwrap();
        assert_eq!(parser.retry(), Some(Duration::from_millis(2500)));
        assert_eq!(parser.last_id(), "a");
        assert_eq!(parser.next_event(), None);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = EventParser::new().with_limit(100);
        let error = (0..100).find_map(|_| parser.push(b"data: aaaaaaaaaa\n").err()).unwrap();
        assert_eq!(error.kind(), Kind::Protocol);
        let mut parser = EventParser::new().with_limit(100);
        assert!(parser.push(&[b'a'; 101]).is_err());
        let mut parser = EventParser::new().with_limit(100);
        (0..100).for_each(|_| parser.push(b"data: aaaaaaaaaa\n\n").unwrap());
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            stream in "((data|event|id|retry|x)?(: ?|)[a\u{e9}0-9]{0,3}(\r|\n|\r\n)){0,20}",
            size in 1_usize..9,
        ) {
            prop_assert_eq!(events(stream.as_bytes(), size), events(stream.as_bytes(), 10_000));
        }

        #[test]
        fn any_data_is_read_back(lines in prop::collection::vec("[^\r\n\u{feff}]{0,20}", 1..5)) {
            let stream: String = lines.iter().map(|line| format!("data: {line}\n")).collect();
            let expected = format!("message|{}|", lines.join("\n"));
            prop_assert_eq!(events(format!("{stream}\n").as_bytes(), 3), [expected]);
        }
    }
}

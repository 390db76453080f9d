//! The closing handshake (RFC 6455 section 7).

use std::fmt;

use bytes::{BufMut, Bytes};

use super::frame::CONTROL_MAX;
use super::utf8::check_whole;
use super::{Violation, printable};
use crate::Text;

/// The longest reason: what a control frame holds besides the code.
const REASON_MAX: usize = CONTROL_MAX - 2;

/// Why a connection is closed, as a number (RFC 6455 section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// All is done.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The endpoint takes no such message.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// The close frame had no code. It is never sent.
    pub const NO_STATUS: Self = Self(1005);
    /// The connection was lost without a close frame. It is never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// A message is not what it says it is: a text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// The peer did what it may not do.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message is too large.
    pub const TOO_BIG: Self = Self(1009);
    /// The server did not agree to an extension that the client needs.
    pub const MISSING_EXTENSION: Self = Self(1010);
    /// Something unforeseen happened.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The server is about to start again.
    pub const RESTART: Self = Self(1012);
    /// The server is overloaded: try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A gateway got a bad answer from behind it.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// TLS failed. It is never sent.
    pub const TLS: Self = Self(1015);

    /// Whether a close frame may hold it (RFC 6455 section 7.4.2).
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// What it means, in a word or two; empty for the codes of applications.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self.0 {
            1000 => "normal closure",
            1001 => "going away",
            1002 => "protocol error",
            1003 => "unsupported data",
            1005 => "no status",
            1006 => "abnormal closure",
            1007 => "invalid data",
            1008 => "policy violation",
            1009 => "message too big",
            1010 => "missing extension",
            1011 => "internal error",
            1012 => "service restart",
            1013 => "try again later",
            1014 => "bad gateway",
            1015 => "TLS handshake failed",
            _ => "",
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words() {
            "" => self.0.fmt(f),
            words => write!(f, "{} ({words})", self.0),
        }
    }
}

/// What a close frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Why; [`CloseCode::NO_STATUS`] where the frame was empty.
    pub code: CloseCode,
    /// Why, in words; may be empty.
    pub reason: Text,
}

impl Close {
    /// A close for this reason, which is cut off at 123 bytes.
    #[must_use]
    pub fn new(code: CloseCode, reason: &str) -> Self {
        let reason = &reason[..reason.floor_char_boundary(REASON_MAX)];
        Self { code, reason: reason.into() }
    }

    /// Reads the payload of a close frame.
    ///
    /// # Errors
    /// [`Violation`] where RFC 6455 section 5.5.1 is broken.
    pub fn parse(payload: Bytes) -> Result<Self, Violation> {
        let (code, reason) = match payload.split_first_chunk() {
            Some((code, _)) => (u16::from_be_bytes(*code), payload.slice(2..)),
            None if payload.is_empty() => return Ok(Self::new(CloseCode::NO_STATUS, "")),
            None => return Err(Violation::HalfCode),
        };
        if !CloseCode(code).may_be_sent() {
            return Err(Violation::CloseCode(code));
        }
        check_whole(&reason, 0)?;
        Ok(Self { code: CloseCode(code), reason: Text::checked(reason) })
    }

    /// The payload of its frame: empty where the code may not be sent.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        if self.code.may_be_sent() {
            payload.put_u16(self.code.0);
            payload.put_slice(self.reason.as_bytes());
        }
        payload
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*printable(&self.reason) {
            "" => self.code.fmt(f),
            reason => write!(f, "{}: {reason}", self.code),
        }
    }
}

/// The closing handshake: each end sends one close frame (RFC 6455 section 7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    sent: Option<Close>,
    received: Option<Close>,
}

impl Closing {
    /// We want to close: gives the frame to send, unless one was sent already.
    pub fn begin(&mut self, close: Close) -> Option<&Close> {
        if self.sent.is_some() {
            return None;
        }
        Some(self.sent.insert(close))
    }

    /// The peer closes: gives the frame to answer with, its own code, unless we began.
    pub fn receive(&mut self, close: Close) -> Option<&Close> {
        let answer = Close::new(close.code, "");
        self.received.get_or_insert(close);
        self.begin(answer)
    }

    /// Whether nothing more may be sent.
    #[must_use]
    pub const fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// Whether both ends have closed.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.sent.is_some() && self.received.is_some()
    }

    /// What we sent.
    #[must_use]
    pub const fn sent(&self) -> Option<&Close> {
        self.sent.as_ref()
    }

    /// What the peer sent.
    #[must_use]
    pub const fn received(&self) -> Option<&Close> {
        self.received.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_may_be_sent_is_read_again(code in 0_u16..6000, reason: String) {
            let close = Close::new(CloseCode(code), &reason);
            let payload = Bytes::from(close.payload());
            prop_assert!(payload.len() <= CONTROL_MAX);
            match CloseCode(code).may_be_sent() {
                true => prop_assert_eq!(Close::parse(payload), Ok(close)),
                false => prop_assert!(payload.is_empty()),
            }
        }
    }

    #[test]
    fn a_reason_is_shown_without_what_turns_it_around() {
        let close = Close::new(CloseCode(4000), "\u{202e}txt.exe\u{1b}[2J\u{200b}\n");
        assert!(close.to_string().ends_with(": txt.exe [2J"), "{close}");
    }

    #[test]
    fn each_end_closes_once() {
        let (bye, done) = (Close::new(CloseCode(4000), "bye"), Close::new(CloseCode::NORMAL, ""));
        let mut closing = Closing::default();
        assert_eq!(closing.receive(bye.clone()), Some(&Close::new(CloseCode(4000), "")));
        assert!(closing.is_complete() && closing.begin(done.clone()).is_none());

        let mut closing = Closing::default();
        assert_eq!(closing.begin(done.clone()), Some(&done));
        assert!(closing.is_sent() && !closing.is_complete());
        assert_eq!(closing.receive(bye.clone()), None);
        assert_eq!((closing.is_complete(), closing.received()), (true, Some(&bye)));
    }
}

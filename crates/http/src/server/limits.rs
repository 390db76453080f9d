//! What a server puts up with.

use std::time::Duration;

/// What a server bears from one peer. Beyond it the request is refused, and its connection closed.
///
/// # Defaults
/// See each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of a request's head in bytes; 64 KiB. Beyond it: 431.
    pub head: usize,
    /// The number of fields in a head, or in a trailer section; 100. Beyond it: 431.
    pub fields: usize,
    /// The length of a request's target in bytes; 8 KiB. Beyond it: 414.
    pub target: usize,
    /// The size of a request's body in bytes, without its transfer coding; any. Beyond it: 413.
    pub body: Option<u64>,
    /// From the first byte of a request to the end of its head, and for the first request from the
    /// beginning of the connection; 30 s. Beyond it: 408.
    pub head_time: Duration,
    /// How long a body may rest while it is waited for, and an answer while nobody takes it; 60 s.
    pub stall: Duration,
    /// How long a connection may be idle after a request, before the next one; 75 s.
    pub keep_alive: Duration,
    /// How many requests a connection may carry; any number.
    pub requests: Option<u64>,
    /// How many requests of one HTTP/2 connection may be in flight; 128. Of the answer to each some
    /// 200 KiB at most are held for a peer that does not take it.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 * 1024,
            fields: 100,
            target: 8 * 1024,
            body: None,
            head_time: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            requests: None,
            streams: 128,
        }
    }
}

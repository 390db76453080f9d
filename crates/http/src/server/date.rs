//! The time of day as a field says it.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;

thread_local! {
    /// The second that was told last, and how.
    static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Adds the line of `Date` (RFC 9110 section 6.6.1).
pub(crate) fn write_date(output: &mut BytesMut) {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    LAST.with_borrow_mut(|(last, line)| {
        if *last != second {
            *last = second;
            *line = format!("date: {}\r\n", httpdate::fmt_http_date(now));
        }
        output.extend_from_slice(line.as_bytes());
    });
}

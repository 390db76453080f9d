//! The bytes of HTTP/1 as a server reads them (RFC 9112): bytes in, values out.
//!
//! [`Head`] is the head of a request, [`BodyDecoder`] its body. Both are strict: what two parsers
//! could read in two ways is refused, for that is how requests are smuggled past a proxy. Nothing
//! here reads, waits or writes.
//!
//! ```
//! use portolan_http::wire::{Fields, Framing, Head, Scan};
//! use portolan_http::Limits;
//!
//! let (limits, mut fields) = (Limits::default(), Fields::new());
//! let bytes = b"POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nahoy";
//! let end = Scan::default().end(bytes, &limits)?.unwrap_or_default();
//! let head = Head::parse(&bytes[..end], &mut fields, &limits)?;
//! assert_eq!((head.method, head.target), ("POST", "/a"));
//! assert_eq!((head.framing, &bytes[end..]), (Framing::Length(4), &b"ahoy"[..]));
//! # Ok::<(), portolan_http::wire::BadRequest>(())
//! ```

mod body;
mod chunked;
mod fields;
mod head;
mod refusal;
#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, Piece};
pub use fields::Fields;
pub use head::{Framing, Head, Scan};
pub use refusal::BadRequest;

pub(crate) use body::PIECE;
pub(crate) use fields::list;
pub(crate) use head::settle_version;

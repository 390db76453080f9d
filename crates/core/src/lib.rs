//! The ground under Portolan: values that every floor shares.
//!
//! A [`Url`] is parsed once, at the edge, and turned into an [`Endpoint`] to dial or to listen
//! on. [`Deadline`] and [`Timeouts`] bound an operation, [`Backoff`] spaces its retries,
//! [`Event`]s say what happened when, [`Timings`] is a fold over them, and [`Error`] is the one
//! error type of the whole house.
//!
//! Nothing here opens a socket, reads a clock or knows a runtime: whoever needs the time hands it
//! in. Bytes on the wire belong to `portolan-net` and the protocol crates.
//!
//! ```
//! use portolan_core::{Scheme, Url};
//!
//! let url: Url = "https://user:secret@bücher.example/a?q=1".parse()?;
//! assert_eq!(url.scheme(), Scheme::Https);
//! assert_eq!(url.endpoint().to_string(), "xn--bcher-kva.example:443");
//! assert_eq!(url.to_string(), "https://***@xn--bcher-kva.example/a?q=1");
//! # Ok::<(), portolan_core::UrlError>(())
//! ```

mod backoff;
mod deadline;
mod endpoint;
mod error;
mod event;
mod phase;
mod scheme;
mod text;
mod timings;
pub mod units;
mod url;

pub use backoff::Backoff;
pub use deadline::{Deadline, Timeouts};
pub use endpoint::{Endpoint, Host, HostError, Transport};
pub use error::{Blame, Error, Kind};
pub use event::{Answered, Attempt, Direction, Event, Failure, Frame, Refusal, Value};
pub use phase::Phase;
pub use scheme::Scheme;
pub use text::is_invisible;
pub use timings::{Span, Timings};
pub use url::{Url, UrlError, redact, redact_reference};

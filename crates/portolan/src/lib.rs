//! Every network protocol, from either end, at any scale.
//!
//! This crate is the face of the house: the shared values stand at its root, and one module each
//! stands for the network floor, for every protocol and for every engine. It holds nothing of its
//! own.
//!
//! ```
//! use portolan::{Scheme, Url};
//!
//! let url: Url = "https://user:secret@example.org/".parse()?;
//! assert_eq!(url.scheme(), Scheme::Https);
//! assert_eq!(url.to_string(), "https://***@example.org/");
//! # Ok::<(), portolan::UrlError>(())
//! ```

pub use portolan_core::{
    Answered, Attempt, Backoff, Blame, Deadline, Direction, Endpoint, Error, Event, Failure, Frame,
    Host, HostError, Kind, Phase, Refusal, Scheme, Span, Timeouts, Timings, Transport, Url,
    UrlError, Value, is_invisible, redact, redact_reference, units,
};
pub use portolan_http as http;
pub use portolan_lab as lab;
pub use portolan_net as net;
pub use portolan_probe as probe;
pub use portolan_relay as relay;
pub use portolan_transfer as transfer;
pub use portolan_ws as ws;

/// The same for programs without a runtime.
pub mod blocking {
    pub use portolan_http::blocking as http;
    pub use portolan_net::blocking::*;
}

/// The examples of the README, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

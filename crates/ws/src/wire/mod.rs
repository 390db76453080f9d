//! The bytes of WebSocket (RFC 6455) and of permessage-deflate (RFC 7692), without I/O and without
//! a clock: bytes in, values out.
//!
//! [`Decoder`] turns what arrives, in whatever pieces, into [`Received`]; [`Encoder`] turns messages
//! into frames. [`Closing`] is the closing handshake, [`handshake`] the opening one, of which the
//! [`head`]s are read apart.
//!
//! ```
//! use portolan_ws::Message;
//! use portolan_ws::wire::{Decoder, Encoder, Limits, Output, Received, Role};
//!
//! let mut output = Output::default();
//! Encoder::new(Role::Client).message(&Message::from("ahoy"), &mut output);
//!
//! let mut decoder = Decoder::new(Role::Server, Limits::default());
//! decoder.feed(&output.take_all());
//! assert_eq!(decoder.next()?, Some(Received::Message("ahoy".into())));
//! # Ok::<(), portolan_ws::Violation>(())
//! ```

mod close;
mod decoder;
mod deflate;
mod encoder;
mod frame;
pub mod handshake;
pub mod head;
mod mask;
mod origin;
mod output;
mod utf8;

pub use close::{Close, CloseCode, Closing};
pub use decoder::{Decoder, Limits, Received};
pub use deflate::{Deflate, Parameters};
pub use encoder::{Encoder, Shared};
pub use frame::{Header, OpCode, Violation};
pub use origin::Origins;
pub use output::Output;

/// Which end of a connection we are: a client masks what it sends (RFC 6455 section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that dialled.
    Client,
    /// The end that was dialled.
    Server,
}

/// What a peer wrote, fit to be shown: in one line, without what steers a terminal or hides.
pub(crate) fn printable(text: &str) -> String {
    text.replace(portolan_core::is_invisible, " ").trim().to_owned()
}

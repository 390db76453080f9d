//! permessage-deflate (RFC 7692): what is agreed on, compressing, decompressing.
//!
//! The context of a connection is made with its first compressed message. With
//! `no_context_takeover` a connection keeps none: all connections of a thread take turns with one.

mod context;
mod parameters;

pub use self::parameters::{Deflate, Parameters};

pub(crate) use self::context::{Deflater, Inflater};
pub(crate) use self::parameters::{NAME, Offer};

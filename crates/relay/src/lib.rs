//! Joining any end to any other: what the verbs `connect`, `listen` and `relay` do.
//!
//! An [`End`] is what a URL opens: a stream of bytes, or messages. [`Carry`] joins two of them,
//! [`Relay`] does so for each connection that comes in, [`Exec`] joins one to a command, and
//! [`Broadcast`] many to each other, [`Talk`] one with
//! many by datagrams. A protocol that becomes an end joins them all.
//!
//! It does not read or write files or terminals: who has one makes it a
//! [`Stream`](portolan_net::Stream).

mod broadcast;
mod carry;
mod end;
mod exec;
mod framing;
mod halves;
mod relay;
mod talk;

pub use broadcast::Broadcast;
pub use carry::{Carry, Outcome};
pub use end::{End, Messages};
pub use exec::{Exec, ExecError, Process, Running};
pub use framing::Framing;
pub use relay::{HeaderVersion, Relay};
pub use talk::Talk;

//! WebSocket (RFC 6455) with compression (RFC 7692), client and server, over the streams of
//! `portolan-net`.
//!
//! [`Client::connect`] opens a [`WebSocket`] at a URL, [`Reconnecting`] does so again and again.
//! [`Server`] opens one for each that asks and hands it to a handler; [`Upgrade`] does it within an
//! HTTP server. A [`Room`] sends what one says to all. [`wire`] is the protocol without I/O.
//! WebSockets over HTTP/2 (RFC 8441) are not here.
//!
//! See [`Server`] for an example of both ends.

mod client;
mod config;
mod error;
mod info;
mod lines;
mod message;
mod room;
mod server;
mod socket;
pub mod wire;

pub use client::{Client, Reconnecting, UPGRADE};
pub use config::Config;
pub use error::{Refused, WsError};
pub use info::Info;
pub use message::{Message, Text};
pub use room::{Member, Policy, Room};
pub use server::{Server, Upgrade, accept};
pub use socket::{Receiver, Sender, WebSocket};
pub use wire::handshake::{Agreed, Refusal};
pub use wire::{Close, CloseCode, Deflate, Origins, Violation};

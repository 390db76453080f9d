//! WebSocket
mod config;
mod message;
pub mod wire;
pub use config::Config;
pub use message::{Message, Text};
pub use wire::{Close, CloseCode, Deflate, Violation};

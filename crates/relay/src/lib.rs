//! Joining any end to any other: what the verbs `connect`, `listen` and `relay` do.

mod relay;

pub use relay::Relay;

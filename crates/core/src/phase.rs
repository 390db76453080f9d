//! The named stretches of time that an operation is made of.

use std::fmt;

/// A phase of an operation, by its name: the same in `-v`, in JSON and in this library.
///
/// The ground floor names its own phases here; a protocol crate adds constants of its own with
/// [`Phase::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Phase(&'static str);

impl Phase {
    /// Turning a name into addresses.
    pub const RESOLVE: Self = Self("resolve");
    /// Reaching the peer, or the proxy on the way to it.
    pub const CONNECT: Self = Self("connect");
    /// Asking the proxy for the peer; in a server, hearing from the proxy who the peer is.
    pub const PROXY: Self = Self("proxy");
    /// The TLS handshake.
    pub const TLS: Self = Self("tls");

    /// A phase of this name: one lower-case word.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

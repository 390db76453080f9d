//! TLS 1.2 and 1.3 over any [`Stream`](crate::Stream), from either end (RFC 5246, RFC 8446).
//!
//! [`Tls`] is a client's settings, [`Server`] a server's; both turn a stream into a stream and an
//! [`Info`]. A peer's certificate is always verified; every exception lives in [`danger`]. Why one
//! is not trusted is a [`Reason`], why a handshake failed otherwise a [`HandshakeError`]: both are
//! found in the error's chain of causes, and the error's hint says what to do.
//!
//! There is one backend, and nothing here revokes, staples or renews certificates.
//!
//! ```
//! use portolan_core::{Host, Timeouts};
//! use portolan_net::tls::{Identity, Server, Tls};
//! use portolan_net::{Context, Stream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let minted = rcgen::generate_simple_self_signed(["a.example".to_owned()])?;
//! let identity = Identity::from_pem(
//!     minted.cert.pem().as_bytes(),
//!     minted.signing_key.serialize_pem().as_bytes(),
//! )?;
//! let server = Server::new(identity);
//! let client = Tls::new().with_ca([minted.cert.der().to_vec()])?;
//!
//! let (near, far) = tokio::io::duplex(4096);
//! let cx = Context::new(Timeouts::default());
//! let host = Host::parse("a.example")?;
//! let (dialled, accepted) = tokio::join!(
//!     client.connect(Stream::boxed(near), &host, &cx),
//!     server.accept(Stream::boxed(far), &cx),
//! );
//! let (_stream, info) = dialled?;
//! assert!(info.verified);
//! assert_eq!(info.chain[0].names, ["a.example"]);
//! assert_eq!(accepted?.1.server_name.as_deref(), Some("a.example"));
//! # Ok(())
//! # }
//! ```

mod certificate;
mod client;
pub mod danger;
mod handshake;
mod identity;
mod info;
mod key_log;
mod pem;
mod pin;
mod server;
mod untrusted;
mod verify;
mod version;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use certificate::Certificate;
pub use client::Tls;
pub use handshake::{HandshakeError, refusal_of};
pub use identity::Identity;
pub use info::Info;
pub use pem::PemError;
pub use pin::{Pin, PinError};
pub use server::Server;
pub use untrusted::{Reason, Untrusted};
pub use version::{Version, VersionError};

/// The one backend.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// Bytes as lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;

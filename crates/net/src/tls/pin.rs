//! Pinned public keys.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The SHA-256 hash of a certificate's public key (its SubjectPublicKeyInfo, RFC 7469 section
/// 2.4), written `sha256/BASE64`.
///
/// ```
/// use portolan_net::tls::Pin;
///
/// let pin: Pin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse()?;
/// assert_eq!(pin, Pin::of(b""));
/// # Ok::<(), portolan_net::tls::PinError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

/// Why a text is not a [`Pin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a pin: sha256/ and the 44 characters of a SHA-256 hash in base64")]
pub struct PinError;

impl Pin {
    /// The pin of a public key, given as the DER of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn of(public_key: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, public_key).as_ref());
        Self(hash)
    }
}

impl FromStr for Pin {
    type Err = PinError;

    /// Reads `sha256/BASE64`, and curl's `sha256//BASE64`.
    fn from_str(text: &str) -> Result<Self, PinError> {
        let base64 = text.strip_prefix("sha256/").ok_or(PinError)?;
        // The hash itself may begin with a slash.
        let base64 = if base64.len() == 45 { base64.strip_prefix('/') } else { Some(base64) };
        let hash = STANDARD.decode(base64.ok_or(PinError)?).map_err(|_| PinError)?;
        hash.try_into().map(Self).map_err(|_| PinError)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

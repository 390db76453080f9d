//! A certificate and its key.

use std::path::Path;
use std::sync::Arc;

use portolan_core::Error;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::pem::{certificates, private_key, read};
use super::{Certificate, PemError, provider};

/// Who this end is: a certificate with the ones that vouch for it, and its private key.
///
/// Cheap to clone. It never prints the key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// Reads the chain (the own certificate first) and the key from PEM files, which may be one
    /// and the same.
    ///
    /// # Errors
    /// [`Kind::Read`](portolan_core::Kind::Read) if a file cannot be read,
    /// [`Kind::Usage`](portolan_core::Kind::Usage) with a [`PemError`] if it does not serve.
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        let (certificate, key) = (certificate.as_ref(), key.as_ref());
        Self::new(
            &read(certificate)?,
            &read(key)?,
            &format!("the certificate in {}", certificate.display()),
            &format!("the key in {}", key.display()),
        )
    }

    /// Reads the chain (the own certificate first) and the key from PEM texts.
    ///
    /// # Errors
    /// [`Kind::Usage`](portolan_core::Kind::Usage) with a [`PemError`].
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, Error> {
        Self::new(certificate, key, "the certificate", "the key")
    }

    fn new(certificate: &[u8], key: &[u8], the_one: &str, the_other: &str) -> Result<Self, Error> {
        let chain = certificates(certificate).map_err(|error| error.about(the_one))?;
        let key = private_key(key).map_err(|error| error.about(the_other))?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_| PemError::Unusable.about(the_other))?;
        let identity = CertifiedKey::new(chain, key);
        match identity.keys_match() {
            // A key that does not tell its public half is taken at its word.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Self(Arc::new(identity)))
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(PemError::KeyMismatch.about(&format!("{the_other} with {the_one}")))
            }
            Err(_) => Err(PemError::Unusable.about(the_one)),
        }
    }

    /// The certificates, the own one first.
    #[must_use]
    pub fn chain(&self) -> Vec<Certificate> {
        Certificate::chain(&self.0.cert)
    }

    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        self.0.clone()
    }

    /// Presents this identity whoever asks.
    pub(super) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(self.0.clone()))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let subjects: Vec<_> = self.chain().into_iter().map(|link| link.subject).collect();
        f.debug_tuple("Identity").field(&subjects).finish()
    }
}

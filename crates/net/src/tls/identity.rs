//! A certificate and its key.

use std::path::Path;
use std::sync::Arc;

use portolan_core::{Error, Host, Kind};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use time::{Duration, OffsetDateTime};

use super::pem::{certificates, private_key, read};
use super::{Certificate, PemError, provider};

/// How long a certificate is valid that is made here.
const LIFETIME: Duration = Duration::days(90);

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

    /// Makes a key and a certificate for it, which is signed by itself and valid for 90 days, for
    /// `host` and this machine's loopback names. Nobody trusts it who has not pinned its key.
    ///
    /// # Errors
    /// [`Kind::Tls`] where the host cannot stand in a certificate.
    pub fn self_signed(host: &Host) -> Result<Self, Error> {
        let minted = mint(host).map_err(|cause| {
            Error::new(Kind::Tls, format!("could not make a certificate for {host}"))
                .with_source(cause)
        })?;
        Self::from_pem(minted.cert.pem().as_bytes(), minted.signing_key.serialize_pem().as_bytes())
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

fn mint(host: &Host) -> Result<rcgen::CertifiedKey<KeyPair>, rcgen::Error> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    if !host.bare().is_empty() && !names.contains(&host.bare()) {
        names.insert(0, host.bare());
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "portolan, self-signed");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = OffsetDateTime::now_utc();
    // An hour of grace for clocks that are behind.
    params.not_before = now - Duration::hours(1);
    params.not_after = now + LIFETIME;
    let signing_key = KeyPair::generate()?;
    Ok(rcgen::CertifiedKey { cert: params.self_signed(&signing_key)?, signing_key })
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let subjects: Vec<_> = self.chain().into_iter().map(|link| link.subject).collect();
        f.debug_tuple("Identity").field(&subjects).finish()
    }
}

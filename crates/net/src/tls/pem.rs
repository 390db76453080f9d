//! Certificates and keys in PEM (RFC 7468).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use portolan_core::{Blame, Error, Kind};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why certificates or a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// Not one `BEGIN CERTIFICATE`.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// Not one `BEGIN PRIVATE KEY` or the like.
    #[error("there is no private key in it")]
    NoKey,
    /// The private key needs a passphrase.
    #[error("its private key is encrypted")]
    EncryptedKey,
    /// The text between the markers is damaged.
    #[error("its PEM is malformed")]
    Malformed,
    /// What is in the PEM is no certificate or key that the backend knows.
    #[error("it is of a kind that cannot be used")]
    Unusable,
    /// The key belongs to another certificate.
    #[error("the key does not belong to the certificate")]
    KeyMismatch,
}

impl PemError {
    /// Turns the cause into an error about `what`: a sentence's object, such as a file's name.
    pub(super) fn about(self, what: &str) -> Error {
        let hint = match self {
            Self::NoCertificate => "a certificate in PEM begins with -----BEGIN CERTIFICATE-----",
            Self::NoKey => "a private key in PEM begins with -----BEGIN PRIVATE KEY-----",
            Self::EncryptedKey => {
                "take the passphrase off first: openssl pkey -in FILE -out PLAIN-FILE"
            }
            Self::Malformed => "the file may be cut short or damaged: make or fetch it anew",
            Self::Unusable => "certificates must be X.509 v3, and keys RSA, ECDSA or Ed25519",
            Self::KeyMismatch => {
                "the key must be the one that the first certificate in the file was made for"
            }
        };
        Error::new(Kind::Usage, format!("could not use {what}")).with_hint(hint).with_source(self)
    }
}

/// The largest file of certificates that is read; a bundle of all public roots has a quarter MiB.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// Reads a whole file that the user named, unless it is larger than any file of certificates.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let read = || {
        let mut bytes = Vec::new();
        let size = File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)? as u64;
        if size > FILE_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    };
    read().map_err(|error: io::Error| {
        Error::new(Kind::Read, format!("could not read {}", path.display()))
            .with_blame(Blame::Input)
            .with_source(error)
    })
}

/// All certificates in a PEM text, of which there must be one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| PemError::Malformed)?;
    if certificates.is_empty() { Err(PemError::NoCertificate) } else { Ok(certificates) }
}

/// The first private key in a PEM text.
pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    use rustls_pki_types::pem::Error as E;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        if pem.windows(9).any(|word| word == b"ENCRYPTED") {
            PemError::EncryptedKey
        } else if matches!(error, E::NoItemsFound) {
            PemError::NoKey
        } else {
            PemError::Malformed
        }
    })
}

/// Certificates that are trusted because the user says so.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    pub(super) store: Arc<RootCertStore>,
    pub(super) certificates: Arc<[CertificateDer<'static>]>,
}

impl Roots {
    /// The certificates in a PEM file.
    pub(super) fn from_pem_file(path: &Path) -> Result<Self, Error> {
        certificates(&read(path)?)
            .and_then(Self::new)
            .map_err(|error| error.about(&format!("the certificates in {}", path.display())))
    }

    /// The certificates given as DER.
    pub(super) fn from_der(
        ders: impl IntoIterator<Item = impl Into<Vec<u8>>>,
    ) -> Result<Self, Error> {
        let certificates = ders.into_iter().map(|der| CertificateDer::from(der.into())).collect();
        Self::new(certificates).map_err(|error| error.about("the certificates to trust"))
    }

    /// Those that are malformed are left out: bundles hold odd ones, and they match no peer.
    fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, PemError> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.iter().cloned());
        if store.is_empty() {
            return Err(PemError::Unusable);
        }
        Ok(Self { store: store.into(), certificates: certificates.into() })
    }
}

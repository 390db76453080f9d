//! Certificates, right and wrong, minted for one test.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

/// A certificate authority: the root, or one below it.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    dir: TempDir,
}

/// A certificate, the chain to be sent with it, and its key: PEM.
pub(crate) struct Identity {
    certificate: String,
    chain: String,
    key: String,
}

/// The files of an [`Identity`].
pub(crate) struct Files {
    pub(crate) certificate: String,
    /// The certificate and its chain.
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    /// One that has signed itself.
    pub(crate) fn root(name: &str) -> Self {
        let (params, key) = (Self::params(name), KeyPair::generate().unwrap());
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem, dir: tempfile::tempdir().unwrap() }
    }

    /// One that this one has signed.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (Self::params(name), KeyPair::generate().unwrap());
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem, dir: tempfile::tempdir().unwrap() }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid(&mut params, -1, 365);
        params
    }

    /// The file of its certificate, for `--cacert`.
    pub(crate) fn file(&self) -> String {
        let path = self.dir.path().join("ca.pem");
        fs::write(&path, &self.pem).unwrap();
        path.display().to_string()
    }

    /// A certificate for a host, valid since yesterday and for 90 days.
    pub(crate) fn issue(&self, host: &str) -> Identity {
        self.issue_for(host, -1, 90)
    }

    /// A certificate for a host, valid from and to these days from now.
    pub(crate) fn issue_for(&self, host: &str, from: i64, to: i64) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf(host, from, to).signed_by(&key, &self.issuer).unwrap().pem();
        Identity::new(certificate, &key)
    }
}

impl Identity {
    fn new(certificate: String, key: &KeyPair) -> Self {
        Self { certificate, chain: String::new(), key: key.serialize_pem() }
    }

    /// A certificate for a host that its own key has signed.
    pub(crate) fn self_signed(host: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf(host, -1, 90).self_signed(&key).unwrap().pem();
        Self::new(certificate, &key)
    }

    /// The same, to be sent with the certificate of the one who issued it.
    pub(crate) fn with_chain(mut self, issuer: &Authority) -> Self {
        self.chain.push_str(&issuer.pem);
        self
    }

    /// Whether a chain is to be sent with it.
    pub(crate) const fn has_chain(&self) -> bool {
        !self.chain.is_empty()
    }

    /// Writes its files into `dir`.
    pub(crate) fn write(&self, dir: &Path) -> Files {
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        Files {
            certificate: write("certificate.pem", &self.certificate),
            chain: write("chain.pem", &format!("{}{}", self.certificate, self.chain)),
            key: write("key.pem", &self.key),
        }
    }
}

fn leaf(host: &str, from: i64, to: i64) -> CertificateParams {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, host);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    valid(&mut params, from, to);
    params
}

fn valid(params: &mut CertificateParams, from: i64, to: i64) {
    let now = OffsetDateTime::now_utc();
    // An hour more, so that the days left are the days asked for.
    params.not_before = now + Duration::days(from);
    params.not_after = now + Duration::days(to) + Duration::hours(1);
}

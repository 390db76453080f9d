//! The lab's certificate authority, minted at each start.

use portolan_core::{Error, Kind};
use portolan_net::tls;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// The names that the lab's certificate is for.
const NAMES: [&str; 5] = ["localhost", "lab.test", "*.lab.test", "127.0.0.1", "::1"];
/// How long certificates are valid.
const LIFETIME: Duration = Duration::days(90);

/// A certificate authority and the one certificate that it has issued.
pub(crate) struct Authority {
    /// The authority's own certificate.
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
    pub(crate) identity: tls::Identity,
}

impl Authority {
    pub(crate) fn mint() -> Result<Self, Error> {
        let failed = |error: rcgen::Error| {
            Error::new(Kind::Tls, "could not mint the lab's certificates").with_source(error)
        };
        let ca_key = KeyPair::generate().map_err(failed)?;
        let ca = ca_params();
        let certificate = ca.self_signed(&ca_key).map_err(failed)?;
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().map_err(failed)?;
        let leaf = leaf_params().map_err(failed)?.signed_by(&key, &issuer).map_err(failed)?;
        let identity =
            tls::Identity::from_pem(leaf.pem().as_bytes(), key.serialize_pem().as_bytes())?;
        Ok(Self { pem: certificate.pem(), der: certificate.der().to_vec(), identity })
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "portolan lab CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_lifetime(&mut params);
    params
}

fn leaf_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    params.distinguished_name.push(DnType::CommonName, "portolan lab");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_lifetime(&mut params);
    Ok(params)
}

fn set_lifetime(params: &mut CertificateParams) {
    let now = OffsetDateTime::now_utc();
    // An hour of grace for clocks that are behind.
    params.not_before = now - Duration::hours(1);
    params.not_after = now + LIFETIME;
}

//! The verdict on a peer's certificate, with its reason.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::handshake::words_of;
use super::pem::Roots;
use super::{Certificate, Pin, Reason, Untrusted, provider};

/// What a server's certificate is checked against.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// What the platform trusts.
    Platform(Arc<rustls_platform_verifier::Verifier>),
    /// The certificates that the user gave.
    Given(Arc<WebPkiServerVerifier>, Arc<[CertificateDer<'static>]>),
    /// Nothing: the platform has no root certificates.
    Nothing,
}

impl Trust {
    /// The platform's roots, read from disk where it keeps them in files.
    pub(super) fn platform() -> Self {
        rustls_platform_verifier::Verifier::new(provider())
            .map_or(Self::Nothing, |verifier| Self::Platform(Arc::new(verifier)))
    }

    /// The roots that the user gave.
    pub(super) fn given(roots: &Roots) -> Self {
        WebPkiServerVerifier::builder_with_provider(roots.store.clone(), provider())
            .build()
            .map_or(Self::Nothing, |verifier| Self::Given(verifier, roots.certificates.clone()))
    }
}

/// Verifies servers' certificates. A refusal carries an [`Untrusted`] through the backend, so that
/// nothing has to be shared between a handshake and its verifier.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    pins: Vec<Pin>,
}

impl Verifier {
    pub(super) const fn new(trust: Trust, pins: Vec<Pin>) -> Self {
        Self { trust, pins }
    }

    /// The verdict on a chain: trust, validity, name, and pins.
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Untrusted> {
        let verdict = match &self.trust {
            Trust::Nothing => return Err(without_roots(leaf, intermediates)),
            Trust::Platform(platform) => {
                platform.verify_server_cert(leaf, intermediates, name, &[], now)
            }
            Trust::Given(given, roots) => {
                match given.verify_server_cert(leaf, intermediates, name, &[], now) {
                    // The backend lets no CA's certificate stand for a server, even where the user
                    // trusts that very one, as `openssl req -x509` makes them. By then it has
                    // checked the validity.
                    Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                        if roots.contains(leaf) =>
                    {
                        ParsedCertificate::try_from(leaf)
                            .and_then(|leaf| verify_server_name(&leaf, name))
                            .map(|()| ServerCertVerified::assertion())
                    }
                    verdict => verdict,
                }
            }
        };
        if let Err(error) = verdict {
            let wanted = Some(name.to_str());
            return Err(untrusted(&error, wanted.as_deref(), leaf, intermediates, now));
        }
        self.check_pins(leaf, intermediates)
    }

    /// The verdict by the pins alone. Only the peer's own key counts: anybody can send a pinned
    /// certificate along further up the chain.
    pub(super) fn check_pins(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), Untrusted> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let chain = Certificate::chain([leaf].into_iter().chain(intermediates));
        let reason = match Certificate::from_der(leaf) {
            Some(leaf) if self.pins.contains(&leaf.pin) => return Ok(()),
            Some(leaf) => Reason::Pin { found: leaf.pin },
            None => malformed(),
        };
        Err(Untrusted { reason, chain })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(leaf, intermediates, name, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Verifies clients' certificates, and requires one.
#[derive(Debug)]
pub(super) struct ClientVerifier(Arc<dyn ClientCertVerifier>);

impl ClientVerifier {
    /// Trusts the clients whose certificates lead to these roots.
    pub(super) fn new(roots: &Roots) -> Result<Self, rustls::Error> {
        WebPkiClientVerifier::builder_with_provider(roots.store.clone(), provider())
            .build()
            .map(Self)
            .map_err(|error| rustls::Error::General(error.to_string()))
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verdict = self.0.verify_client_cert(leaf, intermediates, now);
        verdict.map_err(|error| untrusted(&error, None, leaf, intermediates, now).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The peer gets the alert certificate_unknown: the backend keeps the finer ones for errors that
/// cannot carry the chain.
impl From<Untrusted> for rustls::Error {
    fn from(untrusted: Untrusted) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(untrusted))))
    }
}

/// What the backend's refusal of a chain means. There is no wanted name for a client.
fn untrusted(
    error: &rustls::Error,
    wanted: Option<&str>,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Untrusted {
    let chain = Certificate::chain([leaf].into_iter().chain(intermediates));
    let now = UNIX_EPOCH + Duration::from_secs(now.as_secs());
    let reason = match Certificate::from_der(leaf) {
        Some(leaf) => reason(error, wanted, &leaf, &chain, now),
        None => malformed(),
    };
    Untrusted { reason, chain }
}

pub(super) fn reason(
    error: &rustls::Error,
    wanted: Option<&str>,
    leaf: &Certificate,
    chain: &[Certificate],
    now: SystemTime,
) -> Reason {
    use CertificateError as E;
    let rustls::Error::InvalidCertificate(invalid) = error else {
        return Reason::Other(words_of(error));
    };
    match invalid {
        E::Expired | E::ExpiredContext { .. } => expired(chain, now),
        E::NotValidYet | E::NotValidYetContext { .. } => not_yet_valid(chain, now),
        E::NotValidForName | E::NotValidForNameContext { .. } => Reason::WrongHost {
            wanted: wanted.unwrap_or_default().to_owned(),
            names: leaf.names.clone(),
        },
        E::Revoked => Reason::Revoked,
        E::BadSignature | E::UnknownIssuer | E::Other(_) if leaf.self_signed => Reason::SelfSigned,
        E::BadSignature => Reason::BadSignature { issuer: leaf.issuer.clone() },
        E::UnknownIssuer => {
            Reason::UnknownIssuer { issuer: last_issuer(chain), alone: chain.len() == 1 }
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } | E::Other(_)
            if wanted.is_some() && !leaf.for_servers =>
        {
            Reason::NotForServers
        }
        E::BadEncoding => malformed(),
        _ => Reason::Other(words_of(error)),
    }
}

fn without_roots(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Untrusted {
    let chain = Certificate::chain([leaf].into_iter().chain(intermediates));
    let is_self_signed = chain.first().is_some_and(|leaf| leaf.self_signed);
    let reason = if is_self_signed { Reason::SelfSigned } else { Reason::NoRoots };
    Untrusted { reason, chain }
}

fn malformed() -> Reason {
    Reason::Other("certificate is malformed".to_owned())
}

fn expired(chain: &[Certificate], now: SystemTime) -> Reason {
    let ended = chain.iter().position(|certificate| certificate.not_after < now);
    let Some(index) = ended else {
        return Reason::Other("certificate ends before it begins".to_owned());
    };
    let Certificate { not_after, subject, .. } = &chain[index];
    Reason::Expired {
        ago: now.duration_since(*not_after).unwrap_or_default(),
        on: *not_after,
        issuer: (index > 0).then(|| subject.clone()),
    }
}

fn not_yet_valid(chain: &[Certificate], now: SystemTime) -> Reason {
    let early = chain.iter().position(|certificate| certificate.not_before > now);
    let Some(index) = early else {
        return Reason::Other("certificate is not valid yet".to_owned());
    };
    let Certificate { not_before, subject, .. } = &chain[index];
    Reason::NotYetValid {
        within: not_before.duration_since(now).unwrap_or_default(),
        on: *not_before,
        issuer: (index > 0).then(|| subject.clone()),
    }
}

/// The issuer of the topmost certificate that hangs together with the peer's.
fn last_issuer(chain: &[Certificate]) -> String {
    let mut issuer = "";
    for certificate in chain {
        if issuer.is_empty() || certificate.subject == issuer {
            issuer = &certificate.issuer;
        }
    }
    issuer.to_owned()
}

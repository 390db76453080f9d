//! Every exception from verification. What is done with these is open to anybody in between.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Tls;
use super::verify::Verifier;

/// The same settings, but the server's certificate is not verified, whatever it says.
///
/// [`Info::verified`](super::Info::verified) is false then, and
/// [`Info::distrust`](super::Info::distrust) says why it would not have been trusted. Pins are
/// checked all the same.
#[must_use]
pub fn without_verification(tls: Tls) -> Tls {
    tls.unverified()
}

/// Accepts any certificate whose key is not refused by the pins.
#[derive(Debug)]
pub(super) struct Unverified(pub(super) Arc<Verifier>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.check_pins(leaf, intermediates)?;
        Ok(ServerCertVerified::assertion())
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

//! Why a handshake failed, in words, and what to do about it.

use std::io;

use portolan_core::{Blame, Error, Kind, Phase};
use rustls::{AlertDescription, InvalidMessage, PeerIncompatible};

use super::version::Versions;
use super::{Reason, Untrusted};

/// Why a handshake failed for another reason than trust: the cause of an error of
/// [`Kind::Tls`]. Alerts go by their names in RFC 8446 section 6.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// There is no version that both ends speak.
    #[error("the peer and we have no TLS version in common")]
    NoCommonVersion,
    /// There is no cipher suite, group or signature scheme that both ends speak.
    #[error("the peer and we have no cipher suite in common")]
    NoCommonCipher,
    /// There is no protocol that both ends offer (RFC 7301).
    #[error("the peer and we have no protocol in common (ALPN)")]
    NoCommonProtocol,
    /// The peer's bytes are not TLS.
    #[error("the peer does not speak TLS")]
    NotTls,
    /// The connection ended.
    #[error("the peer closed the connection during the handshake")]
    Closed,
    /// The connection was reset.
    #[error("the peer reset the connection during the handshake")]
    Reset,
    /// A client certificate is required, and none was given.
    #[error("a client certificate is required and none was given")]
    CertificateRequired,
    /// The peer refused our certificate.
    #[error("the peer refused our certificate (alert {0})")]
    CertificateRefused(String),
    /// The server does not know the name that it was asked for (RFC 6066 section 3).
    #[error("the peer does not know the name it was asked for")]
    UnknownName,
    /// The peer refused, for any other reason.
    #[error("the peer refused the handshake (alert {0})")]
    Refused(String),
    /// The peer broke the protocol.
    #[error("the peer broke the handshake: {0}")]
    Broken(String),
}

/// Which end we are, as far as the words of a failure depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// We dialled.
    Client { has_identity: bool, versions: Versions },
    /// We accepted.
    Server,
}

impl HandshakeError {
    fn from_tls(error: &rustls::Error, end: End) -> Self {
        use PeerIncompatible as P;
        match error {
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert, end),
            rustls::Error::NoApplicationProtocol => Self::NoCommonProtocol,
            rustls::Error::NoCertificatesPresented => Self::CertificateRequired,
            rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            rustls::Error::PeerIncompatible(incompatible) => match incompatible {
                P::ServerDoesNotSupportTls12Or13
                | P::ServerTlsVersionIsDisabledByOurConfig
                | P::SupportedVersionsExtensionRequired
                | P::Tls12NotOffered
                | P::Tls12NotOfferedOrEnabled => Self::NoCommonVersion,
                P::NoCipherSuitesInCommon
                | P::NoKxGroupsInCommon
                | P::NoSignatureSchemesInCommon
                | P::NoCertificateRequestSignatureSchemesInCommon => Self::NoCommonCipher,
                _ => Self::Broken(words_of(error)),
            },
            _ => Self::Broken(words_of(error)),
        }
    }

    fn from_alert(alert: AlertDescription, end: End) -> Self {
        use AlertDescription as A;
        match alert {
            A::ProtocolVersion => Self::NoCommonVersion,
            A::InsufficientSecurity => Self::NoCommonCipher,
            A::NoApplicationProtocol => Self::NoCommonProtocol,
            A::UnrecognisedName => Self::UnknownName,
            A::CertificateRequired => Self::CertificateRequired,
            A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied => match end {
                // Some servers say so of the certificate that was not there.
                End::Client { has_identity: false, .. } => Self::CertificateRequired,
                End::Client { .. } | End::Server => Self::CertificateRefused(alert_name(alert)),
            },
            alert => Self::Refused(alert_name(alert)),
        }
    }

    fn into_error(self, message: String, end: End) -> Error {
        let error = Error::new(Kind::Tls, message);
        let error = match self.hint(end) {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        error.with_source(self)
    }

    fn hint(&self, end: End) -> Option<String> {
        let hint = match (self, end) {
            (Self::NoCommonVersion, End::Client { versions, .. }) => {
                return Some(match versions == Versions::default() {
                    true => {
                        format!("we speak {versions}; older ones are not safe: update the peer")
                    }
                    false => format!("we offered {versions}: see --tls-min and --tls-max"),
                });
            }
            (Self::NoCommonProtocol, End::Client { .. }) => {
                "offer a protocol that the peer speaks with --alpn LIST"
            }
            (Self::NotTls, End::Client { .. }) => {
                "the peer answered in clear text: try the scheme without TLS"
            }
            (Self::NotTls, End::Server) => {
                "the client may have dialled the scheme without TLS, or may not be one at all"
            }
            (Self::Closed | Self::Reset, End::Client { .. }) => {
                "the peer may not speak TLS on this port, or may not accept us"
            }
            (Self::CertificateRequired, End::Client { has_identity: false, .. }) => {
                "give the certificate and its key with --cert FILE and --key FILE"
            }
            (Self::CertificateRequired, End::Client { .. }) => {
                "the peer did not get a certificate that it can use: check --cert and --key"
            }
            (Self::CertificateRefused(_), End::Client { .. }) => {
                "give a certificate that the peer accepts with --cert FILE and --key FILE"
            }
            (Self::CertificateRefused(_), End::Server) => {
                "the client does not trust us: give it the issuer of our certificate"
            }
            (Self::UnknownName, End::Client { .. }) => {
                "ask for a name that the peer serves with --sni NAME"
            }
            (Self::Refused(alert), End::Client { has_identity, .. })
                if alert == "handshake_failure" =>
            {
                if has_identity {
                    "the peer may not accept our certificate, or have no cipher suite in common \
                     with us"
                } else {
                    "the peer may require a client certificate (--cert and --key), or have no \
                     cipher suite in common with us"
                }
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Turns what went wrong in a handshake with `peer` into an error with its hint.
pub(super) fn failure(error: io::Error, end: End, peer: &str) -> Error {
    let tls = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    if let Some(untrusted) = tls.and_then(untrusted_of) {
        return distrust(untrusted, end, peer);
    }
    let message = format!("could not set up TLS with {peer}");
    let cause = match (tls, error.kind()) {
        (Some(tls), _) => HandshakeError::from_tls(tls, end),
        (None, io::ErrorKind::UnexpectedEof) => HandshakeError::Closed,
        (None, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => HandshakeError::Reset,
        (None, _) => {
            return Error::new(Kind::Tls, message).with_blame(Blame::Network).with_source(error);
        }
    };
    cause.into_error(message, end)
}

fn distrust(untrusted: Untrusted, end: End, peer: &str) -> Error {
    let hint = match end {
        End::Client { .. } => untrusted.reason.hint(),
        End::Server => "the client needs a valid certificate from an issuer that --client-ca names",
    };
    let blame = if untrusted.reason == Reason::NoRoots { Blame::Us } else { Blame::Peer };
    Error::new(Kind::Untrusted, format!("could not trust the certificate of {peer}"))
        .with_blame(blame)
        .with_hint(hint)
        .with_source(untrusted)
}

/// What our verifier had to say through the backend.
fn untrusted_of(error: &rustls::Error) -> Option<Untrusted> {
    let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = error else {
        return None;
    };
    other.0.downcast_ref::<Untrusted>().cloned()
}

/// Recognises a refusal of the handshake in an error of reading or writing the stream.
///
/// In TLS 1.3 a server judges the client's certificate only after the client has finished its
/// handshake (RFC 8446 section 4.4.2.4), so its alert arrives with the first read. `None` for every
/// other error.
#[must_use]
pub fn refusal_of(error: &io::Error) -> Option<Error> {
    let cause = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let &rustls::Error::AlertReceived(alert) = cause else { return None };
    // What the client gave is not known here, but a server says so if it was nothing.
    let has_identity = alert != AlertDescription::CertificateRequired;
    let end = End::Client { has_identity, versions: Versions::default() };
    match HandshakeError::from_alert(alert, end) {
        cause @ (HandshakeError::CertificateRequired | HandshakeError::CertificateRefused(_)) => {
            Some(cause.into_error("could not set up TLS".to_owned(), end).with_phase(Phase::TLS))
        }
        _ => None,
    }
}

/// An alert's name in RFC 8446 section 6, or its number.
fn alert_name(alert: AlertDescription) -> String {
    match alert.as_str() {
        Some(name) => spaced(name).replace(' ', "_"),
        None => u8::from(alert).to_string(),
    }
}

/// The backend's error in the house's voice: `selected unoffered cipher suite`.
pub(super) fn words_of(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            spaced(&other.to_string())
        }
        rustls::Error::InvalidCertificate(invalid) => spaced(&invalid.to_string()),
        error => spaced(&error.to_string()),
    }
}

/// Splits `CamelCase` into lower-case words.
fn spaced(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 8);
    let mut after_lower = false;
    for letter in text.chars() {
        if after_lower && letter.is_uppercase() {
            words.push(' ');
        }
        after_lower = letter.is_lowercase();
        words.extend(letter.to_lowercase());
    }
    words
}

//! What a handshake agreed on.

use std::time::SystemTime;

use portolan_core::{Phase, Value};
use rustls::{CommonState, HandshakeKind};

use super::{Certificate, Reason, Version};
use crate::Context;

/// The facts about an established TLS connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The version.
    pub version: Version,
    /// The cipher suite, by its IANA name.
    pub cipher: String,
    /// The application protocol that ALPN chose (RFC 7301).
    pub alpn: Option<String>,
    /// The name that the client asked for (SNI, RFC 6066 section 3); `None` for an IP address.
    pub server_name: Option<String>,
    /// The peer's certificates, its own first; empty for a client that gave none.
    pub chain: Vec<Certificate>,
    /// Whether the peer's certificate was verified.
    pub verified: bool,
    /// Why the certificate would not have been trusted, where the check was skipped.
    pub distrust: Option<Reason>,
    /// Whether an earlier session was resumed: the certificates are those of its first handshake.
    pub resumed: bool,
}

impl Info {
    /// What the backend says of a finished handshake.
    pub(super) fn new(connection: &CommonState, server_name: Option<&str>) -> Self {
        let version = connection.protocol_version().map_or(Version::Tls13, Version::from);
        let cipher = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let cipher = cipher.and_then(|cipher| cipher.as_str()).unwrap_or_default();
        Self {
            version,
            cipher: cipher.replace("TLS13_", "TLS_"),
            alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            server_name: server_name.map(str::to_owned),
            chain: Certificate::chain(connection.peer_certificates().unwrap_or_default()),
            verified: true,
            distrust: None,
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Tells the observers.
    pub(super) fn report(&self, cx: &Context) {
        cx.fact(Phase::TLS, "version", self.version.to_string());
        cx.fact(Phase::TLS, "cipher", self.cipher.as_str());
        if let Some(alpn) = &self.alpn {
            cx.fact(Phase::TLS, "alpn", alpn.as_str());
        }
        if self.resumed {
            cx.fact(Phase::TLS, "resumed", true);
        }
        if let Some(reason) = &self.distrust {
            cx.fact(Phase::TLS, "distrust", reason.to_string());
        }
        report_certificate(&self.chain, cx);
    }
}

/// Tells the observers about the peer's own certificate, and who stands in the chain that it sent.
pub(super) fn report_certificate(chain: &[Certificate], cx: &Context) {
    if let Some(leaf) = chain.first() {
        cx.fact(Phase::TLS, "certificate", leaf.to_value(SystemTime::now()));
        let subjects = chain.iter().map(|certificate| certificate.subject.as_str());
        cx.fact(Phase::TLS, "chain", Value::texts(subjects));
    }
}

//! TLS.

use portolan_core::{Error, Host};

use crate::{Context, Stream};

/// Client.
#[derive(Clone, Debug, Default)]
pub struct Tls;

impl Tls {
    /// Verified.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// CA.
    pub fn with_ca_pem(self, _pem: &str) -> Result<Self, Error> {
        Ok(self)
    }

    /// Whether ALPN was chosen.
    #[must_use]
    pub fn with_default_alpn(self, _protocols: &[&str]) -> Self {
        self
    }

    /// Handshake.
    pub async fn connect(
        &self,
        stream: Stream,
        _host: &Host,
        _cx: &Context,
    ) -> Result<(Stream, Info), Error> {
        Ok((stream, Info { alpn: None, chain: Vec::new(), distrust: None }))
    }
}

/// Server.
#[derive(Clone, Debug)]
pub struct Server;

impl Server {
    /// Handshake.
    pub async fn accept(&self, stream: Stream, _cx: &Context) -> Result<(Stream, Info), Error> {
        Ok((stream, Info { alpn: None, chain: Vec::new(), distrust: None }))
    }
}

/// Facts.
#[derive(Clone, Debug)]
pub struct Info {
    /// ALPN.
    pub alpn: Option<String>,
    /// Chain.
    pub chain: Vec<Certificate>,
    /// Distrust.
    pub distrust: Option<String>,
}

/// Certificate.
#[derive(Clone, Debug)]
pub struct Certificate;

impl Certificate {
    /// Days.
    #[must_use]
    pub fn days_left(&self, _now: std::time::SystemTime) -> i64 {
        0
    }
}

/// Identity.
#[derive(Clone, Debug)]
pub struct Identity;

impl Identity {
    /// PEM.
    pub fn from_pem(_a: &str, _b: &str) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl Server {
    /// New.
    pub fn new(_i: Identity) -> Result<Self, Error> {
        Ok(Self)
    }
    /// ALPN
    #[must_use]
    pub fn with_alpn(self, _a: &[&str]) -> Self {
        self
    }
}

/// Stub.
#[must_use]
pub fn refused_by_alert(_error: &std::io::Error) -> Option<Error> {
    None
}

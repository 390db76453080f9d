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
        Ok((stream, Info { alpn: None }))
    }
}

/// Server.
#[derive(Clone, Debug)]
pub struct Server;

impl Server {
    /// Handshake.
    pub async fn accept(&self, stream: Stream, _cx: &Context) -> Result<(Stream, Info), Error> {
        Ok((stream, Info { alpn: None }))
    }
}

/// Facts.
#[derive(Clone, Debug)]
pub struct Info {
    /// ALPN.
    pub alpn: Option<String>,
}

/// Stub.
#[must_use]
pub fn refused_by_alert(_error: &std::io::Error) -> Option<Error> {
    None
}

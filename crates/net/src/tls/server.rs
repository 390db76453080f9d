//! The accepting end.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use portolan_core::{Error, Kind, Phase};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::OnceCell;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::handshake::{End, failure};
use super::info::report_certificate;
use super::key_log::CapturedKeyLog;
use super::pem::Roots;
use super::verify::ClientVerifier;
use super::version::Versions;
use super::{Identity, Info, Untrusted, Version, provider};
use crate::listen::farewell;
use crate::pcap::Tap;
use crate::{Context, Stream};

/// How a server speaks TLS. Cheap to clone.
///
/// # Defaults
/// TLS 1.2 and 1.3; no ALPN; clients need no certificate.
#[derive(Clone, Debug)]
pub struct Server {
    identities: Identities,
    alpn: Vec<Vec<u8>>,
    client_roots: Option<Roots>,
    versions: Versions,
    config: Arc<OnceCell<Arc<ServerConfig>>>,
}

/// Who the server is, by the name that it is asked for.
#[derive(Clone, Debug)]
struct Identities {
    default: Identity,
    named: HashMap<String, Identity>,
}

impl Server {
    /// A server that presents this certificate.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identities: Identities { default: identity, named: HashMap::new() },
            alpn: Vec::new(),
            client_roots: None,
            versions: Versions::default(),
            config: Arc::default(),
        }
    }

    /// Presents another certificate to clients that ask for this name (SNI), whatever names it
    /// holds.
    #[must_use]
    pub fn with_identity(mut self, name: &str, identity: Identity) -> Self {
        self.identities.named.insert(name.to_ascii_lowercase(), identity);
        self.rebuilt()
    }

    /// The application protocols to accept, the preferred one first (RFC 7301).
    #[must_use]
    pub fn with_alpn(mut self, protocols: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        self.alpn = protocols.into_iter().map(|name| name.as_ref().to_vec()).collect();
        self.rebuilt()
    }

    /// Requires of clients a certificate that one in this PEM file has issued.
    ///
    /// # Errors
    /// [`Kind::Read`] if the file cannot be read, [`Kind::Usage`] with a
    /// [`PemError`](super::PemError) if it does not serve.
    pub fn with_client_ca_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(self.with_client_roots(Roots::from_pem_file(path.as_ref())?))
    }

    /// Requires of clients a certificate that one of these, given as DER, has issued.
    ///
    /// # Errors
    /// [`Kind::Usage`] with a [`PemError`](super::PemError) if not one of them can be used.
    pub fn with_client_ca(
        self,
        certificates: impl IntoIterator<Item = impl Into<Vec<u8>>>,
    ) -> Result<Self, Error> {
        Ok(self.with_client_roots(Roots::from_der(certificates)?))
    }

    fn with_client_roots(mut self, roots: Roots) -> Self {
        self.client_roots = Some(roots);
        self.rebuilt()
    }

    /// The lowest and the highest version to agree on.
    ///
    /// # Errors
    /// [`Kind::Usage`] if the lowest is above the highest.
    pub fn with_versions(mut self, min: Version, max: Version) -> Result<Self, Error> {
        self.versions = Versions::new(min, max)?;
        Ok(self.rebuilt())
    }

    fn rebuilt(mut self) -> Self {
        self.config = Arc::default();
        self
    }

    /// Speaks TLS with the client over `stream`, in the phase [`Phase::TLS`], and tells the
    /// observers the same facts as [`Tls::connect`](super::Tls::connect) does.
    ///
    /// # Errors
    /// [`Kind::Untrusted`] with an [`Untrusted`] for the client's certificate, [`Kind::Tls`] with a
    /// [`HandshakeError`](super::HandshakeError) or an I/O error, and [`Kind::Timeout`].
    pub async fn accept(&self, stream: Stream, cx: &Context) -> Result<(Stream, Info), Error> {
        let mut refused = None;
        let accepted = cx.within(Phase::TLS, self.handshake(stream, &mut refused, cx)).await;
        if let Some(mut stream) = refused {
            // Why is in an alert, which the client may have yet to read.
            farewell(&mut stream, cx).await;
        }
        accepted
    }

    async fn handshake(
        &self,
        stream: Stream,
        refused: &mut Option<Stream>,
        cx: &Context,
    ) -> Result<(Stream, Info), Error> {
        let mut config = self.config.get_or_try_init(|| async { self.build() }).await?.clone();
        let hold = stream.tap().and_then(Tap::hold);
        if let Some(hold) = &hold {
            let config = Arc::make_mut(&mut config);
            config.key_log = CapturedKeyLog::new(hold.tap(), &config.key_log);
        }
        let accepted = TlsAcceptor::from(config).accept(stream).into_fallible().await;
        let stream = accepted.map_err(|(error, stream)| {
            *refused = Some(stream);
            let error = failure(error, End::Server, "the client");
            if let Some(untrusted) = error.find::<Untrusted>() {
                report_certificate(&untrusted.chain, cx);
            }
            error
        })?;
        let connection = stream.get_ref().1;
        let mut info = Info::new(connection, connection.server_name());
        info.verified = self.client_roots.is_some();
        info.report(cx);
        Ok((Stream::from(TlsStream::from(stream)), info))
    }

    fn build(&self) -> Result<Arc<ServerConfig>, Error> {
        let unusable = |error| Error::new(Kind::Tls, "could not set up TLS").with_source(error);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions.supported())
            .map_err(unusable)?;
        let builder = match &self.client_roots {
            Some(roots) => {
                let verifier = ClientVerifier::new(roots).map_err(unusable)?;
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.identities.clone()));
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.named.get(name));
        Some(named.unwrap_or(&self.default).certified_key())
    }
}

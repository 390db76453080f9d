//! The dialling end.

use std::path::Path;
use std::sync::Arc;

use portolan_core::{Blame, Error, Host, Kind, Phase};
use rustls::ClientConfig;
use rustls::client::{ClientConnection, Resumption};
use rustls_pki_types::{ServerName, UnixTime};
use tokio::sync::OnceCell;
use tokio_rustls::{TlsConnector, TlsStream};

use super::danger::Unverified;
use super::handshake::{End, failure};
use super::info::report_certificate;
use super::key_log::{CapturedKeyLog, KeyLog};
use super::pem::Roots;
use super::verify::{Trust, Verifier};
use super::version::Versions;
use super::{Identity, Info, Pin, Untrusted, Version, provider};
use crate::pcap::Tap;
use crate::{Context, Stream};

/// The longest name of an application protocol (RFC 7301 section 3.1).
const ALPN_MAX: usize = 255;

/// How a client speaks TLS. Cheap to clone; clones share the sessions that can be resumed.
///
/// # Defaults
/// The platform's root certificates, read at the first handshake; TLS 1.2 and 1.3; the dialled
/// host as the name to verify; no client certificate, no ALPN, no pins.
#[derive(Clone, Debug)]
pub struct Tls {
    roots: Option<Roots>,
    identity: Option<Identity>,
    server_name: Option<Host>,
    alpn: Option<Vec<Vec<u8>>>,
    default_alpn: Vec<Vec<u8>>,
    versions: Versions,
    pins: Vec<Pin>,
    key_log: Option<Arc<KeyLog>>,
    resumes: bool,
    verifies: bool,
    engine: Arc<OnceCell<Engine>>,
}

/// What is built from the settings at the first handshake. Names and ALPN are no part of it.
#[derive(Debug)]
struct Engine {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            roots: None,
            identity: None,
            server_name: None,
            alpn: None,
            default_alpn: Vec::new(),
            versions: Versions::default(),
            pins: Vec::new(),
            key_log: None,
            resumes: true,
            verifies: true,
            engine: Arc::default(),
        }
    }
}

impl Tls {
    /// The default settings. Reads nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates in this PEM file in place of the platform's.
    ///
    /// # Errors
    /// [`Kind::Read`] if the file cannot be read, [`Kind::Usage`] with a
    /// [`PemError`](super::PemError) if it does not serve.
    pub fn with_ca_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(self.with_roots(Roots::from_pem_file(path.as_ref())?))
    }

    /// Trusts these certificates, given as DER, in place of the platform's.
    ///
    /// # Errors
    /// [`Kind::Usage`] with a [`PemError`](super::PemError) if not one of them can be used.
    pub fn with_ca(
        self,
        certificates: impl IntoIterator<Item = impl Into<Vec<u8>>>,
    ) -> Result<Self, Error> {
        Ok(self.with_roots(Roots::from_der(certificates)?))
    }

    fn with_roots(mut self, roots: Roots) -> Self {
        self.roots = Some(roots);
        self.rebuilt()
    }

    /// Presents this certificate to servers that ask for one.
    #[must_use]
    pub fn with_client_identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self.rebuilt()
    }

    /// The name to ask for (SNI) and to verify, in place of the dialled host.
    #[must_use]
    pub fn with_server_name(mut self, name: Host) -> Self {
        self.server_name = Some(name);
        self
    }

    /// The application protocols to offer, the preferred one first (RFC 7301): the user's choice,
    /// which stands whatever a protocol would like.
    #[must_use]
    pub fn with_alpn(mut self, protocols: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        self.alpn = Some(protocols.into_iter().map(|name| name.as_ref().to_vec()).collect());
        self
    }

    /// The application protocols to offer where the user chose none.
    #[must_use]
    pub fn with_default_alpn(
        mut self,
        protocols: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Self {
        self.default_alpn = protocols.into_iter().map(|name| name.as_ref().to_vec()).collect();
        self
    }

    /// The lowest and the highest version to agree on.
    ///
    /// # Errors
    /// [`Kind::Usage`] if the lowest is above the highest.
    pub fn with_versions(mut self, min: Version, max: Version) -> Result<Self, Error> {
        self.versions = Versions::new(min, max)?;
        Ok(self.rebuilt())
    }

    /// Accepts only servers whose own certificate has this public key, or that of another pin, on
    /// top of all other checks. The keys of issuers do not count.
    #[must_use]
    pub fn with_pin(mut self, pin: Pin) -> Self {
        self.pins.push(pin);
        self.rebuilt()
    }

    /// Appends the secrets of every connection to this file, in the NSS key log format, for
    /// programs that decrypt captures. A file that is created is readable by its owner only.
    ///
    /// # Errors
    /// [`Kind::Write`] if the file cannot be opened.
    pub fn with_key_log(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let key_log = KeyLog::open(path).map_err(|error| {
            Error::new(Kind::Write, format!("could not open the key log {}", path.display()))
                .with_blame(Blame::Input)
                .with_source(error)
        })?;
        self.key_log = Some(Arc::new(key_log));
        Ok(self.rebuilt())
    }

    /// Makes every handshake a full one, so that each sees the server's certificate anew.
    #[must_use]
    pub fn without_resumption(mut self) -> Self {
        self.resumes = false;
        self.rebuilt()
    }

    /// What is left of these settings for a proxy on the way: whom to trust, and not what is meant
    /// for the peer behind it.
    pub(crate) fn for_proxy(self) -> Self {
        let kept = Self {
            roots: self.roots,
            key_log: self.key_log,
            verifies: self.verifies,
            ..Self::default()
        };
        kept.with_alpn(["http/1.1"])
    }

    /// See [`danger::without_verification`](super::danger::without_verification).
    pub(super) fn unverified(mut self) -> Self {
        self.verifies = false;
        self.rebuilt()
    }

    fn rebuilt(mut self) -> Self {
        self.engine = Arc::default();
        self
    }

    /// Speaks TLS with `host` over `stream`, in the phase [`Phase::TLS`]. The facts `version`,
    /// `cipher`, `alpn` and `certificate` go to the observers; the last one also on failure, where
    /// a certificate was seen.
    ///
    /// # Errors
    /// [`Kind::Untrusted`] with an [`Untrusted`], [`Kind::Tls`] with a
    /// [`HandshakeError`](super::HandshakeError) or an I/O error, [`Kind::Timeout`], and
    /// [`Kind::Usage`] for a host or a protocol that TLS cannot name.
    pub async fn connect(
        &self,
        stream: Stream,
        host: &Host,
        cx: &Context,
    ) -> Result<(Stream, Info), Error> {
        cx.within(Phase::TLS, self.handshake(stream, host, cx)).await
    }

    /// Reads what the first handshake needs from this machine, so that the phase times the peer
    /// alone.
    pub(crate) async fn prepare(&self) -> Result<(), Error> {
        self.engine.get_or_try_init(|| self.build()).await.map(drop)
    }

    async fn handshake(
        &self,
        stream: Stream,
        host: &Host,
        cx: &Context,
    ) -> Result<(Stream, Info), Error> {
        let host = self.server_name.as_ref().unwrap_or(host);
        let name = server_name(host)?;
        let alpn = self.offered_alpn()?;
        let engine = self.engine.get_or_try_init(|| self.build()).await?;
        let mut config = engine.config.clone();
        let hold = stream.tap().and_then(Tap::hold);
        if let Some(hold) = &hold {
            let config = Arc::make_mut(&mut config);
            config.key_log = CapturedKeyLog::new(hold.tap(), &config.key_log);
        }
        let connector = TlsConnector::from(config);
        let connected = connector.with_alpn(alpn).connect(name.clone(), stream).await;
        let stream = connected.map_err(|error| {
            let end =
                End::Client { has_identity: self.identity.is_some(), versions: self.versions };
            let error = failure(error, end, &host.to_string());
            if let Some(untrusted) = error.find::<Untrusted>() {
                report_certificate(&untrusted.chain, cx);
            }
            error
        })?;
        let info = self.info(stream.get_ref().1, &name, engine);
        info.report(cx);
        Ok((Stream::from(TlsStream::from(stream)), info))
    }

    fn info(&self, connection: &ClientConnection, name: &ServerName<'_>, engine: &Engine) -> Info {
        let asked = match name {
            ServerName::DnsName(name) => Some(name.as_ref()),
            _ => None,
        };
        let mut info = Info::new(connection, asked);
        info.verified = self.verifies;
        if let Some([leaf, intermediates @ ..]) = connection.peer_certificates()
            && !self.verifies
        {
            let verdict = engine.verifier.judge(leaf, intermediates, name, UnixTime::now());
            info.distrust = verdict.err().map(|untrusted| untrusted.reason);
        }
        info
    }

    fn offered_alpn(&self) -> Result<Vec<Vec<u8>>, Error> {
        let offered = self.alpn.as_ref().unwrap_or(&self.default_alpn);
        match offered.iter().find(|name| name.is_empty() || name.len() > ALPN_MAX) {
            None => Ok(offered.clone()),
            Some(name) => {
                let name = String::from_utf8_lossy(name);
                Err(Error::new(Kind::Usage, format!("could not offer the protocol '{name}'"))
                    .with_hint("the name of a protocol in ALPN has 1 to 255 bytes, as h2 has"))
            }
        }
    }

    async fn build(&self) -> Result<Engine, Error> {
        let roots = self.roots.clone();
        let gather = move || {
            // The first random number of a process takes tens of milliseconds of gathering entropy.
            let _ = provider().secure_random.fill(&mut [0]);
            roots.map_or_else(Trust::platform, |roots| Trust::given(&roots))
        };
        // It reads files, too.
        let trust = tokio::task::spawn_blocking(gather).await.unwrap_or(Trust::Nothing);
        let verifier = Arc::new(Verifier::new(trust, self.pins.clone()));
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions.supported())
            .map_err(|error| Error::new(Kind::Tls, "could not set up TLS").with_source(error))?
            .dangerous();
        let builder = if self.verifies {
            builder.with_custom_certificate_verifier(verifier.clone())
        } else {
            builder.with_custom_certificate_verifier(Arc::new(Unverified(verifier.clone())))
        };
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
            None => builder.with_no_client_auth(),
        };
        if let Some(key_log) = &self.key_log {
            config.key_log = key_log.clone();
        }
        if !self.resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Engine { config: Arc::new(config), verifier })
    }
}

/// The host as TLS names it: without a zone, and without the dot of the root.
fn server_name(host: &Host) -> Result<ServerName<'static>, Error> {
    if let Some(address) = host.ip() {
        return Ok(ServerName::from(address));
    }
    let bare = host.bare();
    ServerName::try_from(bare.trim_end_matches('.').to_owned()).map_err(|error| {
        Error::new(Kind::Usage, format!("could not verify the peer as {host}"))
            .with_hint("say with --sni NAME which name its certificate must have")
            .with_source(error)
    })
}

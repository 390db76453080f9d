//! From the flags of serving to a listener.

use std::path::PathBuf;
use std::sync::Arc;

use portolan::net::fault::Plan;
use portolan::net::pcap::Capture;
use portolan::net::tls::{Identity, Pin, Server};
use portolan::net::{Datagram, Listener, Sessions};
use portolan::{Error, Kind, Timeouts, Transport, Url};
use serde_json::json;

use super::connections::Connections;
use super::dialer::{identity, misfit};
use crate::args::serving::{ServerIdentity, ServingArgs};
use crate::console::Console;
use crate::exit::Exit;

/// What the flags of serving mean at one place.
pub(super) struct Entrance<'a> {
    pub(super) args: &'a ServingArgs,
    pub(super) url: &'a Url,
    /// The limits of each connection.
    pub(super) timeouts: Timeouts,
    /// Whether a PROXY header comes first.
    pub(super) is_behind_proxy: bool,
    /// The protocol that is spoken, where one is.
    pub(super) protocol: Option<Protocol>,
    /// The files of `--cert` and `--key`.
    pub(super) cert: Option<(PathBuf, Option<PathBuf>)>,
    pub(super) capture: Option<Capture>,
    pub(super) console: &'a Console,
    pub(super) connections: Arc<Connections>,
}

/// What is spoken with who comes in: requests, or the like, which faults can wait for.
pub(super) struct Protocol {
    /// Its names in TLS (RFC 7301).
    pub(super) alpn: &'static [&'static str],
}

impl Entrance<'_> {
    /// Listens for streams.
    ///
    /// # Errors
    /// Those of [`Listener::bind`], and what is wrong with a flag.
    pub(super) async fn listen(&self) -> Result<Listener, Error> {
        let plan = self.plan()?;
        let tls = self.tls().await?;
        let pin = tls.as_ref().and_then(|(_, pin)| *pin);
        let mut listener = Listener::bind(self.url)
            .await?
            .with_capture(self.capture.clone())
            .with_timeouts(self.timeouts)
            .with_access(self.args.access())
            .with_observer(self.connections.clone())
            .with_faults(plan)?;
        if let Some(pin) = pin {
            self.console.note(&format!(
                "the certificate is self-signed: clients trust it by --insecure --pin {pin}"
            ));
        }
        if let Some((tls, _)) = tls {
            listener = listener.with_tls(tls);
        }
        if let Some(count) = self.args.max_conns {
            listener = listener.with_max_connections(count);
        }
        if self.is_behind_proxy {
            listener = listener.with_proxy_protocol();
        }
        Ok(if self.args.once { listener.once() } else { listener })
    }

    /// Listens for datagrams: the sessions, and the URL at which they begin.
    ///
    /// # Errors
    /// Those of [`Datagram::bind`], and what is wrong with a flag.
    pub(super) async fn sessions(&self) -> Result<(Sessions, Url), Error> {
        let plan = self.plan()?;
        let socket = Datagram::bind(&self.url.endpoint()).await?.with_capture(self.capture.clone());
        let local = socket.local_endpoint().map_err(|cause| {
            Error::new(Kind::Connect, format!("could not listen on {}", self.url))
                .with_source(cause)
        })?;
        let mut sessions = Sessions::from(socket)
            .with_access(self.args.access())
            .with_faults(plan)
            .with_timeouts(self.timeouts)
            .with_observer(self.connections.clone());
        if let Some(count) = self.args.max_conns {
            sessions = sessions.with_limit(count);
        }
        Ok((sessions, Url::from_endpoint(self.url.scheme(), &local)))
    }

    /// Whether what comes are datagrams, and not streams.
    pub(super) fn is_for_datagrams(&self) -> bool {
        self.url.scheme().transport() == Transport::Udp
    }

    /// Says where it listens: as data, unless stdout is for what the peers say.
    pub(super) fn announce(&self, url: &Url, stdout_is_theirs: bool) -> Result<(), Error> {
        let line = format!("listening on {url}");
        match (self.console.is_json(), stdout_is_theirs) {
            (true, _) => self.console.json("listening", &json!({ "url": url.to_string() })),
            (false, true) => {
                self.console.note(&line);
                Ok(())
            }
            (false, false) => self.console.line(&line),
        }
    }

    /// What goes wrong. Only the lab has servers with names.
    fn plan(&self) -> Result<Plan, Error> {
        let plan = self.args.fault.plan();
        let transport = self.url.scheme().transport();
        for fault in plan.faults() {
            let why = if fault.server().is_some() {
                "names a server, as only the lab has them"
            } else if fault.needs_event() && self.protocol.is_none() {
                "waits for an event of a protocol, and none is spoken here"
            } else if !fault.fits(transport) {
                "does not fit: loss, duplicate and reorder are for datagrams, the others for streams"
            } else {
                continue;
            };
            let message = format!("invalid value for --fault: the fault '{fault}' {why}");
            return Err(Error::new(Kind::Usage, message));
        }
        Ok(plan)
    }

    /// The exit once all has ended: of one connection that was to be served, its own.
    pub(super) fn exit(&self) -> Exit {
        match self.connections.last_failure().filter(|_| self.args.once) {
            Some(failure) => Exit::from(&*failure),
            None => Exit::DONE,
        }
    }

    /// How TLS is spoken, and the pin of a certificate that was made for it.
    async fn tls(&self) -> Result<Option<(Server, Option<Pin>)>, Error> {
        if self.url.scheme().transport() != Transport::Tls {
            return Ok(None);
        }
        let mut pin = None;
        let identity = match (self.args.tls.clone(), self.cert.clone()) {
            (Some(ServerIdentity::Files(cert, key)), _) => {
                let read = move || {
                    let identity = Identity::from_pem_files(&cert, &key);
                    identity.map_err(|error| misfit(&[("--tls", &cert)], error))
                };
                super::blocking(read).await?
            }
            (_, Some((cert, key))) => {
                super::blocking(move || identity(&cert, key.as_deref())).await?
            }
            (Some(ServerIdentity::SelfSigned) | None, None) => {
                let identity = Identity::self_signed(self.url.host())?;
                pin = identity.chain().first().map(|certificate| certificate.pin);
                identity
            }
        };
        let alpn = self.protocol.as_ref().map_or(&[][..], |protocol| protocol.alpn);
        let mut server = Server::new(identity).with_alpn(alpn);
        if let Some(file) = &self.args.client_ca {
            server = server
                .with_client_ca_file(file)
                .map_err(|error| misfit(&[("--client-ca", file)], error))?;
        }
        Ok(Some((server, pin)))
    }
}

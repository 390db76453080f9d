//! Starting and stopping the servers.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use portolan_core::{Endpoint, Error, Host, Kind, Scheme, Transport, Url};
use portolan_net::fault::Plan;
use portolan_net::pcap::Capture;
use portolan_net::{Datagram, Listener, Observer, Sessions, tls};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::authority::Authority;
use crate::servers::{self, Entry, Run};

/// Running servers. They stop when this is dropped; [`stop`](Self::stop) drains them first.
pub struct Lab {
    servers: Vec<Server>,
    ca_pem: String,
    ca_der: Vec<u8>,
    stopping: CancellationToken,
    tasks: Vec<AbortOnDropHandle<()>>,
}

/// One server of a [`Lab`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// Its name, as in `--only`.
    pub name: &'static str,
    /// Where it is reached.
    pub url: Url,
    /// Whether it is a proxy, and so leads to others.
    pub is_proxy: bool,
}

/// Which ports the servers take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ports {
    /// Any free ones.
    #[default]
    Ephemeral,
    /// This one plus each server's number: with 7000, `http` is at 7080.
    Base(u16),
}

/// Makes the observer of the server that has this name.
type Observe = Arc<dyn Fn(&'static str) -> Arc<dyn Observer> + Send + Sync>;

/// Chooses what a [`Lab`] is made of.
///
/// # Defaults
/// Every server, ephemeral ports, no faults, no capture.
#[derive(Clone, Default)]
pub struct Builder {
    only: Option<Vec<String>>,
    ports: Ports,
    faults: Plan,
    capture: Option<Capture>,
    observe: Option<Observe>,
}

impl Builder {
    /// Starts only the servers of these names.
    #[must_use]
    pub fn only<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.only = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Chooses the ports.
    #[must_use]
    pub const fn ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// Does to connections what `plan` says.
    #[must_use]
    pub fn faults(mut self, plan: Plan) -> Self {
        self.faults = plan;
        self
    }

    /// Captures what the servers receive and answer; nothing, where this is `None`. What the
    /// proxies dial is not in it, but what they carry is.
    #[must_use]
    pub fn capture(mut self, capture: impl Into<Option<Capture>>) -> Self {
        self.capture = capture.into();
        self
    }

    /// Observes the connections of each server: `observer` is called with its name.
    #[must_use]
    pub fn observe_with(
        mut self,
        observer: impl Fn(&'static str) -> Arc<dyn Observer> + Send + Sync + 'static,
    ) -> Self {
        self.observe = Some(Arc::new(observer));
        self
    }

    /// Starts the servers; when this returns, all of them accept.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a name that no server has, in the choice or in a fault; those of
    /// [`Listener::bind`].
    pub async fn start(self) -> Result<Lab, Error> {
        let entries = self.entries()?;
        self.check_faults(&entries)?;
        let authority = Authority::mint()?;
        let stopping = CancellationToken::new();
        let mut lab = Lab {
            servers: Vec::new(),
            ca_pem: authority.pem,
            ca_der: authority.der,
            stopping,
            tasks: Vec::new(),
        };
        for entry in entries {
            let (url, task) = self.start_one(entry, &authority.identity, &lab.stopping).await?;
            lab.tasks.push(AbortOnDropHandle::new(tokio::spawn(task)));
            let is_proxy = entry.is_proxy;
            lab.servers.push(Server { name: entry.name, url, is_proxy });
        }
        Ok(lab)
    }

    fn entries(&self) -> Result<Vec<&'static Entry>, Error> {
        let Some(names) = &self.only else { return Ok(servers::ALL.iter().collect()) };
        names.iter().try_for_each(|name| known(name))?;
        let is_chosen = |entry: &&Entry| names.iter().any(|name| name == entry.name);
        Ok(servers::ALL.iter().filter(is_chosen).collect())
    }

    /// Refuses faults that nothing in the lab could bring about.
    fn check_faults(&self, entries: &[&Entry]) -> Result<(), Error> {
        for fault in self.faults.faults() {
            let is_struck = |entry: &&&Entry| fault.server().is_none_or(|name| name == entry.name);
            let mut struck = entries.iter().filter(is_struck);
            if struck.clone().next().is_none() {
                let names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
                let message = format!("the fault '{fault}' strikes no server that is started");
                return Err(Error::new(Kind::Usage, message + ": " + &names.join(", ")));
            }
            if !struck.clone().any(|entry| fault.fits(entry.scheme.transport())) {
                let message = format!("the fault '{fault}' fits no server that it strikes");
                return Err(Error::new(Kind::Usage, message).with_hint(
                    "loss, duplicate and reorder are for datagrams, the others for streams",
                ));
            }
            if fault.needs_event() && !struck.any(|entry| entry.has_events) {
                let message = format!("the fault '{fault}' strikes no server that has such events");
                return Err(Error::new(Kind::Usage, message)
                    .with_hint("http, https and http-proxy have events, such as GET /slow"));
            }
        }
        Ok(())
    }

    async fn start_one(
        &self,
        entry: &Entry,
        identity: &tls::Identity,
        stopping: &CancellationToken,
    ) -> Result<(Url, servers::Task), Error> {
        let url = self.place(entry);
        let faults = self.faults.for_server(entry.name);
        let stopped = stopping.clone().cancelled_owned();
        match entry.run {
            Run::Stream(run) => {
                let listener = Listener::bind(&url).await?.with_faults(faults)?;
                let mut listener = listener.with_capture(self.capture.clone());
                if url.scheme().transport() == Transport::Tls {
                    let server = tls::Server::new(identity.clone());
                    listener = listener.with_tls(server.with_alpn(entry.alpn));
                }
                if let Some(observe) = &self.observe {
                    listener = listener.with_observer(observe(entry.name));
                }
                Ok((listener.local_url(), run(listener, Box::pin(stopped))))
            }
            Run::Datagrams(run) => {
                let socket = Datagram::bind(&url.endpoint()).await?;
                let socket = socket.with_capture(self.capture.clone());
                let local = socket.local_endpoint().map_err(|error| {
                    Error::new(Kind::Connect, format!("could not listen on {url}"))
                        .with_source(error)
                })?;
                let url = Url::from_endpoint(url.scheme(), &local);
                let mut sessions = Sessions::from(socket).with_faults(faults);
                if let Some(observe) = &self.observe {
                    sessions = sessions.with_observer(observe(entry.name));
                }
                Ok((url, run(sessions, Box::pin(stopped))))
            }
        }
    }

    /// The URL to bind for a server.
    fn place(&self, entry: &Entry) -> Url {
        let endpoint = match (entry.scheme, self.ports) {
            (Scheme::Unix, _) => Endpoint::unix(socket_path()),
            (_, Ports::Ephemeral) => loopback(0),
            (_, Ports::Base(base)) => loopback(base.saturating_add(entry.number)),
        };
        Url::from_endpoint(entry.scheme, &endpoint)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("only", &self.only)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

impl Lab {
    /// Begins to choose what the lab is made of.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The names of all servers that a lab can have.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        servers::ALL.iter().map(|entry| entry.name).collect()
    }

    /// The servers that run, in the order of the reference.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Where the server of this name is reached, if it runs.
    #[must_use]
    pub fn url(&self, name: &str) -> Option<&Url> {
        self.servers.iter().find(|server| server.name == name).map(|server| &server.url)
    }

    /// The certificate of the lab's own authority, in PEM, for clients that should trust it.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The same certificate in DER, for [`Tls::with_ca`](portolan_net::tls::Tls::with_ca).
    #[must_use]
    pub fn ca_der(&self) -> &[u8] {
        &self.ca_der
    }

    /// Stops accepting, lets connections end for up to 5 s, and returns when all is down.
    pub async fn stop(self) {
        self.stopping.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab").field("servers", &self.servers).finish_non_exhaustive()
    }
}

fn loopback(port: u16) -> Endpoint {
    Endpoint::tcp(Host::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// A path for a Unix socket that no other lab has.
fn socket_path() -> PathBuf {
    static LABS: AtomicU32 = AtomicU32::new(0);
    let directory =
        std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let number = LABS.fetch_add(1, Ordering::Relaxed);
    directory.join(format!("portolan-lab-{}-{number}.sock", std::process::id()))
}

fn known(name: &str) -> Result<(), Error> {
    let names = Lab::names();
    if names.contains(&name) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Usage,
        format!("the lab has no server '{name}': it has {}", names.join(", ")),
    ))
}

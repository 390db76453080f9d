//! The dialer: from an endpoint to a connection.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use portolan_core::{
    Direction, Endpoint, Error, Event, Failure, Host, Kind, Phase, Scheme, Transport, Url, Value,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::attempts::{hint, no_connection, say_silence};
use crate::eyeballs::{interleave, race};
use crate::pcap::{Capture, Ends, Tap};
use crate::proxy::{Proxies, tunnel};
use crate::tls::Tls;
use crate::{Connection, Context, Datagram, Info, Recorder, Resolve, Stream, SystemResolver};

/// Dials endpoints: resolves, races addresses (RFC 8305), goes through a proxy, speaks TLS.
///
/// Cheap to clone; the setters give a changed copy.
///
/// # Defaults
/// The system's resolver, both address families, no proxy, TLS verified against the platform's
/// roots, `TCP_NODELAY`, keep-alive probes after 60 s of silence, no capture.
#[derive(Clone)]
pub struct Dialer(Arc<Settings>);

#[derive(Clone)]
struct Settings {
    family: Family,
    source: Option<IpAddr>,
    interface: Option<String>,
    overrides: Vec<(Place, IpAddr)>,
    connect_to: Vec<(Place, Place)>,
    resolver: Arc<dyn Resolve>,
    proxies: Proxies,
    tls: Tls,
    /// What an `https:` proxy is spoken to with: nothing that is meant for the peer behind it.
    proxy_tls: Tls,
    keepalive: Duration,
    capture: Option<Capture>,
}

/// A host and a port, of which either may be left open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The host; any, or the same, where it is `None`.
    pub host: Option<Host>,
    /// The port; any, or the same, where it is `None`.
    pub port: Option<u16>,
}

impl Place {
    fn includes(&self, endpoint: &Endpoint) -> bool {
        self.host.as_ref().is_none_or(|host| *host == endpoint.host)
            && self.port.is_none_or(|port| port == endpoint.port)
    }
}

/// Which address families may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6, raced.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    const fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

impl Default for Dialer {
    fn default() -> Self {
        Self::new()
    }
}

impl Dialer {
    /// A dialer with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Settings {
            family: Family::Any,
            source: None,
            interface: None,
            overrides: Vec::new(),
            connect_to: Vec::new(),
            resolver: Arc::new(SystemResolver),
            proxies: Proxies::default(),
            tls: Tls::new(),
            proxy_tls: Tls::new().for_proxy(),
            keepalive: Duration::from_secs(60),
            capture: None,
        }))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Uses only addresses of this family.
    #[must_use]
    pub fn with_family(self, family: Family) -> Self {
        self.with(|settings| settings.family = family)
    }

    /// Connects from this local address; addresses of the other family are then not tried.
    #[must_use]
    pub fn with_source(self, source: IpAddr) -> Self {
        self.with(|settings| settings.source = Some(source))
    }

    /// Connects through this network interface (`SO_BINDTODEVICE`).
    #[must_use]
    pub fn with_interface(self, name: impl Into<String>) -> Self {
        self.with(|settings| settings.interface = Some(name.into()))
    }

    /// Uses `address` for `host` (for any, where it is `None`) at `port` instead of asking a
    /// resolver. Several for one host are all used.
    #[must_use]
    pub fn with_override(self, host: Option<Host>, port: u16, address: IpAddr) -> Self {
        let place = Place { host, port: Some(port) };
        self.with(|settings| settings.overrides.push((place, address)))
    }

    /// Connects to `to` whenever `from` is asked for: an open part of `from` matches any, an open
    /// part of `to` changes nothing. TLS still verifies the name that was asked for.
    #[must_use]
    pub fn with_connect_to(self, from: Place, to: Place) -> Self {
        self.with(|settings| settings.connect_to.push((from, to)))
    }

    /// Whether `endpoint` is sought elsewhere than its name says.
    #[must_use]
    pub fn redirects(&self, endpoint: &Endpoint) -> bool {
        let Settings { overrides, connect_to, .. } = &*self.0;
        overrides.iter().any(|(from, _)| from.includes(endpoint))
            || connect_to.iter().any(|(from, _)| from.includes(endpoint))
    }

    /// Resolves names with `resolver`.
    #[must_use]
    pub fn with_resolver(self, resolver: Arc<dyn Resolve>) -> Self {
        self.with(|settings| settings.resolver = resolver)
    }

    /// Goes through proxies by these rules.
    #[must_use]
    pub fn with_proxies(self, proxies: Proxies) -> Self {
        self.with(|settings| settings.proxies = proxies)
    }

    /// Speaks TLS with these settings.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        self.with(|settings| {
            settings.proxy_tls = tls.clone().for_proxy();
            settings.tls = tls;
        })
    }

    /// Makes every TLS handshake a full one, so that each sees the peer's certificate anew.
    #[must_use]
    pub fn without_resumption(self) -> Self {
        self.with(|settings| settings.tls = settings.tls.clone().without_resumption())
    }

    /// Offers these protocols by ALPN (RFC 7301), unless the TLS settings name some themselves.
    #[must_use]
    pub fn with_default_alpn(self, protocols: &[&str]) -> Self {
        self.with(|settings| settings.tls = settings.tls.clone().with_default_alpn(protocols))
    }

    /// Captures all that is dialled; with a proxy, the connection to it. Nothing, where this is
    /// `None`.
    #[must_use]
    pub fn with_capture(self, capture: impl Into<Option<Capture>>) -> Self {
        self.with(|settings| settings.capture = capture.into())
    }

    /// The proxy that the rules choose for `url`.
    #[must_use]
    pub fn proxy_for(&self, url: &Url) -> Option<&Url> {
        self.0.proxies.for_url(url)
    }

    /// Connects to `endpoint`, within the context's limit for connecting.
    ///
    /// # Errors
    /// Each knows its phase, the endpoint, and every failed attempt. [`Kind::Resolve`],
    /// [`Kind::Connect`], [`Kind::Timeout`], [`Kind::Denied`] by a proxy, [`Kind::Tls`],
    /// [`Kind::Untrusted`]; [`Kind::Usage`] for datagram endpoints.
    pub async fn dial(&self, endpoint: &Endpoint, cx: &Context) -> Result<Connection, Error> {
        self.dial_via(endpoint, self.0.proxies.for_endpoint(endpoint), cx).await
    }

    /// Connects to the endpoint of `url`, through the proxy that the rules choose for it.
    ///
    /// # Errors
    /// As for [`dial`](Self::dial).
    pub async fn dial_url(&self, url: &Url, cx: &Context) -> Result<Connection, Error> {
        self.dial_via(&url.endpoint(), self.proxy_for(url), cx).await
    }

    /// Connects to a proxy itself, to speak with it: by its own TLS where it is an `https:` one.
    ///
    /// # Errors
    /// As for [`dial`](Self::dial).
    pub async fn dial_proxy(&self, proxy: &Url, cx: &Context) -> Result<Connection, Error> {
        let endpoint = proxy.endpoint();
        self.bounded(&endpoint, cx, async |cx| self.establish_proxy(proxy, cx).await).await
    }

    async fn dial_via(
        &self,
        endpoint: &Endpoint,
        proxy: Option<&Url>,
        cx: &Context,
    ) -> Result<Connection, Error> {
        self.bounded(endpoint, cx, async |cx| self.establish(endpoint, proxy, cx).await).await
    }

    /// Runs a dial within its limit, records it, and lets its error know all that is known.
    async fn bounded(
        &self,
        endpoint: &Endpoint,
        cx: &Context,
        dial: impl AsyncFnOnce(&Context) -> Result<Connection, Error>,
    ) -> Result<Connection, Error> {
        let recorder = Arc::new(Recorder::default());
        let cx = cx.limited(cx.timeouts().connect).with_observer(recorder.clone());
        let failed = |error: Error| {
            let mut attempts = recorder.timings().attempts().to_vec();
            attempts.retain(|attempt| attempt.failure.is_some());
            say_silence(error, endpoint).with_endpoint(endpoint).with_attempts(attempts)
        };
        let mut connection = dial(&cx).await.map_err(failed)?;
        connection.info.timings = recorder.take();
        Ok(connection)
    }

    async fn establish(
        &self,
        endpoint: &Endpoint,
        proxy: Option<&Url>,
        cx: &Context,
    ) -> Result<Connection, Error> {
        let is_tls = endpoint.transport == Transport::Tls;
        if is_tls {
            self.0.tls.prepare().await?;
        }
        let mut connection = match (endpoint.transport, proxy) {
            (Transport::Udp | Transport::UnixDatagram, _) => {
                let message = format!("could not open a stream to {endpoint}, which is a datagram");
                return Err(Error::new(Kind::Usage, message));
            }
            (Transport::Unix, _) => self.connect_unix(endpoint, cx).await?,
            (Transport::Tcp | Transport::Tls, None) => {
                self.connect_tcp(&self.connect_to(endpoint), cx).await?
            }
            (Transport::Tcp | Transport::Tls, Some(proxy)) => {
                // Boxed, as below, so that dialling without proxies and TLS takes little room.
                Box::pin(self.connect_through(proxy, &self.connect_to(endpoint), cx)).await?
            }
        };
        connection.info.peer = endpoint.clone();
        if is_tls {
            let secured = secure(connection, &self.0.tls, &endpoint.host, cx);
            connection = Box::pin(secured).await?;
        }
        Ok(connection)
    }

    async fn establish_proxy(&self, proxy: &Url, cx: &Context) -> Result<Connection, Error> {
        let tls = (proxy.scheme().transport() == Transport::Tls).then_some(&self.0.proxy_tls);
        if let Some(tls) = tls {
            tls.prepare().await?;
        }
        let connected = self.connect_tcp(&proxy.endpoint(), cx).await;
        let connection = connected.map_err(|error| {
            let message = format!("could not connect to the proxy {proxy}");
            let hint = error.hint().map(str::to_owned);
            let phase = error.phase().unwrap_or(Phase::CONNECT);
            let error = Error::new(error.kind(), message).with_phase(phase).with_source(error);
            match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        })?;
        match tls {
            Some(tls) => secure(connection, tls, proxy.host(), cx).await,
            None => Ok(connection),
        }
    }

    async fn connect_through(
        &self,
        proxy: &Url,
        endpoint: &Endpoint,
        cx: &Context,
    ) -> Result<Connection, Error> {
        let mut target = endpoint.clone();
        if proxy.scheme() == Scheme::Socks5 {
            // This kind of proxy is given addresses: RFC 8305 cannot apply, the first one is it.
            let addresses = self.resolve(endpoint, cx).await?;
            target.host = Host::from(addresses[0].ip());
        }
        let mut connection = self.establish_proxy(proxy, cx).await?;
        connection.stream = tunnel(connection.stream, proxy, &target, cx).await?;
        Ok(connection)
    }

    async fn connect_tcp(&self, endpoint: &Endpoint, cx: &Context) -> Result<Connection, Error> {
        let addresses = self.resolve(endpoint, cx).await?;
        cx.within(Phase::CONNECT, async {
            let connect = |address| self.connect_address(address);
            let report = |attempt| cx.observe(&Event::Attempted(attempt));
            match race(interleave(addresses), connect, report).await {
                Ok((remote, (stream, local))) => {
                    cx.fact(Phase::CONNECT, "address", remote.to_string());
                    let mut info = Info::new(endpoint.clone());
                    info.remote = Some(remote);
                    info.local = Some(local);
                    let stream = self.captured(stream.into(), Some(Ends::Inet { local, remote }));
                    Ok(Connection::new(stream, info))
                }
                Err(attempts) => Err(no_connection(endpoint, attempts)),
            }
        })
        .await
    }

    async fn connect_unix(&self, endpoint: &Endpoint, cx: &Context) -> Result<Connection, Error> {
        cx.within(Phase::CONNECT, async {
            let stream = unix_stream(&endpoint.host).await.map_err(|error| {
                Error::new(Kind::Connect, format!("could not connect to {endpoint}"))
                    .with_hint(hint(&Failure::from(&error), endpoint))
                    .with_source(error)
            })?;
            cx.fact(Phase::CONNECT, "address", endpoint.to_string());
            let info = Info::new(endpoint.clone());
            let stream = self.captured(stream.into(), Some(Ends::Unix(endpoint.to_string())));
            Ok(Connection::new(stream, info))
        })
        .await
    }

    /// The stream, in the capture where there is one.
    fn captured(&self, stream: Stream, ends: Option<Ends>) -> Stream {
        match (&self.0.capture, ends) {
            (Some(capture), Some(ends)) => {
                stream.tapped(Tap::open(capture.clone(), ends, Direction::Sent))
            }
            _ => stream,
        }
    }

    /// The stream, and our own address.
    async fn connect_address(&self, address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new().with_time(self.0.keepalive);
        SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
        self.bind_source(SockRef::from(&socket))?;
        let stream = socket.connect(address).await?;
        // On loopback the kernel may pick the very port that is dialled, and connect it to itself.
        let local = stream.local_addr()?;
        if local == address {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok((stream, local))
    }

    fn bind_source(&self, socket: SockRef<'_>) -> io::Result<()> {
        if let Some(name) = &self.0.interface {
            socket.bind_device(Some(name.as_bytes()))?;
        }
        match self.0.source {
            Some(source) => socket.bind(&SocketAddr::from((source, 0)).into()),
            None => Ok(()),
        }
    }

    /// A UDP socket that is connected to `address`: it sees that peer's datagrams only, and
    /// whether its port is closed.
    ///
    /// # Errors
    /// [`Kind::Connect`], when there is no route or the source address is not ours.
    pub async fn datagram(&self, address: SocketAddr) -> Result<Datagram, Error> {
        let socket = Datagram::connect(address, |socket| self.bind_source(socket)).await;
        let socket = socket.map_err(|error| {
            Error::new(Kind::Connect, format!("could not open a socket to {address}"))
                .with_hint(hint(&Failure::from(&error), &Endpoint::from(address)))
                .with_source(error)
        })?;
        Ok(socket.with_capture(self.0.capture.clone()))
    }

    /// The addresses at which `endpoint` is sought, in the order in which to try them; never empty.
    /// This is the phase `resolve`, within the context's limit for connecting.
    ///
    /// # Errors
    /// [`Kind::Resolve`]; [`Kind::Timeout`].
    pub async fn addresses(
        &self,
        endpoint: &Endpoint,
        cx: &Context,
    ) -> Result<Vec<SocketAddr>, Error> {
        let cx = cx.limited(cx.timeouts().connect);
        let addresses = self.resolve(&self.connect_to(endpoint), &cx).await;
        addresses.map_err(|error| say_silence(error, endpoint).with_endpoint(endpoint))
    }

    async fn resolve(&self, endpoint: &Endpoint, cx: &Context) -> Result<Vec<SocketAddr>, Error> {
        cx.within(Phase::RESOLVE, async {
            let settings = &*self.0;
            let (origin, found) = self.look_up(endpoint).await?;
            let is_usable = |address: &SocketAddr| {
                settings.family.has(address.ip())
                    && settings.source.is_none_or(|s| s.is_ipv4() == address.is_ipv4())
            };
            let usable: Vec<_> = found.iter().copied().filter(is_usable).collect();
            if usable.is_empty() {
                return Err(wrong_family(endpoint, &found, settings.source));
            }
            cx.fact(Phase::RESOLVE, "addresses", Value::texts(usable.iter().map(SocketAddr::ip)));
            cx.fact(Phase::RESOLVE, "origin", origin);
            Ok(usable)
        })
        .await
    }

    /// The addresses, and where they come from: the user, the URL itself, or a resolver.
    async fn look_up(&self, endpoint: &Endpoint) -> Result<(&str, Vec<SocketAddr>), Error> {
        let port = endpoint.port;
        let overrides = self.0.overrides.iter().filter(|(from, _)| from.includes(endpoint));
        let given: Vec<_> = overrides.map(|(_, to)| SocketAddr::new(*to, port)).collect();
        if !given.is_empty() {
            return Ok(("override", given));
        }
        match &endpoint.host {
            Host::V6(address, Some(zone)) => {
                let scope = scope_id(zone).map_err(|error| {
                    Error::new(Kind::Resolve, format!("could not find the interface {zone}"))
                        .with_source(error)
                })?;
                Ok(("literal", vec![SocketAddrV6::new(*address, port, 0, scope).into()]))
            }
            host => match host.ip() {
                Some(address) => Ok(("literal", vec![SocketAddr::new(address, port)])),
                None => {
                    let found = self.0.resolver.resolve(&host.bare()).await?;
                    Ok(("resolver", found.into_iter().map(|ip| (ip, port).into()).collect()))
                }
            },
        }
    }

    fn connect_to(&self, endpoint: &Endpoint) -> Endpoint {
        let mut elsewhere = endpoint.clone();
        let rule = self.0.connect_to.iter().find(|(from, _)| from.includes(endpoint));
        if let Some((_, to)) = rule {
            elsewhere.host = to.host.clone().unwrap_or(elsewhere.host);
            elsewhere.port = to.port.unwrap_or(elsewhere.port);
        }
        elsewhere
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("family", &self.0.family).finish_non_exhaustive()
    }
}

async fn secure(
    connection: Connection,
    tls: &Tls,
    host: &Host,
    cx: &Context,
) -> Result<Connection, Error> {
    let Connection { stream, mut info, .. } = connection;
    let (stream, facts) = tls.connect(stream, host, cx).await?;
    info.tls = Some(Box::new(facts));
    Ok(Connection::new(stream, info))
}

async fn unix_stream(host: &Host) -> io::Result<UnixStream> {
    match host {
        Host::Path(path) => UnixStream::connect(path).await,
        // A leading NUL marks the abstract namespace (unix(7)).
        Host::Abstract(name) => UnixStream::connect(format!("\0{name}")).await,
        Host::Name(_) | Host::V4(_) | Host::V6(..) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The error for a name that has addresses, but none of the family that may be used.
fn wrong_family(endpoint: &Endpoint, found: &[SocketAddr], source: Option<IpAddr>) -> Error {
    let (wanted, other) = if found[0].is_ipv4() { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
    let hint = match source {
        Some(source) => {
            format!("it has {other} addresses only, and the source {source} is {wanted}")
        }
        None => format!("it has {other} addresses only: allow {other}"),
    };
    Error::new(Kind::Resolve, format!("could not find an {wanted} address of {}", endpoint.host))
        .with_hint(hint)
}

/// The number of a zone: itself, or that of the network interface of this name.
pub(crate) fn scope_id(zone: &str) -> io::Result<u32> {
    zone.parse().or_else(|_| {
        let index = std::fs::read_to_string(format!("/sys/class/net/{zone}/ifindex"))?;
        index.trim().parse().map_err(io::Error::other)
    })
}

#[cfg(test)]
mod tests;

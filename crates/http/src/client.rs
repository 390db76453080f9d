//! The client: requests over one connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use bytes::Bytes;
use futures_util::future::{self, Either, FutureExt};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portolan_core::{Endpoint, Error, Kind, Phase, Scheme, Url};
use portolan_net::proxy::{ProxyError, connect};
use portolan_net::{Connection, Context, Dialer, Info, Stream};
use tokio::sync::oneshot;

use crate::answer::{Answer, Sent};
use crate::body::{Body, Outgoing};
use crate::error::{HEAD_MAX, HEADERS_MAX, HttpError, explain, unanswered};
use crate::lines::{tell_request, tell_response, version_name};
use crate::watch::{Watch, Watched};

/// Writing the request.
pub const SEND: Phase = Phase::new("send");
/// Waiting for the head of the response.
pub const WAIT: Phase = Phase::new("wait");
/// Reading the body of the response.
pub const RECEIVE: Phase = Phase::new("receive");

pub(crate) const USER_AGENT: &str = concat!("portolan/", env!("CARGO_PKG_VERSION"));

/// Which versions of HTTP are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/2 over TLS where ALPN (RFC 7301) agrees on it, and HTTP/1.1 else.
    #[default]
    Any,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge (RFC 9113 section 3.3).
    Http2,
}

impl Protocol {
    const fn alpn(self) -> &'static [&'static str] {
        match self {
            Self::Any => &["h2", "http/1.1"],
            Self::Http1 => &["http/1.1"],
            Self::Http2 => &["h2"],
        }
    }
}

/// What to do about a peer that takes a request and does not answer.
const SILENCE: &str = "it took the connection and does not answer: the service hangs, is \
                       overloaded, or speaks another protocol";

/// An HTTP client on one connection.
pub struct Client {
    url: Url,
    route: Route,
    wants_origin: bool,
    info: Arc<Info>,
    is_http2: bool,
    /// Whether nothing but HTTP/1.1 stands between the caller and the socket.
    is_plain: bool,
    watch: Arc<Watch>,
    /// The stream until the first request, which begins with HTTP's own handshake.
    stream: Option<Stream>,
    sender: Option<Sender>,
    /// Drives the connection until the first response has begun, and then has a task of its own.
    driver: Option<Driver>,
}

/// Marks a request that has all fields that it should have, but for those of the connection.
#[derive(Clone)]
pub(crate) struct Complete;

/// What the connection leads to.
#[derive(Clone)]
enum Route {
    /// The origin, or a tunnel to it: the target in origin-form (RFC 9112 section 3.2.1).
    Origin,
    /// This proxy, which is asked in absolute-form (section 3.2.2).
    Proxy(Url),
}

impl Route {
    /// A proxy that wants a login has not asked the origin (RFC 9110 section 15.5.8), and one that
    /// is a bad gateway has asked in vain (sections 15.6.3 and 15.6.5).
    fn check(&self, status: StatusCode, wants_origin: bool, url: &Url) -> Result<(), Error> {
        let Self::Proxy(proxy) = self else { return Ok(()) };
        let cause = match status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => ProxyError::Login,
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT if wants_origin => {
                let reason = status.canonical_reason().unwrap_or_default().to_owned();
                ProxyError::Status(connect::Status { code: status.as_u16(), reason })
            }
            _ => return Ok(()),
        };
        Err(cause.into_error(proxy, &url.endpoint()))
    }
}

impl Client {
    /// Connects to the origin of `url`. `http:` goes to an HTTP proxy as it is (RFC 9110 section
    /// 7.7); everything else goes through a tunnel.
    ///
    /// # Errors
    /// Those of [`Dialer::dial`].
    pub async fn connect(dialer: &Dialer, url: &Url, cx: &Context) -> Result<Self, Error> {
        Self::connect_as(Protocol::Any, dialer, url, cx).await
    }

    /// As [`connect`](Self::connect), to speak this version.
    ///
    /// # Errors
    /// Also [`Kind::Protocol`], where the peer does not agree to it by ALPN.
    pub async fn connect_as(
        protocol: Protocol,
        dialer: &Dialer,
        url: &Url,
        cx: &Context,
    ) -> Result<Self, Error> {
        let dialer = dialer.clone().with_default_alpn(protocol.alpn());
        let is_forwarded = |proxy: &&Url| {
            url.scheme() == Scheme::Http && matches!(proxy.scheme(), Scheme::Http | Scheme::Https)
        };
        match dialer.proxy_for(url).filter(is_forwarded) {
            Some(proxy) => {
                let connection = dialer.dial_proxy(proxy, cx).await?;
                cx.fact(Phase::CONNECT, "proxy", proxy.to_string());
                Self::over(connection, url, Route::Proxy(proxy.clone()), protocol)
            }
            None => Self::over(dialer.dial_url(url, cx).await?, url, Route::Origin, protocol),
        }
    }

    /// Connects to a server of `url` that listens on a Unix socket.
    ///
    /// # Errors
    /// As for [`connect_as`](Self::connect_as); [`Kind::Usage`] for `https:`.
    pub async fn connect_unix(
        protocol: Protocol,
        dialer: &Dialer,
        socket: &Endpoint,
        url: &Url,
        cx: &Context,
    ) -> Result<Self, Error> {
        if url.scheme() != Scheme::Http {
            let message = format!("could not speak TLS over {socket}");
            return Err(Error::new(Kind::Usage, message).with_hint("ask for an http: URL"));
        }
        Self::over(dialer.dial(socket, cx).await?, url, Route::Origin, protocol)
    }

    /// A client that speaks over this connection.
    fn over(
        connection: Connection,
        url: &Url,
        route: Route,
        protocol: Protocol,
    ) -> Result<Self, Error> {
        let Connection { stream, info, .. } = connection;
        let alpn = info.tls.as_ref().map(|tls| tls.alpn.as_deref());
        let is_http2 = match (protocol, alpn) {
            (Protocol::Any, alpn) => alpn == Some(Some("h2")),
            (Protocol::Http1, _) => false,
            (Protocol::Http2, None | Some(Some("h2"))) => true,
            (Protocol::Http2, Some(_)) => {
                let message = format!("{} does not speak HTTP/2", url.endpoint());
                return Err(Error::new(Kind::Protocol, message)
                    .with_phase(Phase::TLS)
                    .with_endpoint(&url.endpoint())
                    .with_hint("it did not agree to h2 by ALPN: allow HTTP/1.1"));
            }
        };
        Ok(Self {
            url: url.clone(),
            route,
            wants_origin: false,
            info: Arc::new(info),
            is_http2,
            is_plain: !is_http2 && stream.is_plain(),
            watch: Arc::default(),
            stream: Some(stream),
            sender: None,
            driver: None,
        })
    }

    /// The same connection once more, where it carries several requests at once: HTTP/2, after its
    /// first request.
    pub(crate) fn share(&self) -> Option<Self> {
        let Some(Sender::Http2(sender)) = &self.sender else { return None };
        Some(Self {
            url: self.url.clone(),
            route: self.route.clone(),
            wants_origin: self.wants_origin,
            info: self.info.clone(),
            is_http2: true,
            is_plain: false,
            watch: self.watch.clone(),
            stream: None,
            sender: Some(Sender::Http2(sender.clone())),
            driver: None,
        })
    }

    /// Shakes hands, for a connection that is to be shared before its first request.
    pub(crate) async fn shake_hands(&mut self) -> Result<(), Error> {
        let Some(stream) = self.stream.take() else { return Ok(()) };
        let watched = Watched::new(stream, self.watch.clone());
        let shaken = Sender::handshake(watched, self.is_http2).await;
        let (sender, driver) =
            shaken.map_err(|error| explain(&error, &self.peer(), &self.watch))?;
        self.sender = Some(sender);
        self.driver = Some(driver);
        Ok(())
    }

    /// Hands the connection to a task of its own, which it otherwise gets with the first answer.
    pub(crate) fn drive_alone(&mut self) {
        self.driver.take().map(tokio::spawn);
    }

    /// Whether it can carry several requests at once.
    pub(crate) const fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Whether it can be [taken apart](Self::take_apart).
    pub(crate) const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The stream in the middle of a response, for who reads the rest of its body alone, and what
    /// was read from it beyond what the body has given out already. `None` where all was read, or
    /// the connection has ended; either way it carries no other request.
    pub(crate) async fn take_apart(&mut self) -> Option<(Stream, Bytes)> {
        let Some(Sender::Http1(_, asks)) = &mut self.sender else { return None };
        let (answer, parts) = oneshot::channel();
        asks.take()?.send(answer).ok()?;
        parts.await.ok()
    }

    /// Waits until the last exchange is over: whether the connection can carry another.
    pub(crate) async fn is_ready(&mut self) -> bool {
        match &mut self.sender {
            None => self.stream.is_some(),
            Some(Sender::Http1(sender, _)) => sender.ready().await.is_ok(),
            Some(Sender::Http2(sender)) => sender.ready().await.is_ok(),
        }
    }

    /// Takes 502 and 504 from a proxy that is asked in absolute-form for failures to reach the
    /// origin. Otherwise they are responses as any other: the origin may have sent them.
    #[must_use]
    pub const fn with_origin_only(mut self) -> Self {
        self.wants_origin = true;
        self
    }

    /// The facts about the connection.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Requests the URL that this client was connected with, by GET.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn get(&mut self, cx: &Context) -> Result<Answer, Error> {
        let request = Request::get(self.url.path_and_query()).body(Body::empty());
        self.send(request.map_err(|error| unsendable(&self.url, error))?, cx).await
    }

    /// Sends `request` and waits for the head of its response: the phases `send` and `wait`. The
    /// request's URI holds the path and query; `Host`, `User-Agent` and, for a URL with a user
    /// name, `Authorization` are added where they are missing.
    ///
    /// # Errors
    /// [`Kind::Timeout`]; [`Kind::Lost`] where the peer closes; [`Kind::Protocol`] where it does
    /// not speak HTTP, with a [`HttpError`] as the source; [`Kind::Denied`] where a proxy wants
    /// another login; [`Kind::Connect`] where it has not reached the origin, after
    /// [`with_origin_only`](Self::with_origin_only).
    pub async fn send(
        &mut self,
        request: Request<impl Into<Body>>,
        cx: &Context,
    ) -> Result<Answer, Error> {
        let peer = self.peer();
        let watch = self.watch.clone();
        let is_upgrade = request.headers().contains_key(header::UPGRADE);
        let (request, sent) = self.complete(request.map(Into::into))?;
        if !self.is_http2 {
            watch.await_answer();
        }
        let answering = cx
            .within(SEND, async {
                let mut flushes = watch.flushes();
                let answer = self.begin(request, cx).await?;
                // An answer before the request is out is an early refusal, or a failure.
                let flushed = pin!(flushes.changed());
                Ok(match beside(&mut self.driver, future::select(answer, flushed)).await {
                    Either::Left((answer, _)) => Either::Left(future::ready(answer)),
                    Either::Right((_, answer)) => Either::Right(answer),
                })
            })
            .await
            .map_err(|error| self.unanswered(error))?;
        let waiting = cx.limited(cx.timeouts().idle);
        let response = waiting
            .within(WAIT, async {
                let answer = beside(&mut self.driver, answering).await;
                let response = answer.map_err(|error| explain(&error, &peer, &watch))?;
                watch.has_answer();
                cx.fact(WAIT, "status", u64::from(response.status().as_u16()));
                cx.fact(WAIT, "version", version_name(response.version()));
                tell_response(&response, cx);
                self.route.check(response.status(), self.wants_origin, &self.url)?;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS && !is_upgrade {
                    return Err(Error::new(Kind::Protocol, unanswered(&peer))
                        .with_source(HttpError::Unasked));
                }
                Ok(response)
            })
            .await
            .map_err(|error| self.unanswered(error))?;
        // Until the client and the last body are dropped.
        self.driver.take().map(tokio::spawn);
        let (head, body) = response.into_parts();
        Ok(Answer { head, body, sent })
    }

    /// With whom we speak, for messages.
    fn peer(&self) -> String {
        let endpoint = self.url.endpoint();
        match &self.route {
            Route::Origin => endpoint.to_string(),
            Route::Proxy(proxy) => format!("{endpoint} through the proxy {proxy}"),
        }
    }

    /// Says of an error with whom it happened, also where only the clock knows of it.
    fn unanswered(&self, error: Error) -> Error {
        let error = match (error.kind(), error.phase()) {
            (Kind::Timeout, Some(phase)) => Error::new(Kind::Timeout, unanswered(&self.peer()))
                .with_phase(phase)
                .with_hint(SILENCE)
                .with_source(error),
            _ => error,
        };
        error.with_endpoint(&self.url.endpoint())
    }

    /// Hands the request to the connection, which shakes hands first if it is fresh.
    async fn begin(&mut self, request: Request<Body>, cx: &Context) -> Result<Answering, Error> {
        self.shake_hands().await?;
        tell_request(&request, self.is_http2, cx);
        match &mut self.sender {
            Some(sender) => Ok(sender.send(request.map(Body::into_outgoing))),
            None => Err(Error::new(Kind::Lost, "could not send on a closed connection")),
        }
    }

    /// Adds what a request must have, in the form that the route and the version want.
    fn complete(&self, request: Request<Body>) -> Result<(Request<Body>, Sent), Error> {
        let authority = self.url.authority();
        let (mut parts, body) = request.into_parts();
        if self.is_http2 || matches!(self.route, Route::Proxy(_)) {
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let absolute = format!("{}://{authority}{path}", self.url.scheme());
            parts.uri = absolute.parse().map_err(|error| unsendable(&self.url, error))?;
        }
        let mut headers = HeaderMap::with_capacity(parts.headers.len() + 4);
        if !self.is_http2 {
            // First, as RFC 9110 section 7.2 recommends.
            let host = match parts.headers.remove(header::HOST) {
                Some(host) => host,
                None => HeaderValue::try_from(authority)
                    .map_err(|error| unsendable(&self.url, error))?,
            };
            headers.insert(header::HOST, host);
        }
        headers.extend(parts.headers);
        if parts.extensions.remove::<Complete>().is_none() {
            headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
            headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        }
        if let Some(credentials) = basic(&self.url) {
            headers.entry(header::AUTHORIZATION).or_insert(credentials);
        }
        if let Route::Proxy(proxy) = &self.route
            && let Some(credentials) = basic(proxy)
        {
            headers.insert(header::PROXY_AUTHORIZATION, credentials);
        }
        let sent = Sent {
            method: parts.method.clone(),
            target: parts.uri.clone(),
            version: if self.is_http2 { Version::HTTP_2 } else { Version::HTTP_11 },
            headers: headers.clone(),
        };
        parts.headers = headers;
        Ok((Request::from_parts(parts, body), sent))
    }
}

type Answering = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>> + Send>>;

/// What moves the bytes of a connection.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `future` and drives the connection on the same task, so that the clock does not wait for
/// another task to wake up.
async fn beside<T>(driver: &mut Option<Driver>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    future::poll_fn(|cx| {
        if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
            *driver = None;
        }
        future.as_mut().poll(cx)
    })
    .await
}

/// Where the stream of a connection goes that is taken apart, and what was read from it.
type Apart = oneshot::Sender<(Stream, Bytes)>;

/// The sending half of a connection.
enum Sender {
    Http1(http1::SendRequest<Outgoing>, Option<oneshot::Sender<Apart>>),
    Http2(http2::SendRequest<Outgoing>),
}

impl Sender {
    async fn handshake(stream: Watched, is_http2: bool) -> hyper::Result<(Self, Driver)> {
        let io = TokioIo::new(stream);
        if is_http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(HEAD_MAX as u32);
            let (sender, connection) = builder.handshake(io).await?;
            Ok((Self::Http2(sender), Box::pin(connection.map(drop))))
        } else {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
            let (sender, connection) = builder.handshake(io).await?;
            let (asks, asked) = oneshot::channel();
            Ok((Self::Http1(sender, Some(asks)), Box::pin(drive(connection, asked))))
        }
    }

    fn send(&mut self, request: Request<Outgoing>) -> Answering {
        match self {
            Self::Http1(sender, _) => Box::pin(sender.send_request(request)),
            Self::Http2(sender) => Box::pin(sender.send_request(request)),
        }
    }
}

/// Drives a connection of HTTP/1.1 to its end, or until it is to be taken apart.
async fn drive(
    mut connection: http1::Connection<TokioIo<Watched>, Outgoing>,
    asked: oneshot::Receiver<Apart>,
) {
    let answer = tokio::select! {
        biased;
        _ = &mut connection => return,
        Ok(answer) = asked => answer,
    };
    let parts = connection.into_parts();
    let _ = answer.send((parts.io.into_inner().into_inner(), parts.read_buf));
}

/// The Basic credentials of a URL with a user name (RFC 7617).
fn basic(url: &Url) -> Option<HeaderValue> {
    let credentials = format!("{}:{}", url.user()?, url.password().unwrap_or_default());
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64.encode(credentials))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn unsendable(url: &Url, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Usage, format!("could not make a request for {url}")).with_source(error)
}

#[cfg(test)]
mod tests;

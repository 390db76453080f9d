//! The client: requests over one connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use futures_util::future::{self, Either, FutureExt};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portolan_core::{Error, Kind, Phase, Scheme, Url};
use portolan_net::proxy::{ProxyError, connect};
use portolan_net::{Context, Dialer, Info, Stream, now};

use crate::error::{
    HEAD_MAX, HEADERS_MAX, HttpError, cut_short, explain, explain_body, late_body, unanswered,
};
use crate::lines::{tell_request, tell_response, version_name};
use crate::watch::{Watch, Watched};

/// Writing the request.
pub const SEND: Phase = Phase::new("send");
/// Waiting for the head of the response.
pub const WAIT: Phase = Phase::new("wait");
/// Reading the body of the response.
pub const RECEIVE: Phase = Phase::new("receive");

/// What is offered by ALPN (RFC 7301): HTTP/2 first.
const ALPN: [&str; 2] = ["h2", "http/1.1"];

const USER_AGENT: &str = concat!("portolan/", env!("CARGO_PKG_VERSION"));

/// What to do about a peer that takes a request and does not answer.
const SILENCE: &str = "it took the connection and does not answer: the service hangs, is \
                       overloaded, or speaks another protocol";

/// An HTTP client on one connection.
pub struct Client {
    url: Url,
    route: Route,
    wants_origin: bool,
    info: Info,
    is_http2: bool,
    watch: Arc<Watch>,
    /// The stream until the first request, which begins with HTTP's own handshake.
    stream: Option<Stream>,
    sender: Option<Sender>,
    /// Drives the connection until the first response has begun, and then has a task of its own.
    driver: Option<Driver>,
}

/// What the connection leads to.
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
        let dialer = dialer.clone().with_default_alpn(&ALPN);
        let is_forwarded = |proxy: &&Url| {
            url.scheme() == Scheme::Http && matches!(proxy.scheme(), Scheme::Http | Scheme::Https)
        };
        let (connection, route) = match dialer.proxy_for(url).filter(is_forwarded) {
            Some(proxy) => {
                let connection = dialer.dial_proxy(proxy, cx).await?;
                cx.fact(Phase::CONNECT, "proxy", proxy.to_string());
                (connection, Route::Proxy(proxy.clone()))
            }
            None => (dialer.dial_url(url, cx).await?, Route::Origin),
        };
        Ok(Self {
            url: url.clone(),
            route,
            wants_origin: false,
            is_http2: connection
                .info
                .tls
                .as_ref()
                .is_some_and(|tls| tls.alpn.as_deref() == Some("h2")),
            info: connection.info,
            watch: Arc::default(),
            stream: Some(connection.stream),
            sender: None,
            driver: None,
        })
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
    pub const fn info(&self) -> &Info {
        &self.info
    }

    /// Requests the URL that this client was connected with, by GET.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn get(&mut self, cx: &Context) -> Result<Response, Error> {
        let request = Request::get(self.url.path_and_query()).body(Bytes::new());
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
        mut request: Request<Bytes>,
        cx: &Context,
    ) -> Result<Response, Error> {
        let peer = self.peer();
        let watch = self.watch.clone();
        let is_upgrade = request.headers().contains_key(header::UPGRADE);
        let answering = cx
            .within(SEND, async {
                let answer = self.begin(&mut request, cx).await?;
                // An answer before the request is out is an early refusal, or a failure.
                let flushed = pin!(watch.flushed());
                Ok(match beside(&mut self.driver, future::select(answer, flushed)).await {
                    Either::Left((answer, _)) => Either::Left(future::ready(answer)),
                    Either::Right(((), answer)) => Either::Right(answer),
                })
            })
            .await
            .map_err(|error| self.unanswered(error))?;
        let waiting = cx.limited(cx.timeouts().idle);
        let response = waiting
            .within(WAIT, async {
                let answer = beside(&mut self.driver, answering).await;
                let response = answer.map_err(|error| explain(&error, &peer, &watch))?;
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
        Ok(Response { head, body })
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
    async fn begin(&mut self, request: &mut Request<Bytes>, cx: &Context) -> Result<Answer, Error> {
        self.complete(request)?;
        if let Some(stream) = self.stream.take() {
            let watched = Watched::new(stream, self.watch.clone());
            let shaken = Sender::handshake(watched, self.is_http2).await;
            let (sender, driver) =
                shaken.map_err(|error| explain(&error, &self.peer(), &self.watch))?;
            self.sender = Some(sender);
            self.driver = Some(driver);
        }
        tell_request(request, self.is_http2, cx);
        let request = std::mem::take(request).map(Full::new);
        match &mut self.sender {
            Some(sender) => Ok(sender.send(request)),
            None => Err(Error::new(Kind::Lost, "could not send on a closed connection")),
        }
    }

    /// Adds what a request must have, in the form that the route and the version want.
    fn complete(&self, request: &mut Request<Bytes>) -> Result<(), Error> {
        let authority = self.url.authority();
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        if self.is_http2 || matches!(self.route, Route::Proxy(_)) {
            let absolute = format!("{}://{authority}{path}", self.url.scheme());
            *request.uri_mut() = absolute.parse().map_err(|error| unsendable(&self.url, error))?;
        }
        let headers = request.headers_mut();
        if !self.is_http2 {
            let host = HeaderValue::try_from(authority);
            let host = host.map_err(|error| unsendable(&self.url, error))?;
            headers.entry(header::HOST).or_insert(host);
        }
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        if let Some(credentials) = basic(&self.url) {
            headers.entry(header::AUTHORIZATION).or_insert(credentials);
        }
        if let Route::Proxy(proxy) = &self.route
            && let Some(credentials) = basic(proxy)
        {
            headers.insert(header::PROXY_AUTHORIZATION, credentials);
        }
        Ok(())
    }
}

type Answer = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>> + Send>>;

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

/// The sending half of a connection.
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
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
            Ok((Self::Http1(sender), Box::pin(connection.map(drop))))
        }
    }

    fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        match self {
            Self::Http1(sender) => Box::pin(sender.send_request(request)),
            Self::Http2(sender) => Box::pin(sender.send_request(request)),
        }
    }
}

/// A response: its head, and a body that is yet to be read.
pub struct Response {
    head: http::response::Parts,
    body: Incoming,
}

/// What was read of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The bytes; empty where they were not to be kept.
    pub bytes: Bytes,
    /// How many there were.
    pub size: u64,
    /// Whether this is the whole body; if not, it was longer than the limit.
    pub is_whole: bool,
}

impl Response {
    /// The status code (RFC 9110 section 15).
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The version that the peer spoke.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.head.version
    }

    /// The header fields.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The response as the `http` crate has it, with its body as a stream.
    #[must_use]
    pub fn into_http(self) -> http::Response<Incoming> {
        http::Response::from_parts(self.head, self.body)
    }

    /// Reads the body up to `limit` bytes and keeps them: the phase `receive`.
    ///
    /// # Errors
    /// [`Kind::Timeout`]; [`Kind::Partial`] where it ends before its stated end; [`Kind::Lost`]
    /// where the connection is reset; [`Kind::Protocol`] where its framing is broken.
    pub async fn receive(&mut self, limit: u64, cx: &Context) -> Result<Received, Error> {
        let mut bytes = BytesMut::new();
        let received = self.read(limit, cx, |data| bytes.extend_from_slice(data)).await?;
        Ok(Received { bytes: bytes.freeze(), ..received })
    }

    /// Reads the body up to `limit` bytes and keeps nothing: the phase `receive`.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    pub async fn discard(&mut self, limit: u64, cx: &Context) -> Result<Received, Error> {
        self.read(limit, cx, |_| {}).await
    }

    async fn read(
        &mut self,
        limit: u64,
        cx: &Context,
        mut keep: impl FnMut(&[u8]),
    ) -> Result<Received, Error> {
        cx.within(RECEIVE, async {
            let started = now();
            // A response to HEAD states the length of what it does not carry.
            let is_empty = self.body.is_end_stream();
            let expected = self.body.size_hint().exact().filter(|_| !is_empty);
            let mut size = 0;
            let mut is_whole = true;
            while let Some(frame) =
                self.next_frame(cx).await.ok_or_else(|| late_body(started, size, expected))?
            {
                let frame = frame.map_err(|error| explain_body(&error, size, expected))?;
                let Ok(data) = frame.into_data() else { continue };
                let room = usize::try_from(limit - size).unwrap_or(usize::MAX);
                let wanted = &data[..data.len().min(room)];
                keep(wanted);
                size += wanted.len() as u64;
                if data.len() > room {
                    is_whole = false;
                    break;
                }
            }
            cx.fact(RECEIVE, "bytes", size);
            // HTTP/2 can end a stream early and call it well (RFC 9113 section 8.1).
            if is_whole && expected.is_some_and(|expected| size < expected) {
                return Err(cut_short(size, expected));
            }
            Ok(Received { bytes: Bytes::new(), size, is_whole })
        })
        .await
    }

    /// The next frame; `None` where the time ran out, or the peer is silent for longer than it may
    /// be.
    async fn next_frame(&mut self, cx: &Context) -> Option<Option<hyper::Result<Frame<Bytes>>>> {
        match cx.timeouts().idle {
            None => cx.until_deadline(self.body.frame()).await,
            idle => cx.limited(idle).until_deadline(self.body.frame()).await,
        }
    }
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

//! The client for programs without a runtime: every call returns when it is done.
//!
//! It is the asynchronous one, which is also how it is set up; one thread of its own keeps the
//! connections of a session going. Calling it on a thread that runs asynchronous tasks panics: there
//! is [`crate::Session`] for these.
//!
//! ```
//! use portolan_http::{Retries, Server, blocking};
//! # use axum::{Json, Router, routing::post};
//! # use portolan_net::Listener;
//! # use serde_json::{Value, json};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = portolan_net::blocking::bind(&"http://127.0.0.1:0".parse()?)?;
//! # let url = listener.local_url();
//! # let routes = Router::new().route("/echo", post(|Json(value): Json<Value>| async { Json(value) }));
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # runtime.spawn(Server::new(routes).serve(listener, std::future::pending()));
//! let session = portolan_http::Session::new().with_retries(Retries::times(3));
//! let session = blocking::Session::of(session)?;
//! let response = session.post(format!("{url}echo")).json(&json!({ "ship": "cog" })).send()?;
//! assert_eq!(response.error_for_status()?.json::<Value>()?["ship"], "cog");
//! # runtime.shutdown_background();
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::HeaderMap;
use http::{Method, StatusCode, Version};
use portolan_core::{Error, Kind, Timings, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};

use crate::auth::Auth;
use crate::body::Body;
use crate::events::ServerEvent;
use crate::multipart::Form;
use crate::response::Hop;
use crate::session::IntoUrl;

/// Gets `url`, by a [`Session`] with the defaults that is not kept.
///
/// # Errors
/// As for [`Request::send`].
pub fn get(url: impl IntoUrl) -> Result<Response, Error> {
    Session::new()?.get(url).send()
}

/// A client of HTTP for many requests. Cheap to clone; clones share all.
#[derive(Clone)]
pub struct Session {
    session: crate::Session,
    engine: Arc<Engine>,
}

/// The event loop, on a thread of its own.
struct Engine(Option<Runtime>);

impl Engine {
    fn start() -> Result<Self, Error> {
        let unstarted =
            |cause| Error::new(Kind::Denied, "could not start an event loop").with_source(cause);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.map(|runtime| Self(Some(runtime))).map_err(unstarted)
    }

    fn run<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match &self.0 {
            Some(runtime) => runtime.block_on(future),
            // It stands until it is dropped.
            None => Err(Error::new(Kind::Denied, "the event loop has stopped")),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Also where waiting for its thread is not allowed: on those of a runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Session {
    /// A session with the [defaults](crate::Session).
    ///
    /// # Errors
    /// [`Kind::Denied`] where the system gives no thread.
    pub fn new() -> Result<Self, Error> {
        Self::of(crate::Session::new())
    }

    /// The session that is set up so.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn of(session: crate::Session) -> Result<Self, Error> {
        Ok(Self { session, engine: Arc::new(Engine::start()?) })
    }

    /// Begins a request by any method.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> Request {
        Request { request: self.session.request(method, url), engine: self.engine.clone() }
    }

    /// Begins a GET.
    pub fn get(&self, url: impl IntoUrl) -> Request {
        self.request(Method::GET, url)
    }

    /// Begins a HEAD.
    pub fn head(&self, url: impl IntoUrl) -> Request {
        self.request(Method::HEAD, url)
    }

    /// Begins a POST.
    pub fn post(&self, url: impl IntoUrl) -> Request {
        self.request(Method::POST, url)
    }

    /// Begins a PUT.
    pub fn put(&self, url: impl IntoUrl) -> Request {
        self.request(Method::PUT, url)
    }

    /// Begins a PATCH.
    pub fn patch(&self, url: impl IntoUrl) -> Request {
        self.request(Method::PATCH, url)
    }

    /// Begins a DELETE.
    pub fn delete(&self, url: impl IntoUrl) -> Request {
        self.request(Method::DELETE, url)
    }
}

/// Builds a request, and sends it. What is wrong with a part comes out at the end.
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    request: crate::Request,
    engine: Arc<Engine>,
}

impl Request {
    fn with(self, change: impl FnOnce(crate::Request) -> crate::Request) -> Self {
        Self { request: change(self.request), engine: self.engine }
    }

    /// Appends a pair to the query.
    pub fn query(self, name: &str, value: &str) -> Self {
        self.with(|request| request.query(name, value))
    }

    /// Adds a field.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|request| request.header(name, value))
    }

    /// Adds these fields.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|request| request.headers(headers))
    }

    /// Sends `value` as JSON.
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Self {
        self.with(|request| request.json(value))
    }

    /// Sends pairs as a form does.
    pub fn form<'a>(self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.with(|request| request.form(pairs))
    }

    /// Sends the parts of a form, files among them.
    pub fn multipart(self, form: &Form) -> Self {
        self.with(|request| request.multipart(form))
    }

    /// Sends this body.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.with(|request| request.body(body))
    }

    /// Logs in so, whatever the session does.
    pub fn auth(self, auth: Auth) -> Self {
        self.with(|request| request.auth(auth))
    }

    /// Gives up after this time, whatever the session's limits are.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|request| request.timeout(timeout))
    }

    /// Sends the request, and waits for the head of the answer that stands.
    ///
    /// # Errors
    /// As for [`crate::Request::send`].
    pub fn send(self) -> Result<Response, Error> {
        let Self { request, engine } = self;
        let response = engine.run(request.send())?;
        Ok(Response { response, engine, rest: Bytes::new() })
    }
}

/// An answer, after redirects and decoded. Its body is read by [`Read`], or as a whole.
pub struct Response {
    response: crate::Response,
    engine: Arc<Engine>,
    /// What came and was not read yet.
    rest: Bytes,
}

impl Response {
    /// The status code.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The version that the peer spoke.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.response.version()
    }

    /// The header fields, as they came.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The URL that this is the answer of.
    #[must_use]
    pub const fn url(&self) -> &Url {
        self.response.url()
    }

    /// The redirects that were followed, the first one first.
    #[must_use]
    pub fn history(&self) -> &[Hop] {
        self.response.history()
    }

    /// How long each phase took so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.response.timings()
    }

    /// Itself, unless the status is 400 or above.
    ///
    /// # Errors
    /// [`Kind::Status`].
    pub fn error_for_status(self) -> Result<Self, Error> {
        let Self { response, engine, rest } = self;
        Ok(Self { response: response.error_for_status()?, engine, rest })
    }

    /// The whole body.
    ///
    /// # Errors
    /// As for [`crate::Response::bytes`].
    pub fn bytes(self) -> Result<Bytes, Error> {
        self.engine.run(self.response.bytes())
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// As for [`crate::Response::text`].
    pub fn text(self) -> Result<String, Error> {
        self.engine.run(self.response.text())
    }

    /// The whole body, which is JSON.
    ///
    /// # Errors
    /// As for [`crate::Response::json`].
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        self.engine.run(self.response.json())
    }

    /// The body line by line, as it comes.
    pub fn lines(self) -> impl Iterator<Item = Result<String, Error>> {
        let mut lines = self.response.lines();
        std::iter::from_fn(move || self.engine.run(lines.next()).transpose())
    }

    /// The body as server-sent events, as they come.
    pub fn events(self) -> impl Iterator<Item = Result<ServerEvent, Error>> {
        let mut events = self.response.events();
        std::iter::from_fn(move || self.engine.run(events.next()).transpose())
    }

    /// Writes the rest of the body as it comes: how many bytes.
    ///
    /// # Errors
    /// As for [`crate::Response::save_to`].
    pub fn save_to(&mut self, sink: &mut impl Write) -> Result<u64, Error> {
        let unwritten =
            |error| Error::new(Kind::Write, "could not write the body").with_source(error);
        let mut count = 0;
        let mut next = Some(std::mem::take(&mut self.rest));
        while let Some(piece) = next {
            sink.write_all(&piece).map_err(unwritten)?;
            count += piece.len() as u64;
            next = self.engine.run(self.response.chunk())?;
        }
        sink.flush().map_err(unwritten)?;
        Ok(count)
    }
}

/// The body as it comes; its errors hold an [`Error`].
impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.engine.run(self.response.chunk()).map_err(io::Error::other)? {
                Some(piece) => self.rest = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.response.fmt(f)
    }
}

//! Sessions: many requests to any origins, over connections that are kept.

mod pool;
mod send;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use portolan_core::{Endpoint, Error, Kind, Scheme, Timeouts, Url, UrlError};
use portolan_net::Dialer;

pub(crate) use self::pool::Lease;
use self::pool::Pool;
use crate::auth::{Auth, DigestSession};
use crate::client::Protocol;
use crate::cookies::Jar;
use crate::redirect::Redirects;
use crate::request::{Prepared, Request};
use crate::response::Response;
use crate::retries::Retries;

/// How long a request may take where nobody says otherwise.
const TIMEOUT: Duration = Duration::from_secs(300);
/// How much of a body [`Response::bytes`] and its like keep.
const BODY_MAX: u64 = 64 * 1024 * 1024;

/// Gets `url`, by a [`Session`] with the defaults that is not kept: whoever asks more than once makes
/// one, and spares the connections.
///
/// # Errors
/// As for [`Request::send`].
pub async fn get(url: impl IntoUrl) -> Result<Response, Error> {
    Session::new().get(url).send().await
}

/// A client of HTTP for many requests: it keeps connections, cookies, fields and a login.
///
/// Cheap to clone. The setters give a changed copy; what they do not concern is shared: cookies,
/// and connections unless they are made in another way.
///
/// # Defaults
/// A default [`Dialer`]; 5 min for a request, 10 s to connect; up to 10 redirects; no retries;
/// cookies are kept; HTTP/2 where TLS agrees on it; bodies are decoded (gzip, deflate, br, zstd),
/// and kept in memory up to 64 MiB where they are asked for whole.
///
/// ```
/// use axum::{Json, Router, routing::post};
/// use portolan_http::{Server, Session};
/// use portolan_net::Listener;
/// use serde_json::{Value, json};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = Listener::bind(&"http://127.0.0.1:0".parse()?).await?;
/// # let url = listener.local_url();
/// # let routes = Router::new().route("/echo", post(|Json(value): Json<Value>| async { Json(value) }));
/// # let server = tokio::spawn(Server::new(routes).serve(listener, std::future::pending()));
/// let session = Session::new().with_header("x-crew", "yes")?;
/// let response = session.post(format!("{url}echo")).json(&json!({ "ship": "cog" })).send().await?;
/// let echo: Value = response.error_for_status()?.json().await?;
/// assert_eq!(echo["ship"], "cog");
/// # server.abort();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session {
    settings: Arc<Settings>,
    pool: Arc<Pool>,
    /// The challenges that were answered, by the origin that posed them.
    digests: Arc<Mutex<HashMap<Endpoint, DigestSession>>>,
}

#[derive(Clone)]
struct Settings {
    dialer: Dialer,
    socket: Option<Endpoint>,
    protocol: Protocol,
    timeouts: Timeouts,
    headers: HeaderMap,
    auth: Option<Auth>,
    redirects: Redirects,
    retries: Retries,
    jar: Option<Jar>,
    decodes: bool,
    body_limit: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A session with the defaults.
    #[must_use]
    pub fn new() -> Self {
        let settings = Settings {
            dialer: Dialer::new(),
            socket: None,
            protocol: Protocol::Any,
            timeouts: Timeouts { operation: Some(TIMEOUT), ..Timeouts::default() },
            headers: HeaderMap::new(),
            auth: None,
            redirects: Redirects::default(),
            retries: Retries::none(),
            jar: Some(Jar::new()),
            decodes: true,
            body_limit: BODY_MAX,
        };
        Self { settings: Arc::new(settings), pool: Arc::default(), digests: Arc::default() }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// A change that makes new connections necessary.
    fn with_other_connections(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        self.pool = Arc::default();
        self.with(change)
    }

    /// Connects by this dialer: its proxies, its TLS, its resolver.
    #[must_use]
    pub fn with_dialer(self, dialer: Dialer) -> Self {
        self.with_other_connections(|settings| settings.dialer = dialer)
    }

    /// Connects to this Unix socket, whatever host a URL names.
    #[must_use]
    pub fn with_unix_socket(self, path: impl Into<PathBuf>) -> Self {
        let socket = Endpoint::unix(path.into());
        self.with_other_connections(|settings| settings.socket = Some(socket))
    }

    /// Speaks this version.
    #[must_use]
    pub fn with_protocol(self, protocol: Protocol) -> Self {
        self.with(|settings| settings.protocol = protocol)
    }

    /// The limits of each request, its redirects and retries included.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        self.with(|settings| settings.timeouts = timeouts)
    }

    /// Adds a field to each request that does not have it itself.
    ///
    /// # Errors
    /// [`Kind::Usage`] where no field has such a name or value.
    pub fn with_header(self, name: &str, value: &str) -> Result<Self, Error> {
        let (name, value) = field(name, value)?;
        Ok(self.with(|settings| {
            settings.headers.append(name, value);
        }))
    }

    /// Logs in so, unless a request or its URL brings a login of its own. Redirects to another
    /// origin go without it.
    #[must_use]
    pub fn with_auth(self, auth: Auth) -> Self {
        self.with(|settings| settings.auth = Some(auth))
    }

    /// Follows these redirects.
    #[must_use]
    pub fn with_redirects(self, redirects: Redirects) -> Self {
        self.with(|settings| settings.redirects = redirects)
    }

    /// Sends again what failed, by this policy.
    #[must_use]
    pub fn with_retries(self, retries: Retries) -> Self {
        self.with(|settings| settings.retries = retries)
    }

    /// Keeps cookies in this jar.
    #[must_use]
    pub fn with_jar(self, jar: Jar) -> Self {
        self.with(|settings| settings.jar = Some(jar))
    }

    /// Neither keeps cookies nor sends them.
    #[must_use]
    pub fn without_cookies(self) -> Self {
        self.with(|settings| settings.jar = None)
    }

    /// Leaves bodies as they come, and does not ask for them to be compressed.
    #[must_use]
    pub fn without_decoding(self) -> Self {
        self.with(|settings| settings.decodes = false)
    }

    /// Keeps at most this many bytes of a body that is asked for whole.
    #[must_use]
    pub fn with_body_limit(self, limit: u64) -> Self {
        self.with(|settings| settings.body_limit = limit)
    }

    /// The cookies, where they are kept.
    #[must_use]
    pub fn jar(&self) -> Option<&Jar> {
        self.settings.jar.as_ref()
    }

    /// Begins a request by any method.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> Request {
        Request::new(self.clone(), method, url.into_url())
    }

    /// Begins a GET (RFC 9110 section 9.3.1).
    pub fn get(&self, url: impl IntoUrl) -> Request {
        self.request(Method::GET, url)
    }

    /// Begins a HEAD (section 9.3.2).
    pub fn head(&self, url: impl IntoUrl) -> Request {
        self.request(Method::HEAD, url)
    }

    /// Begins a POST (section 9.3.3).
    pub fn post(&self, url: impl IntoUrl) -> Request {
        self.request(Method::POST, url)
    }

    /// Begins a PUT (section 9.3.4).
    pub fn put(&self, url: impl IntoUrl) -> Request {
        self.request(Method::PUT, url)
    }

    /// Begins a PATCH (RFC 5789).
    pub fn patch(&self, url: impl IntoUrl) -> Request {
        self.request(Method::PATCH, url)
    }

    /// Begins a DELETE (RFC 9110 section 9.3.5).
    pub fn delete(&self, url: impl IntoUrl) -> Request {
        self.request(Method::DELETE, url)
    }

    /// Sends a request that is complete.
    ///
    /// # Errors
    /// As for [`Request::send`].
    pub async fn send(&self, request: Prepared) -> Result<Response, Error> {
        let cx = portolan_net::Context::new(self.settings.timeouts);
        self.send_within(request, &cx).await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// What can be asked for: a [`Url`], or text that is one.
pub trait IntoUrl {
    /// The URL.
    ///
    /// # Errors
    /// [`Kind::Usage`] where the text is none, or none of HTTP.
    fn into_url(self) -> Result<Url, Error>;
}

impl IntoUrl for Url {
    fn into_url(self) -> Result<Url, Error> {
        match self.scheme() {
            Scheme::Http | Scheme::Https => Ok(self),
            scheme => Err(Error::new(
                Kind::Usage,
                format!("could not ask for a {scheme}: URL by HTTP; it must be http: or https:"),
            )),
        }
    }
}

impl IntoUrl for &Url {
    fn into_url(self) -> Result<Url, Error> {
        self.clone().into_url()
    }
}

impl IntoUrl for &str {
    fn into_url(self) -> Result<Url, Error> {
        let url: Result<Url, UrlError> = self.parse();
        let unread = |error| Error::new(Kind::Usage, "could not read the URL").with_source(error);
        url.map_err(unread)?.into_url()
    }
}

impl IntoUrl for String {
    fn into_url(self) -> Result<Url, Error> {
        self.as_str().into_url()
    }
}

impl IntoUrl for &String {
    fn into_url(self) -> Result<Url, Error> {
        self.as_str().into_url()
    }
}

/// A field that may be sent.
pub(crate) fn field(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let unusable = |part: &str| {
        Error::new(Kind::Usage, format!("could not use a header field: {part} is not allowed"))
    };
    let parsed_name = HeaderName::from_bytes(name.as_bytes());
    let parsed_name =
        parsed_name.map_err(|_| unusable(&format!("the name '{}'", name.escape_debug())))?;
    let value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| unusable(&format!("a control character in the value of '{name}'")))?;
    Ok((parsed_name, value))
}

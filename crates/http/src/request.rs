//! A request on its way to be sent.

use std::fmt;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use portolan_core::{Error, Kind, Url};
use portolan_net::Context;
use serde::Serialize;

use crate::auth::Auth;
use crate::body::Body;
use crate::multipart::Form;
use crate::response::Response;
use crate::session::{Session, field};

/// What stands bare in a query and in a form (WHATWG URL, application/x-www-form-urlencoded).
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// A request that is complete, and yet to be sent by [`Session::send`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Prepared {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// The fields, but for those that the connection adds: `Host` where it is missing.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// The login, where it is not among the fields.
    pub auth: Option<Auth>,
}

/// Builds a [`Prepared`] of a [`Session`], and sends it. What is wrong with a part comes out at the
/// end.
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    session: Session,
    method: Method,
    url: Result<Url, Error>,
    headers: HeaderMap,
    body: Option<Body>,
    auth: Option<Auth>,
    cx: Option<Context>,
    timeout: Option<Duration>,
}

impl Request {
    pub(crate) fn new(session: Session, method: Method, url: Result<Url, Error>) -> Self {
        Self {
            session,
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            auth: None,
            cx: None,
            timeout: None,
        }
    }

    /// Appends a pair to the query.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url = self.url.and_then(|url| {
            let path = url.path_and_query();
            let joint = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{joint}{}", encode([(name, value)]));
            url.with_path(&path).map_err(|error| {
                Error::new(Kind::Usage, "could not use a query").with_source(error)
            })
        });
        self
    }

    /// Adds a field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match field(name, value) {
            Ok((name, value)) => {
                self.headers.append(name, value);
                self
            }
            Err(error) => self.fail(error),
        }
    }

    /// Adds these fields.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        for (name, value) in &headers {
            self.headers.append(name, value.clone());
        }
        self
    }

    /// Sends `value` as JSON.
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => self.typed("application/json").body(json),
            Err(error) => {
                self.fail(Error::new(Kind::Usage, "could not make JSON").with_source(error))
            }
        }
    }

    /// Sends pairs as a form does (`application/x-www-form-urlencoded`).
    pub fn form<'a>(self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let form = encode(pairs);
        self.typed("application/x-www-form-urlencoded").body(form)
    }

    /// Sends the parts of a form, files among them (RFC 7578).
    pub fn multipart(mut self, form: &Form) -> Self {
        self.headers.insert(header::CONTENT_TYPE, form.content_type());
        self.body(form.body())
    }

    /// Sends this body.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        if self.body.is_some() {
            return self.fail(Error::new(Kind::Usage, "a request has one body, not two"));
        }
        self.body = Some(body.into());
        self
    }

    /// The `Content-Type`, unless one was given.
    pub(crate) fn typed(mut self, media_type: &'static str) -> Self {
        let value = HeaderValue::from_static(media_type);
        self.headers.entry(header::CONTENT_TYPE).or_insert(value);
        self
    }

    /// Logs in so, whatever the session does.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Gives up after this time, whatever the session's limits are.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes this a part of an operation: by its deadline, seen by its observers.
    pub fn within(mut self, cx: &Context) -> Self {
        self.cx = Some(cx.clone());
        self
    }

    /// The first error stands.
    fn fail(mut self, error: Error) -> Self {
        self.url = self.url.and(Err(error));
        self
    }

    /// The request as it is to be sent; nothing is sent.
    ///
    /// # Errors
    /// [`Kind::Usage`] for the first part that was wrong.
    pub fn prepare(self) -> Result<Prepared, Error> {
        let Self { session, method, url, headers, body, auth, .. } = self;
        session.complete(method, url?, headers, body, auth)
    }

    /// Sends the request, and waits for the head of the answer that stands: after redirects, retries
    /// and logins.
    ///
    /// # Errors
    /// [`Kind::Usage`] for the first part that was wrong; those of
    /// [`Dialer::dial`](portolan_net::Dialer::dial); [`Kind::Timeout`]; [`Kind::Lost`] where the
    /// peer closes; [`Kind::Protocol`] where it does not speak HTTP; [`Kind::Redirects`];
    /// [`Kind::Read`] where the body cannot be read. A status is no error.
    pub async fn send(mut self) -> Result<Response, Error> {
        let session = self.session.clone();
        let cx = match self.cx.take() {
            Some(cx) => cx,
            None => session.context(),
        };
        let cx = match self.timeout {
            None => cx,
            timeout => cx.limited(timeout),
        };
        session.send_within(self.prepare()?, &cx).await
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.as_ref().ok())
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// The request-target in origin-form (RFC 9112 section 3.2.1).
    pub(crate) fn target(url: &Url) -> Result<Uri, Error> {
        let target: Result<Uri, http::uri::InvalidUri> = url.path_and_query().parse();
        target.map_err(|error| {
            Error::new(Kind::Usage, format!("could not make a request for {url}"))
                .with_source(error)
        })
    }
}

fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.into_iter().map(|(name, value)| {
        let part = |text| utf8_percent_encode(text, FORM).to_string().replace("%20", "+");
        format!("{}={}", part(name), part(value))
    });
    pairs.collect::<Vec<_>>().join("&")
}

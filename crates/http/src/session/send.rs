//! What happens between a request and the answer that stands.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use portolan_core::{Deadline, Error, Event, Kind, Url};
use portolan_net::{Context, Recorder, now};

use super::{Lease, Session};
use crate::answer::Answer;
use crate::auth::{Auth, DigestSession};
use crate::body::Body;
use crate::client::{Client, Complete, USER_AGENT};
use crate::decode;
use crate::error::HttpError;
use crate::redirect::Redirect;
use crate::request::Prepared;
use crate::response::{Hop, Response};

/// One request, and what came of those before it.
struct Course {
    request: Prepared,
    /// What is sent again: nothing, once a body that cannot be replayed has been sent.
    body: Option<Body>,
    history: Vec<Hop>,
    /// How often this request was sent.
    attempt: u32,
    /// Whether the challenge of this origin was answered.
    has_logged_in: bool,
}

/// What to do after an answer.
enum Next {
    /// It stands.
    Stand,
    /// The same once more, after this pause.
    Again(Duration),
    Follow(Box<Redirect>),
}

impl Session {
    /// An operation by the session's limits.
    pub(crate) fn context(&self) -> Context {
        Context::new(self.settings.timeouts)
    }

    /// The request with all that the session adds to it.
    pub(crate) fn complete(
        &self,
        method: Method,
        url: Url,
        own: HeaderMap,
        body: Option<Body>,
        auth: Option<Auth>,
    ) -> Result<Prepared, Error> {
        let settings = &*self.settings;
        let mut headers = own;
        for name in settings
            .headers
            .keys()
            .filter(|name| !headers.contains_key(*name))
            .cloned()
            .collect::<Vec<_>>()
        {
            for value in settings.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        // A part of what is compressed cannot be decoded.
        if settings.decodes && !headers.contains_key(header::RANGE) {
            headers.entry(header::ACCEPT_ENCODING).or_insert(decode::ACCEPTED);
        }
        let body = match body {
            Some(body) => body,
            None => Body::empty(),
        };
        let has_body =
            !body.is_empty() || matches!(method, Method::POST | Method::PUT | Method::PATCH);
        if let Some(len) = body.length().filter(|_| has_body) {
            headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(len));
        }
        let auth = auth.or_else(|| of_url(&url)).or_else(|| settings.auth.clone());
        let request = Prepared { method, url, headers, body, auth };
        Prepared::target(&request.url)?;
        request.auth.as_ref().map(Auth::header).transpose()?;
        Ok(request)
    }

    /// The fields of `request` as they would be sent now, with its cookies and its login.
    ///
    /// # Errors
    /// [`Kind::Usage`] where a login holds what no field may hold.
    pub fn fields(&self, request: &Prepared) -> Result<HeaderMap, Error> {
        let mut headers = request.headers.clone();
        if let Some(kept) = self.settings.jar.as_ref().and_then(|jar| jar.header(&request.url)) {
            let given = headers.remove(header::COOKIE);
            headers.insert(header::COOKIE, join_cookies(given.as_ref(), kept));
        }
        if !headers.contains_key(header::AUTHORIZATION)
            && let Some(auth) = &request.auth
            && let Some(login) = self.login(auth, request)?
        {
            headers.insert(header::AUTHORIZATION, login);
        }
        Ok(headers)
    }

    /// The login, where it needs no challenge or one is known.
    fn login(&self, auth: &Auth, request: &Prepared) -> Result<Option<HeaderValue>, Error> {
        let Auth::Digest { user, password } = auth else { return auth.header() };
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(digest) = digests.get_mut(&request.url.endpoint()) else { return Ok(None) };
        let target = request.url.path_and_query();
        digest.answer(user, password, &request.method, target).map(Some)
    }

    /// Sends a request within an operation.
    ///
    /// # Errors
    /// As for [`Request::send`](crate::Request::send).
    pub async fn send_within(
        &self,
        mut request: Prepared,
        cx: &Context,
    ) -> Result<Response, Error> {
        let body = Some(std::mem::take(&mut request.body));
        let mut course =
            Course { request, body, history: Vec::new(), attempt: 1, has_logged_in: false };
        loop {
            let recorder = Arc::new(Recorder::default());
            let cx = cx.clone().with_observer(recorder.clone());
            let (answer, lease) = match self.exchange(&mut course, &cx).await {
                Ok(exchanged) => exchanged,
                Err(error) => {
                    self.pause_after(error, &mut course, &cx).await?;
                    continue;
                }
            };
            let next = self.next(&mut course, &answer, &cx)?;
            let decodes =
                self.settings.decodes && !course.request.headers.contains_key(header::RANGE);
            let url = course.request.url.clone();
            let history = std::mem::take(&mut course.history);
            let known = (recorder.clone(), cx.clone(), self.settings.body_limit);
            let mut response = Response::new(answer, lease, decodes, (url, history), known);
            match next {
                Next::Stand => return Ok(response),
                Next::Again(pause) => {
                    response.finish().await;
                    course.history = response.into_history(false);
                    if !pause.is_zero() {
                        cx.observe(&Event::Retrying(pause));
                        let _ = cx.until_deadline(tokio::time::sleep(pause)).await;
                    }
                }
                Next::Follow(redirect) => {
                    response.finish().await;
                    course.history = response.into_history(true);
                    course.follow(*redirect);
                }
            }
        }
    }

    /// Sends the request over a connection that is there, or a new one.
    async fn exchange(&self, course: &mut Course, cx: &Context) -> Result<(Answer, Lease), Error> {
        let Some(body) = course.body.take() else {
            return Err(unrepeatable(&course.request.url));
        };
        course.body = body.replay();
        let mut body = Some(body);
        // What can be sent only once is not risked on a connection that may be closing.
        let mut may_reuse = course.body.is_some();
        loop {
            let mut lease = self.lease(&course.request.url, may_reuse, cx).await?;
            let mut request = http::Request::new(body.take().unwrap_or_default());
            *request.method_mut() = course.request.method.clone();
            *request.uri_mut() = Prepared::target(&course.request.url)?;
            *request.headers_mut() = self.fields(&course.request)?;
            request.extensions_mut().insert(Complete);
            match lease.client.send(request, cx).await {
                Ok(answer) => return Ok((answer, lease)),
                Err(error) if lease.is_reused && is_stale(&error, &course.request.method) => {
                    may_reuse = false;
                    body = course.body.as_ref().and_then(Body::replay);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A connection for `url`.
    async fn lease(&self, url: &Url, may_reuse: bool, cx: &Context) -> Result<Lease, Error> {
        let protocol = self.settings.protocol;
        let place = self.pool.place(url, protocol);
        if may_reuse && let Some(lease) = place.reuse(cx).await {
            return Ok(lease);
        }
        let mut turn = None;
        if may_reuse && place.may_share(url, protocol) {
            // Whoever comes second may find the first one's connection.
            turn = cx.until_deadline(place.opening.lock()).await;
            if let Some(lease) = place.reuse(cx).await {
                return Ok(lease);
            }
            // Or that each must have one.
            turn = turn.filter(|_| place.may_share(url, protocol));
        }
        let mut client = self.dial(url, cx).await?;
        if client.is_http2() {
            client.shake_hands().await?;
            client.drive_alone();
        }
        let lease = place.lease(client);
        drop(turn);
        Ok(lease)
    }

    async fn dial(&self, url: &Url, cx: &Context) -> Result<Client, Error> {
        let settings = &*self.settings;
        // The login is the session's business, not the connection's.
        let origin = Url::from_endpoint(url.scheme(), &url.endpoint());
        let (dialer, protocol) = (&settings.dialer, settings.protocol);
        match &settings.socket {
            Some(socket) => Client::connect_unix(protocol, dialer, socket, &origin, cx).await,
            None => Client::connect_as(protocol, dialer, &origin, cx).await,
        }
    }

    /// What an answer asks for.
    fn next(&self, course: &mut Course, answer: &Answer, cx: &Context) -> Result<Next, Error> {
        let (status, headers) = (answer.status(), answer.headers());
        if let Some(jar) = &self.settings.jar {
            jar.receive(&course.request.url, headers);
        }
        if status == StatusCode::UNAUTHORIZED
            && course.body.is_some()
            && self.is_challenged(course, headers)
        {
            course.has_logged_in = true;
            return Ok(Next::Again(Duration::ZERO));
        }
        let Course { request, history, .. } = &*course;
        let retries = &self.settings.retries;
        let pause = retries.after_response(
            course.attempt,
            &request.method,
            status,
            headers,
            SystemTime::now(),
        );
        if let Some(pause) = pause.filter(|pause| course.body.is_some() && is_in_time(*pause, cx)) {
            course.attempt += 1;
            return Ok(Next::Again(pause));
        }
        let followed = u32::try_from(history.len()).unwrap_or(u32::MAX);
        let (method, url) = (&request.method, &request.url);
        let redirect = self.settings.redirects.next(method, url, status, headers, followed)?;
        Ok(match redirect {
            None => Next::Stand,
            Some(redirect) if redirect.keeps_body && course.body.is_none() => {
                return Err(unrepeatable(url));
            }
            Some(redirect) => Next::Follow(Box::new(redirect)),
        })
    }

    /// Whether a login by Digest is asked for that may still be given.
    fn is_challenged(&self, course: &Course, headers: &HeaderMap) -> bool {
        let request = &course.request;
        let Some(Auth::Digest { .. }) = &request.auth else { return false };
        let challenge = DigestSession::from_headers(headers, &header::WWW_AUTHENTICATE);
        let Some(challenge) = challenge else { return false };
        // The same login is not refused twice; a nonce that was used up is another matter.
        let may_try = !course.has_logged_in || challenge.is_stale();
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.insert(request.url.endpoint(), challenge);
        may_try
    }

    /// Waits before another attempt, or gives the error back where there is none.
    async fn pause_after(
        &self,
        error: Error,
        course: &mut Course,
        cx: &Context,
    ) -> Result<(), Error> {
        let retries = &self.settings.retries;
        match retries.after_error(course.attempt, &course.request.method, &error) {
            Some(pause) if course.body.is_some() && is_in_time(pause, cx) => {
                course.attempt += 1;
                cx.observe(&Event::Retrying(pause));
                let _ = cx.until_deadline(tokio::time::sleep(pause)).await;
                Ok(())
            }
            _ => Err(error),
        }
    }
}

impl Course {
    /// The request that a redirect makes of this one.
    fn follow(&mut self, redirect: Redirect) {
        redirect.clean(&mut self.request.headers);
        if !redirect.keeps_body {
            self.body = Some(Body::empty());
        }
        if !redirect.keeps_secrets {
            self.request.auth = None;
        }
        let Redirect { method, url, .. } = redirect;
        self.request.auth = of_url(&url).or_else(|| self.request.auth.take());
        (self.request.method, self.request.url) = (method, url);
        (self.attempt, self.has_logged_in) = (1, false);
    }
}

/// The login of a URL with a user name.
fn of_url(url: &Url) -> Option<Auth> {
    Some(Auth::basic(url.user()?, url.password().unwrap_or_default()))
}

/// Whether the operation goes on for longer than this pause.
fn is_in_time(pause: Duration, cx: &Context) -> bool {
    let resumes = Deadline::after(now(), pause);
    resumes.earlier(cx.deadline()) != cx.deadline()
}

/// Whether a request failed only because its connection had been closed before, so that the server
/// cannot have acted on it (RFC 9110 section 9.2.2).
fn is_stale(error: &Error, method: &Method) -> bool {
    let is_unanswered = error.find::<HttpError>().is_none_or(|e| *e == HttpError::NoAnswer);
    error.kind() == Kind::Lost && is_unanswered && method.is_idempotent()
}

fn unrepeatable(url: &Url) -> Error {
    Error::new(Kind::Usage, format!("could not send the body once more to {url}"))
        .with_endpoint(&url.endpoint())
        .with_hint("the server wants it again, and it came from a stream: send it from a file")
}

fn join_cookies(given: Option<&HeaderValue>, kept: HeaderValue) -> HeaderValue {
    let Some(given) = given else { return kept };
    let joined = [given.as_bytes(), b"; ", kept.as_bytes()].concat();
    HeaderValue::from_bytes(&joined).unwrap_or(kept)
}

//! `http`: one request, and its answer.

mod curl;
mod output;
mod payload;
mod state;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use portolan::http::{Jar, Prepared, Protocol, Redirects, Response, Retries, Session};
use portolan::net::Context;
use portolan::net::pcap::Capture;
use portolan::{Error, Kind, Scheme, Timeouts};

use self::curl::Sent;
use self::output::{Output, fields, media_type, version_name};
use self::payload::Payload;
use self::state::State;
use super::capture::captured;
use super::login::Login;
use super::signals::Signals;
use crate::args::applies::Given;
use crate::args::http::{Asked, HttpArgs, Parts};
use crate::args::items::Item;
use crate::console::Console;
use crate::exit::Exit;
use crate::show::http::{BodyReport, RequestReport};
use crate::trace::Trace;

/// How long the server may say nothing where `--idle-timeout` does not say.
const IDLE: Duration = Duration::from_secs(60);

/// Sends the request, and prints what is asked for of the answer.
///
/// # Errors
/// What makes no sense, or keeps the request from being made; what befalls it on the way is
/// reported with its URL.
pub async fn run(args: &HttpArgs, given: &Given, console: &Console) -> Result<Exit, Error> {
    let asked = args.asked()?;
    let mut schemes = BTreeSet::from([asked.url.scheme()]);
    if args.answer.follow {
        // A redirect may lead from one to the other.
        schemes.extend([Scheme::Http, Scheme::Https]);
    }
    given.check(&schemes)?;
    check_flags(args, given, console)?;
    args.dial.pcap.leave_stdout("the server")?;
    captured(&args.dial.pcap, console, async |capture, console| {
        let mut signals = Signals::catch()?;
        tokio::select! {
            exit = exchange(args, &asked, capture, console) => exit,
            () = signals.next() => Ok(Exit::from(Kind::Interrupted)),
        }
    })
    .await
}

/// Refuses flags that would do nothing.
fn check_flags(args: &HttpArgs, given: &Given, console: &Console) -> Result<(), Error> {
    let refused = |message: String| Err(Error::new(Kind::Usage, message));
    let of_redirects = ["max-redirects", "allow-downgrade"];
    if let Some(flag) = of_redirects.iter().find(|flag| given.contains(flag))
        && !args.answer.follow
    {
        return refused(format!("--{flag} needs --follow"));
    }
    if console.is_json() && given.contains("print") {
        return refused("--print does not apply to --json, which has all but the request".into());
    }
    Ok(())
}

async fn exchange(
    args: &HttpArgs,
    asked: &Asked,
    capture: Option<Capture>,
    console: &Console,
) -> Result<Exit, Error> {
    let exchange = Exchange::prepare(args, asked, console).await?;
    let session = exchange.session(capture).await?;
    let request = exchange.request(&session)?;
    if args.answer.curl {
        return exchange.curl(&session, &request).map(|()| Exit::DONE);
    }
    if args.answer.offline {
        return exchange.offline(&session, request).await.map(|()| Exit::DONE);
    }
    Ok(match exchange.send(&session, request).await {
        Ok(()) => Exit::DONE,
        Err(error) => console.error(&error, Some(&asked.url)),
    })
}

/// A request, with all that goes into it.
struct Exchange<'a> {
    args: &'a HttpArgs,
    asked: &'a Asked,
    console: &'a Console,
    payload: Payload,
    login: Option<Login>,
    jar: Jar,
    /// What `--session` keeps, and where.
    state: Option<(PathBuf, State)>,
}

impl<'a> Exchange<'a> {
    /// Reads all that the request is made of: files, stdin, the session, the login.
    async fn prepare(
        args: &'a HttpArgs,
        asked: &'a Asked,
        console: &'a Console,
    ) -> Result<Self, Error> {
        let (flags, items) = (args.clone(), asked.clone());
        let mut payload = super::blocking(move || Payload::gather(&flags, &items)).await?;
        let mut state = None;
        if let Some(name) = &args.request.session {
            let file = state::file(name, &asked.url)?;
            let path = file.clone();
            state = Some((file, super::blocking(move || State::load(&path)).await?));
        }
        let kept = state.as_ref().and_then(|(_, state)| state.auth.as_ref());
        let login = Login::find(&args.login, &asked.url, kept, console).await?;
        if payload::is_on_stdin(asked, &payload) {
            payload = Payload::from_stdin(args.request.form, timeouts(args).idle, console).await?;
        }
        let jar = state.as_ref().map(|(_, state)| state.jar()).transpose()?.unwrap_or_default();
        Ok(Self { args, asked, console, payload, login, jar, state })
    }

    /// The session of the library that these flags ask for.
    async fn session(&self, capture: Option<Capture>) -> Result<Session, Error> {
        let args = self.args;
        let dialer = args.dial.dialer_for(&self.asked.url).await?.with_capture(capture);
        let mut redirects = match args.answer.follow {
            true => Redirects::up_to(args.answer.max_redirects),
            false => Redirects::none(),
        };
        if args.answer.allow_downgrade {
            redirects = redirects.allow_downgrade();
        }
        let retry = args.dial.retry();
        let session = Session::new()
            .with_dialer(dialer)
            .with_timeouts(timeouts(args))
            .with_redirects(redirects)
            .with_retries(Retries::times(retry.count).with_backoff(retry.backoff))
            .with_protocol(match (args.request.http1, args.request.http2) {
                (true, _) => Protocol::Http1,
                (_, true) => Protocol::Http2,
                _ => Protocol::Any,
            })
            .with_jar(self.jar.clone());
        Ok(match &args.request.unix_socket {
            Some(path) => session.with_unix_socket(path),
            None => session,
        })
    }

    /// The request as it is to be sent.
    fn request(&self, session: &Session) -> Result<Prepared, Error> {
        let default = if self.payload.is_none() { "GET" } else { "POST" };
        let method = self.asked.method.as_deref().unwrap_or(default);
        let method = Method::from_bytes(method.as_bytes()).map_err(|cause| {
            Error::new(Kind::Usage, "could not use the method").with_source(cause)
        })?;
        let mut request = session.request(method, &self.asked.url);
        for item in &self.asked.items {
            if let Item::Query(name, value) = item {
                request = request.query(name, value);
            }
        }
        for (name, value) in self.fields() {
            request = request.header(name, value);
        }
        if let Some(login) = &self.login {
            request = request.auth(login.auth());
        }
        let mut request = self.payload.put(request)?.prepare()?;
        for item in &self.asked.items {
            if let Item::Header { name, value: None } = item {
                request.headers.remove(name);
            }
        }
        Ok(request)
    }

    /// The fields of the session and of the items, and those that go with the body.
    fn fields(&self) -> Vec<(&str, &str)> {
        let items = self.asked.items.iter().filter_map(|item| match item {
            Item::Header { name, value } => Some((name.as_str(), value.as_deref())),
            _ => None,
        });
        let is_given =
            |name: &str| items.clone().any(|(given, _)| given.eq_ignore_ascii_case(name));
        let kept = self.state.iter().flat_map(|(_, state)| &state.headers);
        let kept = kept.filter(|(name, _)| !is_given(name));
        let mut fields: Vec<_> =
            kept.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.extend(items.clone().filter_map(|(name, value)| Some((name, value?))));
        let is_missing = |name: &HeaderName| {
            !is_given(name.as_str())
                && !fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name.as_str()))
        };
        let mut more = Vec::new();
        if self.payload.is_json() && is_missing(&ACCEPT) {
            more.push((ACCEPT.as_str(), "application/json, */*;q=0.5"));
        }
        if let Some(media_type) = self.payload.media_type().filter(|_| is_missing(&CONTENT_TYPE)) {
            more.push((CONTENT_TYPE.as_str(), media_type));
        }
        fields.extend(more);
        fields
    }

    /// Prints the request as a command line for curl.
    fn curl(&self, session: &Session, request: &Prepared) -> Result<(), Error> {
        let sent = Sent {
            method: request.method.as_str(),
            url: &request.url,
            fields: fields(&session.fields(request)?),
            payload: &self.payload,
            bytes: request.body.as_bytes().unwrap_or_default(),
            digest: self.login.as_ref().and_then(Login::digest),
        };
        let command = curl::command(self.args, &sent)?;
        match self.console.is_json() {
            true => self.console.json("curl", &serde_json::json!({"command": command})),
            false => self.console.data(format!("{command}\n").as_bytes()),
        }
    }

    /// Prints the request, and sends nothing.
    async fn offline(&self, session: &Session, request: Prepared) -> Result<(), Error> {
        let mut headers = session.fields(&request)?;
        let body = payload::shown(request.body).await?;
        if self.console.is_json() {
            let report = RequestReport {
                method: request.method.to_string(),
                url: request.url.to_string(),
                headers: fields(&headers),
                body: BodyReport::new(body),
            };
            return self.console.json("request", &report);
        }
        let version =
            if self.args.request.http2 { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
        let target = request.url.path_and_query();
        let line = format!("{} {target} {}", request.method, version_name(version));
        if let Ok(host) = request.url.authority().try_into() {
            headers.entry(http::header::HOST).or_insert(host);
        }
        let mut output = self.output();
        output.request_head(&line, &headers)?;
        output.request_body(&media_type(&headers), body).await
    }

    /// Sends the request, and prints what is asked for.
    async fn send(&self, session: &Session, request: Prepared) -> Result<(), Error> {
        let mut output = self.output();
        let mut body = Vec::new();
        if output.wants_request_body() {
            match request.body.replay() {
                Some(copy) => body = payload::shown(copy).await?,
                None => self.console.note("the request's body is a stream, and is not shown"),
            }
        }
        let mut cx = Context::new(timeouts(self.args));
        if self.console.verbosity() > 0 {
            cx = cx.with_observer(Arc::new(Trace::new(self.console, None)));
        }
        let mut response = session.send_within(request, &cx).await?;
        self.keep().await?;
        if self.console.is_json() {
            output::report(&mut response, self.console).await?;
        } else {
            let sent = response.sent();
            let line = format!("{} {} {}", sent.method, sent.target, version_name(sent.version));
            output.request_head(&line, &sent.headers)?;
            output.request_body(&media_type(&sent.headers), body).await?;
            output.response(&mut response).await?;
        }
        self.check_status(&response)
    }

    /// Keeps in the session what is for the next request.
    async fn keep(&self) -> Result<(), Error> {
        let Some((file, state)) = &self.state else { return Ok(()) };
        let (file, mut state) = (file.clone(), state.clone());
        state.take_headers(&self.asked.items);
        if let Some(login) = &self.login {
            state.auth = Some(login.kept());
        }
        state.cookies = self.jar.to_json()?;
        super::blocking(move || state.save(&file)).await
    }

    fn check_status(&self, response: &Response) -> Result<(), Error> {
        let status = response.status();
        if !self.args.answer.fail || status.as_u16() < 400 {
            return Ok(());
        }
        Err(Error::new(Kind::Status, format!("the server answered with status {status}")))
    }

    fn output(&self) -> Output {
        let parts = self.args.answer.print.unwrap_or_else(|| {
            let is_request = self.args.answer.offline;
            let has_head = !is_request && self.console.is_terminal();
            Parts {
                request_head: is_request,
                request_body: is_request,
                response_head: has_head,
                response_body: !is_request,
                meta: false,
            }
        });
        Output::new(self.console, parts)
    }
}

/// The time limits: none for the whole, as a download or a stream of events takes its time.
fn timeouts(args: &HttpArgs) -> Timeouts {
    let timeouts = args.dial.timeouts(None);
    let idle = args.dial.idle_timeout.map_or(Some(IDLE), |_| timeouts.idle);
    Timeouts { idle, ..timeouts }
}

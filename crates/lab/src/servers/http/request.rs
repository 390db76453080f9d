//! What a request holds, as httpbin tells it in JSON, and its parameters as numbers and durations.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use multer::Multipart;
use portolan_net::Info;
use serde_json::{Map, Value, json};

/// The longest that a request may have anything wait, as httpbin has it for `/delay`.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The largest body that is kept to be told of; `/upload` takes any.
pub(super) const BODY_MAX: usize = 4 * 1024 * 1024;

/// Headers that proxies add, told of only where `show_env` is asked for.
const OF_PROXIES: [&str; 15] = [
    "connect-time",
    "total-route-time",
    "via",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-ssl",
    "x-heroku-dynos-in-use",
    "x-heroku-queue-depth",
    "x-heroku-queue-wait-time",
    "x-real-ip",
    "x-request-id",
    "x-request-start",
    "x-varnish",
];

/// Headers that frame a response or belong to its connection.
const OF_THE_SERVER: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The media type of what has no other.
const OCTETS: &str = "application/octet-stream";

/// A request, wholly received.
pub(super) struct Seen {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Seen {
    type Rejection = Unread;

    async fn from_request(request: Request, _: &S) -> Result<Self, Unread> {
        let (parts, body) = request.into_parts();
        let is_announced = parts.headers.contains_key(header::EXPECT);
        if is_announced && body.size_hint().lower() > BODY_MAX as u64 {
            return Err(Unread::TooLarge);
        }
        // What is too large is read to its end all the same: not every client takes an answer
        // while it sends.
        let mut kept = BytesMut::new();
        let mut size = 0;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(Unread::Broken)?;
            size += chunk.len();
            if size <= BODY_MAX {
                kept.extend_from_slice(&chunk);
            }
        }
        if size > BODY_MAX {
            return Err(Unread::TooLarge);
        }
        Ok(Self { parts, body: kept.freeze() })
    }
}

impl Seen {
    /// The parameters of its query.
    pub(super) fn args(&self) -> Args {
        Args::of(&self.parts)
    }

    /// The value of a header, where it is one text.
    pub(super) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.parts.headers.get(name.into())?.to_str().ok()
    }

    /// What `/get` tells: `args`, `headers`, `origin`, `url`.
    pub(super) fn summary(&self) -> Map<String, Value> {
        Map::from_iter([
            ("args".to_owned(), flatten(self.args().0)),
            ("headers".to_owned(), self.headers()),
            ("origin".to_owned(), self.origin()),
            ("url".to_owned(), self.url().into()),
        ])
    }

    /// What `/post` tells: the summary, and `data`, `files`, `form`, `json`.
    pub(super) async fn whole(self) -> Result<Map<String, Value>, Bad> {
        let mut told = self.summary();
        let content = self.content().await?;
        told.insert("json".to_owned(), serde_json::from_slice(&content.data).unwrap_or_default());
        told.insert("data".to_owned(), text_or_data(content.data, OCTETS).into());
        told.insert("files".to_owned(), flatten(content.files));
        told.insert("form".to_owned(), flatten(content.form));
        Ok(told)
    }

    /// Every header under its name in title case, several of a name joined.
    pub(super) fn headers(&self) -> Value {
        let shows_all = self.args().value("show_env").is_some();
        let mut told = BTreeMap::<String, String>::new();
        for (name, value) in &self.parts.headers {
            if !shows_all && OF_PROXIES.contains(&name.as_str()) {
                continue;
            }
            let value = String::from_utf8_lossy(value.as_bytes());
            // HTTP/2 may split cookies into crumbs (RFC 9113 section 8.2.3).
            let between = if name == header::COOKIE { "; " } else { "," };
            told.entry(title_case(name.as_str()))
                .and_modify(|told| *told += &format!("{between}{value}"))
                .or_insert_with(|| value.into_owned());
        }
        // In HTTP/2 the host is no header.
        told.entry("Host".to_owned()).or_insert_with(|| self.host().to_owned());
        json!(told)
    }

    /// The address of the client, or what a proxy says that it is.
    pub(super) fn origin(&self) -> Value {
        let peer = || self.parts.extensions.get::<Info>().map(|info| info.peer.host.bare());
        self.header(HeaderName::from_static("x-forwarded-for"))
            .map(str::to_owned)
            .or_else(peer)
            .into()
    }

    /// The URL that was asked for, in full.
    fn url(&self) -> String {
        let target = self.parts.uri.path_and_query().map_or("/", |target| target.as_str());
        self.base() + target
    }

    /// The scheme and the authority of the URL.
    pub(super) fn base(&self) -> String {
        let header = |name| self.header(HeaderName::from_static(name));
        let is_tls = self.parts.extensions.get::<Info>().is_some_and(|info| info.tls.is_some());
        let scheme = header("x-forwarded-proto")
            .or_else(|| header("x-forwarded-protocol"))
            .or_else(|| header("x-forwarded-ssl").filter(|word| *word == "on").map(|_| "https"))
            .unwrap_or(if is_tls { "https" } else { "http" });
        format!("{scheme}://{}", self.host())
    }

    fn host(&self) -> &str {
        let authority = self.parts.uri.authority().map(|authority| authority.as_str());
        authority.or_else(|| self.header(header::HOST)).unwrap_or("localhost")
    }

    async fn content(self) -> Result<Content, Bad> {
        let kind = self.header(header::CONTENT_TYPE).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*essence {
            "application/x-www-form-urlencoded" => {
                Ok(Content { form: pairs(&self.body), ..Content::default() })
            }
            "multipart/form-data" => {
                let boundary = multer::parse_boundary(kind).map_err(Bad::new)?;
                Content::of_parts(self.body, boundary).await.map_err(Bad::new)
            }
            _ => Ok(Content { data: self.body, ..Content::default() }),
        }
    }
}

/// The body of a request by what it is: a form, perhaps with files, or else data.
#[derive(Default)]
struct Content {
    data: Bytes,
    files: Vec<(String, String)>,
    form: Vec<(String, String)>,
}

impl Content {
    async fn of_parts(body: Bytes, boundary: String) -> Result<Self, multer::Error> {
        let whole = stream::iter([Ok::<_, Infallible>(body)]);
        let mut parts = Multipart::new(whole, boundary);
        let mut content = Self::default();
        while let Some(part) = parts.next_field().await? {
            let name = part.name().unwrap_or_default().to_owned();
            if part.file_name().is_some() {
                let kind = part.content_type().map_or(OCTETS.to_owned(), ToString::to_string);
                content.files.push((name, text_or_data(part.bytes().await?, &kind)));
            } else {
                content.form.push((name, String::from_utf8_lossy(&part.bytes().await?).into()));
            }
        }
        Ok(content)
    }
}

/// Text as it is, and anything else as a `data:` URL (RFC 2397).
fn text_or_data(bytes: Bytes, kind: &str) -> String {
    match String::from_utf8(bytes.into()) {
        Ok(text) => text,
        Err(error) => format!("data:{kind};base64,{}", STANDARD.encode(error.as_bytes())),
    }
}

/// A name with one value has it as a string, and one with several as a list.
fn flatten(pairs: Vec<(String, String)>) -> Value {
    let mut flat = Map::new();
    for (name, value) in pairs {
        match flat.get_mut(&name) {
            None => {
                flat.insert(name, value.into());
            }
            Some(Value::Array(values)) => values.push(value.into()),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    flat.into()
}

fn title_case(name: &str) -> String {
    let mut starts = true;
    let title = |letter: char| {
        let titled = if starts { letter.to_ascii_uppercase() } else { letter };
        starts = !letter.is_ascii_alphabetic();
        titled
    };
    name.chars().map(title).collect()
}

fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded).map(|(name, value)| (name.into(), value.into())).collect()
}

/// The parameters of a query, in its order.
pub(super) struct Args(pub(super) Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Args {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl Args {
    fn of(parts: &Parts) -> Self {
        Self(pairs(parts.uri.query().unwrap_or_default().as_bytes()))
    }

    /// The first value of this name, in whatever case.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| &**value)
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let is_yes = |word: &str| ["1", "t", "true"].contains(&&*word.to_ascii_lowercase());
        self.value(name).is_some_and(is_yes)
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Bad> {
        let wrong = |_| Bad(format!("{name} is not a number of its range").into());
        self.value(name).map(|value| value.parse().map_err(wrong)).transpose()
    }

    /// A number of seconds, cut to [`PAUSE_MAX`]; none without the parameter.
    pub(super) fn pause(&self, name: &str) -> Result<Option<Duration>, Bad> {
        self.number(name)?.map(pause).transpose()
    }
}

/// This many seconds, cut to [`PAUSE_MAX`].
pub(super) fn pause(seconds: f64) -> Result<Duration, Bad> {
    let pause = Duration::try_from_secs_f64(seconds);
    pause.map(|pause| pause.min(PAUSE_MAX)).map_err(|_| Bad("not a number of seconds".into()))
}

/// A header or trailer of the client's choice.
pub(super) fn field(name: &str, text: &str) -> Result<(HeaderName, HeaderValue), Bad> {
    let header = HeaderName::try_from(name).map_err(|_| Bad("not the name of a header".into()))?;
    if OF_THE_SERVER.contains(&header) {
        return Err(Bad(format!("{name} is the server's own").into()));
    }
    Ok((header, value(text)?))
}

/// The value of a header.
pub(super) fn value(text: &str) -> Result<HeaderValue, Bad> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| Bad("no header's value has control characters".into()))
}

/// What the path has in its variable parts: axum's `Path`, with refusals in words of ours.
pub(super) struct Path<T>(pub(super) T);

impl<S: Sync, T> FromRequestParts<S> for Path<T>
where
    extract::Path<T>: FromRequestParts<S, Rejection = PathRejection>,
{
    type Rejection = Bad;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Bad> {
        let extracted = extract::Path::from_request_parts(parts, state).await;
        extracted.map(|extract::Path(found)| Self(found)).map_err(|rejection| match rejection {
            PathRejection::FailedToDeserializePathParams(error) => bad_path(error.kind()),
            _ => Bad("the path cannot be read".into()),
        })
    }
}

fn bad_path(error: &ErrorKind) -> Bad {
    use ErrorKind::{ParseError, ParseErrorAtIndex, ParseErrorAtKey};

    let (ParseError { value, expected_type }
    | ParseErrorAtIndex { value, expected_type, .. }
    | ParseErrorAtKey { value, expected_type, .. }) = error
    else {
        return Bad("the path is not percent-encoded UTF-8".into());
    };
    let expected = match *expected_type {
        "u32" => format!("a whole number up to {}", u32::MAX),
        "u64" | "usize" => format!("a whole number up to {}", u64::MAX),
        _ => "a number".to_owned(),
    };
    Bad(format!("'{value}' in the path is not {expected}").into())
}

/// 400, and why.
#[derive(Debug)]
pub(super) struct Bad(pub(super) Cow<'static, str>);

impl Bad {
    fn new(error: multer::Error) -> Self {
        Self(format!("could not read the form: {error}").into())
    }
}

impl IntoResponse for Bad {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, format!("{}\n", self.0)).into_response()
    }
}

/// Why a body was not kept.
pub(super) enum Unread {
    /// 413, for one larger than [`BODY_MAX`].
    TooLarge,
    /// 400, for one that ends early or is not framed as HTTP has it.
    Broken(axum::Error),
}

impl IntoResponse for Unread {
    fn into_response(self) -> Response {
        match self {
            Self::TooLarge => {
                let limit = "bodies are kept up to 4 MiB; /upload takes any\n";
                (StatusCode::PAYLOAD_TOO_LARGE, limit).into_response()
            }
            Self::Broken(error) => {
                Bad(format!("could not read the body: {error}").into()).into_response()
            }
        }
    }
}

/// A line of JSON.
pub(super) struct Told<T>(pub(super) T);

impl<T: Into<Value>> IntoResponse for Told<T> {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        let line = format!("{}\n", self.0.into());
        ([(header::CONTENT_TYPE, kind)], Body::from(line)).into_response()
    }
}

//! Cookies: told, set and deleted.

use std::fmt::Write as _;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use axum::routing::get;
use portolan_net::Info;
use serde_json::{Map, Value, json};

use super::request::{self, Args, Bad, Path, Seen, Told};

pub(super) const INDEX: &str = "\
/cookies                                the cookies of the request
/cookies/set?{name}={value}&…           sets these, and redirects to /cookies
/cookies/set/{name}/{value}             sets one
/cookies/delete?{name}&…                deletes these
";

pub(super) fn routes() -> Router {
    Router::new()
        .route("/cookies", get(show))
        .route("/cookies/set", get(async |args: Args, seen: Seen| set(args.0, &seen)))
        .route(
            "/cookies/set/{name}/{value}",
            get(async |Path(pair), seen: Seen| set(vec![pair], &seen)),
        )
        .route("/cookies/delete", get(delete))
}

async fn show(headers: HeaderMap) -> Told<Value> {
    let all = Cookies::of(&headers).0.into_iter();
    let mut told = Map::new();
    for (name, value) in all {
        // The first of a name is of the longest path, so the nearest (RFC 6265 section 5.4).
        told.entry(name).or_insert(value.into());
    }
    Told(json!({ "cookies": told }))
}

fn set(pairs: Vec<(String, String)>, seen: &Seen) -> Result<impl IntoResponse + use<>, Bad> {
    let is_tls = seen.parts.extensions.get::<Info>().is_some_and(|info| info.tls.is_some());
    let cookies = pairs.iter().map(|(name, value)| set_cookie(name, value, is_tls));
    Ok(to_cookies(cookies.collect::<Result<_, Bad>>()?))
}

async fn delete(args: Args) -> Result<impl IntoResponse, Bad> {
    let gone = |(name, _): &(String, String)| {
        let past = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/";
        let text = format!("{}=; {past}", checked(name)?);
        request::value(&text)
    };
    Ok(to_cookies(args.0.iter().map(gone).collect::<Result<_, Bad>>()?))
}

/// Redirects to the list of cookies, and sets these.
fn to_cookies(cookies: Vec<HeaderValue>) -> impl IntoResponse + use<> {
    let cookies = cookies.into_iter().map(|cookie| (header::SET_COOKIE, cookie));
    let cookies: Vec<_> = cookies.collect();
    let there = [(header::LOCATION, HeaderValue::from_static("/cookies"))];
    (StatusCode::FOUND, there, AppendHeaders(cookies))
}

/// The cookies of a request, in its order.
pub(super) struct Cookies(Vec<(String, String)>);

impl Cookies {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::COOKIE).into_iter();
        let mut all = Vec::new();
        for line in lines {
            for pair in String::from_utf8_lossy(line.as_bytes()).split(';') {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let name = name.trim();
                if !name.is_empty() {
                    all.push((name.to_owned(), unquote(value.trim())));
                }
            }
        }
        Self(all)
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }
}

/// The value of `Set-Cookie` that sets this for all paths.
pub(super) fn set_cookie(name: &str, value: &str, is_secure: bool) -> Result<HeaderValue, Bad> {
    let secure = if is_secure { "; Secure" } else { "" };
    let text = format!("{}={}{secure}; Path=/", checked(name)?, quote(value));
    request::value(&text)
}

/// A name that a cookie can have: a token (RFC 6265 section 4.1.1).
fn checked(name: &str) -> Result<&str, Bad> {
    let is_token =
        |letter: char| letter.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}".contains(letter);
    if !name.is_empty() && name.chars().all(is_token) {
        return Ok(name);
    }
    Err(Bad("the name of a cookie has letters, digits and !#$%&'*+-.^_`|~".into()))
}

/// A value as it is, or where a cookie cannot hold it in quotes, with what else has a meaning
/// there as `\ooo`: the way of Python's `http.cookies`.
pub(super) fn quote(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/=!#$%&'*+-.^_`|~:".contains(&byte);
    if value.bytes().all(is_plain) {
        return value.to_owned();
    }
    let mut quoted = String::from('"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', byte.into()]),
            b' '..=b'~' if !b",;".contains(&byte) => quoted.push(byte.into()),
            // Nothing fails that is written to a string.
            _ => drop(write!(quoted, "\\{byte:03o}")),
        }
    }
    quoted + "\""
}

/// The reverse of [`quote`], for whatever a client sends.
pub(super) fn unquote(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let Some(inner) = inner else { return value.to_owned() };
    let mut bytes = Vec::new();
    let mut rest = inner.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, length) = if first == b'\\' { escaped(after) } else { (first, 0) };
        bytes.push(byte);
        rest = &after[length..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte that a backslash and what is after it stand for, and how much of that it takes.
fn escaped(after: &[u8]) -> (u8, usize) {
    let digits = after.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let octal = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    match (octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()), after.first()) {
        (Some(byte), _) => (byte, 3),
        (None, Some(byte)) => (*byte, 1),
        (None, None) => (b'\\', 0),
    }
}

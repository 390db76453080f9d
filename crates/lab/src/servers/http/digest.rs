//! Digest authentication (RFC 7616), with httpbin's cookies that make a client prove that it keeps
//! cookies (`require-cookie`) and that a nonce goes stale (`stale_after`).

use std::collections::HashMap;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;
use md5::{Digest as _, Md5};
use portolan_http::Challenge;
use serde_json::json;
use sha2::{Sha256, Sha512, Sha512_256};

use super::cookies::{Cookies, set_cookie};
use super::request::{Bad, Path, Seen, Told, value};

pub(super) const INDEX: &str = "\
/digest-auth/{qop}/{user}/{password}[/{algorithm}[/{stale_after}]]
                                        qop: auth, auth-int, or any; algorithm: MD5, SHA-256,
                                        SHA-512, SHA-512-256, also with -sess; a nonce goes stale
                                        after this many requests (never); ?require-cookie=1
";

const REALM: &str = "portolan lab";

pub(super) fn routes() -> Router {
    Router::new()
        .route("/digest-auth/{qop}/{user}/{password}", get(digest))
        .route("/digest-auth/{qop}/{user}/{password}/{algorithm}", get(digest))
        .route("/digest-auth/{qop}/{user}/{password}/{algorithm}/{stale_after}", get(digest))
}

async fn digest(Path(path): Path<HashMap<String, String>>, seen: Seen) -> Result<Response, Bad> {
    let guard = Guard::new(&path);
    let cookies = Cookies::of(&seen.parts.headers);
    let wants_cookies = seen.args().is_on("require-cookie");
    let has_cookies = seen.parts.headers.contains_key(header::COOKIE);
    // Credentials have the grammar of challenges (RFC 9110 section 11.4).
    let presented = Challenge::from_headers(&seen.parts.headers, &header::AUTHORIZATION);
    let presented = presented.into_iter().find(|it| it.scheme.eq_ignore_ascii_case("Digest"));
    let Some(presented) = presented.filter(|_| has_cookies || !wants_cookies) else {
        return guard.challenge(false, None);
    };
    if wants_cookies && cookies.value("fake") != Some("fake_value") {
        let told = Told(json!({ "errors": ["missing cookie set on challenge"] }));
        return with_cookies((StatusCode::FORBIDDEN, told), &[]);
    }
    let nonce = presented.param("nonce");
    let left = cookies.value("stale_after");
    if left == Some("0") || nonce.is_some() && cookies.value("last_nonce") == nonce {
        return guard.challenge(true, nonce);
    }
    if !guard.admits(&presented, &seen) {
        return guard.challenge(false, nonce);
    }
    let told = Told(json!({ "authenticated": true, "user": guard.user }));
    match left {
        Some(left) => {
            let left = left
                .parse::<i32>()
                .map_or("never".to_owned(), |left| left.saturating_sub(1).to_string());
            with_cookies(told, &[("stale_after", &left)])
        }
        None => with_cookies(told, &[]),
    }
}

/// The response with the cookie that shows that cookies are kept, and these.
fn with_cookies(response: impl IntoResponse, more: &[(&str, &str)]) -> Result<Response, Bad> {
    let all = more.iter().chain([&("fake", "fake_value")]);
    let cookies =
        all.map(|(name, value)| Ok((header::SET_COOKIE, set_cookie(name, value, false)?)));
    let cookies: Vec<_> = cookies.collect::<Result<_, Bad>>()?;
    Ok((AppendHeaders(cookies), response).into_response())
}

/// Who is let in, and by what.
struct Guard<'a> {
    user: &'a str,
    password: &'a str,
    /// What quality of protection is offered.
    offered: &'static [&'static str],
    algorithm: Algorithm,
    stale_after: &'a str,
}

impl<'a> Guard<'a> {
    fn new(path: &'a HashMap<String, String>) -> Self {
        let part = |name| path.get(name).map(String::as_str);
        Self {
            user: part("user").unwrap_or_default(),
            password: part("password").unwrap_or_default(),
            offered: match part("qop") {
                Some("auth") => &["auth"],
                Some("auth-int") => &["auth-int"],
                _ => &["auth", "auth-int"],
            },
            algorithm: Algorithm::named(part("algorithm").unwrap_or_default()),
            stale_after: part("stale_after").unwrap_or("never"),
        }
    }

    /// 401 with a fresh nonce.
    fn challenge(&self, stale: bool, last_nonce: Option<&str>) -> Result<Response, Bad> {
        let fresh = || self.algorithm.hash(&fastrand::u128(..).to_be_bytes());
        let challenge = format!(
            "Digest realm=\"{REALM}\", nonce=\"{}\", qop=\"{}\", opaque=\"{}\", algorithm={}{}, \
             stale={stale}",
            fresh(),
            self.offered.join(", "),
            fresh(),
            self.algorithm.hash,
            if self.algorithm.is_session { "-sess" } else { "" },
        );
        let challenge = [(header::WWW_AUTHENTICATE, value(&challenge)?)];
        let response = (StatusCode::UNAUTHORIZED, challenge);
        let mut cookies = vec![("stale_after", self.stale_after)];
        cookies.extend(last_nonce.map(|nonce| ("last_nonce", nonce)));
        with_cookies(response, &cookies)
    }

    /// Whether these credentials answer a challenge (RFC 7616 section 3.4.1).
    fn admits(&self, presented: &Challenge, seen: &Seen) -> bool {
        let part = |name| presented.param(name).unwrap_or_default();
        let hash = |text: String| self.algorithm.hash(text.as_bytes());
        let target = seen.parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let is_meant = part("username") == self.user
            && part("realm") == REALM
            && part("uri") == target
            && self.offered.contains(&part("qop"));
        let mut secret = hash(format!("{}:{REALM}:{}", self.user, self.password));
        if self.algorithm.is_session {
            secret = hash(format!("{secret}:{}:{}", part("nonce"), part("cnonce")));
        }
        let mut asked = format!("{}:{target}", seen.parts.method);
        if part("qop") == "auth-int" {
            asked = format!("{asked}:{}", self.algorithm.hash(&seen.body));
        }
        let asked = hash(asked);
        let [nonce, count, cnonce, qop] = ["nonce", "nc", "cnonce", "qop"].map(part);
        is_meant
            && part("response") == hash(format!("{secret}:{nonce}:{count}:{cnonce}:{qop}:{asked}"))
    }
}

/// A hash, and whether it makes the secret of a session first.
#[derive(Clone, Copy)]
struct Algorithm {
    hash: &'static str,
    is_session: bool,
    of: fn(&[u8]) -> String,
}

impl Algorithm {
    /// The one of this name, or MD5 for a name that is not known, as httpbin has it.
    fn named(name: &str) -> Self {
        let (name, is_session) = match name.strip_suffix("-sess") {
            Some(hash) => (hash, true),
            None => (name, false),
        };
        let (hash, of): (_, fn(&[u8]) -> String) = match name {
            "SHA-256" => ("SHA-256", |data| hex(&Sha256::digest(data))),
            "SHA-512" => ("SHA-512", |data| hex(&Sha512::digest(data))),
            "SHA-512-256" => ("SHA-512-256", |data| hex(&Sha512_256::digest(data))),
            _ => ("MD5", |data| hex(&Md5::digest(data))),
        };
        Self { hash, is_session, of }
    }

    fn hash(self, data: &[u8]) -> String {
        (self.of)(data)
    }
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

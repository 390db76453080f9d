//! Logins: Basic (RFC 7617), Bearer (RFC 6750) and Digest (RFC 7616), and the challenges that ask
//! for them (RFC 9110 section 11). Nothing is sent here.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use digest_auth::{Algorithm, AuthContext, Charset, HttpMethod, Qop, WwwAuthenticateHeader};
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use portolan_core::{Error, Kind};

mod challenge;

pub use challenge::Challenge;

/// How a client proves who it is. It never prints its secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// User name and password with every request. Only TLS hides them.
    Basic {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token with every request.
    Bearer(String),
    /// User name and a hash of the password, once the server has asked.
    Digest {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
}

impl Auth {
    /// Basic authentication.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic { user: user.into(), password: password.into() }
    }

    /// A bearer token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer(token.into())
    }

    /// Digest authentication.
    pub fn digest(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Digest { user: user.into(), password: password.into() }
    }

    /// The value of `Authorization` that needs no challenge; `None` for [`Auth::Digest`], which is
    /// answered by [`DigestSession::answer`].
    ///
    /// # Errors
    /// [`Kind::Usage`] for a user name with a colon, and for characters that no field may hold.
    pub fn header(&self) -> Result<Option<HeaderValue>, Error> {
        match self {
            Self::Basic { user, .. } if user.contains(':') => {
                Err(Error::new(Kind::Usage, "a user name for Basic authentication has no colon"))
            }
            Self::Basic { user, password } => {
                let login = BASE64.encode(format!("{user}:{password}"));
                secret(&format!("Basic {login}")).map(Some)
            }
            Self::Bearer(token) => secret(&format!("Bearer {token}")).map(Some),
            Self::Digest { .. } => Ok(None),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(***)",
            Self::Bearer(_) => "Bearer(***)",
            Self::Digest { .. } => "Digest(***)",
        })
    }
}

fn secret(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
        Error::new(Kind::Usage, "a login holds control characters that no field may hold")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A server's Digest challenge, answered request by request: its nonce is used until the server
/// gives another.
#[derive(Clone, Debug)]
pub struct DigestSession(WwwAuthenticateHeader);

impl DigestSession {
    /// From the first Digest challenge among the fields `name` (`WWW-Authenticate` or
    /// `Proxy-Authenticate`) that asks for MD5, SHA-256 or SHA-512-256 and for `qop` `auth` or
    /// none (RFC 7616 section 3.7: the server lists what it likes best first). `None` where there
    /// is none.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        Challenge::from_headers(headers, name).iter().find_map(Self::from_challenge)
    }

    fn from_challenge(challenge: &Challenge) -> Option<Self> {
        if !challenge.scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let text = |name| challenge.param(name).map(str::to_owned);
        let is_true = |name| challenge.param(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let qop = match challenge.param("qop") {
            None => None,
            // `auth-int` would need the whole body in memory first.
            Some(list) if list.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) => {
                Some(vec![Qop::AUTH])
            }
            Some(_) => return None,
        };
        Some(Self(WwwAuthenticateHeader {
            domain: None,
            realm: text("realm")?,
            nonce: text("nonce")?,
            opaque: text("opaque"),
            stale: is_true("stale"),
            algorithm: challenge
                .param("algorithm")
                .map_or(Some(Algorithm::default()), algorithm)?,
            qop,
            userhash: is_true("userhash"),
            charset: Charset::UTF8,
            nc: 0,
        }))
    }

    /// Whether the server refused only the nonce, not the login: the same login may be tried once
    /// more.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.0.stale
    }

    /// The value of `Authorization` for one request: `target` is its request-target, such as
    /// `/dir/index.html`. Each call counts the nonce up.
    ///
    /// # Errors
    /// [`Kind::Usage`] for characters that no field may hold.
    pub fn answer(
        &mut self,
        user: &str,
        password: &str,
        method: &Method,
        target: &str,
    ) -> Result<HeaderValue, Error> {
        self.respond(user, password, method, target, None)
    }

    fn respond(
        &mut self,
        user: &str,
        password: &str,
        method: &Method,
        target: &str,
        cnonce: Option<&str>,
    ) -> Result<HeaderValue, Error> {
        let method = HttpMethod(method.as_str().into());
        let mut context =
            AuthContext::new_with_method(user, password, target, None::<&[u8]>, method);
        if let Some(cnonce) = cnonce {
            context.set_custom_cnonce(cnonce);
        }
        let answer = self.0.respond(&context).map_err(|error| {
            Error::new(Kind::Protocol, "could not answer the digest challenge").with_source(error)
        })?;
        secret(&answer.to_string())
    }
}

fn algorithm(name: &str) -> Option<Algorithm> {
    ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(name))
        .and_then(|known| known.parse().ok())
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn session(challenge: &str) -> Option<DigestSession> {
        let value = HeaderValue::from_str(challenge).unwrap();
        let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, value)]);
        DigestSession::from_headers(&headers, &header::WWW_AUTHENTICATE)
    }

    #[test]
    fn basic_and_bearer_as_their_rfcs_show_them() {
        let header = |auth: Auth| auth.header().unwrap().unwrap();
        let basic = header(Auth::basic("Aladdin", "open sesame"));
        assert_eq!(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(basic.is_sensitive());
        // RFC 7617 section 2.1: UTF-8.
        assert_eq!(header(Auth::basic("test", "123£")), "Basic dGVzdDoxMjPCow==");
        assert_eq!(header(Auth::bearer("mF_9.B5f-4.1JqM")), "Bearer mF_9.B5f-4.1JqM");
        assert_eq!(Auth::digest("u", "p").header().unwrap(), None);
        assert_eq!(format!("{:?}", Auth::basic("user", "password")), "Basic(***)");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for auth in [Auth::basic("a:b", "c"), Auth::bearer("a\r\nx: y")] {
            assert_eq!(auth.header().unwrap_err().kind(), Kind::Usage);
        }
    }

    /// RFC 7616 section 3.9.1.
    #[test]
    fn digest_as_the_rfc_shows_it() {
        const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let challenge = |algorithm| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let mut session = session(&challenge(algorithm)).unwrap();
            let target = "/dir/index.html";
            let answer = session
                .respond("Mufasa", "Circle of Life", &Method::GET, target, Some(CNONCE))
                .unwrap();
            let answer = answer.to_str().unwrap();
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
            assert!(answer.contains("nc=00000001") && answer.contains("qop=auth,"), "{answer}");
            let again = session.answer("Mufasa", "Circle of Life", &Method::GET, target).unwrap();
            assert!(again.to_str().unwrap().contains("nc=00000002"));
        }
    }

    #[test]
    fn the_first_challenge_that_is_understood_is_answered() {
        let session = session(
            "Basic realm=\"x\", Digest realm=\"a\", nonce=\"1\", algorithm=SHA3, \
             Digest realm=\"b\", nonce=\"2\", algorithm=sha-256, stale=TRUE, \
             Digest realm=\"c\", nonce=\"3\"",
        )
        .unwrap();
        assert_eq!(session.0.realm, "b");
        assert!(session.is_stale());
    }

    #[test]
    fn digest_needs_realm_nonce_and_a_qop_that_is_spoken() {
        assert!(session("Digest realm=\"a\"").is_none());
        assert!(session("Digest nonce=\"a\"").is_none());
        assert!(session("Digest realm=\"a\", nonce=\"1\", qop=\"auth-int\"").is_none());
        assert!(session("Digest realm=\"ä\", nonce=\"1\"".to_lowercase().as_str()).is_some());
    }
}

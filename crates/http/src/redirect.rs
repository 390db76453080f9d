//! Where a response sends the request next (RFC 9110 section 15.4). Nothing is sent here.

use std::str;

use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};
use portolan_core::{Error, Kind, Scheme, Url};

/// What a request says of its body, and says no more without one.
const CONTENT: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::TRANSFER_ENCODING,
    header::EXPECT,
];
/// What is meant for one origin alone.
const PRIVATE: [HeaderName; 4] =
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::HOST];

/// Which redirects are followed.
///
/// # Defaults
/// Up to 10, and none from `https:` to `http:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirects {
    limit: u32,
    allows_downgrade: bool,
}

impl Default for Redirects {
    fn default() -> Self {
        Self::up_to(10)
    }
}

impl Redirects {
    /// Follows none: a redirect is a response as any other.
    #[must_use]
    pub const fn none() -> Self {
        Self::up_to(0)
    }

    /// Follows this many one after another; one more is an error. 0 is [`none`](Self::none).
    #[must_use]
    pub const fn up_to(limit: u32) -> Self {
        Self { limit, allows_downgrade: false }
    }

    /// Also follows those that lead from `https:` to `http:`, where all can read and change what
    /// is said.
    #[must_use]
    pub const fn allow_downgrade(mut self) -> Self {
        self.allows_downgrade = true;
        self
    }

    /// Where the response to a request by `method` for `from` leads, after `followed` redirects
    /// before it; `None` where it stands as it is.
    ///
    /// # Errors
    /// [`Kind::Redirects`] for one too many, one that leaves HTTP, and one from `https:` to
    /// `http:`; [`Kind::Protocol`] for a `Location` that is no URL.
    pub fn next(
        &self,
        method: &Method,
        from: &Url,
        status: StatusCode,
        headers: &HeaderMap,
        followed: u32,
    ) -> Result<Option<Redirect>, Error> {
        let (true, Some(location)) = (self.limit > 0, headers.get(header::LOCATION)) else {
            return Ok(None);
        };
        let Some((next_method, keeps_body)) = next_method(method, status) else { return Ok(None) };
        if followed >= self.limit {
            let message = format!("{from} redirects once more after {followed} redirects");
            return Err(Error::new(Kind::Redirects, message)
                .with_hint("the server may redirect in a circle; or allow more"));
        }
        let url = str::from_utf8(location.as_bytes())
            .map_err(|error| unreadable(from).with_source(error))
            .and_then(|text| {
                from.join(text).map_err(|error| unreadable(from).with_source(error))
            })?;
        self.check(from, &url)?;
        let keeps_secrets = is_same_origin(from, &url);
        // An absolute URL rarely repeats the user name that this origin was asked with.
        let url = match from.user() {
            Some(_) if keeps_secrets && url.user().is_none() => from
                .clone()
                .with_path(url.path_and_query())
                .map_err(|error| unreadable(from).with_source(error))?,
            _ => url,
        };
        Ok(Some(Redirect { method: next_method, url, keeps_body, keeps_secrets }))
    }

    fn check(&self, from: &Url, to: &Url) -> Result<(), Error> {
        let refusal = |hint: &str| {
            Err(Error::new(Kind::Redirects, format!("{from} redirects to {to}")).with_hint(hint))
        };
        match (from.scheme(), to.scheme()) {
            (Scheme::Https, Scheme::Http) if !self.allows_downgrade => refusal(
                "this would go on without TLS; if that is right, ask for the new URL itself",
            ),
            (_, Scheme::Http | Scheme::Https) => Ok(()),
            _ => refusal("only http: and https: are followed; ask for the new URL itself"),
        }
    }
}

/// The request that follows a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Its method.
    pub method: Method,
    /// Its URL.
    pub url: Url,
    /// Whether it has the body of the request before.
    pub keeps_body: bool,
    /// Whether it goes to the same origin (RFC 9110 section 4.3.1), and so may carry what was
    /// meant for that alone.
    pub keeps_secrets: bool,
}

impl Redirect {
    /// Removes from the fields of the request before what the next one must not carry.
    pub fn clean(&self, headers: &mut HeaderMap) {
        let without = |headers: &mut HeaderMap, names: &[HeaderName]| {
            names.iter().for_each(|name| {
                headers.remove(name);
            });
        };
        if !self.keeps_body {
            without(headers, &CONTENT);
        }
        if !self.keeps_secrets {
            without(headers, &PRIVATE);
        }
    }
}

/// The method of the next request, and whether it keeps the body. 301 and 302 turn POST into GET,
/// as all clients do (RFC 9110 sections 15.4.2 and 15.4.3).
fn next_method(method: &Method, status: StatusCode) -> Option<(Method, bool)> {
    match status.as_u16() {
        301 | 302 if method == Method::POST => Some((Method::GET, false)),
        303 if method == Method::HEAD => Some((Method::HEAD, false)),
        303 => Some((Method::GET, false)),
        301 | 302 | 307 | 308 => Some((method.clone(), true)),
        _ => None,
    }
}

fn is_same_origin(a: &Url, b: &Url) -> bool {
    (a.scheme(), a.host(), a.port()) == (b.scheme(), b.host(), b.port())
}

fn unreadable(from: &Url) -> Error {
    Error::new(Kind::Protocol, format!("could not read where {from} redirects to"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn location(to: &str) -> HeaderMap {
        let value = HeaderValue::from_bytes(to.as_bytes()).unwrap();
        HeaderMap::from_iter([(header::LOCATION, value)])
    }

    fn follow(from: &str, method: &Method, status: u16, to: &str) -> Result<Redirect, Error> {
        let status = StatusCode::from_u16(status).unwrap();
        let next =
            Redirects::default().next(method, &from.parse().unwrap(), status, &location(to), 0)?;
        Ok(next.unwrap())
    }

    #[test]
    fn methods_change_as_rfc_9110_says() {
        for (status, method, next, keeps_body) in [
            (301, Method::POST, Method::GET, false),
            (302, Method::POST, Method::GET, false),
            (301, Method::PUT, Method::PUT, true),
            (302, Method::HEAD, Method::HEAD, true),
            (303, Method::PUT, Method::GET, false),
            (303, Method::HEAD, Method::HEAD, false),
            (307, Method::POST, Method::POST, true),
            (308, Method::DELETE, Method::DELETE, true),
        ] {
            let redirect = follow("http://a/", &method, status, "/b").unwrap();
            assert_eq!((redirect.method, redirect.keeps_body), (next, keeps_body), "{status}");
        }
    }

    #[test]
    fn other_answers_stand_as_they_are() {
        let from = "http://a/".parse().unwrap();
        for status in [200, 201, 300, 304, 305, 306, 404] {
            let status = StatusCode::from_u16(status).unwrap();
            let next = Redirects::default().next(&Method::GET, &from, status, &location("/b"), 0);
            assert_eq!(next.unwrap(), None, "{status}");
        }
        let none = HeaderMap::new();
        let found = StatusCode::FOUND;
        assert_eq!(Redirects::up_to(1).next(&Method::GET, &from, found, &none, 0).unwrap(), None);
        let next = Redirects::none().next(&Method::GET, &from, found, &location("/b"), 0);
        assert_eq!(next.unwrap(), None);
    }

    #[test]
    fn one_too_many_is_an_error() {
        let from = "http://a/".parse().unwrap();
        let next = |followed| {
            let found = StatusCode::FOUND;
            Redirects::up_to(2).next(&Method::GET, &from, found, &location("/"), followed)
        };
        assert!(next(1).unwrap().is_some());
        assert_eq!(next(2).unwrap_err().kind(), Kind::Redirects);
    }

    #[test]
    fn secrets_and_host_stay_with_their_origin() {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "proxy-authorization", "host", "accept"] {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        for (to, kept) in
            [("/b", 5), ("https://a:443/b", 5), ("https://a:444/", 1), ("https://b.a/", 1)]
        {
            let redirect = follow("https://a/", &Method::GET, 302, to).unwrap();
            let mut headers = headers.clone();
            redirect.clean(&mut headers);
            assert_eq!(headers.len(), kept, "{to}");
        }
        let redirect = follow("https://u:p@a/x", &Method::GET, 302, "https://a/b").unwrap();
        assert_eq!(redirect.url.with_secrets(), "https://u:p@a/b");
        let redirect = follow("https://u:p@a/x", &Method::GET, 302, "https://b/b").unwrap();
        assert_eq!(redirect.url.user(), None);
    }

    #[test]
    fn fields_of_a_body_go_with_it() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        follow("http://a/", &Method::POST, 307, "/").unwrap().clean(&mut headers);
        assert_eq!(headers.len(), 1);
        follow("http://a/", &Method::POST, 302, "/").unwrap().clean(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn leaving_tls_or_http_is_refused() {
        let refusal = |from, to| follow(from, &Method::GET, 302, to).unwrap_err().kind();
        assert_eq!(refusal("https://a/", "http://a/"), Kind::Redirects);
        assert_eq!(refusal("http://a/", "ftp://a/b"), Kind::Redirects);
        assert_eq!(refusal("http://a/", "unix:/run/socket"), Kind::Redirects);
        assert_eq!(refusal("http://a/", "javascript://x"), Kind::Protocol);
        assert_eq!(refusal("http://a/", "/b\tc"), Kind::Protocol);
        assert_eq!(refusal("http://a/", "http://[x"), Kind::Protocol);
        let allowed = Redirects::up_to(1).allow_downgrade().next(
            &Method::GET,
            &"https://a/".parse().unwrap(),
            StatusCode::FOUND,
            &location("http://a/"),
            0,
        );
        assert!(!allowed.unwrap().unwrap().keeps_secrets);
    }

    proptest! {
        #[test]
        fn any_location_is_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let headers = HeaderMap::from_iter([(header::LOCATION, value)]);
            let from = "https://u:p@a/b/c?d".parse().unwrap();
            let next =
                Redirects::default().next(&Method::GET, &from, StatusCode::FOUND, &headers, 0);
            if let Ok(Some(next)) = next {
                prop_assert_eq!(next.url.scheme(), Scheme::Https);
                prop_assert!(next.keeps_secrets || next.url.password() != Some("p"));
            }
        }
    }
}

//! Cookies: which are kept and which are sent (RFC 6265bis, the successor of RFC 6265).
//!
//! The store is `cookie_store`'s; what it leaves to its user is here: prefixes, public suffixes,
//! secure cookies that stay as they are, and limits. There is no `SameSite`: nothing here is
//! asked by another site. A cookie without a name is not kept.

use std::fmt;
use std::str;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cookie_store::{Cookie, CookieStore, RawCookie};
use http::header::{self, HeaderMap, HeaderValue};
use portolan_core::{Error, Host, Kind, Scheme, Url};
use serde_json::Value;

/// The most bytes of name and value (RFC 6265bis section 5.6), and of one attribute's value.
const PAIR_MAX: usize = 4096;
const ATTRIBUTE_MAX: usize = 1024;
/// The most cookies of one domain, and of all (section 6.1 asks for at least 50 and 3,000).
const DOMAIN_MAX: usize = 180;
const TOTAL_MAX: usize = 3000;
/// No cookie lives longer (section 5.5).
const AGE_MAX: Duration = Duration::from_hours(400 * 24);

/// The cookies of a session; clones share them.
///
/// ```
/// use portolan_http::Jar;
///
/// let jar = Jar::new();
/// let url = "https://example.com/a/b".parse()?;
/// assert!(jar.set(&url, "id=7; Path=/a; Secure"));
/// assert_eq!(jar.header(&url).unwrap(), "id=7");
/// assert!(jar.header(&"https://example.com/".parse()?).is_none());
/// # Ok::<(), portolan_core::UrlError>(())
/// ```
#[derive(Clone, Default)]
pub struct Jar(Arc<Mutex<CookieStore>>);

impl Jar {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many cookies there are that have not expired.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store().iter_unexpired().count()
    }

    /// Whether there is none that has not expired.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.store().clear();
    }

    /// Keeps the cookies that a response from `url` sets; those that break a rule are left out.
    pub fn receive(&self, url: &Url, headers: &HeaderMap) {
        for value in headers.get_all(header::SET_COOKIE) {
            if let Ok(text) = str::from_utf8(value.as_bytes()) {
                self.set(url, text);
            }
        }
    }

    /// Keeps the cookie of this `Set-Cookie` value, received from `url`; whether it was kept.
    /// One that has expired removes its predecessor.
    pub fn set(&self, url: &Url, set_cookie: &str) -> bool {
        let Some(web) = web_url(url) else { return false };
        let Some(cookie) = read(set_cookie, url, SystemTime::now()) else { return false };
        let Ok(cookie) = Cookie::try_from_raw_cookie(&cookie, &web) else { return false };
        let mut store = self.store();
        if !is_secure(url) && shadows_secure(&store, &cookie) {
            return false;
        }
        let domain = String::from(&cookie.domain);
        let kept = store.insert(cookie.into_owned(), &web).is_ok();
        make_room(&mut store, &domain);
        kept
    }

    /// The value of `Cookie` for a request to `url`: longer paths first, then older cookies first
    /// (section 5.8.3). `None` where no cookie fits.
    #[must_use]
    pub fn header(&self, url: &Url) -> Option<HeaderValue> {
        let store = self.store();
        // Most sessions have no cookies at all.
        store.iter_any().next()?;
        let mut cookies = store.matches(&web_url(url)?);
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> = cookies.iter().map(|c| format!("{}={}", c.name(), c.value())).collect();
        let mut value = HeaderValue::from_bytes(pairs.join("; ").as_bytes()).ok()?;
        value.set_sensitive(true);
        (!pairs.is_empty()).then_some(value)
    }

    /// All cookies that have not expired, for [`from_json`](Self::from_json): those of the
    /// session, too.
    ///
    /// # Errors
    /// [`Kind::Write`] where one has no JSON.
    pub fn to_json(&self) -> Result<Value, Error> {
        let cookies: Vec<_> = self.store().iter_unexpired().cloned().collect();
        serde_json::to_value(cookies)
            .map_err(|e| Error::new(Kind::Write, "could not write the cookies").with_source(e))
    }

    /// The cookies that [`to_json`](Self::to_json) wrote, without those that have expired since.
    ///
    /// # Errors
    /// [`Kind::Read`] where this is not what it wrote.
    pub fn from_json(json: &Value) -> Result<Self, Error> {
        let unreadable = |e| Error::new(Kind::Read, "could not read the cookies").with_source(e);
        let cookies: Vec<Cookie<'static>> =
            serde::Deserialize::deserialize(json).map_err(unreadable)?;
        let store =
            CookieStore::from_cookies(cookies.into_iter().map(Ok), false).map_err(unreadable)?;
        Ok(Self(Arc::new(Mutex::new(store))))
    }

    /// Nothing panics while it holds the lock, and every change is whole.
    fn store(&self) -> MutexGuard<'_, CookieStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jar({} cookies)", self.len())
    }
}

/// Reads a `Set-Cookie` value from `url`, by the rules of section 5.7 that need no store.
fn read(set_cookie: &str, url: &Url, now: SystemTime) -> Option<RawCookie<'static>> {
    if set_cookie.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    let short = set_cookie.split(';').enumerate().filter(|(at, attribute)| {
        *at == 0 || attribute.split_once('=').is_none_or(|(_, v)| v.trim().len() <= ATTRIBUTE_MAX)
    });
    let short: Vec<_> = short.map(|(_, attribute)| attribute).collect();
    let mut cookie = RawCookie::parse(short.join(";")).ok()?;
    if cookie.name().len() + cookie.value().len() > PAIR_MAX {
        return None;
    }
    let wants_secure = cookie.secure() == Some(true);
    let is_fit = !wants_secure || is_secure(url);
    if !is_fit || !has_prefix_right(&cookie, url) || !settle_domain(&mut cookie, url) {
        return None;
    }
    cap_age(&mut cookie, now);
    Some(cookie.into_owned())
}

/// The promises that a name's prefix makes (section 5.7 steps 20 to 22).
fn has_prefix_right(cookie: &RawCookie<'_>, url: &Url) -> bool {
    let starts_with = |prefix: &str| {
        cookie.name().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is_secure = cookie.secure() == Some(true) && is_secure(url);
    if starts_with("__Host-") {
        is_secure && cookie.path() == Some("/") && cookie.domain().unwrap_or_default().is_empty()
    } else {
        !starts_with("__Secure-") || is_secure
    }
}

/// Keeps a site from setting cookies for a whole public suffix, such as `co.uk`: such a domain is
/// taken as none from its own host, and refused from others (section 5.7 step 9).
fn settle_domain(cookie: &mut RawCookie<'_>, url: &Url) -> bool {
    let Some(domain) = cookie.domain().map(|domain| domain.trim_start_matches('.')) else {
        return true;
    };
    let domain = match Host::parse(domain) {
        Ok(Host::Name(name)) => name,
        // The store compares an address as a whole, and takes an empty domain as none.
        Ok(_) => return true,
        Err(_) => return domain.is_empty(),
    };
    let is_suffix = psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix == domain.as_str());
    if is_suffix {
        if !matches!(url.host(), Host::Name(name) if *name == domain) {
            return false;
        }
        cookie.unset_domain();
    }
    true
}

/// Shortens the life of a cookie to [`AGE_MAX`]. `Max-Age` goes before `Expires`.
fn cap_age(cookie: &mut RawCookie<'_>, now: SystemTime) {
    let age_max = AGE_MAX.try_into().unwrap_or(time::Duration::MAX);
    let latest = time::OffsetDateTime::from(now) + age_max;
    if let Some(age) = cookie.max_age() {
        cookie.set_max_age(age.min(age_max));
    } else if let Some(expires) = cookie.expires_datetime() {
        cookie.set_expires(expires.min(latest));
    }
}

/// Whether a cookie from an insecure origin would stand before a secure one of the same name
/// (section 5.7 step 15).
fn shadows_secure(store: &CookieStore, cookie: &Cookie<'_>) -> bool {
    let is_within = |inner: &str, outer: &str, mark: char| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || outer.ends_with(mark) || rest.starts_with(mark))
    };
    let reversed = |domain: &str| domain.chars().rev().collect::<String>();
    let (domain, path) = (reversed(&String::from(&cookie.domain)), String::from(&cookie.path));
    store.iter_unexpired().filter(|old| old.secure() == Some(true)).any(|old| {
        let old_domain = reversed(&String::from(&old.domain));
        old.name() == cookie.name()
            && (is_within(&domain, &old_domain, '.') || is_within(&old_domain, &domain, '.'))
            && is_within(&path, &old.path, '/')
    })
}

/// Keeps the store within its limits: those of `domain` first, expired ones before old ones.
fn make_room(store: &mut CookieStore, domain: &str) {
    evict(store, DOMAIN_MAX, |cookie| cookie.domain.as_cow().as_deref() == Some(domain));
    evict(store, TOTAL_MAX, |_| true);
}

fn evict(store: &mut CookieStore, most: usize, is_counted: impl Fn(&Cookie<'_>) -> bool) {
    let counted = || store.iter_any().filter(|cookie| is_counted(cookie));
    let surplus = counted().count().saturating_sub(most);
    if surplus == 0 {
        return;
    }
    let mut names: Vec<_> = counted()
        .map(|c| {
            (!c.is_expired(), String::from(&c.domain), String::from(&c.path), c.name().to_owned())
        })
        .collect();
    // Stable: within each kind the oldest stays first.
    names.sort_by_key(|(is_alive, ..)| *is_alive);
    for (_, domain, path, name) in names.iter().take(surplus) {
        store.remove(domain, path, name);
    }
}

/// Whether nobody in between can read along: TLS, or this machine itself.
fn is_secure(url: &Url) -> bool {
    url.scheme() == Scheme::Https || url.host().is_loopback()
}

/// The URL as the store takes it; `None` where it is not of the web.
fn web_url(url: &Url) -> Option<url::Url> {
    if !matches!(url.scheme(), Scheme::Http | Scheme::Https) {
        return None;
    }
    // The store has its own idea of what is local, which knows no names below `localhost`.
    let scheme = if is_secure(url) { Scheme::Https } else { Scheme::Http };
    let path = url.path_and_query();
    url::Url::parse(&format!("{scheme}://{}:{}{path}", url.host(), url.port())).ok()
}

#[cfg(test)]
mod tests;

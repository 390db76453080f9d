//! When to send a request again (RFC 9110 sections 9.2.2 and 10.2.3). Nothing is sent here.

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap};
use http::{Method, StatusCode};
use portolan_core::{Backoff, Error, Kind, Phase};
use portolan_net::Retry;

/// Statuses that may be better next time: too many requests, and what servers and gateways say
/// when they fail for a while.
const PASSING: [StatusCode; 5] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// How often a request is sent again, after which failures and answers, and with what pauses.
///
/// # Defaults
/// Never. With [`times`](Self::times): after a connection that did not come about or was lost, a
/// timeout, and the statuses 429, 500, 502, 503 and 504; only by idempotent methods, except where
/// nothing was sent yet; pauses of [`Backoff::default`], or what `Retry-After` asks for up to 120 s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    total: u32,
    backoff: Backoff,
    statuses: Vec<StatusCode>,
    is_any_method: bool,
    longest_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self::none()
    }
}

impl Retries {
    /// Never again.
    #[must_use]
    pub fn none() -> Self {
        Self::times(0)
    }

    /// Up to this many times after the first.
    #[must_use]
    pub fn times(total: u32) -> Self {
        Self {
            total,
            backoff: Backoff::default(),
            statuses: PASSING.to_vec(),
            is_any_method: false,
            longest_wait: Duration::from_secs(120),
        }
    }

    /// The pauses, where the server does not ask for another.
    #[must_use]
    pub const fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The statuses after which the request is sent again.
    #[must_use]
    pub fn with_statuses(mut self, statuses: impl Into<Vec<StatusCode>>) -> Self {
        self.statuses = statuses.into();
        self
    }

    /// Also by methods that are not idempotent, such as POST: the server may then carry out one
    /// request twice.
    #[must_use]
    pub const fn with_any_method(mut self) -> Self {
        self.is_any_method = true;
        self
    }

    /// The longest pause that a server may ask for; one that asks for more is not asked again.
    #[must_use]
    pub const fn with_longest_wait(mut self, longest: Duration) -> Self {
        self.longest_wait = longest;
        self
    }

    /// The pause before the request is sent again because of this answer to attempt number
    /// `attempt` (the first is 1); `None` where the answer stands. The caller sees to the deadline
    /// and to whether it has the body still.
    #[must_use]
    pub fn after_response(
        &self,
        attempt: u32,
        method: &Method,
        status: StatusCode,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Option<Duration> {
        if attempt > self.total || !self.allows(method) || !self.statuses.contains(&status) {
            return None;
        }
        let asked = headers.get(header::RETRY_AFTER).and_then(|value| retry_after(value, now));
        let pause = asked.unwrap_or_else(|| self.backoff.pause(attempt));
        (asked.is_none() || pause <= self.longest_wait).then_some(pause)
    }

    /// The pause before the request is sent again because attempt number `attempt` failed with
    /// `error`; `None` where the error stands.
    #[must_use]
    pub fn after_error(&self, attempt: u32, method: &Method, error: &Error) -> Option<Duration> {
        let helps = attempt <= self.total
            && Retry::is_worthwhile(error)
            && (self.allows(method) || is_unsent(error));
        helps.then(|| self.backoff.pause(attempt))
    }

    fn allows(&self, method: &Method) -> bool {
        self.is_any_method || method.is_idempotent()
    }
}

/// Whether the request cannot have reached the server, so that even POST is safe.
fn is_unsent(error: &Error) -> bool {
    const BEFORE: [Phase; 4] = [Phase::RESOLVE, Phase::CONNECT, Phase::PROXY, Phase::TLS];
    matches!(error.kind(), Kind::Resolve | Kind::Connect)
        || error.phase().is_some_and(|phase| BEFORE.contains(&phase))
}

/// Reads `Retry-After`: seconds or a date (RFC 9110 section 10.2.3). A date that has passed is no
/// pause.
fn retry_after(value: &http::HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const BUSY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

    fn headers(retry_after: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            header::RETRY_AFTER,
            HeaderValue::from_bytes(retry_after.as_bytes()).unwrap(),
        )])
    }

    fn asked(retry_after: &str) -> Option<Duration> {
        // An hour and a half before the date of RFC 9110's examples.
        let now = httpdate::parse_http_date("Fri, 31 Dec 1999 22:29:59 GMT").unwrap();
        let retries = Retries::times(1).with_longest_wait(Duration::from_secs(7200));
        retries.after_response(1, &Method::GET, BUSY, &headers(retry_after), now)
    }

    #[test]
    fn the_server_may_ask_for_a_pause() {
        assert_eq!(asked("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::from_secs(5400)));
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Fri, 31 Dec 1999 12:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("7201"), None);
        assert_eq!(asked("99999999999999999999"), None);
        assert_eq!(asked("soon"), Some(Backoff::default().pause(1)));
    }

    #[test]
    fn only_idempotent_methods_and_passing_statuses() {
        let now = SystemTime::UNIX_EPOCH;
        let none = HeaderMap::new();
        let again = |retries: &Retries, method, status| {
            retries.after_response(1, &method, status, &none, now).is_some()
        };
        let retries = Retries::times(1);
        assert!(again(&retries, Method::PUT, BUSY));
        assert!(!again(&retries, Method::POST, BUSY));
        assert!(again(&retries.clone().with_any_method(), Method::POST, BUSY));
        assert!(!again(&retries, Method::GET, StatusCode::NOT_FOUND));
        assert!(!again(&retries.with_statuses([]), Method::GET, BUSY));
        assert!(!again(&Retries::none(), Method::GET, BUSY));
    }

    #[test]
    fn what_was_not_sent_may_be_sent_again() {
        let retries = Retries::times(2);
        let again =
            |attempt, method, error: Error| retries.after_error(attempt, &method, &error).is_some();
        let error = |kind| Error::new(kind, "x");
        assert!(again(2, Method::GET, error(Kind::Lost)));
        assert!(!again(3, Method::GET, error(Kind::Lost)));
        assert!(!again(1, Method::POST, error(Kind::Lost)));
        assert!(!again(1, Method::GET, error(Kind::Untrusted)));
        assert!(again(1, Method::POST, error(Kind::Connect)));
        assert!(again(1, Method::POST, error(Kind::Timeout).with_phase(Phase::TLS)));
        assert!(!again(1, Method::POST, error(Kind::Timeout).with_phase(crate::WAIT)));
    }

    proptest! {
        #[test]
        fn any_retry_after_is_bounded(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value)]);
            let now = SystemTime::UNIX_EPOCH;
            let pause = Retries::times(1).after_response(1, &Method::GET, BUSY, &headers, now);
            prop_assert!(pause.is_none_or(|pause| pause <= Duration::from_secs(120)));
        }
    }
}

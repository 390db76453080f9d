//! The lines of the opening handshake, for those who watch it. Secrets are not among them.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, Version};
use portolan_core::{Direction, Event, redact_reference};
use portolan_net::Context;

/// Fields that let whoever reads them in.
const SECRETS: [HeaderName; 4] =
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE];

/// Tells the observers of a request that went this way.
pub(crate) fn tell_request<B>(direction: Direction, request: &Request<B>, cx: &Context) {
    if cx.is_read() {
        let version = name(request.version());
        let line = format!("{} {} {version}", request.method(), request.uri());
        tell(direction, line, request.headers(), cx);
    }
}

/// Tells the observers of the head of a response that went this way.
pub(crate) fn tell_response<B>(direction: Direction, response: &Response<B>, cx: &Context) {
    if cx.is_read() {
        let (version, status) = (name(response.version()), response.status());
        let reason = status.canonical_reason().unwrap_or_default();
        let line = format!("{version} {} {reason}", status.as_u16()).trim_end().to_owned();
        tell(direction, line, response.headers(), cx);
    }
}

fn tell(direction: Direction, first: String, headers: &HeaderMap, cx: &Context) {
    cx.observe(&Event::Line(direction, first));
    for (name, value) in headers {
        cx.observe(&Event::Line(direction, format!("{name}: {}", shown(name, value))));
    }
}

fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    if value.is_sensitive() || SECRETS.contains(name) {
        return "***".to_owned();
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    if *name == header::LOCATION { redact_reference(&text) } else { text.into_owned() }
}

const fn name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

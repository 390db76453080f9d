//! The lines of an exchange, for those who watch it. Secrets are not among them.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, Version};
use hyper::ext::ReasonPhrase;
use portolan_core::{Direction, Event, redact_reference};
use portolan_net::Context;

/// Fields that let whoever reads them in.
const SECRETS: [HeaderName; 4] =
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE];

/// Tells the observers of a request. HTTP/2 has no request line: the pseudo-fields (RFC 9113
/// section 8.3.1) are shown as one, and `:authority`.
pub(crate) fn tell_request<B>(request: &Request<B>, is_http2: bool, cx: &Context) {
    if !cx.is_read() {
        return;
    }
    let tell = |line| cx.observe(&Event::Line(Direction::Sent, line));
    let (method, uri) = (request.method(), request.uri());
    if is_http2 {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        tell(format!("{method} {path} HTTP/2"));
        if let Some(authority) = uri.authority() {
            tell(format!(":authority: {authority}"));
        }
    } else {
        tell(format!("{method} {uri} HTTP/1.1"));
    }
    fields(request.headers()).for_each(tell);
}

/// Tells the observers of the head of a response.
pub(crate) fn tell_response<B>(response: &Response<B>, cx: &Context) {
    if !cx.is_read() {
        return;
    }
    let tell = |line| cx.observe(&Event::Line(Direction::Received, line));
    let version = version_name(response.version());
    let reason = match response.extensions().get::<ReasonPhrase>() {
        Some(reason) => String::from_utf8_lossy(reason.as_bytes()),
        // HTTP/2 has none.
        None if response.version() == Version::HTTP_2 => "".into(),
        None => response.status().canonical_reason().unwrap_or_default().into(),
    };
    tell(format!("{version} {} {reason}", response.status().as_u16()).trim_end().to_owned());
    fields(response.headers()).for_each(tell);
}

fn fields(headers: &HeaderMap) -> impl Iterator<Item = String> + '_ {
    headers.iter().map(|(name, value)| format!("{name}: {}", shown(name, value)))
}

fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    if value.is_sensitive() || SECRETS.contains(name) {
        return "***".to_owned();
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    if *name == header::LOCATION { redact_reference(&text) } else { text.into_owned() }
}

/// The version as it stands in a status line.
pub(crate) const fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

//! `http` and `https`: httpbin's routes, one file a family.
//!
//! Paths, parameters and JSON keys are httpbin's, so that what was written for it runs here. Where
//! httpbin breaks HTTP, this does not: entity tags are quoted, a range that ends past the end is
//! cut, and what it would answer with 500 is a 400 that says why.

mod auth;
mod cache;
mod compress;
mod cookies;
mod data;
mod digest;
mod inspect;
mod pages;
mod redirect;
mod request;
mod site;
mod status;
mod streams;
#[cfg(test)]
mod tests;
mod websocket;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodFilter, get};
use portolan_core::Scheme;
use portolan_http::Server;
use portolan_net::Listener;

use super::{Entry, Run, Stop, Task};

pub(super) const HTTP: Entry = entry("http", Scheme::Http, 80);
pub(super) const HTTPS: Entry = entry("https", Scheme::Https, 443);

/// The methods of httpbin's routes that take any.
const METHODS: MethodFilter = MethodFilter::GET
    .or(MethodFilter::POST)
    .or(MethodFilter::PUT)
    .or(MethodFilter::PATCH)
    .or(MethodFilter::DELETE)
    .or(MethodFilter::TRACE);

const fn entry(name: &'static str, scheme: Scheme, number: u16) -> Entry {
    Entry {
        name,
        scheme,
        number,
        alpn: &["h2", "http/1.1"],
        is_proxy: false,
        has_events: true,
        run: Run::Stream(run),
    }
}

fn run(listener: Listener, stop: Stop) -> Task {
    Box::pin(Server::new(routes()).serve(listener, stop))
}

/// What the servers `http` and `https` answer, for a server or a test of one's own.
///
/// The routes of WebSockets need a [`portolan_http::Server`]; all others can be asked without a
/// network.
pub fn routes() -> Router {
    Router::new()
        .route("/", get(index))
        .merge(inspect::routes())
        .merge(status::routes())
        .merge(auth::routes())
        .merge(digest::routes())
        .merge(cookies::routes())
        .merge(redirect::routes())
        .merge(cache::routes())
        .merge(compress::routes())
        .merge(streams::routes())
        .merge(data::routes())
        .merge(pages::routes())
        .merge(site::routes())
        .merge(websocket::routes())
        .layer(from_fn(for_all))
}

/// What the index says: the lines of each family.
const INDEX: [&str; 13] = [
    inspect::INDEX,
    status::INDEX,
    auth::INDEX,
    digest::INDEX,
    cookies::INDEX,
    redirect::INDEX,
    cache::INDEX,
    compress::INDEX,
    streams::INDEX,
    data::INDEX,
    pages::INDEX,
    site::INDEX,
    websocket::INDEX,
];

async fn index() -> String {
    format!("portolan lab\n\n{}", INDEX.join("\n"))
}

/// What all routes do alike: pages of any origin may read them (CORS), and OPTIONS is answered.
async fn for_all(request: Request, next: Next) -> Response {
    let is_options = request.method() == Method::OPTIONS;
    let origin = request.headers().get(header::ORIGIN).cloned();
    let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();

    let mut response = next.run(request).await;
    let mut add = |name: HeaderName, value| response.headers_mut().insert(name, value);
    add(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.unwrap_or(HeaderValue::from_static("*")));
    add(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if is_options {
        let methods = HeaderValue::from_static("GET, POST, PUT, DELETE, PATCH, OPTIONS");
        add(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        add(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
        if let Some(wanted) = wanted {
            add(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
        // The routes know no OPTIONS, but the refusal lists what they know.
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            *response.status_mut() = StatusCode::OK;
        }
    }
    response
}

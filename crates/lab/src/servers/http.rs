//! `http` and `https`: a few routes in httpbin's manner.

use std::time::Duration;

use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use axum::{Router, http};
use portolan_core::Scheme;
use portolan_http::Server;
use portolan_net::{Info, Listener};
use serde_json::{Map, Value, json};

use super::{Entry, Run, Stop, Task};

pub(super) const HTTP: Entry = entry("http", Scheme::Http, 80);
pub(super) const HTTPS: Entry = entry("https", Scheme::Https, 443);

/// The longest that `/delay` waits and the most that `/bytes` gives, as httpbin has it.
const DELAY_MAX: Duration = Duration::from_secs(10);
const BYTES_MAX: usize = 100 * 1024;

const INDEX: &str = "portolan lab\n\n\
    /get             the request, as JSON\n\
    /status/{code}   a response with this status\n\
    /delay/{seconds} a response after a pause of up to 10 s\n\
    /bytes/{count}   up to 100 KiB\n";

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

fn routes() -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/get", get(echo_request))
        .route("/status/{code}", any(status))
        .route("/delay/{seconds}", any(delay))
        .route("/bytes/{count}", get(bytes))
}

async fn echo_request(uri: Uri, headers: HeaderMap, request: Request) -> Json<Value> {
    let headers: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let origin = request.extensions().get::<Info>().map(|info| info.peer.host.bare());
    Json(json!({ "url": uri.to_string(), "headers": headers, "origin": origin }))
}

async fn status(Path(code): Path<u16>) -> Response {
    match StatusCode::from_u16(code) {
        Ok(status) if !status.is_informational() => status.into_response(),
        _ => (StatusCode::BAD_REQUEST, "a status from 200 to 999\n").into_response(),
    }
}

async fn delay(Path(seconds): Path<f64>) -> Response {
    match Duration::try_from_secs_f64(seconds) {
        Ok(pause) => {
            tokio::time::sleep(pause.min(DELAY_MAX)).await;
            "\n".into_response()
        }
        Err(_) => (StatusCode::BAD_REQUEST, "a number of seconds\n").into_response(),
    }
}

async fn bytes(Path(count): Path<usize>) -> impl IntoResponse {
    let octets = [(http::header::CONTENT_TYPE, "application/octet-stream")];
    // The same bytes at each request, so that clients can check them.
    let pattern: Vec<u8> = (0..=255).cycle().take(count.min(BYTES_MAX)).collect();
    (octets, pattern)
}

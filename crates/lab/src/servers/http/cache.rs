//! What caches and conditions go by, and headers of the client's choice.

use std::time::SystemTime;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::request::{Args, Bad, Path, Seen, Told, field, value};
use super::status;

pub(super) const INDEX: &str = "\
/cache                                  304 to If-Modified-Since and If-None-Match
/cache/{seconds}                        with Cache-Control: public, max-age={seconds}
/etag/{etag}                            304 and 412 by If-None-Match and If-Match
/response-headers?{name}={value}&…      with these headers, and told as JSON
";

pub(super) fn routes() -> Router {
    Router::new()
        .route("/cache", get(cache))
        .route("/cache/{seconds}", get(cache_for))
        .route("/etag/{etag}", get(etag))
        .route("/response-headers", get(response_headers).post(response_headers))
}

async fn cache(seen: Seen) -> Result<Response, Bad> {
    let headers = &seen.parts.headers;
    let is_known = [header::IF_MODIFIED_SINCE, header::IF_NONE_MATCH];
    if is_known.iter().any(|name| headers.contains_key(name)) {
        return Ok(status::response(StatusCode::NOT_MODIFIED));
    }
    let date = httpdate::fmt_http_date(SystemTime::now());
    let headers = [
        (header::LAST_MODIFIED, value(&date)?),
        (header::ETAG, value(&format!("\"{}\"", Uuid::new_v4().simple()))?),
    ];
    Ok((headers, Told(seen.summary())).into_response())
}

async fn cache_for(Path(seconds): Path<u32>, seen: Seen) -> Result<Response, Bad> {
    let control = value(&format!("public, max-age={seconds}"))?;
    Ok(([(header::CACHE_CONTROL, control)], Told(seen.summary())).into_response())
}

async fn etag(Path(etag): Path<String>, seen: Seen) -> Result<Response, Bad> {
    if etag.contains('"') {
        return Err(Bad("no entity tag has quotes in it".into()));
    }
    let tag = [(header::ETAG, value(&format!("\"{etag}\""))?)];
    let matches = |name: HeaderName| Some(names(seen.header(name)?, &etag));
    Ok(match (matches(header::IF_NONE_MATCH), matches(header::IF_MATCH)) {
        (Some(true), _) => (tag, status::response(StatusCode::NOT_MODIFIED)).into_response(),
        (None, Some(false)) => status::response(StatusCode::PRECONDITION_FAILED),
        _ => (tag, Told(seen.summary())).into_response(),
    })
}

/// Whether a list of entity tags names this one, or any. As httpbin does, it takes tags without
/// quotes for whole, and weak ones for strong.
fn names(list: &str, etag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    list.split(',').map(bare).any(|tag| tag == etag || tag == "*")
}

async fn response_headers(args: Args) -> Result<Response, Bad> {
    let mut headers = Vec::new();
    let mut told = Map::from_iter([("Content-Type".to_owned(), json!("application/json"))]);
    for (name, text) in args.0 {
        headers.push(field(&name, &text)?);
        match told.get_mut(&name) {
            None => drop(told.insert(name, text.into())),
            Some(Value::Array(values)) => values.push(text.into()),
            Some(first) => *first = json!([first.take(), text]),
        }
    }
    // The length is told as well, and is part of what it counts.
    let mut length = 0;
    loop {
        told.insert("Content-Length".to_owned(), length.to_string().into());
        let body = json!(told).to_string() + "\n";
        if body.len() == length {
            let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            return Ok((kind, AppendHeaders(headers), body).into_response());
        }
        length = body.len();
    }
}

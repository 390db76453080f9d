//! Basic (RFC 7617) and bearer (RFC 6750) authentication.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::request::{Path, Told};
use super::status;

pub(super) const INDEX: &str = "\
/basic-auth/{user}/{password}           401 without these
/hidden-basic-auth/{user}/{password}    404 without these
/bearer                                 401 without a token
";

pub(super) fn routes() -> Router {
    let basic = |refusal| {
        get(async move |Path((user, password)): Path<(String, String)>, headers: HeaderMap| {
            if is_basic(&headers, &user, &password) {
                Told(json!({ "authenticated": true, "user": user })).into_response()
            } else {
                status::response(refusal)
            }
        })
    };
    Router::new()
        .route("/basic-auth/{user}/{password}", basic(StatusCode::UNAUTHORIZED))
        .route("/hidden-basic-auth/{user}/{password}", basic(StatusCode::NOT_FOUND))
        .route("/bearer", get(bearer))
}

fn is_basic(headers: &HeaderMap, user: &str, password: &str) -> bool {
    credentials(headers, "Basic")
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .is_some_and(|decoded| decoded == format!("{user}:{password}").as_bytes())
}

async fn bearer(headers: HeaderMap) -> Response {
    match credentials(&headers, "Bearer").filter(|token| !token.is_empty()) {
        Some(token) => Told(json!({ "authenticated": true, "token": token })).into_response(),
        None => {
            let wanted = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
            (StatusCode::UNAUTHORIZED, wanted).into_response()
        }
    }
}

/// What follows the name of this scheme in `Authorization`.
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (named, credentials) = value.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
}

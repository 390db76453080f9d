//! `/status`: a response of a given status, or of one drawn from a list.

use axum::Router;
use axum::http::header::{CONTENT_TYPE, LOCATION, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::on;

use super::METHODS;
use super::request::{Bad, Path};

pub(super) const INDEX: &str = "\
/status/{code}                          a response of this status
/status/{code}[:{weight}],…             of one of these, at random
";

const REALM: &str = "Basic realm=\"Fake Realm\"";
const MORE: HeaderName = HeaderName::from_static("x-more-info");

const UNACCEPTABLE: &str = r#"{"message":"Client did not request a supported media type.","accept":["image/webp","image/svg+xml","image/jpeg","image/png","image/*"]}
"#;

const TEAPOT: &str = r#"
    -=[ teapot ]=-

       _...._
     .'  _ _ `.
    | ."` ^ `". _,
    \_;`"---"`|//
      |       ;/
      \_     _/
        `"""`
"#;

pub(super) fn routes() -> Router {
    Router::new().route("/status/{codes}", on(METHODS, status))
}

async fn status(Path(codes): Path<String>) -> Result<Response, Bad> {
    let choices =
        choices(&codes).ok_or(Bad("a status from 200 to 999, or CODE:WEIGHT,…".into()))?;
    let total: f64 = choices.iter().map(|(_, weight)| weight).sum();
    let mut drawn = fastrand::f64() * total;
    let is_drawn = |(_, weight): &&(StatusCode, f64)| {
        drawn -= weight;
        drawn < 0.0
    };
    // What rounding leaves over belongs to the last that can be drawn.
    let last = choices.iter().rfind(|(_, weight)| *weight > 0.0);
    let choice = choices.iter().find(is_drawn).or(last);
    choice.map(|(code, _)| response(*code)).ok_or(Bad("no status has a weight".into()))
}

fn choices(codes: &str) -> Option<Vec<(StatusCode, f64)>> {
    let choice = |text: &str| {
        let (code, weight) = text.split_once(':').unwrap_or((text, "1"));
        let code = StatusCode::from_u16(code.trim().parse().ok()?).ok()?;
        let weight: f64 = weight.trim().parse().ok()?;
        let is_sound = !code.is_informational() && (0.0..=1e9).contains(&weight);
        is_sound.then_some((code, weight))
    };
    codes.split(',').map(choice).collect()
}

/// A response of this status, with the headers that belong to it.
pub(super) fn response(code: StatusCode) -> Response {
    let header = |name, value| [(name, HeaderValue::from_static(value))];
    match code.as_u16() {
        301 | 302 | 303 | 305 | 307 | 308 => {
            (code, header(LOCATION, "/redirect/1")).into_response()
        }
        401 => (code, header(WWW_AUTHENTICATE, REALM)).into_response(),
        407 => (code, header(PROXY_AUTHENTICATE, REALM)).into_response(),
        406 => (code, header(CONTENT_TYPE, "application/json"), UNACCEPTABLE).into_response(),
        418 => {
            let more = header(MORE, "https://www.rfc-editor.org/rfc/rfc2324");
            (code, more, TEAPOT).into_response()
        }
        _ => code.into_response(),
    }
}

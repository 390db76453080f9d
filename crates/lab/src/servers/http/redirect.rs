//! Redirects, one after the other, and to anywhere.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, on};

use super::METHODS;
use super::request::{Args, Bad, Path, Seen, value};

pub(super) const INDEX: &str = "\
/redirect/{count}[?absolute=true]       this many redirects (up to 100), and then /get
/relative-redirect/{count}              by path
/absolute-redirect/{count}              by URL
/redirect-to?url={url}[&status_code={code}]
";

/// The most redirects in a row.
const COUNT_MAX: u32 = 100;

pub(super) fn routes() -> Router {
    let relative = async |Path(count): Path<u32>| onward(count, "", "relative");
    let absolute =
        async |Path(count): Path<u32>, seen: Seen| onward(count, &seen.base(), "absolute");
    Router::new()
        .route("/redirect/{count}", get(redirect))
        .route("/relative-redirect/{count}", get(relative))
        .route("/absolute-redirect/{count}", get(absolute))
        .route("/redirect-to", on(METHODS, redirect_to))
}

async fn redirect(Path(count): Path<u32>, seen: Seen) -> Result<Response, Bad> {
    match seen.args().is_on("absolute") {
        true => onward(count, &seen.base(), "absolute"),
        false => onward(count, "", "relative"),
    }
}

/// To the next of so many redirects, each of this kind.
fn onward(count: u32, base: &str, kind: &str) -> Result<Response, Bad> {
    match count.min(COUNT_MAX) {
        0 => Err(Bad("at least one redirect".into())),
        1 => to(StatusCode::FOUND, &format!("{base}/get")),
        count => to(StatusCode::FOUND, &format!("{base}/{kind}-redirect/{}", count - 1)),
    }
}

async fn redirect_to(args: Args) -> Result<Response, Bad> {
    let Some(url) = args.value("url") else { return Err(Bad("where to? ?url=".into())) };
    let code = args.number("status_code")?.filter(|code| (300..400).contains(code));
    to(StatusCode::from_u16(code.unwrap_or(302)).unwrap_or(StatusCode::FOUND), url)
}

pub(super) fn to(status: StatusCode, url: &str) -> Result<Response, Bad> {
    Ok((status, [(header::LOCATION, value(url)?)]).into_response())
}

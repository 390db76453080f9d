//! What the server sees of a request, and the methods.

use axum::Router;
use axum::http::header;
use axum::routing::{delete, get, on, patch, post, put};
use serde_json::{Value, json};

use super::METHODS;
use super::request::{Bad, Seen, Told};

pub(super) const INDEX: &str = "\
/get  /post  /put  /patch  /delete      the request, as JSON
/anything[/…]                           the same by any method
/headers  /ip  /user-agent              parts of it
";

pub(super) fn routes() -> Router {
    Router::new()
        .route("/get", get(async |seen: Seen| Told(seen.summary())))
        .route("/post", post(whole))
        .route("/put", put(whole))
        .route("/patch", patch(whole))
        .route("/delete", delete(whole))
        .route("/anything", on(METHODS, anything))
        .route("/anything/{*path}", on(METHODS, anything))
        .route("/headers", get(async |seen: Seen| Told(json!({ "headers": seen.headers() }))))
        .route("/ip", get(async |seen: Seen| Told(json!({ "origin": seen.origin() }))))
        .route("/user-agent", get(user_agent))
}

async fn whole(seen: Seen) -> Result<Told<Value>, Bad> {
    Ok(Told(seen.whole().await?.into()))
}

async fn anything(seen: Seen) -> Result<Told<Value>, Bad> {
    let method = seen.parts.method.to_string();
    let mut told = seen.whole().await?;
    told.insert("method".to_owned(), method.into());
    Ok(Told(told.into()))
}

async fn user_agent(seen: Seen) -> Told<Value> {
    Told(json!({ "user-agent": seen.header(header::USER_AGENT) }))
}

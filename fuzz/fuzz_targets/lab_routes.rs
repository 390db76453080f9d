//! Requests to the lab, whatever their paths, queries, fields and bodies say: they are answered to
//! the end, and with no failure of the server but one that was asked for.
#![no_main]

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use libfuzzer_sys::fuzz_target;
use portolan_core::Timeouts;
use portolan_http::Limits;
use portolan_http::wire::{Fields, Head, Scan};
use portolan_net::Context;
use tower::ServiceExt;

static ROUTES: LazyLock<Router> = LazyLock::new(portolan_lab::routes);

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = read(bytes) else { return };
    let path = request.uri().path().to_owned();
    // What takes its time takes none.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let response = ROUTES.clone().oneshot(request).await.unwrap();
        let is_asked_for = ["/status/", "/drip"].iter().any(|asked| path.starts_with(asked));
        assert!(is_asked_for || !response.status().is_server_error(), "{response:?}");
        response.into_body().collect().await.expect("the body breaks off");
    });
});

/// A request as a server of HTTP/1.1 hands it over; its body is all that follows.
fn read(bytes: &[u8]) -> Option<Request<Body>> {
    let (limits, mut fields) = (Limits::default(), Fields::new());
    let end = Scan::default().end(bytes, &limits).ok()??;
    let head = Head::parse(&bytes[..end], &mut fields, &limits).ok()?;
    let mut request = head.to_request(&bytes[..end]).ok()?;
    request.extensions_mut().insert(Context::new(Timeouts::default()));
    Some(request.map(|()| Body::from(bytes[end..].to_vec())))
}

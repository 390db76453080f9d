//! `http-proxy`: forwards requests in absolute-form, and tunnels by CONNECT (RFC 9110 section
//! 9.3.6), to loopback only.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use portolan_core::{Scheme, Url};
use portolan_http::{Client, Server, upgrade};
use portolan_net::{Context, Dialer, Join, join};

use super::{Entry, Run, may_forward};

pub(super) const ENTRY: Entry = Entry {
    name: "http-proxy",
    scheme: Scheme::Http,
    number: 82,
    alpn: &[],
    is_proxy: true,
    has_events: true,
    run: Run::Stream(|listener, stop| {
        let routes = Router::new().fallback(forward);
        Box::pin(Server::new(routes).serve(listener, stop))
    }),
};

/// The largest request body that is forwarded.
const BODY_MAX: usize = 1024 * 1024;

/// Headers that belong to one hop (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

async fn forward(Extension(cx): Extension<Context>, request: Request) -> Response {
    let is_tunnel = request.method() == Method::CONNECT;
    let url = if is_tunnel {
        request.uri().authority().and_then(|place| format!("tcp://{place}").parse::<Url>().ok())
    } else {
        request.uri().to_string().parse().ok()
    };
    let Some(url) = url.filter(|url| is_tunnel || url.scheme() == Scheme::Http) else {
        return refuse(StatusCode::BAD_REQUEST, "a request to a proxy names http://host/ in full");
    };
    if !may_forward(url.host()) {
        return refuse(StatusCode::FORBIDDEN, "this proxy forwards to loopback only");
    }
    if is_tunnel { tunnel(request, &url, cx).await } else { relay(request, &url, &cx).await }
}

async fn tunnel(request: Request, url: &Url, cx: Context) -> Response {
    let upstream = match Dialer::new().dial(&url.endpoint(), &cx).await {
        Ok(connection) => connection.stream,
        Err(error) => return refuse(StatusCode::BAD_GATEWAY, &format!("{error:#}")),
    };
    upgrade(request, move |client| async move {
        // What ends a tunnel is between the two at its ends.
        let _ = join(client, upstream, Join::default(), &cx).await;
    });
    StatusCode::OK.into_response()
}

async fn relay(request: Request, url: &Url, cx: &Context) -> Response {
    let (mut head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "this proxy forwards bodies of up to 1 MiB");
    };
    for name in HOP_BY_HOP {
        head.headers.remove(name);
    }
    let answered = async {
        let mut client = Client::connect(&Dialer::new(), url, cx).await?;
        client.send(Request::from_parts(head, body), cx).await
    };
    match answered.await {
        Ok(response) => response.into_http().map(Body::new),
        Err(error) => refuse(StatusCode::BAD_GATEWAY, &format!("{error:#}")),
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

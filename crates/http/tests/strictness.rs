//! What is refused, by which status: the same on plain TCP and over TLS. Each refusal closes.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no scripts")]
mod support;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::routing::any;
use portolan_core::Url;
use portolan_http::{Limits, Server};
use support::{exchange, listener, secure_listener};

/// The statuses of what is answered to these bytes, on a server that reads bodies.
const CASES: &[(&str, &[u16])] = &[
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[200]),
    ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[200]),
    ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", &[200]),
    ("GET / HTTP/1.0\r\n\r\n", &[200]),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", &[200]),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", &[200]),
    // The request line.
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", &[400]),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET /\r\n\r\n", &[400]),
    ("GET / \r\nHost: a\r\n\r\n", &[400]),
    ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", &[200]),
    ("GET / HTTP/1.9\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[200, 200]),
    ("GET / HTTP/1.2\r\n\r\n", &[400]),
    ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", &[400]),
    ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", &[505]),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", &[505]),
    ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", &[505]),
    // The ends of lines.
    ("GET / HTTP/1.1\nHost: a\n\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nx: y\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nx: y\rz: 1\r\n\r\n", &[400]),
    ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    // Fields.
    ("GET / HTTP/1.1\r\nHost: a\r\nx: y\r\n z\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nx : y\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nx\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nx: \0\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nx: \x01\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nx\0: y\r\n\r\n", &[400]),
    // The host.
    ("GET / HTTP/1.1\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", &[400]),
    ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
    // The length.
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nx", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nx", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nx", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nx", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\nx", &[413]),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\nx", &[413]),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    // The coding.
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", &[501]),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", &[501]),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", &[501]),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", &[400]),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", &[400]),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", &[400]),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        &[400],
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx : y\r\n\r\n", &[400]),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        &[400],
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
        &[400],
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", &[]),
    // What follows a refusal is not answered, and what came before it is.
    ("GET a HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET a HTTP/1.1\r\nHost: a\r\n\r\n", &[200, 400]),
    ("\x16\x03\x01\x02\0\x01", &[400]),
];

/// A server that reads bodies of up to 1,000 bytes.
fn server() -> Server {
    let route = any(|request: Request| async move {
        let body = to_bytes(request.into_body(), usize::MAX).await;
        body.map(|body| format!("{} bytes", body.len())).map_err(|error| error.to_string())
    });
    let limits = Limits { body: Some(1000), ..Limits::default() };
    Server::new(Router::new().fallback(route)).with_limits(limits)
}

async fn judge(url: &Url) {
    for (bytes, statuses) in CASES {
        let found = exchange(url, bytes.as_bytes()).await;
        assert_eq!(support::statuses(&found), *statuses, "{bytes:?}: {found}");
        if statuses.last().is_some_and(|last| *last >= 400) {
            assert!(found.contains("\r\nconnection: close\r\n"), "{found}");
        }
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000));
    assert_eq!(support::statuses(&exchange(url, long.as_bytes()).await), [414]);
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "a".repeat(70_000));
    assert_eq!(support::statuses(&exchange(url, large.as_bytes()).await), [431]);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(100));
    assert_eq!(support::statuses(&exchange(url, many.as_bytes()).await), [431]);
    let chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + &format!("1f4\r\n{}\r\n", "x".repeat(500)).repeat(3);
    assert_eq!(support::statuses(&exchange(url, chunks.as_bytes()).await), [413]);
}

#[tokio::test]
async fn a_plain_server_is_strict() {
    let listener = listener().await;
    let url = listener.local_url();
    tokio::spawn(server().serve(listener, std::future::pending()));
    judge(&url).await;
}

#[tokio::test]
async fn a_server_with_tls_is_as_strict() {
    let listener = secure_listener(&["http/1.1"]).await;
    let url = listener.local_url();
    tokio::spawn(server().serve(listener, std::future::pending()));
    judge(&url).await;
}

//! The client against servers that do as they should.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no scripts")]
mod support;

use std::future::pending;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{any, get};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use portolan_core::{Error, Timeouts};
use portolan_http::{Client, RECEIVE, SEND, WAIT};
use portolan_net::proxy::Proxies;
use portolan_net::{Connection, Context, Dialer, Recorder, serve};
use support::{client, context, read_head, server};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_request_is_answered_in_three_phases() {
    let url = server(Router::new().route("/", get(|| async { "ahoy" }))).await;
    let recorder = Arc::new(Recorder::default());
    let cx = context().with_observer(recorder.clone());
    let mut client = Client::connect(&Dialer::new(), &url, &cx).await.unwrap();
    let mut response = client.get(&cx).await.unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_11));
    let received = response.receive(100, &cx).await.unwrap();
    assert_eq!((&received.bytes[..], received.size, received.is_whole), (&b"ahoy"[..], 4, true));
    let timings = recorder.timings();
    let phases: Vec<_> = timings.spans().iter().map(|span| span.phase).collect();
    assert_eq!(phases[2..], [SEND, WAIT, RECEIVE]);
    assert!(timings.spans().iter().all(|span| !span.failed));
}

#[tokio::test]
async fn a_connection_takes_several_requests() {
    let routes =
        Router::new().route("/{*path}", any(|r: Request| async move { r.uri().to_string() }));
    let url = server(routes).await;
    let (mut client, cx) = (client(&url).await, context());
    for path in ["/a", "/b?c=d"] {
        let request = http::Request::get(path).body(Bytes::new()).unwrap();
        let mut response = client.send(request, &cx).await.unwrap();
        assert_eq!(response.receive(100, &cx).await.unwrap().bytes, path);
    }
}

#[tokio::test]
async fn what_a_request_must_have_is_added() {
    let routes = Router::new().route(
        "/",
        get(|headers: HeaderMap| async move {
            let value =
                |name: &str| headers.get(name).map_or("-", |v| v.to_str().unwrap()).to_owned();
            ["host", "user-agent", "accept", "authorization"].map(value).join("|")
        }),
    );
    let url = server(routes).await;
    let place = url.authority();
    let named = format!("http://someone:hunter2@{place}/").parse().unwrap();
    for (url, credentials) in [(&url, "-"), (&named, "Basic c29tZW9uZTpodW50ZXIy")] {
        let cx = context();
        let mut response = client(url).await.get(&cx).await.unwrap();
        let seen = response.receive(1000, &cx).await.unwrap().bytes;
        let agent = concat!("portolan/", env!("CARGO_PKG_VERSION"));
        assert_eq!(seen, format!("{place}|{agent}|*/*|{credentials}"));
    }
}

#[tokio::test]
async fn a_body_is_read_to_the_limit() {
    let url = server(Router::new().route("/", get(|| async { "12345678" }))).await;
    for (limit, kept, is_whole) in [(7, "1234567", false), (8, "12345678", true), (0, "", false)] {
        let cx = context();
        let mut response = client(&url).await.get(&cx).await.unwrap();
        let received = response.receive(limit, &cx).await.unwrap();
        assert_eq!(
            (&received.bytes[..], received.is_whole),
            (kept.as_bytes(), is_whole),
            "{limit}"
        );
        let mut response = client(&url).await.get(&cx).await.unwrap();
        let received = response.discard(limit, &cx).await.unwrap();
        assert!(received.bytes.is_empty());
        assert_eq!((received.size, received.is_whole), (limit, is_whole));
    }
}

#[tokio::test]
async fn a_proxy_is_asked_in_absolute_form_with_its_credentials() {
    let listener = support::listener().await;
    let place = listener.local_url().authority();
    let proxy = |mut connection: Connection, _: Context| async move {
        let head = read_head(&mut connection.stream).await;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
        let _ = connection.stream.write_all(answer.as_bytes()).await;
        Ok::<(), Error>(())
    };
    tokio::spawn(serve(listener, proxy, pending()));
    let proxies = Proxies::all(format!("http://u:p@{place}").parse().unwrap()).unwrap();
    let dialer = Dialer::new().with_proxies(proxies);
    let cx = Context::new(Timeouts::default());
    let url = "http://nowhere.invalid:8080/path?query".parse().unwrap();
    let mut client = Client::connect(&dialer, &url, &cx).await.unwrap();
    let mut response = client.get(&cx).await.unwrap();
    let head = response.receive(1000, &cx).await.unwrap().bytes;
    let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
    assert!(head.starts_with("get http://nowhere.invalid:8080/path?query http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: nowhere.invalid:8080\r\n"), "{head}");
    assert!(head.contains("\r\nproxy-authorization: basic dtpw\r\n"), "{head}");
}

//! The server over HTTP/2: it puts up with as much as over HTTP/1.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no HTTP/1")]
mod support;

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portolan_core::Url;
use portolan_http::{Limits, Server};
use portolan_net::now;
use support::{context, dial, listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

const SHORT: Duration = Duration::from_millis(60);

async fn server(limits: Limits) -> Url {
    let slow = get(|| async {
        tokio::time::sleep(4 * SHORT).await;
        "slow"
    });
    // It has nothing to say for longer than a peer may be silent.
    let halting = get(|| async {
        Body::from_stream(stream::unfold(0, |count| async move {
            tokio::time::sleep(2 * SHORT).await;
            (count < 2).then(|| (Ok::<_, Infallible>("ahoy"), count + 1))
        }))
    });
    let large = get(|| async { vec![b'x'; 1 << 20] });
    let routes = Router::new()
        .route("/", any(|body: Bytes| async move { body.len().to_string() }))
        .route("/slow", slow)
        .route("/halting", halting)
        .route("/large", large);
    let listener = listener().await;
    let url = listener.local_url();
    tokio::spawn(Server::new(routes).with_limits(limits).serve(listener, pending()));
    url
}

type Sender = SendRequest<http_body_util::combinators::BoxBody<Bytes, Infallible>>;

/// A client, and the end of its connection.
async fn client(url: &Url, window: u32) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(TokioIo::new(dial(url).await)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn request(target: &str) -> Request<http_body_util::combinators::BoxBody<Bytes, Infallible>> {
    let body = http_body_util::Empty::new().boxed();
    Request::get(format!("http://a{target}")).body(body).unwrap()
}

async fn text(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn who_does_not_ask_is_let_go() {
    let url = server(Limits { head_time: SHORT, keep_alive: 3 * SHORT, ..Limits::default() }).await;
    let mut silent = dial(&url).await;
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let started = now();
    silent.read_to_end(&mut Vec::new()).await.unwrap();
    assert!((SHORT..Duration::from_secs(10)).contains(&(now() - started)));
    let (mut sender, connection) = client(&url, 1 << 16).await;
    let started = now();
    assert_eq!(text(sender.send_request(request("/")).await.unwrap()).await, "0");
    connection.await.unwrap().unwrap();
    assert!((2 * SHORT..Duration::from_secs(10)).contains(&(now() - started)));
}

#[tokio::test]
async fn who_takes_nothing_is_let_go() {
    let url = server(Limits { stall: SHORT, ..Limits::default() }).await;
    let (mut sender, connection) = client(&url, 0).await;
    let mut taken = Vec::new();
    for target in ["/", "/large", "/large"] {
        taken.push(sender.send_request(request(target)).await.unwrap());
    }
    drop(connection.await.unwrap());
    for response in taken {
        assert!(response.into_body().collect().await.is_err());
    }
}

#[tokio::test]
async fn who_does_not_send_on_is_let_go() {
    let url = server(Limits { stall: SHORT, ..Limits::default() }).await;
    let (mut sender, connection) = client(&url, 1 << 16).await;
    let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()).boxed();
    let request = Request::post("http://a/").body(body).unwrap();
    assert!(sender.send_request(request).await.is_err());
    drop(connection.await.unwrap());
}

#[tokio::test]
async fn who_waits_for_the_server_is_not() {
    let limits = Limits { head_time: SHORT, keep_alive: SHORT, stall: SHORT, ..Limits::default() };
    let url = server(limits).await;
    let (mut sender, _connection) = client(&url, 1 << 16).await;
    let slow = sender.send_request(request("/slow"));
    let halting = sender.clone().send_request(request("/halting")).await.unwrap();
    assert_eq!(text(halting).await, "ahoyahoy");
    assert_eq!(text(slow.await.unwrap()).await, "slow");
}

#[tokio::test]
async fn the_limits_of_a_request_hold() {
    let limits = Limits { target: 20, fields: 3, body: Some(10), ..Limits::default() };
    let url = server(limits).await;
    let (mut sender, _connection) = client(&url, 1 << 16).await;
    let long = request(&format!("/{}", "a".repeat(20)));
    let mut many = request("/");
    for name in ["a", "b", "c", "d"] {
        many.headers_mut().insert(name, "1".parse().unwrap());
    }
    let known = http_body_util::Full::from("more than ten").boxed();
    let pieces = ["more ", "than ", "ten"].map(|text| Ok(Frame::data(Bytes::from(text))));
    let streamed = StreamBody::new(stream::iter(pieces)).boxed();
    let [known, streamed] =
        [known, streamed].map(|body| Request::post("http://a/").body(body).unwrap());
    let mut statuses = Vec::new();
    for request in [long, many, known, streamed, request("/")] {
        statuses.push(sender.send_request(request).await.unwrap().status());
    }
    let expected = [
        StatusCode::URI_TOO_LONG,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::OK,
    ];
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn a_connection_carries_as_many_requests_as_it_may() {
    let url = server(Limits { requests: Some(2), ..Limits::default() }).await;
    let (mut sender, connection) = client(&url, 1 << 16).await;
    for _ in 0..2 {
        assert_eq!(text(sender.send_request(request("/")).await.unwrap()).await, "0");
    }
    let ended = context().limited(Some(Duration::from_secs(10)));
    ended.until_deadline(connection).await.unwrap().unwrap().unwrap();
    assert!(sender.send_request(request("/")).await.is_err());
}

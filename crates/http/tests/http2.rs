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
use futures_util::{FutureExt, stream};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portolan_core::Url;
use portolan_http::{Limits, Server};
use portolan_net::now;
use support::{context, dial, listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const SHORT: Duration = Duration::from_millis(200);

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
    // It gives up to wait for the body, and works on.
    let impatient = any(|mut body: Body| async move {
        assert!(body.frame().now_or_never().is_none());
        drop(body);
        tokio::time::sleep(4 * SHORT).await;
        "done"
    });
    let panicking = get(|uri: Uri| async move { assert_ne!(uri.path(), "/panic", "as told") });
    let routes = Router::new()
        .route("/", any(|body: Bytes| async move { body.len().to_string() }))
        .route("/slow", slow)
        .route("/halting", halting)
        .route("/large", large)
        .route("/impatient", impatient)
        .route("/echo", any(|body: Body| async { body }))
        .route("/panic", panicking);
    let listener = listener().await;
    let url = listener.local_url();
    tokio::spawn(Server::new(routes).with_limits(limits).serve(listener, pending()));
    url
}

type Sender = SendRequest<BoxBody<Bytes, Infallible>>;

/// A client, and the end of its connection.
async fn client(url: &Url, window: u32) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(TokioIo::new(dial(url).await)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn request(target: &str) -> Request<BoxBody<Bytes, Infallible>> {
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
    assert!(sender.send_request(halting("/", None)).await.is_err());
    drop(connection.await.unwrap());
}

#[tokio::test]
async fn who_only_pings_is_let_go() {
    let url = server(Limits { stall: 3 * SHORT, ..Limits::default() }).await;
    let mut builder = Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(SHORT / 2).initial_stream_window_size(0);
    let (mut sender, connection) = builder.handshake(TokioIo::new(dial(&url).await)).await.unwrap();
    let connection = tokio::spawn(connection);
    let _taken: Response<Incoming> = sender.send_request(request("/large")).await.unwrap();
    let limited = context().limited(Some(Duration::from_secs(10)));
    drop(limited.until_deadline(connection).await.expect("an end").unwrap());
}

/// A request with a body that does not go on after its first piece.
fn halting(target: &str, first: Option<&'static str>) -> Request<BoxBody<Bytes, Infallible>> {
    let first = first.map(|text| Ok(Frame::data(Bytes::from(text))));
    let body =
        StreamBody::new(futures_util::StreamExt::chain(stream::iter(first), stream::pending()))
            .boxed();
    Request::post(format!("http://a{target}")).body(body).unwrap()
}

#[tokio::test]
async fn an_answer_made_of_the_request_waits_for_the_peer_as_it_does() {
    let url = server(Limits { stall: SHORT, ..Limits::default() }).await;
    let (mut sender, connection) = client(&url, 1 << 16).await;
    let mut echo = sender.send_request(halting("/echo", Some("ahoy"))).await.unwrap();
    assert_eq!(echo.frame().await.unwrap().unwrap().into_data().unwrap(), "ahoy");
    let limited = context().limited(Some(Duration::from_secs(10)));
    drop(limited.until_deadline(connection).await.expect("an end").unwrap());
}

#[tokio::test]
async fn a_body_that_is_given_up_is_not_waited_for() {
    let url = server(Limits { stall: SHORT, ..Limits::default() }).await;
    let (mut sender, _connection) = client(&url, 1 << 16).await;
    assert_eq!(text(sender.send_request(halting("/impatient", None)).await.unwrap()).await, "done");
}

#[tokio::test]
async fn a_panic_ends_its_own_stream() {
    let url = server(Limits::default()).await;
    let (mut sender, _connection) = client(&url, 1 << 16).await;
    let mut slow = sender.clone();
    let slow =
        tokio::spawn(async move { text(slow.send_request(request("/slow")).await.unwrap()).await });
    assert!(sender.send_request(request("/panic")).await.is_err());
    assert_eq!(text(sender.send_request(request("/")).await.unwrap()).await, "0");
    assert_eq!(slow.await.unwrap(), "slow");
}

#[tokio::test]
async fn who_is_idle_and_answers_no_ping_does_not_hold_up_the_end() {
    let listener = listener().await.with_drain(Duration::from_secs(60));
    let url = listener.local_url();
    let (stop, stopped) = oneshot::channel::<()>();
    let routes = Router::new().route("/", get(|| async { "ahoy" }));
    let server = Server::new(routes).serve(listener, async { drop(stopped.await) });
    let server = tokio::spawn(server);
    let mut peer = dial(&url).await;
    // SETTINGS, and HEADERS of `GET http://a/` with END_STREAM and END_HEADERS (RFC 7541).
    let get = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01a";
    let said = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..], get].concat();
    peer.write_all(&said).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"ahoy") && !heard.ends_with(b"\0\0\0\x01") {
        assert!(peer.read_buf(&mut heard).await.unwrap() > 0);
    }
    stop.send(()).unwrap();
    let started = now();
    server.await.unwrap();
    assert!(now() - started < Duration::from_secs(10));
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

#[tokio::test]
async fn who_is_told_that_it_is_over_may_still_say_something() {
    const REQUEST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
        \0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a";
    const PING: usize = 6;
    let url = server(Limits { requests: Some(1), ..Limits::default() }).await;
    let mut peer = dial(&url).await;
    peer.write_all(REQUEST).await.unwrap();
    let ping = loop {
        let mut head = [0; 9];
        peer.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        peer.read_exact(&mut payload).await.unwrap();
        if usize::from(head[3]) == PING {
            break payload;
        }
    };
    let answer = [&b"\0\0\x08\x06\x01\0\0\0\0"[..], &ping].concat();
    peer.write_all(&answer).await.unwrap();
    peer.read_to_end(&mut Vec::new()).await.unwrap();
    // The first one would reset a connection that is closed, and the second one would fail.
    peer.write_all(&answer).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    peer.write_all(&answer).await.unwrap();
}

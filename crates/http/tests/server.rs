//! The server: what its routes learn, planned faults of requests, and its end.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no scripts")]
mod support;

use std::future::pending;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use http::StatusCode;
use portolan_core::Kind;
use portolan_http::{Server, upgrade};
use portolan_net::fault::Plan;
use portolan_net::{Dialer, Info};
use support::{client, context, listener, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};

#[tokio::test]
async fn routes_know_the_connection() {
    let route = get(|request: Request| async move {
        let info = request.extensions().get::<Info>().unwrap();
        format!("{} {}", info.peer, info.local.unwrap())
    });
    let url = server(Router::new().route("/", route)).await;
    let (mut client, cx) = (client(&url).await, context());
    let local = client.info().local.unwrap();
    let mut response = client.get(&cx).await.unwrap();
    let seen = response.receive(100, &cx).await.unwrap().bytes;
    assert_eq!(seen, format!("{local} 127.0.0.1:{}", url.port()));
}

#[tokio::test]
async fn a_planned_reply_is_given_in_place_of_the_route() {
    let plan = Plan::new(vec!["GET=2 /a: reply=503 too busy".parse().unwrap()], 0);
    let listener = listener().await.with_faults(plan).unwrap();
    let url = listener.local_url().with_path("/a").unwrap();
    let routes = Router::new().route("/a", get(|| async { "ahoy" }));
    tokio::spawn(Server::new(routes).serve(listener, pending()));
    let (mut client, cx) = (client(&url).await, context());
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut response = client.get(&cx).await.unwrap();
        let body = response.receive(100, &cx).await.unwrap().bytes;
        answers.push((response.status().as_u16(), body));
    }
    assert_eq!(answers, [(200, "ahoy".into()), (503, "too busy".into()), (200, "ahoy".into())]);
}

#[tokio::test]
async fn requests_in_flight_are_finished() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, left) = (entered.clone(), leave.clone());
    let route = get(move || async move {
        enter.notify_one();
        left.notified().await;
        "done"
    });
    let listener = listener().await;
    let url = listener.local_url();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let server =
        tokio::spawn(Server::new(Router::new().route("/", route)).serve(listener, stopped));
    let cx = context();
    let request = async {
        let mut response = client(&url).await.get(&cx).await.unwrap();
        response.receive(100, &cx).await.unwrap().bytes
    };
    let shutdown = async {
        entered.notified().await;
        stop.send(()).unwrap();
        // Nobody new is let in, and the one who is there gets an answer.
        while Dialer::new().dial(&url.endpoint(), &cx).await.is_ok() {}
        leave.notify_one();
    };
    let (body, ()) = tokio::join!(request, shutdown);
    assert_eq!(body, "done");
    server.await.unwrap();
    let refused = Dialer::new().dial(&url.endpoint(), &cx).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Connect);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let url = server(Router::new().route("/", get(|| async { "ahoy" }))).await;
    let mut stream = Dialer::new().dial(&url.endpoint(), &context()).await.unwrap().stream;
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(100_000));
    let _ = stream.write_all(long.as_bytes()).await;
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 431");
}

#[tokio::test]
async fn a_connection_is_handed_over_after_connect() {
    let route = any(|request: Request| async move {
        upgrade(request, |mut stream| async move {
            let mut said = [0; 4];
            stream.read_exact(&mut said).await.unwrap();
            stream.write_all(&said).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        StatusCode::OK.into_response()
    });
    let url = server(Router::new().fallback(route)).await;
    let mut stream = Dialer::new().dial(&url.endpoint(), &context()).await.unwrap().stream;
    stream.write_all(b"CONNECT a.test:1 HTTP/1.1\r\nhost: a.test:1\r\n\r\n").await.unwrap();
    assert!(support::read_head(&mut stream).await.starts_with("HTTP/1.1 200 "));
    stream.write_all(b"ahoy").await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "ahoy");
}

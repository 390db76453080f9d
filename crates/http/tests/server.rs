//! The server: what its routes learn, planned faults of requests, and its end.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no scripts")]
mod support;

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, any, get};
use http::StatusCode;
use portolan_core::Kind;
use portolan_http::{Files, Limits, Server, upgrade};
use portolan_net::fault::Plan;
use portolan_net::{Dialer, Handler, Info, Stream, now};
use support::{bodies, client, context, dial, exchange, listener, server, statuses};
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
async fn a_planned_reply_has_what_every_answer_has() {
    let plan = Plan::new(vec!["GET /a: reply=503".parse().unwrap()], 0);
    let listener = listener().await.with_faults(plan).unwrap();
    let url = listener.local_url();
    let directory = tempfile::TempDir::new().unwrap();
    let files = Files::new(directory.path()).unwrap().with_cors(true);
    let files = files.with_header("x-a".parse().unwrap(), "1".parse().unwrap());
    tokio::spawn(Server::files(files).serve(listener, pending()));
    let answer = exchange(&url, b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(statuses(&answer), [503]);
    for field in ["access-control-allow-origin: *\r\n", "x-a: 1\r\n"] {
        assert!(answer.contains(field), "{answer}");
    }
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
async fn idle_connections_end_with_the_server_and_others_are_told() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, left) = (entered.clone(), leave.clone());
    let slow = get(move || async move {
        enter.notify_one();
        left.notified().await;
        "done"
    });
    let routes = Router::new().route("/", get(|| async { "ahoy" })).route("/slow", slow);
    let listener = listener().await;
    let url = listener.local_url();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let server = tokio::spawn(Server::new(routes).serve(listener, stopped));
    let (mut idle, mut busy) = (dial(&url).await, dial(&url).await);
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let head = support::read_head(&mut idle).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("connection:"), "{head}");
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    entered.notified().await;
    stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "ahoy");
    leave.notify_one();
    let answer = rest(&mut busy).await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("done"), "{answer}");
    drop(busy);
    server.await.unwrap();
}

#[tokio::test]
async fn what_was_asked_before_the_server_stopped_is_answered() {
    let listener = listener().await;
    let url = listener.local_url();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let routes = Router::new().route("/", get(|| async { "ahoy" }));
    let server = tokio::spawn(Server::new(routes).serve(listener, stopped));
    let (mut old, mut new) = (dial(&url).await, dial(&url).await);
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    old.write_all(request).await.unwrap();
    support::read_head(&mut old).await;
    old.read_exact(&mut [0; 4]).await.unwrap();
    for peer in [&mut old, &mut new] {
        peer.write_all(request).await.unwrap();
    }
    stop.send(()).unwrap();
    for peer in [&mut old, &mut new] {
        let answer = rest(peer).await;
        assert!(answer.ends_with("ahoy"), "{answer}");
    }
    server.await.unwrap();
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
    let url = server(everywhere(route)).await;
    let mut stream = Dialer::new().dial(&url.endpoint(), &context()).await.unwrap().stream;
    // What comes along with the request is for the new protocol, too.
    stream.write_all(b"CONNECT a.test:1 HTTP/1.1\r\nhost: a.test:1\r\n\r\nah").await.unwrap();
    let head = support::read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("content-length"), "{head}");
    stream.write_all(b"oy").await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "ahoy");
}

#[tokio::test]
async fn the_next_protocol_begins_after_the_body() {
    let route = any(|request: Request| async move {
        upgrade(request, |mut stream| async move {
            let mut said = [0; 4];
            stream.read_exact(&mut said).await.unwrap();
            stream.write_all(&said).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "x")])
    });
    let url = server(everywhere(route)).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n";
    for (framing, body) in
        [("content-length: 5", "smell"), ("transfer-encoding: chunked", "5\r\nsmell\r\n0\r\n\r\n")]
    {
        let (head, rest) = (format!("{head}{framing}\r\n\r\n"), format!("{body}ahoy"));
        let together = format!("{head}{rest}");
        for (first, then) in [(together, String::new()), (head, rest)] {
            let mut stream = dial(&url).await;
            stream.write_all(first.as_bytes()).await.unwrap();
            let head = support::read_head(&mut stream).await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            stream.write_all(then.as_bytes()).await.unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "ahoy");
        }
    }
}

/// A route that says what it read, or why it could not.
fn reading() -> MethodRouter {
    any(|request: Request| async move {
        let body = to_bytes(request.into_body(), usize::MAX).await;
        body.map(|body| format!("{} bytes", body.len())).map_err(|error| error.to_string())
    })
}

fn everywhere(route: MethodRouter) -> Router {
    Router::new().fallback(route)
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let route = get(|request: Request| async move {
        // The first takes longest.
        for _ in 0..(9 - request.uri().path().len()) {
            tokio::task::yield_now().await;
        }
        request.uri().path().to_owned()
    });
    let url = server(everywhere(route)).await;
    let requests: String = (1..6)
        .map(|count| format!("GET {} HTTP/1.1\r\nhost: a\r\n\r\n", "/".repeat(count)))
        .collect();
    let answers = exchange(&url, requests.as_bytes()).await;
    assert_eq!(bodies(&answers), ["/", "//", "///", "////", "/////"]);
    assert!(!answers.contains("connection:"), "{answers}");
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let url = server(everywhere(reading())).await;
    let mut stream = dial(&url).await;
    let request = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                   5;x\r\nahoy!\r\n0\r\nx: y\r\n\r\n";
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert_eq!(bodies(&heard), ["5 bytes"]);
    assert!(heard.contains("connection: close\r\n"), "{heard}");
}

#[tokio::test]
async fn the_connection_goes_on_as_the_version_and_the_client_say() {
    let url = server(everywhere(get(|| async { "ahoy" }))).await;
    for (head, connection) in [
        ("GET / HTTP/1.1\r\nhost: a\r\nconnection: close", Some("close")),
        ("GET / HTTP/1.0", Some("close")),
        ("GET / HTTP/1.0\r\nconnection: keep-alive", Some("keep-alive")),
        ("GET / HTTP/1.1\r\nhost: a", None),
    ] {
        let answers = exchange(&url, format!("{head}\r\n\r\n").repeat(2).as_bytes()).await;
        let count = if connection == Some("close") { 1 } else { 2 };
        assert_eq!(statuses(&answers), vec![200; count], "{answers}");
        let told =
            answers.split_once("connection: ").map(|(_, rest)| rest.split_once("\r\n").unwrap().0);
        assert_eq!(told, connection, "{answers}");
    }
}

#[tokio::test]
async fn a_connection_carries_as_many_requests_as_it_may() {
    let listener = listener().await;
    let url = listener.local_url();
    let limits = Limits { requests: Some(2), ..Limits::default() };
    tokio::spawn(Server::new(everywhere(reading())).with_limits(limits).serve(listener, pending()));
    let answers = exchange(&url, "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3).as_bytes()).await;
    assert_eq!(statuses(&answers), [200, 200]);
    assert_eq!(answers.matches("connection: close\r\n").count(), 1);
}

#[tokio::test]
async fn a_body_is_asked_for_when_somebody_wants_it() {
    let routes = everywhere(reading()).route("/refuse", any(|| async { StatusCode::FORBIDDEN }));
    let url = server(routes).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    let mut stream = dial(&url).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(support::read_head(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ahoy").await.unwrap();
    assert!(support::read_head(&mut stream).await.starts_with("HTTP/1.1 200 "));
    // No answer has a 100 within, although this one reads while it answers.
    let mut stream =
        dial(&server(everywhere(any(|it: Request| async { it.into_body() }))).await).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(support::read_head(&mut stream).await.starts_with("HTTP/1.1 200 "));
    stream.write_all(b"ahoy").await.unwrap();
    assert_eq!(rest(&mut stream).await, "ahoy");
    // Who is refused is not asked, and cannot send another request.
    let answers = exchange(&url, head.replace("/ ", "/refuse ").as_bytes()).await;
    assert_eq!(statuses(&answers), [403]);
    assert!(answers.contains("connection: close\r\n"), "{answers}");
}

#[tokio::test]
async fn who_still_waits_for_a_body_learns_that_it_is_cut_off() {
    let (sender, heard) = oneshot::channel();
    let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
    let route = any(move |body: Body| async move {
        let sender = sender.lock().unwrap().take().unwrap();
        tokio::spawn(async move { sender.send(to_bytes(body, 100).await) });
        "read elsewhere"
    });
    let url = server(Router::new().route("/", route)).await;
    let mut peer = dial(&url).await;
    peer.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nah").await.unwrap();
    support::read_head(&mut peer).await;
    drop(peer);
    heard.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_no_request() {
    let url = server(everywhere(any(|| async { "ahoy" }))).await;
    let post = |body: &str| {
        let length = body.len();
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let body = "GET /evil HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3000);
    let answers = exchange(&url, post(&body).repeat(2).as_bytes()).await;
    assert_eq!(statuses(&answers), [200, 200]);
    // Nobody reads for ever, however.
    let answers = exchange(&url, post(&"x".repeat(4 << 20)).repeat(2).as_bytes()).await;
    assert_eq!(statuses(&answers), [200]);
}

#[tokio::test]
async fn answers_are_delimited_as_their_kind_wants() {
    let pieces =
        || Body::from_stream(futures_util::stream::iter(["ah", "", "oy"].map(Ok::<_, io::Error>)));
    let routes = Router::new()
        .route("/known", get(|| async { "ahoy" }))
        .route("/pieces", any(move || async move { pieces() }))
        .route("/none", any(|| async { StatusCode::NO_CONTENT }))
        .route("/same", any(|| async { StatusCode::NOT_MODIFIED }))
        .route("/short", any(move || async move { ([("content-length", "9")], pieces()) }))
        .route("/long", any(move || async move { ([("content-length", "3")], pieces()) }));
    let url = server(routes).await;
    let ask = async |line: &str| {
        let bytes = format!("{line}\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = exchange(&url, bytes.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let framing =
            head.lines().filter(|line| line.contains("-length") || line.contains("-encoding"));
        (framing.map(str::to_owned).collect::<Vec<_>>().join(" "), body.to_owned())
    };
    let wanted = |framing: &str, body: &str| (framing.to_owned(), body.to_owned());
    assert_eq!(ask("GET /known HTTP/1.1").await, wanted("content-length: 4", "ahoy"));
    assert_eq!(ask("HEAD /known HTTP/1.1").await, wanted("content-length: 4", ""));
    let chunks = "2\r\nah\r\n2\r\noy\r\n0\r\n\r\n";
    assert_eq!(ask("GET /pieces HTTP/1.1").await, wanted("transfer-encoding: chunked", chunks));
    assert_eq!(ask("GET /pieces HTTP/1.0").await, wanted("", "ahoy"));
    assert_eq!(ask("HEAD /pieces HTTP/1.1").await, wanted("", ""));
    assert_eq!(ask("GET /none HTTP/1.1").await, wanted("", ""));
    assert_eq!(ask("GET /same HTTP/1.1").await, wanted("", ""));
    assert_eq!(ask("GET /short HTTP/1.1").await, wanted("content-length: 9", "ahoy"));
    assert_eq!(ask("GET /long HTTP/1.1").await, wanted("content-length: 3", "ah"));
}

#[tokio::test]
async fn trailers_are_for_those_who_ask() {
    let echo = any(|request: Request| async move { request.into_body() });
    let url = server(everywhere(echo)).await;
    let post = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n";
    let body = "\r\n2\r\nah\r\n0\r\nx-sum: 7\r\n\r\n";
    let with = exchange(&url, format!("{post}te: x, trailers\r\n{body}").as_bytes()).await;
    assert_eq!(bodies(&with), ["2\r\nah\r\n0\r\nx-sum: 7\r\n\r\n"]);
    let without = exchange(&url, format!("{post}{body}").as_bytes()).await;
    assert_eq!(bodies(&without), ["2\r\nah\r\n0\r\n\r\n"]);
}

#[tokio::test]
async fn bodies_go_both_ways_at_once() {
    let echo = any(|request: Request| async move { request.into_body() });
    let url = server(everywhere(echo)).await;
    // More than the buffers of both sockets: neither end may wait for the other to finish.
    let body = "ahoy!".repeat(4 << 20);
    let length = body.len();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    let answer = exchange(&url, (head + &body).as_bytes()).await;
    assert!(bodies(&answer) == [body]);
}

/// A stream to a server of this route, and the end of what it hears.
async fn at(route: MethodRouter, limits: Limits) -> Stream {
    let listener = listener().await;
    let url = listener.local_url();
    let routes = everywhere(route);
    tokio::spawn(Server::new(routes).with_limits(limits).serve(listener, pending()));
    dial(&url).await
}

async fn rest(stream: &mut Stream) -> String {
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    String::from_utf8(heard).unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_let_go() {
    let route = || get(|| async { "ahoy" });
    let started = now();
    let mut silent = at(route(), Limits::default()).await;
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!((now() - started).as_secs(), 30);

    let mut idle = at(route(), Limits::default()).await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let started = now();
    assert!(rest(&mut idle).await.ends_with("\r\n\r\nahoy"));
    assert_eq!((now() - started).as_secs(), 75);
}

#[tokio::test(start_paused = true)]
async fn a_head_must_come_in_time_however_it_trickles() {
    let stream = at(get(|| async { "ahoy" }), Limits::default()).await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let started = now();
    let trickle = async {
        writer.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx: ").await.unwrap();
        while writer.write_all(b"y").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let mut heard = String::new();
    tokio::select! {
        _ = reader.read_to_string(&mut heard) => {}
        () = trickle => {}
    }
    assert_eq!(statuses(&heard), [408]);
    assert!((30..33).contains(&(now() - started).as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_body_may_not_rest_and_neither_may_the_reader() {
    let mut stream = at(reading(), Limits::default()).await;
    let started = now();
    stream.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nahoy").await.unwrap();
    assert_eq!(statuses(&rest(&mut stream).await), [408]);
    assert!((60..63).contains(&(now() - started).as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_rests_and_its_requests_are_counted_on() {
    const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let limits = Limits { requests: Some(3), ..Limits::default() };
    let keep_alive = limits.keep_alive;
    let routes = Router::new().route("/", get(|| async { "ahoy" }));
    let (server, listener, cx) =
        (Server::new(routes).with_limits(limits), listener().await, context());
    let mut peer = dial(&listener.local_url()).await;
    let accepted = listener.accept().await.establish(&cx).await.unwrap().unwrap();
    // It waits for the first request as it does for others, and not as long.
    let rest = server.turn(accepted, cx.clone()).await.unwrap().unwrap();
    assert!(rest.connection.note == 0 && rest.limit < keep_alive);
    peer.write_all(ASK).await.unwrap();
    let rest = server.turn(rest.connection, cx.clone()).await.unwrap().unwrap();
    assert!(rest.connection.note == 1 && rest.limit < keep_alive, "{rest:?}");
    peer.write_all(&[ASK, ASK].concat()).await.unwrap();
    let ended = server.turn(rest.connection, cx.clone());
    let mut heard = String::new();
    let (ended, read) = tokio::join!(ended, peer.read_to_string(&mut heard));
    read.unwrap();
    assert!(ended.unwrap().is_none());
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), 3);
    assert_eq!(heard.matches("connection: close").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_plain_does_not_rest() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let listener = listener().await;
    let _peer = dial(&listener.local_url()).await;
    let mut accepted = listener.accept().await.establish(&context()).await.unwrap().unwrap();
    accepted.stream = Stream::boxed(ours);
    let server = Server::new(Router::new());
    let turn = server.turn(accepted, context());
    let silence = context().limited(Some(Duration::from_secs(10)));
    assert!(silence.until_deadline(turn).await.is_none());
    assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn blank_lines_are_no_requests() {
    let url = server(Router::new().route("/", get(|| async { "ahoy" }))).await;
    let mut peer = dial(&url).await;
    let started = now();
    loop {
        peer.write_all(b"\r\n").await.unwrap();
        let mut said = [0];
        let limited = context().limited(Some(Duration::from_secs(10)));
        match limited.until_deadline(peer.read(&mut said)).await {
            Some(read) => break assert_eq!(read.unwrap(), 0),
            None => assert!(now() - started < Duration::from_secs(70)),
        }
    }
}

#[tokio::test]
async fn no_100_comes_within_an_answer() {
    let url = server(Router::new().route("/", any(|body: Body| async { body }))).await;
    let mut peer = dial(&url).await;
    let request = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nconnection: close\r\n\
                   content-length: 4\r\n\r\n";
    peer.write_all(request.as_bytes()).await.unwrap();
    let head = support::read_head(&mut peer).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    peer.write_all(b"ahoy").await.unwrap();
    assert_eq!(rest(&mut peer).await, "ahoy");
}

#[tokio::test]
async fn an_upgrade_that_is_offered_is_a_matter_of_the_connection() {
    let route = get(|| async { (StatusCode::UPGRADE_REQUIRED, [("upgrade", "example")]) });
    let url = server(Router::new().route("/", route)).await;
    let requests = "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    let answers = exchange(&url, requests.as_bytes()).await;
    let fields: Vec<_> = answers.lines().filter(|line| line.starts_with("connection: ")).collect();
    assert_eq!(fields, ["connection: upgrade", "connection: close, upgrade"]);
}

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::{Reason, server};
use portolan_core::{Direction, Event, Timeouts};
use portolan_net::proxy::Proxies;
use portolan_net::{Listener, Observer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

fn cx() -> Context {
    Context::new(Timeouts::default())
}

/// A client of `http://example.org/`, and the other end of its connection, which is in memory.
async fn pair() -> (Client, DuplexStream) {
    let listener = Listener::bind(&"http://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = listener.local_url();
    let mut client = Client::connect(&Dialer::new(), &url, &cx()).await.unwrap();
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    client.stream = Some(Stream::boxed(ours));
    client.url = "http://example.org/".parse().unwrap();
    (client, theirs)
}

/// A client whose peer reads the request, answers with these bytes and hangs up.
async fn answered(response: Vec<u8>) -> Client {
    let (client, mut peer) = pair().await;
    tokio::spawn(async move {
        read_head(&mut peer).await;
        peer.write_all(&response).await.unwrap();
    });
    client
}

async fn read_head(peer: &mut DuplexStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(peer.read_u8().await.unwrap());
    }
}

/// A client that speaks HTTP/2, whose peer answers by `answer`.
async fn answered_http2(answer: fn(server::SendResponse<Bytes>)) -> Client {
    let (mut client, peer) = pair().await;
    client.is_http2 = true;
    tokio::spawn(async move {
        let mut connection = server::handshake(peer).await.unwrap();
        while let Some(Ok((_, respond))) = connection.accept().await {
            answer(respond);
        }
    });
    client
}

async fn failure(client: &mut Client) -> Error {
    match client.get(&cx()).await {
        Ok(response) => panic!("answered with {}", response.status()),
        Err(error) => error,
    }
}

async fn body_failure(client: &mut Client) -> Error {
    let mut response = client.get(&cx()).await.unwrap();
    response.discard(u64::MAX, &cx()).await.unwrap_err()
}

/// Keeps the lines of a protocol.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Observer for Lines {
    fn observe(&self, _at: Instant, event: &Event) {
        if let Event::Line(direction, line) = event {
            let mark = if *direction == Direction::Sent { '>' } else { '<' };
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(format!("{mark} {line}"));
        }
    }
}

/// The lines of a request with secrets in it, and of its response.
async fn lines(client: &mut Client) -> Vec<String> {
    let lines = Arc::new(Lines::default());
    client.url = "http://user:secret@example.org/a?b".parse().unwrap();
    let request = Request::get("/a?b").header("Cookie", "id=secret").body(Bytes::new()).unwrap();
    client.send(request, &cx().with_observer(lines.clone())).await.unwrap();
    lines.0.lock().unwrap().clone()
}

#[tokio::test]
async fn observers_are_told_the_lines_without_secrets() {
    let response = b"HTTP/1.1 302 Over there\r\nSet-Cookie: id=secret\r\n\
        Location: http://u:secret@h/\r\nContent-Length: 0\r\n\r\n";
    let told = lines(&mut answered(response.to_vec()).await).await;
    let agent = format!("> user-agent: {USER_AGENT}");
    assert_eq!(
        told,
        [
            "> GET /a?b HTTP/1.1",
            "> host: example.org",
            "> cookie: ***",
            &agent,
            "> accept: */*",
            "> authorization: ***",
            "< HTTP/1.1 302 Over there",
            "< set-cookie: ***",
            "< location: http://***@h/",
            "< content-length: 0",
        ]
    );
}

#[tokio::test]
async fn observers_are_told_the_lines_of_http2() {
    let mut client = answered_http2(|mut respond| {
        let response =
            http::Response::builder().header("set-cookie", "id=secret").body(()).unwrap();
        respond.send_response(response, true).unwrap();
    })
    .await;
    let told = lines(&mut client).await;
    assert_eq!(told[..2], ["> GET /a?b HTTP/2", "> :authority: example.org"]);
    assert_eq!(told[told.len() - 2..], ["< HTTP/2 200", "< set-cookie: ***"]);
    assert!(!told.concat().contains("secret"), "{told:?}");
}

#[tokio::test]
async fn protocols_are_not_switched_unasked() {
    let response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chess\r\n\r\n";
    let mut client = answered(response.to_vec()).await;
    let error = failure(&mut client).await;
    assert_eq!(error.kind(), Kind::Protocol);
    assert_eq!(error.find(), Some(&HttpError::Unasked));

    let mut client = answered(response.to_vec()).await;
    let request = Request::get("/").header("Upgrade", "chess").header("Connection", "upgrade");
    let response = client.send(request.body(Bytes::new()).unwrap(), &cx()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
}

#[tokio::test]
async fn a_peer_that_resets_the_request_is_lost() {
    let client = answered_http2(|mut respond| respond.send_reset(Reason::ENHANCE_YOUR_CALM));
    let mut client = client.await;
    let error = failure(&mut client).await;
    assert_eq!((error.kind(), error.phase()), (Kind::Lost, Some(WAIT)));
    assert_eq!(error.find(), Some(&HttpError::Http2(Reason::ENHANCE_YOUR_CALM)));
    assert!(error.hint().is_some());
}

/// A client that speaks HTTP/2, whose peer answers the request with SETTINGS and then this frame.
async fn answered_frame(frame: &'static [u8]) -> Client {
    let (mut client, mut peer) = pair().await;
    client.is_http2 = true;
    tokio::spawn(async move {
        let mut preface = [0; 24];
        peer.read_exact(&mut preface).await.unwrap();
        let mut head = [0; 9];
        // Until HEADERS, which is of type 1.
        while head[3] != 1 {
            peer.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            peer.read_exact(&mut payload).await.unwrap();
        }
        peer.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
        peer.write_all(frame).await.unwrap();
        peer.read_to_end(&mut Vec::new()).await
    });
    client
}

#[tokio::test]
async fn a_peer_that_says_goaway_is_lost() {
    // No stream was processed; the code is INTERNAL_ERROR (RFC 9113 section 6.8).
    let frame = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x02";
    let error = failure(&mut answered_frame(frame).await).await;
    assert_eq!(error.kind(), Kind::Lost);
    assert_eq!(error.find(), Some(&HttpError::Http2(Reason::INTERNAL_ERROR)));
}

#[tokio::test]
async fn a_breach_that_we_detect_is_not_put_in_the_peers_mouth() {
    // DATA on stream 0, which has none (RFC 9113 section 6.1).
    let frame = b"\0\0\x01\0\0\0\0\0\0x";
    let error = failure(&mut answered_frame(frame).await).await;
    assert_eq!(error.kind(), Kind::Protocol);
    let words = "could not get an answer from example.org:80: connection error detected";
    assert!(format!("{error:#}").starts_with(words), "{error:#}");
}

#[tokio::test]
async fn half_a_head_is_malformed_http() {
    let error = failure(&mut answered(b"HTTP/1.1 200 OK\r\na: b\r\n".to_vec()).await).await;
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(matches!(error.find(), Some(HttpError::Malformed(_))), "{error:#}");
}

/// Answers with 3 of 1000 bytes, and a reset for this reason.
fn half_a_body(mut respond: server::SendResponse<Bytes>, reason: Reason) {
    let response = http::Response::builder().header("content-length", 1000).body(()).unwrap();
    let mut body = respond.send_response(response, false).unwrap();
    body.send_data(Bytes::from_static(b"abc"), false).unwrap();
    tokio::spawn(async move {
        // What is queued when a stream is reset is not sent: wait until it is out.
        body.reserve_capacity(1);
        std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
        tokio::task::yield_now().await;
        body.send_reset(reason);
    });
}

#[tokio::test]
async fn a_body_that_the_peer_resets_is_partial() {
    let mut client = answered_http2(|respond| half_a_body(respond, Reason::INTERNAL_ERROR)).await;
    let error = body_failure(&mut client).await;
    assert_eq!((error.kind(), error.phase()), (Kind::Partial, Some(RECEIVE)));
    assert_eq!(error.find(), Some(&HttpError::Http2(Reason::INTERNAL_ERROR)));
}

#[tokio::test]
async fn a_body_that_ends_early_without_error_is_partial() {
    let mut client = answered_http2(|respond| half_a_body(respond, Reason::NO_ERROR)).await;
    let error = body_failure(&mut client).await;
    assert_eq!(error.kind(), Kind::Partial);
    let truncated = HttpError::Truncated { received: 3, expected: Some(1000) };
    assert_eq!(error.find(), Some(&truncated));
}

#[tokio::test]
async fn silence_is_named_with_its_peer() {
    let (mut client, _peer) = pair().await;
    tokio::time::pause();
    let timeouts = Timeouts { operation: Some(Duration::from_secs(4)), ..Timeouts::default() };
    let Err(error) = client.get(&Context::new(timeouts)).await else { panic!("answered") };
    let words = "could not get an answer from example.org:80: timed out after 4.00 s";
    assert_eq!(format!("{error:#}"), words);
    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Some(WAIT)));
    assert_eq!(error.hint(), Some(SILENCE));
}

#[tokio::test]
async fn a_body_that_is_not_complete_in_time_says_how_far_it_came() {
    for (timeouts, seconds) in [
        (Timeouts { operation: Some(Duration::from_secs(4)), ..Timeouts::default() }, 4),
        (Timeouts { idle: Some(Duration::from_secs(2)), ..Timeouts::default() }, 2),
    ] {
        let (mut client, mut peer) = pair().await;
        tokio::time::pause();
        let cx = Context::new(timeouts);
        let answer = async {
            read_head(&mut peer).await;
            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc";
            peer.write_all(response).await.unwrap();
        };
        let (response, ()) = tokio::join!(client.get(&cx), answer);
        let error = response.unwrap().discard(u64::MAX, &cx).await.unwrap_err();
        let words = format!("the body was not complete after {seconds}.00 s: 3 of 1000 bytes");
        assert_eq!(format!("{error:#}"), words);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Some(RECEIVE)));
        tokio::time::resume();
    }
}

#[tokio::test]
async fn broken_chunks_are_told_in_lower_case() {
    let response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
    let error = body_failure(&mut answered(response.to_vec()).await).await;
    assert_eq!(error.kind(), Kind::Protocol);
    let words = "could not read the whole body: invalid chunk size line";
    assert!(format!("{error:#}").starts_with(words), "{error:#}");
}

#[tokio::test]
async fn a_large_head_and_an_impossible_length_are_told_apart() {
    let cause = async |response: String| {
        let error = failure(&mut answered(response.into_bytes()).await).await;
        assert_eq!(error.kind(), Kind::Protocol);
        error.find::<HttpError>().unwrap().clone()
    };
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", u64::MAX);
    assert!(matches!(cause(length).await, HttpError::Malformed(_)));
    let lines = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
    assert_eq!(cause(lines).await, HttpError::HeadTooLarge);
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(2 * HEAD_MAX));
    assert_eq!(cause(long).await, HttpError::HeadTooLarge);
}

#[tokio::test]
async fn a_bad_gateway_is_a_failure_only_where_the_origin_is_wanted() {
    for status in [502, 504] {
        let response = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").into_bytes();
        let proxy = || Route::Proxy("http://user:secret@proxy.test:3128".parse().unwrap());
        let mut client = answered(response.clone()).await;
        client.route = proxy();
        assert_eq!(client.get(&cx()).await.unwrap().status().as_u16(), status);

        let mut client = answered(response.clone()).await.with_origin_only();
        client.route = proxy();
        let error = failure(&mut client).await;
        assert_eq!((error.kind(), error.phase()), (Kind::Connect, Some(WAIT)));
        let words = "could not reach example.org:80 through the proxy http://***@proxy.test:3128/: \
                     the proxy answered 50";
        assert!(format!("{error:#}").starts_with(words), "{error:#}");

        // An origin may be a gateway itself, and is up.
        let mut client = answered(response).await.with_origin_only();
        assert_eq!(client.get(&cx()).await.unwrap().status().as_u16(), status);
    }
}

#[tokio::test]
async fn a_proxy_that_is_down_is_named() {
    let listener = Listener::bind(&"http://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let proxy = listener.local_url();
    drop(listener);
    let dialer = Dialer::new().with_proxies(Proxies::all(proxy.clone()).unwrap());
    let url = "http://example.org/".parse().unwrap();
    let Err(error) = Client::connect(&dialer, &url, &cx()).await else { panic!("connected") };
    assert_eq!((error.kind(), error.phase()), (Kind::Connect, Some(Phase::CONNECT)));
    assert_eq!(error.to_string(), format!("could not connect to the proxy {proxy}"));
}

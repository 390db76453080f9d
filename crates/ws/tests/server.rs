//! The server: what it opens, what it refuses, and how it ends.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

mod common;

use std::future::pending;

use common::{connect, cx, dial, echo, echo_server, listener, raw_client, read_all, request};
use portolan_core::{Error, Timeouts};
use portolan_net::fault::Plan;
use portolan_net::{Context, Listener, Stream};
use portolan_ws::wire::handshake::Refusal;
use portolan_ws::{CloseCode, Config, Deflate, Info, Message, Origins, Server, Upgrade, WebSocket};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

/// What a server with this `config` answers.
async fn answer(config: Config, request: &str) -> String {
    let (url, _ends) = echo_server(config).await;
    let mut stream = dial(&url).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    String::from_utf8(read_all(&mut stream).await).unwrap()
}

#[tokio::test]
async fn the_handshake_of_the_rfc() {
    let head = answer(Config::default(), &request("")).await;
    assert_eq!(
        head,
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[tokio::test]
async fn what_is_refused_is_told_why() {
    let good = request("");
    for (from, to, status, sentence) in [
        ("Upgrade: websocket", "Upgrade: h2c", 426, "this is a WebSocket endpoint"),
        ("Connection: Upgrade", "Connection: close", 426, "this is a WebSocket endpoint"),
        ("GET", "POST", 405, "opened by GET"),
        ("HTTP/1.1", "HTTP/1.0", 400, "opened by HTTP/1.1"),
        ("Host: a\r\n", "", 400, "the request needs one Host"),
        ("Host: a", "Host: a\r\nHost: b", 400, "the request needs one Host"),
        ("Version: 13", "Version: 8", 426, "only version 13"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBs", 400, "must be 16 bytes in base64"),
        ("GET /chat", "GET", 400, "it is not HTTP"),
        ("HTTP/1.1", "HTTP/2.0", 505, "its version of HTTP is not spoken here"),
        ("Host: a\r\n", "Host: a\n", 400, "it is not HTTP"),
        ("Host: a", "Host: a/b c", 400, "the request needs one Host"),
        ("Host: a", "Host: a\r\nContent-Length: 5", 400, "has no body"),
        ("Host: a", "Host: a\r\nTransfer-Encoding: chunked", 400, "has no body"),
        (
            "Version: 13",
            "Version: 13\r\nSec-WebSocket-Key: AGhlIHNhbXBsZSBub25jZQ==",
            400,
            "16 bytes",
        ),
    ] {
        assert!(good.contains(from));
        let response = answer(Config::default(), &good.replace(from, to)).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{from}: {response}");
        assert!(response.contains(sentence), "{from}: {response}");
        assert!(status != 426 || response.contains("\r\nsec-websocket-version: 13\r\n"));
        let options = if status == 426 { "Upgrade, close" } else { "close" };
        assert!(response.contains(&format!("\r\nconnection: {options}\r\n")), "{response}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let others = vec!["https://a.example".to_owned()];
    let origins = Origins::Own { names: Vec::new(), others };
    let config = || Config { origins: origins.clone(), ..Config::default() };
    let ask = async |origin: &str| answer(config(), &request(origin)).await;
    assert!(ask("").await.starts_with("HTTP/1.1 101 "));
    assert!(ask("Origin: https://a.example\r\n").await.starts_with("HTTP/1.1 101 "));
    assert!(ask("Origin: https://b.example\r\n").await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn the_best_subprotocol_is_chosen() {
    let names = ["chat.v2", "chat.v1"].map(str::to_owned);
    let config = || Config { subprotocols: names.to_vec(), ..Config::default() };
    let ask = async |names: &str| answer(config(), &request(names)).await;
    let response = ask("Sec-WebSocket-Protocol: chat.v0, chat.v1\r\n").await;
    assert!(response.contains("\r\nsec-websocket-protocol: chat.v1\r\n"), "{response}");
    let response = ask("Sec-WebSocket-Protocol: chat.v1\r\nSec-WebSocket-Protocol: chat.v2\r\n");
    assert!(response.await.contains("\r\nsec-websocket-protocol: chat.v2\r\n"));
    let response = ask("Sec-WebSocket-Protocol: mqtt\r\n").await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(response.contains("none of the subprotocols asked for is spoken here: chat.v2"));
    assert!(!ask("").await.contains("sec-websocket-protocol"));
}

#[tokio::test]
async fn compression_is_agreed_on_by_the_first_offer_that_makes_sense() {
    let ask = async |deflate: Deflate, offer: &str| {
        let config = Config { deflate: Some(deflate), ..Config::default() };
        let offer = format!("Sec-WebSocket-Extensions: {offer}\r\n");
        let response = answer(config, &request(&offer)).await;
        let line =
            response.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        line.map(str::to_owned)
    };
    let full =
        Deflate { server_max_window_bits: 15, client_max_window_bits: 15, ..Deflate::default() };
    let plain = Some("permessage-deflate".to_owned());
    assert_eq!(ask(full, "permessage-deflate").await, plain);
    assert_eq!(ask(full, "permessage-deflate; client_max_window_bits").await, plain);
    let malformed = [
        "x-webkit-deflate-frame",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; client_max_window_bits=8; client_max_window_bits=8",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; speed=9",
    ];
    for offer in malformed {
        assert_eq!(ask(full, offer).await, None, "{offer}");
        assert_eq!(ask(full, &format!("{offer}, permessage-deflate")).await, plain, "{offer}");
    }
    let offer = "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11";
    assert_eq!(ask(full, offer).await.as_deref(), Some(offer));
    let small = Deflate { server_no_context_takeover: true, ..Deflate::default() };
    assert_eq!(
        ask(small, "permessage-deflate; client_max_window_bits").await.as_deref(),
        Some(
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12; \
             client_max_window_bits=12"
        )
    );
}

#[tokio::test]
async fn a_shutdown_closes_with_1001() {
    let (listener, url) = listener().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let handler =
        |mut socket: WebSocket, _: Info, _: Context| async move { echo(&mut socket).await };
    let serving = Server::new(handler).serve(listener, async { drop(stopped.await) });
    let serving = tokio::spawn(serving);
    let (mut socket, _) = connect(&url, &Config::default()).await.unwrap();
    socket.send("ahoy").await.unwrap();
    assert_eq!(socket.receive().await.unwrap(), Some("ahoy".into()));
    stop.send(()).unwrap();
    assert_eq!(socket.receive().await.unwrap(), None);
    assert_eq!(socket.closed().unwrap().code, CloseCode::GOING_AWAY);
    serving.await.unwrap();
}

#[tokio::test]
async fn a_handler_learns_who_asks_for_what() {
    let (listener, url) = listener().await;
    let handler = |mut socket: WebSocket, info: Info, _: Context| async move {
        let agent = info.headers["x-agent"].to_str().unwrap().to_owned();
        let name = info.agreed.subprotocol.unwrap();
        socket.send(format!("{} {agent} {name}", info.target)).await?;
        socket.close(CloseCode(4000), "enough").await
    };
    let config = Config { subprotocols: vec!["a".to_owned()], ..Config::default() };
    tokio::spawn(Server::new(handler).with_config(config.clone()).serve(listener, pending()));
    let headers = [("x-agent".parse().unwrap(), "me".parse().unwrap())].into_iter().collect();
    let url = url.with_path("/a/b?c=d").unwrap();
    let (mut socket, info) = connect(&url, &Config { headers, ..config }).await.unwrap();
    assert_eq!(info.agreed.subprotocol.as_deref(), Some("a"));
    assert_eq!(socket.receive().await.unwrap(), Some("/a/b?c=d me a".into()));
    assert_eq!(socket.receive().await.unwrap(), None);
    let close = socket.closed().unwrap();
    assert_eq!((close.code.0, close.reason.as_str()), (4000, "enough"));
}

#[tokio::test]
async fn an_upgrade_within_another_server() {
    let request = http::Request::get("/").body(()).unwrap();
    assert_eq!(Upgrade::new(&request, &Config::default()).unwrap_err(), Refusal::NoUpgrade);

    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let request = http::Request::get("/")
        .header("Host", "a")
        .header("Upgrade", "WebSocket")
        .header("Connection", "keep-alive, Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", common::KEY)
        .body(())
        .unwrap();
    let config = Config::default();
    let (response, upgrade) = Upgrade::new(&request, &config).unwrap();
    assert_eq!(response.status(), 101);
    let mut server = upgrade.on(Stream::boxed(ours), &cx());
    let role = portolan_ws::wire::Role::Client;
    let stream = Stream::boxed(theirs);
    let mut client = WebSocket::new(role, stream, &[], &config, upgrade.agreed(), &cx());
    client.send("ahoy").await.unwrap();
    assert_eq!(server.receive().await.unwrap(), Some("ahoy".into()));
    let (closed, end) = tokio::join!(client.close(CloseCode::NORMAL, ""), server.receive());
    assert_eq!((closed, end), (Ok(()), Ok(None)));
}

#[tokio::test]
async fn many_connections_echo_at_once_over_several_workers() {
    let deflate = Some(Deflate::default());
    let (url, _ends) = echo_server(Config { deflate, ..Config::default() }).await;
    let talk = |number: usize| {
        let (url, deflate) = (url.clone(), deflate.filter(|_| number.is_multiple_of(2)));
        async move {
            let config = Config { deflate, ..Config::default() };
            let (mut socket, _) = connect(&url, &config).await.unwrap();
            for round in 0..20 {
                let message = Message::from(format!("{number} ").repeat(round * number));
                socket.feed(message.clone()).await.unwrap();
                assert_eq!(socket.receive().await.unwrap(), Some(message));
            }
            socket.close(CloseCode::NORMAL, "").await.unwrap();
        }
    };
    futures_util::future::join_all((0..50).map(talk)).await;
}

#[tokio::test]
async fn the_silence_of_a_peer_is_bounded_by_the_idle_limit() {
    let listener = Listener::bind(&"ws://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let brief = std::time::Duration::from_millis(500);
    let idle = Some(brief);
    let listener = listener.with_timeouts(Timeouts { idle, ..Timeouts::default() });
    let url = listener.local_url();
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |mut socket: WebSocket, _: Info, _: Context| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(echo(&mut socket).await);
            Ok::<(), Error>(())
        }
    };
    let config = Config { close: brief, ..Config::default() };
    tokio::spawn(Server::new(handler).with_config(config).serve(listener, pending()));
    let mut stream = raw_client(&url, "").await;
    assert_eq!(read_all(&mut stream).await[..4], [0x88, 20, 0x03, 0xe9]);
    let error = ends.recv().await.unwrap().unwrap_err();
    let words = "the peer was silent for 500 ms: the peer did not answer the close frame within";
    assert!(format!("{error:#}").starts_with(words), "{error:#}");
}

#[tokio::test]
async fn a_planned_fault_answers_instead() {
    let (listener, url) = listener().await;
    let plan = Plan::new(vec!["GET /chat: reply=503".parse().unwrap()], 0);
    let listener = listener.with_faults(plan).unwrap();
    let handler =
        |mut socket: WebSocket, _: Info, _: Context| async move { echo(&mut socket).await };
    tokio::spawn(Server::new(handler).serve(listener, pending()));
    let error = connect(&url.clone().with_path("/chat").unwrap(), &Config::default()).await;
    let error = error.map(|_| ()).unwrap_err();
    assert!(format!("{error:#}").ends_with("the server answered 503 Service Unavailable"));
    connect(&url, &Config::default()).await.unwrap();
}

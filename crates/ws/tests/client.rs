//! The client: what it opens, and what it does not take.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

mod common;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{connect, cx, echo_server, raw_accept, raw_server, read_head};
use futures_util::{SinkExt, StreamExt};
use portolan_core::{Backoff, Error, Event, Kind};
use portolan_net::{Dialer, Observer, Retry, Stream};
use portolan_ws::wire::Limits;
use portolan_ws::wire::handshake::Mismatch;
use portolan_ws::{
    Client, CloseCode, Config, Deflate, Message, Reconnecting, UPGRADE, WebSocket, WsError,
};
use tokio::io::AsyncWriteExt;

/// What the client makes of this answer.
async fn refused(answer: &'static str) -> Error {
    let url = raw_server(move |mut stream: Stream| async move {
        read_head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let config = Config { deflate: Some(Deflate::default()), ..Config::default() };
    connect(&url.await, &config).await.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn what_a_server_says_when_it_refuses_is_shown() {
    for (answer, kind, words) in [
        (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nwho's it?more",
            Kind::Login,
            "the server answered 401 Unauthorized: who's it?",
        ),
        (
            "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n",
            Kind::Denied,
            "the server answered 403 Forbidden: no!",
        ),
        ("HTTP/1.1 404 X\r\n\r\n\u{1b}[2J", Kind::NotFound, "404 Not Found: [2J"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Kind::Protocol, "answered 200 OK"),
        ("SSH-2.0-x\r\n", Kind::Protocol, "it is not HTTP"),
        ("", Kind::Lost, "the server closed the connection without an answer"),
        ("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 500 X\r\n\r\n", Kind::Denied, "answered 500"),
    ] {
        let error = refused(answer).await;
        let text = format!("{error:#}");
        assert!(text.starts_with("could not open ws://127.0.0.1:"), "{text}");
        assert!(text.contains(words), "{text}");
        assert_eq!((error.kind(), error.phase()), (kind, Some(UPGRADE)), "{text}");
    }
    let page = "HTTP/1.1 502 X\r\nContent-Type: Text/HTML; charset=utf-8\r\n\r\n<html><body>";
    let error = format!("{:#}", refused(page).await);
    assert!(error.ends_with("the server answered 502 Bad Gateway"), "{error}");
    let error = refused("HTTP/1.1 302 X\r\nLocation: https://u:p@a/\r\n\r\n").await;
    assert_eq!(error.hint(), Some("the server sends you to https://***@a/"));
    assert_eq!(error.kind(), Kind::Protocol);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_not_taken() {
    let fit = async |more: &'static str| {
        let url = raw_server(move |mut stream: Stream| async move {
            raw_accept(&mut stream, more).await;
        });
        let subprotocols = vec!["a".to_owned(), "b".to_owned()];
        let config =
            Config { deflate: Some(Deflate::default()), subprotocols, ..Config::default() };
        match connect(&url.await, &config).await {
            Ok((_, info)) => Ok(info.agreed),
            Err(error) => match error.find::<WsError>() {
                Some(WsError::Mismatch(mismatch)) => Err(mismatch.clone()),
                cause => panic!("{cause:?}"),
            },
        }
    };
    assert_eq!(fit("").await, Ok(portolan_ws::Agreed::default()));
    let agreed = fit("Sec-WebSocket-Protocol: b\r\n").await.unwrap();
    assert_eq!(agreed.subprotocol.as_deref(), Some("b"));
    let mismatch = fit("Sec-WebSocket-Protocol: c\r\n").await.unwrap_err();
    assert_eq!(mismatch, Mismatch::Subprotocol("c".to_owned()));
    for extension in [
        "x",
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=13",
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=13",
        "permessage-deflate; server_max_window_bits=12, x",
    ] {
        let line = format!("Sec-WebSocket-Extensions: {extension}\r\n").leak();
        let mismatch = fit(line).await.unwrap_err();
        assert!(matches!(mismatch, Mismatch::Extension(_)), "{extension}");
    }
    let line = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n";
    let deflate = fit(line).await.unwrap().deflate.unwrap();
    assert_eq!((deflate.server_max_window_bits, deflate.client_max_window_bits), (10, 12));

    let wrong = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let error = refused(wrong).await;
    assert_eq!(error.find(), Some(&WsError::Mismatch(Mismatch::Accept)));
    let error = refused("HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n").await;
    assert_eq!(error.find(), Some(&WsError::Mismatch(Mismatch::Upgrade)));
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_not() {
    let usage = async |url: &str, config: &Config| {
        connect(&url.parse().unwrap(), config).await.map(|_| ()).unwrap_err().kind()
    };
    assert_eq!(usage("http://127.0.0.1:9", &Config::default()).await, Kind::Usage);
    let (url, _ends) = echo_server(Config::default()).await;
    let headers = [("host".parse().unwrap(), "b".parse().unwrap())].into_iter().collect();
    let config = Config { headers, ..Config::default() };
    assert_eq!(usage(&url.to_string(), &config).await, Kind::Usage);
}

#[tokio::test]
async fn a_login_in_the_url_is_sent() {
    let (sender, head) = tokio::sync::oneshot::channel();
    let url = raw_server(move |mut stream: Stream| async move {
        sender.send(raw_accept(&mut stream, "").await).unwrap();
    });
    let url = url.await.with_secrets().replace("//", "//Aladdin:open%20sesame@");
    connect(&url.parse().unwrap(), &Config::default()).await.unwrap();
    let head = head.await.unwrap();
    assert!(head.contains("authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{head}");
}

#[tokio::test]
async fn without_limits_is_without_them() {
    let config = Config {
        limits: Limits { max_message: usize::MAX, max_frame: usize::MAX, max_ratio: u32::MAX },
        deflate: Some(Deflate::default()),
        handshake: Duration::MAX,
        ping: Some(Duration::MAX),
        pong: Duration::MAX,
        message: Some(Duration::MAX),
        close: Duration::MAX,
        stall: Some(Duration::MAX),
        ..Config::default()
    };
    let (url, _ends) = echo_server(config.clone()).await;
    let (mut socket, info) = connect(&url, &config).await.unwrap();
    assert!(info.agreed.deflate.is_some());
    let message = Message::from("a".repeat(100_000));
    socket.send(message.clone()).await.unwrap();
    assert_eq!(socket.receive().await.unwrap(), Some(message));
    socket.ping().await.unwrap();
    socket.close(CloseCode::NORMAL, "").await.unwrap();
}

#[tokio::test]
async fn a_ping_measures_the_round_trip_and_keeps_messages() {
    let (url, _ends) = echo_server(Config::default()).await;
    let (mut socket, _) = connect(&url, &Config::default()).await.unwrap();
    socket.feed("first").await.unwrap();
    let elapsed = socket.ping().await.unwrap();
    assert_eq!(socket.latency(), Some(elapsed));
    assert!(elapsed > Duration::ZERO);
    assert_eq!(socket.receive().await.unwrap(), Some("first".into()));
}

#[tokio::test]
async fn halves_work_in_different_tasks() {
    let (url, _ends) = echo_server(Config::default()).await;
    let (socket, _) = connect(&url, &Config::default()).await.unwrap();
    let (mut sender, mut receiver) = socket.split();
    // More than all buffers hold: both must run at once.
    let payload = vec![7; 100_000];
    let message = Message::from(payload);
    let sent = message.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..200 {
            sender.send(sent.clone()).await.unwrap();
        }
        sender.close(CloseCode::NORMAL, "done").await.unwrap();
    });
    for _ in 0..200 {
        assert_eq!(receiver.receive().await.unwrap().as_ref(), Some(&message));
    }
    assert_eq!(receiver.receive().await.unwrap(), None);
    assert_eq!(receiver.closed().unwrap().code, CloseCode::NORMAL);
    sending.await.unwrap();
}

#[tokio::test]
async fn it_is_a_stream_and_a_sink() {
    let (url, _ends) = echo_server(Config::default()).await;
    let (mut socket, _) = connect(&url, &Config::default()).await.unwrap();
    SinkExt::send(&mut socket, Message::from("ahoy")).await.unwrap();
    assert_eq!(StreamExt::next(&mut socket).await, Some(Ok("ahoy".into())));
    SinkExt::close(&mut socket).await.unwrap();
    assert_eq!(StreamExt::next(&mut socket).await, None);
    let error = WebSocket::send(&mut socket, "late").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Lost);
}

#[tokio::test]
async fn a_lost_connection_is_an_error() {
    let url = raw_server(|mut stream: Stream| async move {
        raw_accept(&mut stream, "").await;
        stream.write_all(b"\x81\x04ahoy").await.unwrap();
    });
    let (mut socket, _) = connect(&url.await, &Config::default()).await.unwrap();
    assert_eq!(socket.receive().await.unwrap(), Some("ahoy".into()));
    let error = socket.receive().await.unwrap_err();
    assert_eq!((error.kind(), error.find()), (Kind::Lost, Some(&WsError::Abnormal)));
    assert_eq!(socket.receive().await.unwrap(), None);
}

/// Keeps the words of what happens.
#[derive(Default)]
struct Words(Mutex<Vec<String>>);

impl Observer for Words {
    fn observe(&self, _at: Instant, event: &Event) {
        let words = match event {
            Event::Frame(direction, frame) => {
                format!("{direction:?} {} {}", frame.kind, frame.payload.escape_ascii())
            }
            Event::Fact(phase, name, value) => format!("{phase} {name} {value}"),
            _ => return,
        };
        self.0.lock().unwrap().push(words);
    }
}

#[tokio::test]
async fn observers_see_what_passes() {
    let (url, _ends) = echo_server(Config::default()).await;
    let words = std::sync::Arc::new(Words::default());
    let cx = cx().with_observer(words.clone());
    let opened = Client::connect(&Dialer::new(), &url, &Config::default(), &cx).await;
    let (mut socket, _) = opened.unwrap();
    socket.send("ahoy").await.unwrap();
    socket.receive().await.unwrap();
    socket.close(CloseCode::NORMAL, "bye").await.unwrap();
    let words = words.0.lock().unwrap();
    let lines: Vec<_> = words
        .iter()
        .filter(|words| !words.starts_with("resolve") && !words.starts_with("connect"))
        .collect();
    assert_eq!(
        lines,
        [
            "upgrade status 101",
            "Sent text ahoy",
            "Received text ahoy",
            r"Sent close \x03\xe8bye",
            r"Received close \x03\xe8",
        ]
    );
}

#[tokio::test]
async fn a_connection_that_goes_away_is_made_again() {
    let listener = common::listener().await;
    let (listener, url) = listener;
    let count = std::sync::Arc::new(Mutex::new(0));
    let handler = move |mut socket: WebSocket, _: portolan_ws::Info, _: portolan_net::Context| {
        let number = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        async move {
            socket.send(format!("{number}")).await?;
            match number {
                1 => Ok(()),
                2 => socket.close(CloseCode::RESTART, "").await,
                _ => socket.close(CloseCode::NORMAL, "").await,
            }
        }
    };
    let server = portolan_ws::Server::new(handler).serve(listener, std::future::pending());
    tokio::spawn(server);
    let backoff = Backoff { first: Duration::from_millis(1), ..Backoff::default() };
    let retry = Retry { count: 2, backoff };
    let mut socket = Reconnecting::new(Dialer::new(), url, Config::default(), retry, cx());
    for number in ["1", "2", "3"] {
        assert_eq!(socket.receive().await.unwrap(), Some(number.into()));
    }
    assert_eq!(socket.receive().await.unwrap(), None);
}

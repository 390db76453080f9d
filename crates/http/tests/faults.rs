//! The client against peers that break the protocol, the connection, or their word.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no routes")]
mod support;

use std::future::pending;
use std::time::Duration;

use portolan_core::{Error, Kind, Timeouts, Url};
use portolan_http::{Client, HttpError, RECEIVE, Session, Speaks, WAIT};
use portolan_net::fault::Plan;
use portolan_net::{Connection, Context, Dialer, serve};
use support::{answer, answering, client, context, listener, read_head, scripted};
use tokio::io::AsyncWriteExt;

/// The error of a GET, body included.
async fn failure(url: &Url, cx: &Context) -> Error {
    let answered = async {
        let mut response = Client::connect(&Dialer::new(), url, cx).await?.get(cx).await?;
        response.receive(1 << 20, cx).await
    };
    answered.await.unwrap_err()
}

#[tokio::test]
async fn what_is_not_http() {
    for (answer, speaks) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], Speaks::Ssh("SSH-2.0-OpenSSH_9.2".to_owned())),
        (b"220 mail.test\r\n", Speaks::Greeting("220 mail.test".to_owned())),
        (b"+OK POP3\r\n", Speaks::Greeting("+OK POP3".to_owned())),
        (b"* OK IMAP4\r\n", Speaks::Greeting("* OK IMAP4".to_owned())),
        (b"\x15\x03\x01\x00\x02\x02\x46", Speaks::Tls),
        (b"\x00\xff\r\n\r\n", Speaks::Unknown("\\x00\\xff".to_owned())),
    ] {
        let error = failure(&answering(answer).await, &context()).await;
        assert_eq!((error.kind(), error.phase()), (Kind::Protocol, Some(WAIT)), "{error:#}");
        assert_eq!(error.find(), Some(&HttpError::NotHttp(speaks)));
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come() {
    let error = failure(&answering("").await, &context()).await;
    assert_eq!((error.kind(), error.find()), (Kind::Lost, Some(&HttpError::NoAnswer)));
}

#[tokio::test]
async fn a_head_without_end() {
    let head = b"HTTP/1.1 200 OK\r\n"
        .iter()
        .chain(b"x: y\r\n".repeat(20_000).iter())
        .copied()
        .collect::<Vec<_>>();
    let error = failure(&answering(head).await, &context()).await;
    assert_eq!((error.kind(), error.find()), (Kind::Protocol, Some(&HttpError::HeadTooLarge)));
}

#[tokio::test]
async fn a_body_that_ends_early() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Some(9)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf", None),
    ] {
        let error = failure(&answering(answer).await, &context()).await;
        assert_eq!((error.kind(), error.phase()), (Kind::Partial, Some(RECEIVE)), "{error:#}");
        let truncated = HttpError::Truncated { received: 4, expected };
        assert_eq!(error.find(), Some(&truncated));
    }
}

#[tokio::test]
async fn a_body_whose_framing_is_broken() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nwhat\r\n";
    let error = failure(&answering(answer).await, &context()).await;
    assert_eq!((error.kind(), error.phase()), (Kind::Protocol, Some(RECEIVE)), "{error:#}");
}

#[tokio::test]
async fn two_lengths_are_none() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab";
    let error = failure(&answering(answer).await, &context()).await;
    assert_eq!((error.kind(), error.phase()), (Kind::Protocol, Some(WAIT)), "{error:#}");
}

/// The URL of a server that reads a request, says this, and then has this fault.
async fn faulty(answer: &'static str, fault: &str) -> Url {
    let plan = Plan::new(vec![fault.parse().unwrap()], 0);
    let listener = listener().await.with_faults(plan).unwrap();
    let url = listener.local_url();
    let script = move |mut connection: Connection, _: Context| async move {
        read_head(&mut connection.stream).await;
        let _ = connection.stream.write_all(answer.as_bytes()).await;
        let _ = connection.stream.flush().await;
        pending::<Result<(), Error>>().await
    };
    tokio::spawn(serve(listener, script, pending()));
    url
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nahoy";

#[tokio::test]
async fn a_connection_that_is_cut() {
    let error = failure(&faulty(ANSWER, "cut=40").await, &context()).await;
    assert_eq!(error.kind(), Kind::Partial, "{error:#}");
    let error = failure(&faulty(ANSWER, "cut=9").await, &context()).await;
    assert_eq!(error.kind(), Kind::Protocol, "{error:#}");
}

#[tokio::test]
async fn a_connection_that_is_reset() {
    let error = failure(&faulty(ANSWER, "cut=0,reset").await, &context()).await;
    assert_eq!(error.kind(), Kind::Lost, "{error:#}");
}

#[tokio::test]
async fn a_peer_that_falls_silent() {
    let limit = Some(Duration::from_secs(1));
    let cx = Context::new(Timeouts { operation: limit, ..Timeouts::default() });
    let error = failure(&faulty(ANSWER, "cut=0,stall").await, &cx).await;
    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Some(WAIT)), "{error:#}");
    let idle = Context::new(Timeouts { idle: limit, ..Timeouts::default() });
    let error = failure(&faulty(ANSWER, "cut=40,stall").await, &idle).await;
    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Some(RECEIVE)), "{error:#}");
}

#[tokio::test]
async fn latency_and_slow_lines_are_endured() {
    let url = faulty(ANSWER, "latency=5ms,jitter=5ms,bandwidth=4KiB/s").await;
    let cx = context();
    let mut response = client(&url).await.get(&cx).await.unwrap();
    assert_eq!(response.receive(10, &cx).await.unwrap().bytes, "ahoy");
}

/// The error of a GET by a session, body included.
async fn session_failure(url: &Url) -> Error {
    let session = Session::new();
    let answered =
        async { session.get(url).timeout(Duration::from_secs(20)).send().await?.bytes().await };
    answered.await.unwrap_err()
}

/// The URL of a peer that says this and then that, again and again.
async fn endless(head: &'static str, piece: &'static str) -> Url {
    let listener = listener().await;
    let url = listener.local_url();
    let script = move |mut connection: Connection, _: Context| async move {
        read_head(&mut connection.stream).await;
        let pieces = piece.repeat(1 + 16 * 1024 / piece.len());
        let mut words = head.to_owned();
        while connection.stream.write_all(words.as_bytes()).await.is_ok() {
            words.clone_from(&pieces);
        }
        Ok::<(), Error>(())
    };
    tokio::spawn(serve(listener, script, pending()));
    url
}

#[tokio::test]
async fn what_does_not_end_is_bounded() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("HTTP/1.1 200 OK\r\nx: ", "y"),
        ("", "HTTP/1.1 100 Continue\r\nx: y\r\n\r\n"),
        (chunked, "1;extension=value\r\nx\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "extension;"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "trailer: x\r\n"),
    ] {
        let error = session_failure(&endless(head, piece).await).await;
        assert_eq!(error.kind(), Kind::Protocol, "{head}{piece}: {error:#}");
    }
}

#[tokio::test]
async fn redirects_that_lead_nowhere() {
    let circle = scripted(|_, _| answer(302, "location: /\r\n", "")).await;
    let error = session_failure(&circle).await;
    assert_eq!(error.kind(), Kind::Redirects, "{error:#}");
    for location in ["/a\rset-cookie: b", "http://a\tb/", "http://[/", "/\x01"] {
        let url = scripted(move |_, _| answer(302, &format!("location: {location}\r\n"), ""));
        let error = session_failure(&url.await).await;
        assert_eq!(error.kind(), Kind::Protocol, "{location}: {error:#}");
    }
    let away = scripted(|_, _| answer(302, "location: file:///etc/passwd\r\n", "")).await;
    let error = session_failure(&away).await;
    assert!(matches!(error.kind(), Kind::Redirects | Kind::Protocol), "{error:#}");
}

#[tokio::test]
async fn a_session_tells_a_short_body_from_a_whole_one() {
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let error = session_failure(&answering(short).await).await;
    assert_eq!((error.kind(), error.phase()), (Kind::Partial, Some(RECEIVE)), "{error:#}");
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_on_in_time() {
    let url = faulty(ANSWER, "cut=40,stall").await;
    let request = Session::new().get(&url).timeout(Duration::from_secs(1));
    let error = request.send().await.unwrap().bytes().await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Some(RECEIVE)), "{error:#}");
    let url = faulty("HTTP/1.1 302 X\r\nlocation: /\r\ncontent-length: 9\r\n\r\n", "cut=90,stall");
    let request = Session::new().get(&url.await).timeout(Duration::from_secs(1));
    assert_eq!(request.send().await.unwrap_err().kind(), Kind::Timeout);
}

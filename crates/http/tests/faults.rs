//! The client against peers that break the protocol, the connection, or their word.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no routes")]
mod support;

use std::future::pending;
use std::time::Duration;

use portolan_core::{Error, Kind, Timeouts, Url};
use portolan_http::{Client, HttpError, RECEIVE, Speaks, WAIT};
use portolan_net::fault::Plan;
use portolan_net::{Connection, Context, Dialer, serve};
use support::{answering, client, context, listener, read_head};
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
    let limit = Some(Duration::from_millis(50));
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

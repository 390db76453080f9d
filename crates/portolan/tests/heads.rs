//! What one server takes for the head of a request, no other refuses: WebSocket is as strict as
//! HTTP, and as lenient, though neither may import the other.

use std::future::pending;

use portolan::http::wire::{Fields, Framing, Head, Scan};
use portolan::http::{Files, Limits};
use portolan::net::{Context, Dialer, Listener};
use portolan::ws::wire::handshake::{answer, check};
use portolan::ws::wire::head::{parse_request, parse_response};
use portolan::ws::{Config, Info, WebSocket};
use portolan::{Error, Timeouts, Url, http, ws};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Whether the server of HTTP takes this for a request without a body.
fn is_http(mut bytes: &[u8]) -> bool {
    let limits = Limits::default();
    // Which the server does first.
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    let Ok(Some(end)) = Scan::default().end(bytes, &limits) else { return false };
    let mut fields = Fields::new();
    let head = Head::parse(&bytes[..end], &mut fields, &limits);
    head.is_ok_and(|head| head.framing == Framing::Length(0))
}

/// Whether the server of WebSocket upgrades this.
fn is_upgraded(bytes: &[u8]) -> bool {
    let parsed = parse_request(bytes).ok().flatten();
    parsed.is_some_and(|(request, _)| answer(&request, &Config::default()).is_ok())
}

#[test]
fn what_http_refuses_is_not_upgraded() {
    assert!(is_http(REQUEST.as_bytes()) && is_upgraded(REQUEST.as_bytes()));
    for (from, to) in [
        ("\r\nHost", "\nHost"),
        ("==\r\n\r\n", "==\r\n\n"),
        ("==\r\n\r\n", "==\n\n"),
        ("GET", " GET"),
        ("GET", "\nGET"),
        ("GET", "\r\r\nGET"),
        ("GET", "\r\n GET"),
        ("/chat", "chat"),
        ("/chat", "*"),
        ("/chat", "/chat#there"),
        ("/chat", "/a b"),
        ("HTTP/1.1", "HTTP/2.0"),
        ("HTTP/1.1", "HTTP/11"),
        ("HTTP/1.1", "http/1.1"),
        ("Host: a", "Host: a/b c"),
        ("Host: a", "Host: a\r\nHost: a"),
        ("Host: a\r\n", ""),
        ("Host: a", "Host : a"),
        ("Host: a", "Host: a\r\n folded"),
        ("Host: a", "Host: a\r\nX: \0"),
        ("Host: a", "Host: a\r\n: x"),
        ("Host: a", "Host: a\r\nContent-Length: 5"),
        ("Host: a", "Host: a\r\nContent-Length: 0, 0"),
        ("Host: a", "Host: a\r\nContent-Length: 0\r\nContent-Length: 0"),
        ("Host: a", "Host: a\r\nContent-Length: +0"),
        ("Host: a", "Host: a\r\nTransfer-Encoding: chunked"),
        ("Host: a", "Host: a\r\nTransfer-Encoding: x"),
    ] {
        assert!(REQUEST.contains(from), "{from}");
        let changed = REQUEST.replacen(from, to, 1);
        assert!(!is_http(changed.as_bytes()), "{to:?}");
        assert!(!is_upgraded(changed.as_bytes()), "{to:?}");
    }
}

/// The status that the server at `url` answers this request with.
async fn status(url: &Url, request: &str) -> String {
    let cx = Context::new(Timeouts::default());
    let mut stream = Dialer::new().dial(&url.endpoint(), &cx).await.unwrap().stream;
    // However it is cut.
    for byte in request.bytes() {
        stream.write_all(&[byte]).await.unwrap();
    }
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    String::from_utf8_lossy(&line[9..]).into_owned()
}

#[tokio::test]
async fn what_http_takes_is_upgraded() {
    let loopback = "tcp://127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&loopback).await.unwrap();
    let files = listener.local_url();
    let server = http::Server::files(Files::new(env!("CARGO_MANIFEST_DIR")).unwrap());
    tokio::spawn(server.serve(listener, pending()));
    let listener = Listener::bind(&loopback).await.unwrap();
    let sockets = listener.local_url();
    let handler = async |_: WebSocket, _: Info, _: Context| Ok::<(), Error>(());
    tokio::spawn(ws::Server::new(handler).serve(listener, pending()));
    for (from, to) in [
        ("GET", "GET"),
        ("GET", "\r\nGET"),
        ("GET", "\r\n\r\nGET"),
        ("HTTP/1.1", "HTTP/1.2"),
        ("HTTP/1.1", "HTTP/1.9"),
    ] {
        let changed = REQUEST.replacen(from, to, 1);
        let file = changed.replace("/chat", "/Cargo.toml");
        assert_eq!(status(&files, &file).await, "200", "{to:?}");
        assert_eq!(status(&sockets, &changed).await, "101", "{to:?}");
    }
}

#[test]
fn a_key_and_a_version_are_said_once() {
    for twice in
        ["Sec-WebSocket-Key: AGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Version: 13\r\n"]
    {
        let request = REQUEST.replace("Host: a\r\n", &format!("Host: a\r\n{twice}"));
        assert!(is_http(request.as_bytes()) && !is_upgraded(request.as_bytes()), "{twice}");
    }
}

#[test]
fn a_client_is_as_strict() {
    let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let is_taken = |bytes: &[u8]| {
        let parsed = parse_response(bytes).ok().flatten();
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        parsed.is_some_and(|(response, _)| check(&response, key, &Config::default()).is_ok())
    };
    assert!(is_taken(response.as_bytes()));
    for (from, to) in [
        ("HTTP/1.1", "HTTP/1.0"),
        ("HTTP/1.1", "HTTP/2"),
        ("\r\nUpgrade", "\nUpgrade"),
        ("Upgrade: websocket", "Upgrade : websocket"),
    ] {
        let changed = response.replacen(from, to, 1);
        assert!(changed != response && !is_taken(changed.as_bytes()), "{to:?}");
    }
    // As soon as it shows.
    assert!(parse_response(b"SSH-").is_err() && parse_response(b"HTTP/2").is_err());
    assert_eq!(parse_response(b"HTTP/1").unwrap().map(|_| ()), None);
}

proptest! {
    #[test]
    fn whatever_is_upgraded_is_http(
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..4),
    ) {
        let mut bytes = REQUEST.as_bytes().to_vec();
        for (place, change) in changes {
            let place = place.index(bytes.len());
            bytes.splice(place..place, change);
        }
        prop_assert!(is_http(&bytes) || !is_upgraded(&bytes));
    }
}

/// What is put into a request: more often what means something there.
fn change() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        &b"\r\n"[..],
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"#",
        b"\0",
        b"/",
        b"\r\nHost: b",
        b"\r\nContent-Length: 1",
        b"\r\nTransfer-Encoding: chunked",
    ]);
    prop_oneof![4 => words.prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 1..3)]
}

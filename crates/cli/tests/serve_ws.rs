//! Servers of WebSocket: `listen ws:`, `serve ws`, and the lab's.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]
#![expect(clippy::disallowed_types, reason = "a page of another site is written on a bare socket")]

#[expect(dead_code, reason = "these tests need not all of it")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::{Live, Portolan, Servers, read_head, run, serve, talk};
use tempfile::TempDir;

#[test]
fn pages_of_other_sites_reach_no_server() {
    let status = |url: &str, host: &str, origin: &str| {
        let at = url.trim_start_matches("ws://").trim_end_matches('/');
        let mut stream = TcpStream::connect(at).unwrap();
        let host = if host.is_empty() { at } else { host };
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut stream).unwrap();
        (head[9..12].parse::<u16>().unwrap(), at.to_owned())
    };
    for verb in [
        &["listen", "ws:0", "--exec", "cat"][..],
        &["listen", "ws:0", "--echo"],
        &["serve", "ws", "--broadcast", "--listen", ":0"],
        &["relay", "ws:0", "tcp://127.0.0.1:9"],
    ] {
        let (_server, url) = serve(verb);
        let (refused, at) = status(&url, "", "https://evil.example");
        assert_eq!(refused, 403, "{verb:?}");
        // A name that its owner lets lead here.
        assert_eq!(status(&url, "evil.example", "http://evil.example").0, 403, "{verb:?}");
        assert_eq!(status(&url, "", &format!("http://{at}")).0, 101, "{verb:?}");
        let (_server, url) = serve(&[verb, &["--origin", "https://evil.example"]].concat());
        assert_eq!(status(&url, "", "https://evil.example").0, 101, "{verb:?}");
        assert_eq!(status(&url, "", "https://other.example").0, 403, "{verb:?}");
    }
    let (_server, url) = serve(&["listen", "ws:0", "--echo", "--origin", "*"]);
    assert_eq!(status(&url, "evil.example", "null").0, 101);
    run(&["relay", "tcp:0", "ws://127.0.0.1:9", "--origin", "*"])
        .refused(&["--origin", "does not apply"]);
}

#[test]
fn stdin_and_stdout_are_served_to_one_peer_at_a_time() {
    let (mut server, mut input) = talk(&["listen", "ws:0", "--once", "--no-shutdown"]);
    let url = server.note().strip_prefix("listening on ").unwrap().to_owned();
    let (mut client, mut said) = talk(&["connect", &url]);
    said.write_all(b"from the client\n").unwrap();
    assert_eq!(server.line(), "from the client");
    input.write_all(b"from the server\n").unwrap();
    assert_eq!(client.line(), "from the server");
    drop(said);
    assert_eq!((client.end().code, server.end().code), (Some(0), Some(0)));
}

#[test]
fn a_command_talks_in_lines_and_its_end_closes() {
    let (_server, url) = serve(&["listen", "ws:0", "--exec", "sed -u -e s/a/b/ -e 2q"]);
    let command = ["connect", &url, "--no-shutdown", "--json"];
    let run = Portolan::new().run_with_input(&command, "a\na\n");
    let frames: Vec<_> = run.objects().into_iter().filter(|o| o["type"] == "frame").collect();
    let received: Vec<_> = frames.iter().filter(|frame| frame["direction"] == "received").collect();
    let texts: Vec<_> = received.iter().map(|frame| &frame["text"]).collect();
    assert_eq!(texts, [&Value::from("b"), &"b".into(), &Value::Null]);
    assert_eq!((&received[2]["code"], run.code), (&1000.into(), Some(0)));
}

#[test]
fn each_hears_all_others() {
    let servers = Servers::only(&["http"]);
    let chat = servers.url("http").replace("http:", "ws:") + "ws/chat";
    let (_listening, listened) = serve(&["listen", "ws:0", "--broadcast"]);
    let (_serving, served) = serve(&["serve", "ws", "--broadcast", "--listen", ":0"]);
    for url in [chat, listened, served] {
        let (mut one, mut first) = talk(&["connect", &url]);
        let (mut two, mut second) = talk(&["connect", &url]);
        until_heard(&mut second, &mut one);
        first.write_all(b"here\n").unwrap();
        assert_eq!(two.line(), "here");
        second.write_all(b"there\n").unwrap();
        let heard = std::iter::repeat_with(|| one.line()).find(|line| line != "again");
        assert_eq!(heard.as_deref(), Some("there"));
    }
}

/// Lets one say `again` until another, which may not be there yet, hears it.
fn until_heard(speaker: &mut ChildStdin, listener: &mut Live) {
    let is_heard = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_heard.load(Ordering::Relaxed) {
                speaker.write_all(b"again\n").unwrap();
                thread::sleep(Duration::from_millis(5));
            }
        });
        assert_eq!(listener.line(), "again");
        is_heard.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_server_that_stops_says_that_it_goes_away() {
    let (mut server, url) = serve(&["serve", "ws", "--echo", "--listen", ":0"]);
    let (mut client, mut said) = talk(&["connect", &url, "--json"]);
    said.write_all(b"hi\n").unwrap();
    let frame = |client: &mut Live, opcode: &str| loop {
        let object = client.object();
        if object["opcode"] == opcode && object["direction"] == "received" {
            return object;
        }
    };
    assert_eq!(frame(&mut client, "text")["text"], "hi");
    server.signal(Signal::TERM);
    assert_eq!(frame(&mut client, "close")["code"], 1001);
    assert_eq!((client.end().code, server.end().code), (Some(0), Some(0)));
}

#[test]
fn an_address_without_a_scheme_is_of_tls_where_that_is_asked_for() {
    let (_server, url) = serve(&["serve", "ws", "--echo", "--listen", ":0", "--tls", "self"]);
    assert!(url.starts_with("wss://127.0.0.1:"), "{url}");
    let echoed = Portolan::new().run_with_input(&["connect", &url, "--insecure"], "hi\n");
    assert_eq!(echoed.done(), "hi\n");
    run(&["serve", "ws", "--echo", "--listen", "ws:0", "--tls", "self"])
        .refused(&["--tls does not apply to ws: targets; it fits wss"]);
    let listening = run(&["listen", "ws:0", "--echo", "--tls", "self"]);
    assert!(listening.err.ends_with("it fits tls, wss\n"), "{}", listening.err);
}

#[test]
fn where_to_listen_has_no_path() {
    for verb in [
        &["listen", "ws://127.0.0.1:0/foo", "--echo"][..],
        &["relay", "ws://127.0.0.1:0/?a=b", "tcp://127.0.0.1:9"],
        &["serve", "ws", "--echo", "--listen", "ws://127.0.0.1:0/foo"],
    ] {
        run(verb).refused(&["where to listen has no path"]);
    }
}

#[test]
fn a_unix_socket_serves_websockets() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("chat.sock");
    let listen = format!("unix:{}", path.display());
    let (_server, url) = serve(&["serve", "ws", "--echo", "--listen", &listen]);
    assert_eq!(url, listen);
    let mut stream = UnixStream::connect(path).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // A text of one byte, masked with zeros.
    stream.write_all(b"\x81\x81\0\0\0\0a").unwrap();
    let mut echo = [0; 3];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"\x81\x01a");
}

#[test]
fn the_lab_counts() {
    let servers = Servers::only(&["http"]);
    let ticks = servers.url("http").replace("http:", "ws:") + "ws/ticks?interval=0.001&count=3";
    let run = run(&["connect", &ticks, "--recv-only"]);
    assert_eq!(run.done(), "{\"tick\":1}\n{\"tick\":2}\n{\"tick\":3}\n");
}

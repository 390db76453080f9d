//! What `probe` finds out about peers that work, and about those that fail in every way there is.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]
#![expect(clippy::disallowed_types, reason = "peers that misbehave are written on bare sockets")]

#[expect(dead_code, reason = "these tests need no long runs")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use portolan::net::now;
use serde_json::Value;
use support::{Servers, answering, peer, read_head, run};

/// The report about one target, and the exit code.
#[track_caller]
fn probe(args: &[&str]) -> (i32, Value) {
    let run = run(&[&["probe", "--json"], args].concat());
    let [report] = &run.objects()[..] else { panic!("not one line: {}{}", run.out, run.err) };
    assert_eq!(report["v"], 1);
    assert_eq!(report["type"], "probe");
    (run.code.unwrap(), report.clone())
}

/// The report about a target that fails with this code, in this phase, in these words.
#[track_caller]
fn failure(args: &[&str], code: i32, phase: &str, words: &str) -> Value {
    let (found, report) = probe(args);
    let error = &report["error"];
    assert_eq!((found, &report["ok"]), (code, &Value::Bool(false)), "{report}");
    assert_eq!(error["phase"], phase, "{report}");
    assert!(error["message"].as_str().unwrap().contains(words), "{report}");
    let phases = report["phases"].as_array().unwrap();
    let failed: Vec<_> = phases.iter().filter(|p| p["ok"] == false).map(|p| &p["name"]).collect();
    assert_eq!(failed, [phase], "{report}");
    report
}

#[track_caller]
fn hint(report: &Value) -> &str {
    report["error"]["hint"].as_str().unwrap()
}

fn http(port: u16) -> String {
    format!("http://127.0.0.1:{port}/")
}

#[test]
fn every_server_of_the_lab_is_up() {
    let run = run(&["probe", "--json"]);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let reports = run.objects();
    let names: Vec<_> = reports.iter().map(|report| report["name"].as_str().unwrap()).collect();
    let all = ["tcp", "udp", "unix", "tls", "http", "ws", "https", "wss", "socks5", "http-proxy"];
    assert_eq!(names, all);
    for report in &reports {
        assert_eq!((&report["ok"], &report["error"]), (&Value::Bool(true), &Value::Null));
    }
    let phases = |report: &Value| {
        let phases = report["phases"].as_array().unwrap().iter();
        phases.map(|phase| phase["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(phases(&reports[1]), ["resolve", "connect", "wait"]);
    assert_eq!(phases(&reports[3]), ["resolve", "connect", "tls"]);
    assert_eq!(phases(&reports[6]), ["resolve", "connect", "tls", "send", "wait", "receive"]);
    assert_eq!(phases(&reports[7]), ["resolve", "connect", "tls", "upgrade", "wait"]);
    assert!(phases(&reports[8]).contains(&"proxy".to_owned()));
    assert!(reports[8]["via"].as_str().unwrap().starts_with("socks5://127.0.0.1:"));
}

#[test]
fn the_phases_add_up_to_the_total() {
    let servers = Servers::with_fault(&["tcp", "unix", "http"], "http: latency=50ms");
    for name in ["tcp", "unix", "http"] {
        let (code, report) = probe(&[&servers.url(name)]);
        let phases = report["phases"].as_array().unwrap();
        let sum: f64 = phases.iter().map(|phase| phase["ms"].as_f64().unwrap()).sum();
        let total = report["total_ms"].as_f64().unwrap();
        // Each number is rounded to the microsecond.
        let rounding = 0.001 * phases.len() as f64;
        assert!((sum - total).abs() <= 0.05 * total + rounding, "{report}");
        assert_eq!(code, 0, "{report}");
        if name == "http" {
            let wait = phases.iter().find(|phase| phase["name"] == "wait").unwrap();
            assert!(wait["ms"].as_f64().unwrap() >= 45.0, "{report}");
        }
    }
}

#[test]
fn a_closed_port() {
    let servers = Servers::with_fault(&["tcp"], "refuse");
    let report = failure(&[&servers.url("tcp")], 7, "connect", "connection refused");
    let port = servers.lab.url("tcp").unwrap().port();
    assert!(hint(&report).starts_with(&format!("nothing listens on port {port} there")));
    assert_eq!(report["attempts"][0]["error"], "connection refused");
    failure(&[&http(port)], 7, "connect", "connection refused");
}

#[test]
fn a_socket_that_does_not_exist() {
    let report = failure(&["unix:/nowhere/a.sock"], 7, "connect", "no such file or directory");
    assert_eq!(hint(&report), "there is no such socket: start the service, or check the path");
}

#[test]
fn a_name_that_does_not_exist() {
    let report = failure(&["http://nowhere.invalid/"], 6, "resolve", "nowhere.invalid");
    assert!(hint(&report).starts_with("check the spelling of the name"));
}

#[test]
fn a_black_hole() {
    let (_full, _waiting, port) = full_listener();
    let started = now();
    let target = format!("tcp://127.0.0.1:{port}");
    let report = failure(&[&target, "--connect-timeout", "300ms"], 28, "connect", "");
    // Without the flag it takes 10 s.
    assert!(now() - started < Duration::from_secs(8), "{:?}", now() - started);
    assert!(hint(&report).contains("firewall"), "{report}");
}

/// A listener whose queue is full, so that the system drops whoever knocks.
fn full_listener() -> (OwnedFd, Vec<OwnedFd>, u16) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let open = || {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap()
    };
    let listener = open();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    rustix::net::bind(listener.as_fd(), &any).unwrap();
    rustix::net::listen(listener.as_fd(), 0).unwrap();
    let local = rustix::net::getsockname(listener.as_fd()).unwrap();
    let local = std::net::SocketAddr::try_from(local).unwrap();
    let knock = || {
        let socket = open();
        // It does not block, and so is under way at once.
        let _ = rustix::net::connect(socket.as_fd(), &local);
        socket
    };
    let waiting = std::iter::repeat_with(knock).take(4).collect();
    (listener, waiting, local.port())
}

#[test]
fn accepts_and_says_nothing() {
    let servers = Servers::with_fault(&["http"], "stall");
    let started = now();
    let url = servers.url("http");
    let report = failure(&[&url, "--timeout", "2s"], 28, "wait", "timed out after");
    // Without the flag it takes 30 s.
    assert!(now() - started < Duration::from_secs(15), "{:?}", now() - started);
    assert!(hint(&report).starts_with("it took the connection and does not answer"));
}

#[test]
fn closes_in_the_middle_of_the_body() {
    let port = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    let words = "the body ended after 4 bytes of 100";
    failure(&[&http(port)], 18, "receive", words);
}

#[test]
fn closes_in_the_middle_of_a_chunk() {
    let port = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf");
    failure(&[&http(port)], 18, "receive", "the body ended after 4 bytes");
}

#[test]
fn resets() {
    let port = peer(|mut stream| {
        read_head(&mut stream)?;
        reset(stream)
    });
    failure(&[&http(port)], 56, "wait", "connection reset by peer");

    let port = peer(|mut stream| {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
        reset(stream)
    });
    let (code, report) = probe(&[&http(port)]);
    // The reset may overtake the head.
    assert_eq!((code, &report["error"]["kind"]), (56, &Value::from("lost")), "{report}");
}

/// Closes without lingering, which is a reset.
fn reset(stream: TcpStream) -> std::io::Result<()> {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    Ok(())
}

#[test]
fn hangs_up_without_an_answer() {
    let port = answering(b"");
    let words = "the peer closed the connection without an answer";
    let report = failure(&[&http(port)], 56, "wait", words);
    assert_eq!(hint(&report), "the service accepts and hangs up: look at its log");
}

#[test]
fn rubbish_instead_of_http() {
    let port = answering(b"\x00\x01\x1b[31mnot at all\r\n");
    failure(&[&http(port)], 8, "wait", r#"it says "\x00\x01\x1b[31mnot at all""#);
}

#[test]
fn other_protocols_instead_of_http() {
    for (greeting, words) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "it is an SSH server (\"SSH-2.0-OpenSSH_9.2\")"),
        (b"220 mail.test ESMTP\r\n", "it says \"220 mail.test ESMTP\""),
        (b"-ERR unknown command 'GET'\r\n", "it says \"-ERR unknown command"),
    ] {
        let port = peer(move |mut stream| {
            stream.write_all(greeting)?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
        let report = failure(&[&http(port)], 8, "wait", words);
        assert_eq!(hint(&report), "another service uses this port: check the port");
    }
}

#[test]
fn a_tls_record_instead_of_http() {
    let port = answering(b"\x15\x03\x01\x00\x02\x02\x46");
    let report = failure(&[&http(port)], 8, "wait", "it speaks TLS");
    assert_eq!(hint(&report), format!("try https://127.0.0.1:{port}/"));
}

#[test]
fn headers_without_end() {
    let port = peer(|mut stream| {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"x-more: and more\r\n")?;
        }
    });
    failure(&[&http(port)], 8, "wait", "the head of the response is too large");
    let port = peer(|mut stream| {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx-long: ")?;
        loop {
            stream.write_all(&[b'a'; 4096])?;
        }
    });
    failure(&[&http(port)], 8, "wait", "the head of the response is too large");
}

#[test]
fn a_body_without_end_is_not_read_to_its_end() {
    let port = peer(|mut stream| {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            stream.write_all(&[b'a'; 4096])?;
        }
    });
    let (code, report) = probe(&[&http(port)]);
    assert_eq!(code, 0);
    assert_eq!(report["notes"][0], "the body is longer than 1 MiB; the rest was not read");
}

#[test]
fn a_status_that_is_no_success_is_up_with_a_note() {
    let moved = b"HTTP/1.1 302 Found\r\nLocation: http://u:hush@a.test/\r\n\r\n";
    for (answer, note) in [
        (&moved[..], "answered with status 302 Found, which leads to http://***@a.test/"),
        (b"HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", "answered with status 404 Not Found"),
        (
            b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            "answered with status 503 Service Unavailable",
        ),
    ] {
        let (code, report) = probe(&[&http(answering(answer))]);
        assert_eq!((code, &report["notes"][0]), (0, &Value::from(note)));
    }
}

#[test]
fn datagrams() {
    let servers = Servers::only(&["udp"]);
    let (code, report) = probe(&[&servers.url("udp")]);
    assert_eq!((code, &report["phases"][2]["detail"]["bytes"]), (0, &Value::from(15)));

    let silent = Servers::with_fault(&["udp"], "loss=100%");
    failure(
        &[&silent.url("udp"), "--idle-timeout", "20ms"],
        28,
        "wait",
        "no answer to 3 datagrams",
    );

    let url = servers.url("udp");
    drop(servers);
    let report = failure(&[&url], 7, "wait", "connection refused");
    assert!(hint(&report).starts_with("nothing listens on UDP port "));
}

#[test]
fn through_proxies() {
    let servers = Servers::only(&["http", "socks5", "http-proxy"]);
    for name in ["socks5", "http-proxy"] {
        let (code, report) = probe(&[&servers.url("http"), "--proxy", &servers.url(name)]);
        assert_eq!((code, &report["ok"]), (0, &Value::Bool(true)), "{report}");
    }
    let outside = "tcp://192.0.2.1:80";
    failure(&[outside, "--proxy", &servers.url("http-proxy")], 9, "proxy", "403");
    failure(&[outside, "--proxy", &servers.url("socks5")], 9, "proxy", "not allowed");
}

//! haproxy in front of `listen` and `relay` and behind `relay`, with the PROXY protocol between.
#![expect(clippy::disallowed_types, reason = "clients here are bare sockets")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::peer::Peer;
use crate::support::{Live, dial, serve};

const VERSIONS: [(&str, &str); 2] = [("send", "send-proxy"), ("send-v2", "send-proxy-v2")];

/// haproxy with these lines in its one proxy, in which `PORT` is a free port.
fn haproxy(lines: &str) -> Peer {
    Peer::start("haproxy", |port, dir: &Path| {
        let lines = lines.replace("PORT", &port.to_string());
        let config = format!(
            "global\n  maxconn 100\n\
             defaults\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
             listen test\n{lines}\n"
        );
        let file = dir.join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file);
        command
    })
}

/// haproxy that passes TCP on to the server at `url`, with a PROXY header.
fn in_front_of(url: &str, header: &str) -> Peer {
    let place = url.split_once("://").unwrap().1;
    haproxy(&format!("  mode tcp\n  bind 127.0.0.1:PORT\n  server one {place} {header}"))
}

/// haproxy that takes a PROXY header, and answers HTTP with the address of the client.
fn telling() -> Peer {
    haproxy(
        "  mode http\n  bind 127.0.0.1:PORT accept-proxy\n  \
         http-request return status 200 content-type text/plain lf-string %[src]:%[src_port]",
    )
}

/// A client of haproxy, and its own address.
fn client(proxy: &Peer) -> (TcpStream, String) {
    client_at(&format!("tcp://127.0.0.1:{}", proxy.port))
}

fn client_at(url: &str) -> (TcpStream, String) {
    let stream = dial(url);
    let address = stream.local_addr().unwrap().to_string();
    (stream, address)
}

/// The event about this client's connection; haproxy has others, of the test's looking for it.
fn event_of(live: &mut Live, event: &str, client: &str) -> Value {
    loop {
        let object = live.event(event);
        if object["peer"] == client {
            return object;
        }
    }
}

/// The client's address as the HTTP server sees it.
fn told(mut stream: TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.rsplit("\r\n").next().unwrap().to_owned()
}

#[test]
fn listen_knows_the_client_behind_haproxy() {
    for (_, header) in VERSIONS {
        let (mut live, url) = serve(&["listen", "tcp:0", "--echo", "--proxy-protocol", "accept"]);
        let proxy = in_front_of(&url, header);
        let (mut stream, address) = client(&proxy);
        stream.write_all(b"ahoy").unwrap();
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard, *b"ahoy");
        let open = event_of(&mut live, "open", &address);
        let via = open["via"].as_str().unwrap();
        assert!(via.starts_with("127.0.0.1:") && via != address, "{header}: {open}");
        drop(stream);
        let close = event_of(&mut live, "close", &address);
        assert_eq!((&close["via"], &close["error"]), (&via.into(), &Value::Null), "{header}");
    }
}

#[test]
fn a_command_knows_the_client_behind_haproxy() {
    let script = "sh -c 'echo $PORTOLAN_PEER_ADDR:$PORTOLAN_PEER_PORT'";
    let (_live, url) = serve(&["listen", "tcp:0", "--exec", script, "--proxy-protocol", "accept"]);
    let proxy = in_front_of(&url, "send-proxy-v2");
    let (mut stream, address) = client(&proxy);
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said.trim_end(), address);
}

#[test]
fn who_is_behind_haproxy_can_be_denied() {
    let flags = ["--proxy-protocol", "accept", "--deny", "127.0.0.1"];
    let (mut live, url) = serve(&[&["listen", "tcp:0", "--echo"], &flags[..]].concat());
    let proxy = in_front_of(&url, "send-proxy-v2");
    let (mut stream, address) = client(&proxy);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    event_of(&mut live, "refuse", &address);
}

#[test]
fn haproxy_knows_the_client_behind_a_relay() {
    let behind = telling();
    let to = format!("tcp:{}", behind.port);
    for (way, _) in VERSIONS {
        let (_relay, url) = serve(&["relay", "tcp:0", &to, "--proxy-protocol", way]);
        let (stream, address) = client_at(&url);
        assert_eq!(told(stream), address, "{way}");
    }
}

#[test]
fn a_relay_passes_on_what_haproxy_told_it() {
    let behind = telling();
    let to = format!("tcp:{}", behind.port);
    for (way, header) in VERSIONS {
        let ways = format!("accept,{way}");
        let (mut relay, url) = serve(&["relay", "tcp:0", &to, "--proxy-protocol", &ways]);
        let front = in_front_of(&url, header);
        let (stream, address) = client(&front);
        assert_eq!(told(stream), address, "{way}");
        assert!(event_of(&mut relay, "open", &address)["via"].is_string());
    }
}

#[test]
fn a_relay_takes_the_header_off() {
    let (_echo, echo) = serve(&["listen", "tcp:0", "--echo"]);
    let (mut relay, url) = serve(&["relay", "tcp:0", &echo, "--proxy-protocol", "accept"]);
    let front = in_front_of(&url, "send-proxy");
    let (mut stream, address) = client(&front);
    stream.write_all(b"ahoy").unwrap();
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, *b"ahoy");
    event_of(&mut relay, "open", &address);
}

#[test]
fn without_a_header_nobody_is_served() {
    let (mut live, url) = serve(&["listen", "tcp:0", "--echo", "--proxy-protocol", "accept"]);
    // haproxy that sends none.
    let proxy = in_front_of(&url, "");
    let (mut stream, _) = client(&proxy);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or_default(), 0);
    let refused = loop {
        let close = live.event("close");
        if close["bytes_in"] != 0 {
            break close;
        }
    };
    assert!(refused["error"].as_str().unwrap().contains("PROXY"), "{refused}");
}

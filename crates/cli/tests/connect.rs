//! `connect` as the command has it: what goes in, what comes out, how it ends.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]
#![expect(clippy::disallowed_types, reason = "peers here are bare sockets")]

#[expect(dead_code, reason = "these tests need no live run")]
mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::{Portolan, Run, Servers, peer};

fn connect(args: &[&str], input: &str) -> Run {
    Portolan::new().run_with_input(&[&["connect"], args].concat(), input)
}

/// A peer that says `answer` once it has read all; its URL, and what it has read.
fn peer_that_reads_all(answer: &'static [u8]) -> (String, mpsc::Receiver<Vec<u8>>) {
    let (heard, all) = mpsc::channel();
    let port = peer(move |mut stream| {
        let mut said = Vec::new();
        stream.read_to_end(&mut said)?;
        stream.write_all(answer)?;
        heard.send(said).map_err(std::io::Error::other)
    });
    (format!("tcp:{port}"), all)
}

#[test]
fn what_is_said_comes_back_over_every_stream() {
    let servers = Servers::only(&["tcp", "unix", "tls"]);
    for name in ["tcp", "unix", "tls"] {
        let url = servers.url(name);
        let flags: &[&str] = if name == "tls" { &["--insecure"] } else { &[] };
        let said = "ahoy\n".repeat(20_000);
        assert_eq!(connect(&[&[url.as_str()], flags].concat(), &said).done(), said, "{name}");
    }
}

#[test]
fn the_end_of_the_input_is_told_and_the_answer_awaited() {
    let (url, heard) = peer_that_reads_all(b"that was all\n");
    assert_eq!(connect(&[&url], "all of it").done(), "that was all\n");
    assert_eq!(heard.recv().unwrap(), b"all of it");
}

#[test]
fn it_ends_when_the_peer_does_whatever_the_input() {
    let port = peer(|mut stream| stream.write_all(b"goodbye\n"));
    let mut command = Portolan::new().command(&["connect", &format!("tcp:{port}")]);
    // An input that never ends, since its other end stays open.
    let (stdin, input) = std::io::pipe().unwrap();
    let run = command.stdin(stdin).output().unwrap();
    drop(input);
    assert_eq!(Run::from(run).done(), "goodbye\n");
}

#[test]
fn all_is_sent_to_a_peer_that_has_said_all_at_once() {
    let (heard, all) = mpsc::channel();
    let port = peer(move |mut stream| {
        stream.shutdown(Shutdown::Write)?;
        thread::sleep(Duration::from_millis(20));
        let mut said = Vec::new();
        stream.read_to_end(&mut said)?;
        heard.send(said.len()).map_err(std::io::Error::other)
    });
    let said = "ahoy\n".repeat(1_000_000);
    let portolan = Portolan::new();
    // A file never keeps it waiting, as a pipe might.
    let input = File::open(portolan.file("input", &said)).unwrap();
    let mut command = portolan.command(&["connect", &format!("tcp:{port}")]);
    assert_eq!(Run::from(command.stdin(input).output().unwrap()).done(), "");
    assert_eq!(all.recv().unwrap(), said.len());
}

#[test]
fn a_full_disk_is_told_however_little_is_written() {
    let servers = Servers::only(&["tcp"]);
    let portolan = Portolan::new();
    let input = portolan.file("input", "hi");
    let mut command = portolan.command(&["connect", &servers.url("tcp")]);
    command.stdin(File::open(input).unwrap());
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
    let run = Run::from(output.unwrap());
    assert_eq!(run.code, Some(23), "{}", run.err);
    assert!(run.err.contains("could not write to stdout"), "{}", run.err);
}

#[test]
fn without_shutdown_the_peer_is_not_told() {
    let peer_that_waits = |patience: Duration| {
        let port = peer(move |stream| {
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone()?);
            reader.read_line(&mut line)?;
            stream.set_read_timeout(Some(patience))?;
            let ended = reader.read_line(&mut line).is_ok();
            (&stream).write_all(if ended { b"ended" } else { b"open" })
        });
        format!("tcp:{port}")
    };
    let url = peer_that_waits(Duration::from_millis(300));
    assert_eq!(connect(&[&url, "--no-shutdown"], "a\n").done(), "open");
    let url = peer_that_waits(Duration::from_secs(30));
    assert_eq!(connect(&[&url], "a\n").done(), "ended");
}

#[test]
fn lines_end_as_the_network_wants_them() {
    let (url, heard) = peer_that_reads_all(b"");
    connect(&[&url, "--crlf"], "a\nb\r\n").done();
    assert_eq!(heard.recv().unwrap(), b"a\r\nb\r\n");
}

#[test]
fn one_way_only() {
    let (url, heard) = peer_that_reads_all(b"an answer");
    assert_eq!(connect(&[&url, "--send-only"], "a question").done(), "");
    assert_eq!(heard.recv().unwrap(), b"a question");

    let port = peer(|mut stream| {
        stream.write_all(b"news")?;
        stream.shutdown(Shutdown::Write)?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said)?;
        assert!(said.is_empty());
        Ok(())
    });
    assert_eq!(connect(&[&format!("tcp:{port}"), "--recv-only"], "unread").done(), "news");
}

#[test]
fn both_ways_in_hexadecimal() {
    let (url, _heard) = peer_that_reads_all(b"pong\xff");
    assert_eq!(
        connect(&[&url, "--hex"], "ping").done(),
        "> 00000000  70 69 6e 67                                       |ping|\n\
         < 00000000  70 6f 6e 67 ff                                    |pong.|\n"
    );
}

#[test]
fn json_has_what_passed_and_how_it_ended() {
    let (url, _heard) = peer_that_reads_all(b"pong");
    let objects = connect(&[&url, "--json"], "ping").objects();
    let [sent, received, end] = &objects[..] else { panic!("{objects:?}") };
    let is = |object: &Value, direction: &str, text: &str| {
        assert_eq!((&object["type"], &object["v"]), (&"data".into(), &1.into()));
        assert_eq!((&object["direction"], &object["text"]), (&direction.into(), &text.into()));
    };
    is(sent, "sent", "ping");
    is(received, "received", "pong");
    assert_eq!(end["type"], "connect");
    assert_eq!((&end["bytes_in"], &end["bytes_out"]), (&4.into(), &4.into()));
}

#[test]
fn a_command_takes_the_place_of_the_terminal() {
    let (url, heard) = peer_that_reads_all(b"");
    connect(&[&url, "--exec", "sh -c 'echo $PORTOLAN_PEER'"], "").done();
    let said = String::from_utf8(heard.recv().unwrap()).unwrap();
    assert_eq!(format!("tcp:{}", said.trim_end().rsplit(':').next().unwrap()), url);

    let run = connect(&[&url, "--exec", "no-such-program"], "");
    run.refused(&["no-such-program", "there is no such program"]);
    connect(&[&url, "--exec", "echo 'a"], "").refused(&["--exec", "a quote is not closed"]);
}

#[test]
fn a_datagram_is_a_line_or_of_a_size() {
    let servers = Servers::only(&["udp"]);
    let url = servers.url("udp");
    assert_eq!(connect(&[&url, "--idle-timeout", "2s"], "one\ntwo").done(), "one\ntwo\n");

    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", server.local_addr().unwrap());
    connect(&[&url, "--datagram-size", "3", "--idle-timeout", "1s"], "abcdefgh").done();
    let mut buffer = [0; 16];
    let datagrams = [(); 3].map(|()| {
        let (size, _) = server.recv_from(&mut buffer).unwrap();
        String::from_utf8(buffer[..size].to_vec()).unwrap()
    });
    assert_eq!(datagrams, ["abc", "def", "gh"]);
    connect(&["tcp:1", "--datagram-size", "3"], "").refused(&["--datagram-size", "udp"]);
    connect(&[&url, "--no-shutdown"], "").refused(&["--no-shutdown", "tcp"]);
}

#[test]
fn a_closed_port_is_told_over_tcp_and_udp() {
    let refusing = Servers::with_fault(&["tcp"], "refuse");
    for scheme in ["tcp", "udp"] {
        let run = connect(&[&refusing.url("tcp").replace("tcp", scheme)], "anybody?\n");
        assert_eq!(run.code, Some(7), "{}", run.err);
        assert!(
            run.err.contains("connection refused") && run.err.contains("hint: "),
            "{}",
            run.err
        );
    }
}

#[test]
fn a_reset_is_a_lost_connection() {
    let servers = Servers::with_fault(&["tcp"], "cut=4,reset");
    let run = connect(&[&servers.url("tcp")], "more than four bytes");
    assert_eq!(run.code, Some(56), "{}", run.err);
}

#[test]
fn silence_ends_in_time() {
    let port = peer(|mut stream| stream.read_to_end(&mut Vec::new()).map(drop));
    let url = format!("tcp:{port}");
    for flags in [["--idle-timeout", "200ms"], ["--timeout", "200ms"]] {
        let args = [&[url.as_str(), "--no-shutdown"], &flags[..]].concat();
        let run = connect(&args, "anybody?\n");
        assert_eq!(run.code, Some(28), "{flags:?}: {}", run.err);
    }
}

#[test]
fn it_connects_again_until_the_input_has_ended() {
    let (arrived, arrivals) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        // The first two are sent away; the third one is heard.
        for _ in 0..2 {
            drop(listener.accept().unwrap());
        }
        let (mut stream, _) = listener.accept().unwrap();
        arrived.send(()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
    });
    let portolan = Portolan::new();
    let args = ["connect", &url, "--reconnect", "--retry-backoff", "10ms"];
    let (stdin, mut input) = std::io::pipe().unwrap();
    let child = portolan.command(&args).stdin(stdin).stdout(Stdio::piped()).spawn().unwrap();
    arrivals.recv().unwrap();
    input.write_all(b"at last").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    server.join().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "at last");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn it_does_not_connect_again_for_nothing() {
    let refusing = Servers::with_fault(&["tcp"], "refuse");
    // Long enough for the end of the input to be noticed meanwhile, which is not waited out.
    let args = [&refusing.url("tcp"), "--reconnect", "--retry-backoff", "20s"];
    let run = connect(&args, "");
    assert_eq!(run.code, Some(7), "{}", run.err);
    assert_eq!(run.err.matches("connection refused").count(), 1, "{}", run.err);
}

#[test]
fn each_failure_to_connect_again_is_an_error() {
    let refusing = Servers::with_fault(&["tcp"], "refuse");
    let portolan = Portolan::new();
    let url = refusing.url("tcp");
    let args = ["connect", &url, "--reconnect", "--retry-backoff", "10ms", "--json"];
    let (stdin, input) = std::io::pipe().unwrap();
    let mut child = portolan.command(&args).stdin(stdin).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.take(2) {
        let object: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!((&object["type"], &object["code"]), (&"error".into(), &7.into()));
        assert_eq!(object["target"], *url);
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn what_is_sent_is_shown_though_nothing_else_is() {
    let (url, _heard) = peer_that_reads_all(b"an answer");
    assert_eq!(
        connect(&[&url, "--send-only", "--hex"], "ping").done(),
        "> 00000000  70 69 6e 67                                       |ping|\n"
    );
}

#[test]
fn what_is_not_a_stream_is_refused() {
    connect(&["https://example.org"], "").refused(&["https:", "stream"]);
    connect(&["tcp:1", "--send-only", "--recv-only"], "").refused(&["--send-only", "--recv-only"]);
}

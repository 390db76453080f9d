//! WebSocket as the commands have it: both ends, what goes between them and other streams, and how
//! it ends.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]
#![expect(clippy::disallowed_types, reason = "peers that misbehave are written on bare sockets")]

#[expect(dead_code, reason = "these tests need not all of it")]
mod support;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use portolan::ws::wire::handshake::accept_of;
use rustix::process::Signal;
use serde_json::Value;
use support::{Portolan, Run, Servers, peer, read_head, serve, talk};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

fn connect(args: &[&str], input: &str) -> Run {
    Portolan::new().run_with_input(&[&["connect"], args].concat(), input)
}

/// The same for bytes that are no text; what comes out.
fn connect_bytes(args: &[&str], input: &[u8]) -> Vec<u8> {
    let portolan = Portolan::new();
    let mut command = portolan.command(&[&["connect"], args].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// A server that upgrades, says `fields` in its response, and then does this with each connection;
/// its URL, and the heads of the requests.
fn server(
    fields: &'static str,
    script: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> (String, mpsc::Receiver<String>) {
    let (sender, heads) = mpsc::channel();
    let port = peer(move |mut stream| {
        let head = read_head(&mut stream)?;
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let accept = accept_of(key.expect("a key in the request"));
        let _ = sender.send(head.clone());
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{fields}\r\n"
        );
        stream.write_all(response.as_bytes())?;
        script(stream)
    });
    (format!("ws://127.0.0.1:{port}/"), heads)
}

/// A frame of a server with a payload of less than 126 bytes.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [&[0x80 | opcode, u8::try_from(payload.len()).unwrap()], payload].concat()
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// The next frame of a client, which has less than 126 bytes: its opcode, and its payload unmasked.
fn read_frame(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 6];
    stream.read_exact(&mut head)?;
    let mut payload = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut payload)?;
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= head[2 + index % 4];
    }
    Ok((head[0] & 0xf, payload))
}

/// Reads until the peer has gone, so that nothing is reset.
fn rest(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// A server that says this and no more; its URL.
fn saying(said: Vec<u8>) -> String {
    let script = move |mut stream: TcpStream| {
        stream.write_all(&said)?;
        rest(stream)
    };
    server("", script).0
}

#[test]
fn lines_are_texts_both_ways() {
    let servers = Servers::only(&["http", "https"]);
    for (name, scheme, flags) in [("http", "ws", &[][..]), ("https", "wss", &["--insecure"])] {
        let url = servers.url(name).replace(name, scheme) + "ws";
        let run = connect(&[&[url.as_str(), "--compressed"], flags].concat(), "ahoy\nü\n\nlast");
        assert_eq!(run.done(), "ahoy\nü\n\nlast\n", "{scheme}");
        // The last answer is awaited for as long as the peer may be silent.
        let run = connect(&[&[url.as_str(), "--idle-timeout", "2s"], flags].concat(), "ahoy\n");
        assert_eq!(run.done(), "ahoy\n", "{scheme}");
    }
}

#[test]
fn binary_messages_come_in_three_forms() {
    let servers = Servers::only(&["http"]);
    let url = servers.url("http").replace("http:", "ws:") + "ws";
    let any = [0, 0xff, b'\n', 0x80];
    assert_eq!(connect_bytes(&[&url, "--binary"], &any), any);
    let prefixed = [&[0, 0, 0, 4][..], &any, &[0, 0, 0, 0]].concat();
    assert_eq!(connect_bytes(&[&url, "--length-prefix"], &prefixed), prefixed);
    assert_eq!(connect(&[&url, "--base64"], "AP8KgA==\n\n").done(), "AP8KgA==\n\n");
    // What comes is shown in the same form, whatever its type.
    let said = [frame(TEXT, b"hi"), frame(BINARY, b"ho"), close(1000, "")].concat();
    assert_eq!(connect(&[&saying(said), "--base64", "--recv-only"], "").done(), "aGk=\naG8=\n");
}

#[test]
fn the_code_of_the_close_is_the_exit() {
    for code in [1000, 1001] {
        assert_eq!(connect(&[&saying(close(code, "bye")), "--recv-only"], "").done(), "");
    }
    let failing = |said: Vec<u8>, words: &str| {
        let url = saying(said);
        let run = connect(&[&url, "--recv-only"], "");
        assert_eq!(run.code, Some(56), "{}", run.err);
        assert!(run.err.contains(words), "{}", run.err);
    };
    failing(close(1011, "on fire"), "1011 (internal error): on fire");
    failing(close(4003, ""), "closed the connection with 4003\n");
    failing(frame(CLOSE, b""), "1005 (no status)");
    failing(frame(TEXT, b"hi"), "without a close frame");
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_so() {
    let (heard, codes) = mpsc::channel();
    // A masked frame of a server; a text that is not UTF-8; a message of 16 MiB and a byte.
    let masked = vec![0x81, 0x80, 1, 2, 3, 4];
    let large = [&[0x82, 127][..], &((16_u64 << 20) + 1).to_be_bytes()].concat();
    for (said, code) in [(masked, 1002), (frame(TEXT, b"\xff"), 1007), (large, 1009_u16)] {
        let heard = heard.clone();
        let (url, _) = server("", move |mut stream| {
            stream.write_all(&said)?;
            let _ = heard.send(read_frame(&mut stream)?);
            rest(stream)
        });
        let run = connect(&[&url, "--no-shutdown"], "");
        assert_eq!(run.code, Some(8), "{}", run.err);
        let (opcode, payload) = codes.recv().unwrap();
        assert_eq!((opcode, &payload[..2]), (CLOSE, &code.to_be_bytes()[..]), "{}", run.err);
    }
}

#[test]
fn input_that_is_no_message_is_refused_and_the_connection_closed() {
    let (heard, closes) = mpsc::channel();
    let (url, _) = server("", move |mut stream| {
        while let Ok((opcode, payload)) = read_frame(&mut stream) {
            if opcode == CLOSE {
                stream.write_all(&frame(CLOSE, &payload))?;
                let _ = heard.send(payload);
            }
        }
        Ok(())
    });
    let refused = |flags: &[&str], input: &[u8], words: &str| {
        let portolan = Portolan::new();
        let mut command = portolan.command(&[&["connect", url.as_str()], flags].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input);
        Run::from(child.wait_with_output().unwrap()).refused(&[words]);
        assert_eq!(closes.recv().unwrap()[..2], 1011_u16.to_be_bytes());
    };
    refused(&[], b"fine\n\n\xff\n", "line 3 is not UTF-8");
    let long = vec![b'a'; (16 << 20) + 1];
    refused(&[], &long, "line 1 has more than 16777216 bytes, which does not fit a message");
    refused(&["--base64"], b"MQ==\n*", "line 2 is not Base64");
    refused(&["--length-prefix"], b"\0\0\0\x05ab", "the input ends within a message");
    refused(&["--length-prefix"], b"\x7f\0\0\0", "is larger than 16777216 bytes");
}

#[test]
fn answers_that_are_due_are_shown_before_input_is_refused() {
    // It answers when it hears that no more will come.
    let (url, _) = server("", |mut stream| {
        let mut answers = Vec::new();
        loop {
            let (opcode, payload) = read_frame(&mut stream)?;
            answers.extend(frame(opcode, &payload));
            if opcode == CLOSE {
                assert_eq!(&payload[2..], b"the input is no message");
                stream.write_all(&answers)?;
                return rest(stream);
            }
        }
    });
    for (flags, input, output) in [
        (&[][..], &b"1\n2\n\xff\n3\n"[..], &b"1\n2\n"[..]),
        (&["--base64"], b"MQ==\n*\nMQ==\n", b"MQ==\n"),
    ] {
        let portolan = Portolan::new();
        let mut command = portolan.command(&[&["connect", url.as_str()], flags].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let run = child.wait_with_output().unwrap();
        assert_eq!((run.status.code(), &run.stdout[..]), (Some(2), output));
        let err = String::from_utf8(run.stderr).unwrap();
        assert!(flags == ["--base64"] || err.contains("--binary"), "{err}");
    }
}

#[test]
fn answers_that_do_not_come_are_told_of() {
    let (url, _) = server("", |mut stream| {
        loop {
            let (opcode, payload) = read_frame(&mut stream)?;
            if opcode == CLOSE {
                stream.write_all(&frame(CLOSE, &payload))?;
                return rest(stream);
            }
        }
    });
    let run = connect(&[&url, "--idle-timeout", "500ms"], "1\n2\n");
    assert_eq!((run.code, run.out.as_str()), (Some(0), ""));
    assert_eq!(run.err, "note: 2 messages got no answer in time; --idle-timeout waits longer\n");
    assert_eq!(connect(&[&url, "--idle-timeout", "500ms", "-q"], "1\n").done(), "");
    assert_eq!(connect(&[&url, "--send-only"], "1\n").done(), "");
}

#[test]
fn without_shutdown_and_with_one_way_only() {
    let (url, _) = server("", |mut stream| {
        let (opcode, payload) = read_frame(&mut stream)?;
        assert_eq!((opcode, &payload[..]), (TEXT, &b"a"[..]));
        // The end of the input is no close: this is heard.
        stream.write_all(&[frame(TEXT, b"late"), close(1000, "")].concat())?;
        rest(stream)
    });
    assert_eq!(connect(&[&url, "--no-shutdown"], "a\n").done(), "late\n");

    let (heard, frames) = mpsc::channel();
    let (url, _) = server("", move |mut stream| {
        stream.write_all(&frame(TEXT, b"unheard"))?;
        for _ in 0..2 {
            heard.send(read_frame(&mut stream)?.0).unwrap();
        }
        stream.write_all(&close(1000, ""))?;
        rest(stream)
    });
    // Nothing is awaited: the close follows at once.
    assert_eq!(connect(&[&url, "--send-only"], "a\n").done(), "");
    assert_eq!((frames.recv(), frames.recv()), (Ok(TEXT), Ok(CLOSE)));
}

#[test]
fn frames_are_logged_as_json() {
    let said = [frame(PING, b"p"), frame(TEXT, b"hi"), frame(BINARY, b"\xff"), close(1001, "bye")];
    let run = connect(&[&saying(said.concat()), "--recv-only", "--json"], "");
    let objects = run.objects();
    let frames: Vec<_> = objects.iter().filter(|object| object["type"] == "frame").collect();
    let shown = |direction: &str| -> Vec<&str> {
        let frames = frames.iter().filter(|frame| frame["direction"] == direction);
        frames.map(|frame| frame["opcode"].as_str().unwrap()).collect()
    };
    assert_eq!(shown("received"), ["ping", "text", "binary", "close"]);
    assert_eq!(shown("sent"), ["pong", "close"]);
    let find = |opcode| *frames.iter().find(|frame| frame["opcode"] == opcode).unwrap();
    assert_eq!((&find("text")["text"], &find("text")["bytes"]), (&"hi".into(), &2.into()));
    assert_eq!(find("binary")["base64"], "/w==");
    assert_eq!((&find("close")["code"], &find("close")["reason"]), (&1001.into(), &"bye".into()));
    assert!(frames.iter().all(|frame| frame["t"].as_str().unwrap().ends_with('Z')));
    let last = objects.last().unwrap();
    assert_eq!((&last["type"], &last["bytes_in"]), (&"connect".into(), &3.into()));
    assert_eq!(run.code, Some(0));
}

#[test]
fn messages_are_dumped_one_by_one() {
    let said = [frame(TEXT, b"a"), frame(TEXT, b""), frame(BINARY, b"\n"), close(1000, "")];
    let run = connect(&[&saying(said.concat()), "--recv-only", "--hex"], "");
    let rows: Vec<Vec<_>> = run.out.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(
        rows,
        [
            vec!["<", "00000000", "61", "|a|"],
            vec!["<", "00000000", "||"],
            vec!["<", "00000000", "0a", "|.|"]
        ]
    );

    let (_server, url) = serve(&["listen", "ws:0", "--echo"]);
    let out = connect(&[&url, "--hex"], "a\nb\n").done();
    for way in [">", "<"] {
        let rows = out.lines().filter(|row| row.starts_with(way));
        let texts: Vec<_> = rows.map(|row| row.rsplit("  ").next().unwrap()).collect();
        assert_eq!(texts, ["|a|", "|b|"], "{out}");
    }
}

#[test]
fn silence_is_broken_by_pings() {
    let (url, _) = server("", |mut stream| {
        for _ in 0..2 {
            let (opcode, payload) = read_frame(&mut stream)?;
            assert_eq!(opcode, PING);
            stream.write_all(&frame(10, &payload))?;
        }
        stream.write_all(&close(1000, ""))?;
        rest(stream)
    });
    assert_eq!(connect(&[&url, "--recv-only", "--ping", "20ms"], "").done(), "");
}

#[test]
fn the_request_says_what_it_is_told_to() {
    let (url, heads) = server("Sec-WebSocket-Protocol: b\r\n", |mut stream| {
        stream.write_all(&close(1000, ""))?;
        rest(stream)
    });
    let url = url.replace("ws://", "ws://ann:s3cret@") + "a/b?c=d";
    let flags = ["-H", "Origin:https://a.example", "--subprotocol", "a,b", "--recv-only", "-v"];
    let run = connect(&[&[url.as_str()], &flags[..]].concat(), "");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.err.contains("subprotocol b"), "{}", run.err);
    let head = heads.recv().unwrap().to_lowercase();
    assert!(head.starts_with("get /a/b?c=d http/1.1\r\n"), "{head}");
    for field in [
        "origin: https://a.example",
        "sec-websocket-protocol: a, b",
        "authorization: basic yw5uonmzy3jlda==",
    ] {
        assert!(head.contains(field), "{field} is not in {head}");
    }
}

#[test]
fn the_lines_of_the_handshake_are_told_without_secrets() {
    let (mut server, url) = serve(&["listen", "ws:0", "--echo", "--once", "-vv"]);
    let url = url.replace("ws://", "ws://ann:s3cret@") + "a?b";
    let run = connect(&[&url, "-vv", "-H", "Cookie:id=s3cret"], "hi\n");
    assert_eq!((run.code, run.out.as_str()), (Some(0), "hi\n"));
    let served = server.end().err;
    for (sent, received, err) in [('>', '<', &run.err), ('<', '>', &served)] {
        for line in [
            format!("{sent} GET /a?b HTTP/1.1\n"),
            format!("{sent} upgrade: websocket\n"),
            format!("{sent} authorization: ***\n"),
            format!("{sent} cookie: ***\n"),
            format!("{received} HTTP/1.1 101 Switching Protocols\n"),
            format!("{received} sec-websocket-accept: "),
        ] {
            assert!(err.contains(&line), "{line} is not in {err}");
        }
        assert!(!err.contains("s3cret"), "{err}");
    }
}

#[test]
fn subprotocols_are_agreed_on_or_it_ends() {
    let (_server, url) = serve(&["listen", "ws:0", "--echo", "--subprotocol", "chat,log"]);
    assert_eq!(connect(&[&url, "--subprotocol", "log"], "hi\n").done(), "hi\n");
    let run = connect(&[&url, "--subprotocol", "tea"], "");
    assert!(run.err.contains("the server answered 400 Bad Request"), "{}", run.err);
    assert!(run.err.contains("none of the subprotocols"), "{}", run.err);
    assert_eq!(run.code, Some(9));

    let indifferent = saying(close(1000, ""));
    let run = connect(&[&indifferent, "--subprotocol", "tea"], "");
    assert_eq!(run.code, Some(9), "{}", run.err);
    assert!(run.err.contains("speaks none of the subprotocols offered: tea"), "{}", run.err);
    connect(&[&url, "--subprotocol", "a b"], "").refused(&["--subprotocol", "not a name"]);
}

#[test]
fn flags_that_cannot_apply_are_refused() {
    let refused = |args: &[&str], flag: &str| support::run(args).refused(&[flag, "does not apply"]);
    refused(&["connect", "tcp:9", "--ping", "1s"], "--ping");
    refused(&["connect", "udp:9", "--binary"], "--binary");
    refused(&["connect", "tcp:9", "--length-prefix"], "--length-prefix");
    refused(&["connect", "ws://127.0.0.1:9", "--crlf"], "--crlf");
    refused(&["connect", "ws://127.0.0.1:9", "--datagram-size", "3"], "--datagram-size");
    refused(&["connect", "ws://127.0.0.1:9", "-k"], "--insecure");
    refused(&["listen", "tcp:0", "--compressed"], "--compressed");
    refused(&["relay", "tcp:0", "tcp:9", "-H", "A:b"], "--header");
    support::run(&["listen", "ws:0", "--echo", "--base64"]).refused(&["--base64"]);
    support::run(&["listen", "ws:0", "--echo", "--model", "threads"]).refused(&["--model"]);
    support::run(&["relay", "tcp:0", "ws://127.0.0.1:9", "--proxy-protocol", "send"])
        .refused(&["--proxy-protocol", "ws:"]);
    support::run(&["serve", "ws"]).refused(&["--echo", "--broadcast"]);
}

#[test]
fn who_is_not_a_websocket_is_named() {
    let servers = Servers::only(&["http"]);
    let url = servers.url("http").replace("http:", "ws:");
    let run = connect(&[&(url.clone() + "status/401")], "");
    assert_eq!(run.code, Some(67), "{}", run.err);
    let hint = "hint: put a user name and a password before the host of the URL";
    assert!(run.err.contains(hint), "{}", run.err);
    for (status, code) in [("403", 9), ("404", 78), ("429", 9), ("503", 9), ("302", 8)] {
        let run = connect(&[&format!("{url}status/{status}")], "");
        assert_eq!(run.code, Some(code), "{}", run.err);
    }
    let run = connect(&[&(url + "html")], "");
    assert_eq!(run.code, Some(8), "{}", run.err);
    assert!(run.err.contains("hint: this path is served by HTTP"), "{}", run.err);
}

#[test]
fn a_log_of_frames_that_cannot_be_written_ends_the_verb() {
    // The peer stays: nothing else ends it.
    let (url, _heads) = server("", |mut stream| {
        stream.write_all(&frame(PING, b"there?"))?;
        io::copy(&mut stream, &mut io::sink()).map(drop)
    });
    for flags in [&[][..], &["--exec", "cat"], &["--reconnect"]] {
        let portolan = Portolan::new();
        let mut command = portolan.command(&[&["connect", &url, "--json"], flags].concat());
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        command.stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _input = child.stdin.take();
        let run = Run::from(child.wait_with_output().unwrap());
        let sentence = "portolan: could not write to stdout: no space left on device";
        run.failed(23, &[sentence]);
    }

    // A server, too, ends without a word when nobody is left to read its log.
    let (mut child, url) = {
        let mut command = Portolan::new().command(&["listen", "ws:0", "--json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let listening: Value = serde_json::from_str(&line).unwrap();
        (child, listening["url"].as_str().unwrap().to_owned())
    };
    let _input = child.stdin.take();
    connect(&[&url], "hi\n");
    Run::from(child.wait_with_output().unwrap()).failed(0, &[]);
}

#[test]
fn a_client_that_is_stopped_says_that_it_goes_away() {
    for (signal, answers) in [(Signal::INT, true), (Signal::TERM, true), (Signal::INT, false)] {
        let (sender, closes) = mpsc::channel();
        let (url, _) = server("", move |mut stream| {
            stream.write_all(&frame(TEXT, b"here"))?;
            let said = read_frame(&mut stream)?;
            let _ = sender.send(said.clone());
            if answers {
                stream.write_all(&frame(CLOSE, &said.1))?;
            }
            io::copy(&mut stream, &mut io::sink()).map(drop)
        });
        let (mut client, input) = talk(&["connect", &url]);
        assert_eq!(client.line(), "here");
        client.signal(signal);
        let run = client.end();
        assert_eq!((run.code, run.err.as_str()), (Some(130), ""));
        let (opcode, payload) = closes.recv().unwrap();
        assert_eq!((opcode, &payload[..2]), (CLOSE, &1001u16.to_be_bytes()[..]));
        drop(input);
    }
}

#[test]
fn relays_add_websocket_and_take_it_off() {
    let servers = Servers::only(&["tcp", "udp", "http"]);
    let (_off, off) = serve(&["relay", "ws:0", &servers.url("tcp")]);
    let said = "ahoy\n".repeat(20_000);
    let heard = connect_bytes(&[&off, "--binary"], said.as_bytes());
    assert!(heard == said.as_bytes(), "{} bytes came back", heard.len());

    let (_on, on) = serve(&["relay", "tcp:0", &off]);
    let run = connect(&[&on], &said);
    assert_eq!((run.code, run.out.len()), (Some(0), said.len()), "{}", run.err);

    // From WebSocket to WebSocket, texts are texts.
    let echo = servers.url("http").replace("http:", "ws:") + "ws";
    let (_between, between) = serve(&["relay", "ws:0", &echo]);
    let run = connect(&[&between, "--json"], "hi\n");
    let texts = run.objects().iter().filter(|object| object["text"] == "hi").count();
    assert_eq!((run.code, texts), (Some(0), 2), "{}", run.out);

    let (_datagrams, datagrams) = serve(&["relay", "ws:0", &servers.url("udp")]);
    assert_eq!(connect(&[&datagrams], "hi\n").done(), "hi\n");
}

#[test]
fn a_relay_whose_target_is_down_says_so() {
    let refusing = Servers::with_fault(&["tcp"], "refuse");
    let (_relay, url) = serve(&["relay", "ws:0", &refusing.url("tcp")]);
    let run = connect(&[&url, "--no-shutdown"], "");
    assert_eq!(run.code, Some(56), "{}", run.err);
    assert!(run.err.contains("1014 (bad gateway)"), "{}", run.err);
}

#[test]
fn a_client_connects_again_when_told_to() {
    let (url, heads) = server("", |mut stream| {
        stream.write_all(&[frame(TEXT, b"hi"), close(1001, "")].concat())?;
        rest(stream)
    });
    let flags = ["connect", &url, "--reconnect", "--retry-backoff", "1ms"];
    let (mut client, input) = talk(&flags);
    assert_eq!((client.line(), client.line()), ("hi".to_owned(), "hi".to_owned()));
    assert!(heads.recv().is_ok() && heads.recv().is_ok());
    drop(input);
    assert_eq!(client.end().code, Some(0));
}

#[test]
fn a_probe_upgrades_pings_and_hears_an_echo() {
    let servers = Servers::only(&["http", "https"]);
    let probe = |url: &str, flags: &[&str]| {
        let run = Portolan::new().run(&[&["probe", "--json", url], flags].concat());
        assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
        run.objects().remove(0)
    };
    let phase = |report: &Value, name: &str| {
        let phases = report["phases"].as_array().unwrap();
        phases.iter().find(|phase| phase["name"] == name).unwrap()["detail"].clone()
    };
    let ws = servers.url("http").replace("http:", "ws:");
    let report = probe(&(ws.clone() + "ws"), &["--idle-timeout", "20s"]);
    assert_eq!(phase(&report, "upgrade")["status"], 101);
    assert!(phase(&report, "wait")["pong_ms"].is_number());
    assert!(phase(&report, "wait")["echo_ms"].is_number());
    let (slow, _) = server("", |mut stream| {
        let (_, ping) = read_frame(&mut stream)?;
        stream.write_all(&frame(PONG, &ping))?;
        let (_, question) = read_frame(&mut stream)?;
        // Who waits no longer says farewell meanwhile, and hears nothing.
        stream.set_read_timeout(Some(Duration::from_millis(600)))?;
        read_frame(&mut stream).unwrap_err();
        stream.write_all(&frame(TEXT, &question))?;
        rest(stream)
    });
    let report = probe(&slow, &["--idle-timeout", "20s"]);
    assert!(phase(&report, "wait")["echo_ms"].is_number(), "{report}");
    let quiet = probe(&(ws.clone() + "ws/ticks?interval=10"), &[]);
    assert_eq!(phase(&quiet, "wait")["echo_ms"], Value::Null);
    let wss = servers.url("https").replace("https:", "wss:");
    let report = probe(&(wss + "ws"), &["--insecure"]);
    assert!(phase(&report, "tls").is_object() && phase(&report, "upgrade").is_object());

    let run = Portolan::new().run(&["probe", "--json", &(ws + "html")]);
    let report = run.objects().remove(0);
    assert_eq!((run.code, &report["error"]["phase"]), (Some(8), &"upgrade".into()));
}

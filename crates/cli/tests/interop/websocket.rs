//! WebSocket: Python's websockets and aiohttp at either end, a page in Chromium, and the cases of
//! conformance themselves, of which Python's websockets is the judge.
#![expect(clippy::disallowed_types, reason = "the judge's own words are sent on a bare socket")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::cases::{Case, End, Send, Tester, all};
use crate::chromium::Browser;
use crate::peer::{Peer, spawn};
use crate::support::{Portolan, Servers, serve};

/// Cases that Python's websockets cannot pass: its decoder takes half a surrogate for the beginning
/// of a character, which Autobahn lets pass as not strict; and its zlib does not compress with
/// windows of 8 bits.
const BEYOND_PYTHON: [&str; 2] = ["6.4.2.", "13.5."];
const LIBRARIES: [&str; 2] = ["websockets", "aiohttp"];

fn script(name: &str, library: &str) -> Command {
    let path = format!("{}/tests/interop/python/{name}.py", env!("CARGO_MANIFEST_DIR"));
    // The system's own, which is the one that finds the system's packages.
    let mut command = Command::new("/usr/bin/python3");
    command.args([&path, library]).env("PYTHONUTF8", "1");
    command
}

fn server(library: &str) -> (Peer, String) {
    let peer = Peer::that_prints_its_port(script("ws_server", library));
    let url = format!("ws://127.0.0.1:{}/", peer.port);
    (peer, url)
}

#[test]
fn servers_of_python_echo() {
    for library in LIBRARIES {
        let (_server, url) = server(library);
        let said = format!("ahoy\nGrüße\n\n{}\n", "x".repeat(100_000));
        for flags in [&[][..], &["--compressed"], &["--subprotocol", "tea,chat"]] {
            let run = Portolan::new()
                .run_with_input(&[&["connect", url.as_str()], flags].concat(), &said);
            assert!(run.out == said, "{library} {flags:?}: {}", run.err);
            assert_eq!(run.code, Some(0), "{library}: {}", run.err);
        }
        let run = Portolan::new().run(&["connect", &(url.clone() + "fire"), "--recv-only"]);
        assert_eq!(run.code, Some(56), "{library}: {}", run.err);
        assert!(run.err.contains("1011 (internal error): on fire"), "{library}: {}", run.err);
        let run = Portolan::new().run(&["probe", "--json", &url, "--idle-timeout", "20s"]);
        let wait = run.objects()[0]["phases"].as_array().unwrap().last().unwrap().clone();
        assert!(wait["detail"]["echo_ms"].is_number(), "{library}: {wait}");
    }
}

#[test]
fn clients_of_python_are_content() {
    let (_serving, served) = serve(&["serve", "ws", "--echo", "--listen", ":0", "--compressed"]);
    let (_listening, listened) = serve(&["listen", "ws:0", "--echo"]);
    let (_relaying, relayed) = serve(&["relay", "ws:0", &served]);
    for library in LIBRARIES {
        for url in [&served, &listened, &relayed] {
            let mut client = script("ws_client", library);
            client.arg(url).stdout(Stdio::piped()).stderr(Stdio::piped());
            let output = spawn(&mut client, "python3").wait_with_output().unwrap();
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{library} at {url}: {err}");
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{library} is content\n"));
        }
    }
}

/// A page from loopback: pages from elsewhere may not connect to there. Its origin, too.
fn page() -> (Browser, Servers, String) {
    let site = Servers::only(&["http"]);
    let mut browser = Browser::start();
    let url = site.url("http");
    browser.open(&format!("{url}html"));
    (browser, site, url.trim_end_matches('/').to_owned())
}

#[test]
fn a_page_in_chromium_talks() {
    let (mut browser, _site, origin) = page();
    let server = ["serve", "ws", "--echo", "--listen", ":0", "--compressed", "--origin", &origin];
    let (_server, url) = serve(&server);
    let heard = browser.evaluate(&format!(
        "new Promise((resolve, reject) => {{
            const heard = [];
            const socket = new WebSocket('{url}');
            socket.binaryType = 'arraybuffer';
            socket.onopen = () => {{
                socket.send('ahoy');
                socket.send('');
                socket.send('\\u{{1f9ed}}'.repeat(50000));
                socket.send(new Uint8Array([0, 255, 10]));
            }};
            socket.onmessage = ({{ data }}) => {{
                heard.push(typeof data === 'string' ? data.length : [...new Uint8Array(data)]);
                if (heard.length === 4) socket.close(3001, 'enough');
            }};
            socket.onerror = () => reject(new Error('it failed'));
            socket.onclose = ({{ code, wasClean }}) =>
                resolve({{ heard, code, wasClean, extensions: socket.extensions }});
        }})"
    ));
    assert_eq!(heard["heard"], serde_json::json!([4, 0, 100_000, [0, 255, 10]]));
    assert_eq!((&heard["code"], &heard["wasClean"]), (&3001.into(), &true.into()));
    assert!(heard["extensions"].as_str().unwrap().starts_with("permessage-deflate"), "{heard}");
}

#[test]
fn a_page_agrees_on_a_subprotocol_or_fails() {
    let (mut browser, _site, origin) = page();
    let server = ["listen", "ws:0", "--echo", "--subprotocol", "chat"];
    let (_server, url) = serve(&[&server[..], &["--origin", &origin]].concat());
    let (_closed, other) = serve(&server);
    let mut opened = |url: &str, protocol: &str| -> Value {
        browser.evaluate(&format!(
            "new Promise(resolve => {{
                const socket = new WebSocket('{url}', '{protocol}');
                socket.onopen = () => resolve(socket.protocol);
                socket.onclose = ({{ code }}) => resolve(code);
            }})"
        ))
    };
    assert_eq!(opened(&url, "chat"), "chat");
    assert_eq!(opened(&url, "tea"), 1006);
    // A page of another origin.
    assert_eq!(opened(&other, "chat"), 1006);
}

#[test]
fn the_cases_of_conformance_hold_for_python() {
    let (peer, _) = server("websockets");
    let is_meant = |case: &&Case| !BEYOND_PYTHON.iter().any(|family| case.id.starts_with(family));
    let cases = all();
    let meant = cases.iter().filter(is_meant);
    let failures: Vec<_> = meant.filter_map(|case| conform(case, peer.port).err()).collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

/// Runs a case against the server at `port`. A close frame waits for what must come before it: some
/// peers answer it at once, and say nothing more.
fn conform(case: &Case, port: u16) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("{}: {error}", case.id);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(broken)?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(broken)?;
    shake_hands(&mut stream, case).map_err(broken)?;
    let mut tester = Tester::new(case, true);
    let mut heard = Vec::new();
    let close = Send::Frame { first: 0x88, payload: 1000_u16.to_be_bytes().to_vec() };
    let last = (case.end == End::Open).then_some(&close);
    for send in case.sends.iter().chain(last) {
        if matches!(send, Send::Frame { first, .. } if first & 0xf == 8) {
            hear(&mut stream, &mut heard, &mut tester, case.expects.len()).map_err(broken)?;
        }
        let alone = Case { sends: vec![send.clone()], end: End::Answered(0), ..case.clone() };
        for piece in tester.bytes(&alone).chunks(case.chop) {
            // Who has failed does not read on.
            let _ = stream.write_all(piece);
        }
    }
    hear(&mut stream, &mut heard, &mut tester, usize::MAX).map_err(broken)?;
    tester.judge(case)
}

/// Hears what comes until it is so much, or the connection is closed.
fn hear(
    stream: &mut TcpStream,
    heard: &mut Vec<u8>,
    tester: &mut Tester,
    count: usize,
) -> std::io::Result<()> {
    let mut piece = [0; 64 * 1024];
    while tester.heard().len() < count && !tester.is_closed() {
        match stream.read(&mut piece)? {
            0 => break,
            count => heard.extend_from_slice(&piece[..count]),
        }
        let used = tester.hear(heard);
        heard.drain(..used);
    }
    Ok(())
}

fn shake_hands(stream: &mut TcpStream, case: &Case) -> std::io::Result<()> {
    let offer = case.deflate.map_or_else(String::new, |deflate| {
        format!("Sec-WebSocket-Extensions: {}\r\n", deflate.offer)
    });
    let request = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    Ok(())
}

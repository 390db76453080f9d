//! `relay` and `listen` as the command has them: what passes, in which time, and how it ends.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]
#![expect(clippy::disallowed_types, reason = "clients and targets here are bare sockets")]

#[expect(dead_code, reason = "these tests need no requests of HTTP")]
mod support;

use std::fs::File;
use std::io::{self, Read, Write};
use std::iter;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use portolan::net::now;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use support::{Live, Portolan, Servers, dial, echo, peer, run, serve, serve_by};

/// Relays in a row that end at `to`: one that listens by each of `schemes`, the client's first; and
/// the URL of that one.
fn route(schemes: &[&str], to: &str) -> (Vec<Live>, String) {
    let mut relays = Vec::new();
    let mut to = to.to_owned();
    for scheme in schemes.iter().rev() {
        let portolan = Portolan::new();
        let from = match *scheme {
            "unix" => format!("unix:{}/relay.sock", portolan.home.path().display()),
            scheme => format!("{scheme}:0"),
        };
        let flags: &[&str] = if to.starts_with("tls:") { &["--insecure"] } else { &[] };
        let (relay, url) = serve_by(portolan, &[&["relay", &from, &to], flags].concat());
        relays.push(relay);
        to = url;
    }
    (relays, to)
}

/// Bytes without a pattern that compression or a mistake could keep.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; size];
    for piece in bytes.chunks_exact_mut(8) {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        piece.copy_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// A peer that reads all and then says how much that was; its URL.
fn counting() -> String {
    let port = peer(|mut stream| {
        let count = io::copy(&mut stream, &mut io::sink())?;
        write!(stream, "{count}")
    });
    format!("tcp:{port}")
}

/// All that is left to read.
fn rest(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).map(|_| heard)
}

/// Sends 64 MiB from one process to another through a chain of relays.
fn pass(way: Way, listen: &[&str], connect: &[&str]) {
    let said = noise(64 << 20);
    let (input, mut feed) = io::pipe().unwrap();
    let (server_input, client_input): (Stdio, Stdio) = match way {
        Way::There => (Stdio::null(), input.into()),
        Way::Back => (input.into(), Stdio::null()),
    };
    let listen = [&["listen", "tcp:0", "--once"], listen].concat();
    let mut server = Portolan::new().start_with_input(&listen, server_input);
    let (_relays, url) = route(&["tcp", "unix", "tls"], &listening_on(&mut server));
    let connect = [&["connect", &url], connect].concat();
    let mut client = Portolan::new().start_with_input(&connect, client_input);
    let (sender, receiver) = match way {
        Way::There => (&mut client, &mut server),
        Way::Back => (&mut server, &mut client),
    };
    let heard = thread::scope(|scope| {
        let said = &said;
        scope.spawn(move || feed.write_all(said).unwrap());
        receiver.data()
    });
    assert_eq!(heard.len(), said.len());
    assert!(heard == said, "other bytes came than went");
    assert!(sender.data().is_empty());
}

/// From the client to the server, or from the server to the client.
#[derive(Clone, Copy)]
enum Way {
    There,
    Back,
}

/// The URL of a server whose stdout is for data.
fn listening_on(server: &mut Live) -> String {
    let line = server.note();
    line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[test]
fn all_bytes_pass_a_chain_of_relays_there() {
    pass(Way::There, &["--recv-only"], &[]);
}

#[test]
fn all_bytes_pass_a_chain_of_relays_back() {
    pass(Way::Back, &["--send-only"], &["--recv-only"]);
}

#[test]
fn a_half_close_passes_each_way() {
    let routes: [&[&str]; 3] = [&["tcp"], &["tcp", "unix"], &["tcp", "tls"]];
    for schemes in routes {
        let (_relays, url) = route(schemes, &counting());
        assert_eq!(echo(&url, &noise(1 << 20)).unwrap(), b"1048576", "{schemes:?}");

        let (heard, all) = mpsc::channel();
        let port = peer(move |mut stream| {
            stream.write_all(b"that is all from me")?;
            stream.shutdown(Shutdown::Write)?;
            heard.send(rest(stream)?).map_err(io::Error::other)
        });
        let (_relays, url) = route(schemes, &format!("tcp:{port}"));
        let mut client = dial(&url);
        let mut greeting = String::new();
        client.read_to_string(&mut greeting).unwrap();
        assert_eq!(greeting, "that is all from me", "{schemes:?}");
        // The target has closed its half; ours is still open.
        client.write_all(b"but not from me").unwrap();
        drop(client);
        assert_eq!(all.recv().unwrap(), b"but not from me", "{schemes:?}");
    }
}

#[test]
fn tls_is_added_and_taken_off() {
    let servers = Servers::only(&["tls"]);
    let (_relay, url) = serve(&["relay", "tcp:0", &servers.url("tls"), "--insecure"]);
    assert_eq!(echo(&url, b"ahoy").unwrap(), b"ahoy");

    let (_relays, url) = route(&["tls"], &counting());
    let run = Portolan::new().run_with_input(&["connect", &url, "--insecure"], "seven b");
    assert_eq!(run.done(), "7");
}

#[test]
fn a_target_that_is_down_closes_in_order_and_is_told() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut relay, url) = serve(&["relay", "tcp:0", &format!("tcp://{closed}")]);
    // An orderly close is an end, not a reset.
    assert_eq!(rest(dial(&url)).unwrap(), b"");
    let close = relay.event("close");
    let why = close["error"].as_str().unwrap();
    assert!(why.contains(&closed.to_string()) && why.contains("connection refused"), "{why}");
    assert_eq!((&close["bytes_in"], &close["bytes_out"]), (&0.into(), &0.into()));
    let words = relay.note();
    assert!(words.contains("connection refused"), "{words}");
    // The next one is tried anew.
    let target = TcpListener::bind(closed).unwrap();
    let mut client = dial(&url);
    client.write_all(b"now?").unwrap();
    target.accept().unwrap().0.read_exact(&mut [0; 4]).unwrap();
}

#[test]
fn a_dial_that_fails_is_an_error_like_any_other() {
    let refusing = Servers::with_fault(&["tcp"], "refuse");
    let to = refusing.url("tcp");
    let (mut relay, url) = serve(&["relay", "tcp:0", &to]);
    assert_eq!(rest(dial(&url)).unwrap(), b"");
    let error = iter::repeat_with(|| relay.object()).find(|it| it["type"] == "error").unwrap();
    assert_eq!((&error["target"], &error["code"]), (&to.as_str().into(), &7.into()));
    assert_eq!((&error["phase"], &error["kind"]), (&"connect".into(), &"connect".into()));
    assert!(error["message"].as_str().unwrap().ends_with("connection refused"), "{error}");
    assert!(error["hint"].is_string(), "{error}");
    assert_eq!(error["attempts"][0]["address"], to["tcp://".len()..]);
}

#[test]
fn phases_are_told_for_each_connection() {
    let servers = Servers::only(&["tcp"]);
    for args in
        [&["relay", "tcp:0", &servers.url("tcp"), "-v"][..], &["listen", "tls:0", "--echo", "-v"]]
    {
        let (mut live, url) = serve(args);
        let phase = match args[0] {
            "relay" => {
                echo(&url, b"ahoy").unwrap();
                " * connect "
            }
            _ => {
                Portolan::new().run_with_input(&["connect", &url, "--insecure"], "ahoy").done();
                " * tls "
            }
        };
        let line = iter::repeat_with(|| live.note()).find(|it| it.contains(phase)).unwrap();
        assert!(line.starts_with("127.0.0.1:"), "{line}");
    }
}

#[test]
fn once_ends_as_its_connection_did() {
    let refusing = Servers::with_fault(&["tcp"], "refuse");
    let (mut relay, url) = serve(&["relay", "tcp:0", &refusing.url("tcp"), "--once"]);
    assert_eq!(rest(dial(&url)).unwrap(), b"");
    assert_eq!(relay.end().code, Some(7));
}

#[test]
fn who_does_not_get_in_does_not_count_as_the_one() {
    let (mut live, url) = serve(&["listen", "tls:0", "--echo", "--once"]);
    let mut stranger = dial(&url);
    stranger.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let _ = rest(stranger);
    let run = Portolan::new().run_with_input(&["connect", &url, "--insecure"], "ahoy");
    assert_eq!(run.done(), "ahoy");
    assert_eq!(live.end().code, Some(0));
}

#[test]
fn the_original_destination_is_passed_on() {
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n";
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("tcp://{}", target.local_addr().unwrap());
    let (_relay, url) = serve(&["relay", "tcp:0", &to, "--proxy-protocol", "accept,send"]);
    let mut client = dial(&url);
    client.write_all(header).unwrap();
    let mut heard = [0; 43];
    target.accept().unwrap().0.read_exact(&mut heard).unwrap();
    assert_eq!(heard, *header);
}

#[test]
fn half_a_header_is_told_with_whom_and_what() {
    let limits = ["--proxy-protocol", "accept", "--connect-timeout", "200ms"];
    let (mut live, url) = serve(&[&["listen", "tcp:0", "--echo"], &limits[..]].concat());
    let mut client = dial(&url);
    client.write_all(b"PROXY TCP4 ").unwrap();
    let peer = client.local_addr().unwrap().to_string();
    let close = live.event("close");
    let why = close["error"].as_str().unwrap();
    assert!(why.starts_with(&format!("could not read the PROXY header of {peer}: timed")), "{why}");
}

#[test]
fn connections_are_told_of() {
    let (mut relay, url) = serve(&["relay", "tcp:0", &counting()]);
    let mut client = dial(&url);
    let peer = client.local_addr().unwrap().to_string();
    client.write_all(b"12345").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(client).unwrap(), b"5");
    assert_eq!(relay.event("open")["peer"], *peer);
    let close = relay.event("close");
    assert_eq!(close["peer"], *peer);
    assert_eq!((&close["bytes_in"], &close["bytes_out"]), (&5.into(), &1.into()));
    assert_eq!(close["error"], serde_json::Value::Null);
}

#[test]
fn a_rate_is_kept_each_way() {
    let servers = Servers::only(&["tcp"]);
    let (_relay, url) = serve(&["relay", "tcp:0", &servers.url("tcp"), "--rate", "1MB/s"]);
    let said = noise(800_000);
    let started = now();
    assert!(echo(&url, &said).unwrap() == said);
    // Both ways at once, each with its own rate. A burst at the start may be free.
    let elapsed = (now() - started).as_secs_f64();
    assert!((0.5..20.0).contains(&elapsed), "{elapsed} s");
}

#[test]
fn each_datagram_client_has_its_own_answers() {
    let servers = Servers::only(&["udp"]);
    let (_relay, url) = serve(&["relay", "udp:0", &servers.url("udp")]);
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(url.strip_prefix("udp://").unwrap()).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            client
        })
        .collect();
    for round in 0..3 {
        for (index, client) in clients.iter().enumerate() {
            client.send(format!("{round} of {index}").as_bytes()).unwrap();
        }
        for (index, client) in clients.iter().enumerate() {
            let mut heard = [0; 64];
            let count = client.recv(&mut heard).unwrap();
            assert_eq!(heard[..count], *format!("{round} of {index}").as_bytes());
        }
    }
}

#[test]
fn a_datagram_becomes_a_piece_of_a_stream_and_back() {
    let servers = Servers::only(&["tcp"]);
    let (_relay, url) = serve(&["relay", "udp:0", &servers.url("tcp")]);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(url.strip_prefix("udp://").unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client.send(b"ahoy").unwrap();
    let mut heard = [0; 64];
    assert_eq!((client.recv(&mut heard).unwrap(), &heard[..4]), (4, &b"ahoy"[..]));
}

#[test]
fn one_connection_more_than_allowed_is_sent_away_in_order() {
    let servers = Servers::only(&["tcp"]);
    for verb in [&["listen", "tcp:0", "--echo"][..], &["relay", "tcp:0", &servers.url("tcp")]] {
        let (mut live, url) = serve(&[verb, &["--max-conns", "1"]].concat());
        let mut first = dial(&url);
        first.write_all(b"ahoy").unwrap();
        first.read_exact(&mut [0; 4]).unwrap();
        let second = dial(&url);
        let peer = second.local_addr().unwrap().to_string();
        assert_eq!(rest(second).unwrap(), b"", "{verb:?}");
        let refused = live.event("refuse");
        assert_eq!(refused["peer"], *peer);
        assert!(!refused["reason"].as_str().unwrap().is_empty());
        // The first is not disturbed, and leaves its place to the next.
        first.write_all(b"ahoy").unwrap();
        first.read_exact(&mut [0; 4]).unwrap();
        drop(first);
        live.event("close");
        assert_eq!(echo(&url, b"ahoy").unwrap(), b"ahoy", "{verb:?}");
    }
}

#[test]
fn who_says_nothing_loses_its_place() {
    let limits = ["--max-conns", "1", "--idle-timeout", "2s"];
    let (mut live, url) = serve(&[&["listen", "tcp:0", "--echo"], &limits[..]].concat());
    assert_eq!(rest(dial(&url)).unwrap(), b"");
    live.event("close");
    assert_eq!(echo(&url, b"ahoy").unwrap(), b"ahoy");
}

#[test]
fn who_does_not_shake_hands_loses_its_place() {
    let limits = ["--max-conns", "1", "--connect-timeout", "2s"];
    let (mut live, url) = serve(&[&["listen", "tls:0", "--echo"], &limits[..]].concat());
    assert_eq!(rest(dial(&url)).unwrap(), b"");
    let close = live.event("close");
    assert!(close["error"].as_str().unwrap().contains("timed out"), "{close}");
    let run = Portolan::new().run_with_input(&["connect", &url, "--insecure"], "ahoy");
    assert_eq!(run.done(), "ahoy");
}

#[test]
fn who_is_not_welcome_is_sent_away() {
    for flags in [["--deny", "127.0.0.0/8"], ["--allow", "10.0.0.0/8"]] {
        let (mut live, url) = serve(&[&["listen", "tcp:0", "--echo"], &flags[..]].concat());
        assert_eq!(rest(dial(&url)).unwrap(), b"", "{flags:?}");
        live.event("refuse");
    }
    let flags = ["--allow", "127.0.0.0/8", "--deny", "10.0.0.0/8"];
    let (_live, url) = serve(&[&["listen", "tcp:0", "--echo"], &flags[..]].concat());
    assert_eq!(echo(&url, b"ahoy").unwrap(), b"ahoy");
}

#[test]
fn once_is_enough() {
    let servers = Servers::only(&["tcp"]);
    for verb in [&["listen", "tcp:0", "--echo"][..], &["relay", "tcp:0", &servers.url("tcp")]] {
        let (mut live, url) = serve(&[verb, &["--once"]].concat());
        assert_eq!(echo(&url, b"ahoy").unwrap(), b"ahoy");
        assert_eq!(live.end().code, Some(0), "{verb:?}");
        TcpStream::connect(url.strip_prefix("tcp://").unwrap()).unwrap_err();
    }
}

/// Whether somebody listens at a TCP URL, by the kernel's own table (proc(5)): a connection to find
/// out would be one that the relay reports.
fn is_listened_on(url: &str) -> bool {
    const LISTEN: &str = "0A";
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    let port = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some(LISTEN)
    })
}

#[test]
fn what_was_accepted_is_delivered_after_a_signal() {
    // In the kernel, and by a loop of copying.
    let routes: [&[&str]; 2] = [&[], &["--rate", "100MB/s"]];
    for flags in routes {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("tcp://{}", target.local_addr().unwrap());
        let (mut relay, url) = serve(&[&["relay", "tcp:0", &to], flags].concat());
        let mut client = dial(&url);
        let (mut reader, _) = target.accept().unwrap();
        let said = noise(64 << 20);
        let count = as_much_as_goes(&mut client, &said);
        assert!((1 << 20..said.len()).contains(&count), "{count} bytes are under way");
        drop(client);
        relay.signal(Signal::TERM);
        // The signal has come when nobody listens any more.
        while is_listened_on(&url) {}
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), count, "{flags:?}");
        assert!(heard == said[..count]);
        assert_eq!(relay.end().code, Some(0));
    }
}

#[test]
fn what_a_fault_holds_back_is_delivered_after_a_signal() {
    let (mut live, url) = serve(&["listen", "tcp:0", "--echo", "--fault", "latency=700ms"]);
    let mut client = dial(&url);
    client.write_all(b"ahoy").unwrap();
    live.event("open");
    live.signal(Signal::TERM);
    assert_eq!(rest(client).unwrap(), b"ahoy");
    assert_eq!(live.end().code, Some(0));
}

#[test]
fn a_signal_ends_the_preparations() {
    let portolan = Portolan::new();
    let roots = portolan.home.path().join("roots");
    mknodat(CWD, &roots, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let flags = ["--cacert", roots.to_str().unwrap()];
    let mut relay = portolan.start(&[&["relay", "tcp:0", "tls:localhost:1"], &flags[..]].concat());
    // It is opened once it is being read, and says nothing.
    let _silent = File::options().write(true).open(&roots).unwrap();
    relay.signal(Signal::TERM);
    assert_eq!(relay.end().code, Some(130));
}

#[test]
fn a_second_signal_does_not_wait() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut relay, url) =
        serve(&["relay", "tcp:0", &format!("tcp://{}", target.local_addr().unwrap())]);
    let mut client = dial(&url);
    let _reader = target.accept().unwrap();
    as_much_as_goes(&mut client, &noise(64 << 20));
    let started = now();
    relay.signal(Signal::TERM);
    while is_listened_on(&url) {}
    relay.signal(Signal::TERM);
    assert_eq!(relay.end().code, Some(0));
    // What is under way has 5 s after the first.
    assert!(now() - started < Duration::from_secs(5), "{:?}", now() - started);
}

/// Writes what a reader that does not read leaves room for; how much.
fn as_much_as_goes(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut count = 0;
    while let Ok(written) = stream.write(&bytes[count..]) {
        count += written;
    }
    count
}

#[test]
fn idle_connections_end_at_once_with_a_signal() {
    let servers = Servers::only(&["tcp"]);
    let verbs: [&[&str]; 3] = [
        &["relay", "tcp:0", &servers.url("tcp")],
        &["listen", "tcp:0", "--echo"],
        &["listen", "tcp:0", "--broadcast"],
    ];
    for verb in verbs {
        for signal in [Signal::TERM, Signal::INT] {
            let (mut live, url) = serve(verb);
            let clients: Vec<_> = (0..3).map(|_| dial(&url)).collect();
            clients.iter().for_each(|_| drop(live.event("open")));
            let started = now();
            live.signal(signal);
            for client in clients {
                assert_eq!(rest(client).unwrap(), b"", "{verb:?}");
            }
            assert_eq!(live.end().code, Some(0), "{verb:?}");
            // Those that are at work have 5 s.
            assert!(now() - started < Duration::from_secs(5), "{:?}", now() - started);
        }
    }
}

#[test]
fn a_command_serves_each_peer() {
    let script = r#"sh -c 'echo "$PORTOLAN_PEER"; read line; echo "you said $line"'"#;
    let (_live, url) = serve(&["listen", "tcp:0", "--exec", script]);
    for _ in 0..2 {
        let mut client = dial(&url);
        let peer = client.local_addr().unwrap().to_string();
        client.write_all(b"ahoy\n").unwrap();
        let said = String::from_utf8(rest(client).unwrap()).unwrap();
        let (first, second) = said.trim_end().split_once('\n').unwrap();
        assert!(first.ends_with(&peer), "{first}");
        assert_eq!(second, "you said ahoy");
    }
}

#[test]
fn a_command_that_fails_is_told_of() {
    let (mut live, url) = serve(&["listen", "tcp:0", "--exec", "sh -c 'echo ahoy; exit 3'"]);
    // More than is read, and than the socket of the command holds.
    let mut client = dial(&url);
    let _ = client.write_all(&[7; 1 << 20]);
    assert_eq!(rest(client).unwrap(), b"ahoy\n");
    let note = live.note();
    assert!(note.ends_with("ended with exit status: 3"), "{note}");
}

#[test]
fn what_one_says_all_others_hear() {
    let (_live, url) = serve(&["listen", "tcp:0", "--broadcast"]);
    let clients = [(); 3].map(|()| dial(&url));
    let mut heard = [const { Vec::new() }; 3];
    for (speaker, word) in (0..).zip(*b"abc") {
        for listener in (0..clients.len()).filter(|listener| *listener != speaker) {
            // Who has come may not have been seated yet: it is said again until it is heard.
            clients[listener].set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            while !heard[listener].contains(&word) {
                (&clients[speaker]).write_all(&[word]).unwrap();
                let mut piece = [0; 64];
                let count = (&clients[listener]).read(&mut piece).unwrap_or_default();
                heard[listener].extend_from_slice(&piece[..count]);
            }
        }
    }
    let own = heard.iter().zip(b"abc").filter(|(heard, word)| heard.contains(word));
    assert_eq!(own.count(), 0, "{heard:?}");
}

#[test]
fn one_peer_at_a_time_has_the_terminal() {
    let (input, mut feed) = io::pipe().unwrap();
    let portolan = Portolan::new();
    let mut live = portolan.start_with_input(&["listen", "tcp:0"], input);
    let url = listening_on(&mut live);
    let mut first = dial(&url);
    first.write_all(b"first\n").unwrap();
    assert_eq!(live.line(), "first");
    feed.write_all(b"to the first\n").unwrap();
    let mut heard = [0; 13];
    first.read_exact(&mut heard).unwrap();
    assert_eq!(heard, *b"to the first\n");
    let mut second = dial(&url);
    second.write_all(b"second\n").unwrap();
    first.write_all(b"first again\n").unwrap();
    assert_eq!(live.line(), "first again");
    drop(first);
    assert_eq!(live.line(), "second");
    feed.write_all(b"to the second").unwrap();
    second.read_exact(&mut heard).unwrap();
    assert_eq!(heard, *b"to the second");
    second.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(second).unwrap(), b"");
    live.signal(Signal::INT);
    assert_eq!(live.end().code, Some(0));
}

#[test]
fn targets_that_cannot_be_joined_are_refused() {
    run(&["relay", "tcp:0", "https://example.org"]).refused(&["https"]);
    run(&["relay", "https:0", "tcp:1"]).refused(&["https"]);
    run(&["listen", "http://127.0.0.1:0", "--echo"]).refused(&["http"]);
}

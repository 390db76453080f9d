//! The lab as the command starts it: what it announces, how it fails on demand, how it ends.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]
#![expect(clippy::disallowed_types, reason = "clients here are bare sockets")]

#[expect(dead_code, reason = "these tests need no peers but the lab")]
mod support;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use portolan::net::now;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Live, Portolan, Servers, dial, echo, get, run};

const NAMES: [&str; 8] = ["tcp", "udp", "unix", "tls", "http", "https", "socks5", "http-proxy"];

/// A lab that is ready, and the URLs of its servers.
fn lab(flags: &[&str]) -> (Live, HashMap<String, String>) {
    lab_of(Portolan::new(), flags)
}

fn lab_of(portolan: Portolan, flags: &[&str]) -> (Live, HashMap<String, String>) {
    let args = [&["lab", "--json", "--ports", "ephemeral"], flags].concat();
    let mut live = portolan.start(&args);
    let mut urls = HashMap::new();
    loop {
        let object = live.object();
        match object["type"].as_str().unwrap() {
            "listening" => {
                let text = |key: &str| object[key].as_str().unwrap().to_owned();
                urls.insert(text("name"), text("url"));
            }
            "ready" => return (live, urls),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn every_server_is_announced_and_then_ready() {
    let mut live = Portolan::new().start(&["lab", "--json", "--ports", "ephemeral"]);
    for name in NAMES {
        let object = live.object();
        assert_eq!((&object["v"], &object["type"]), (&1.into(), &"listening".into()));
        assert_eq!(object["name"], name);
        assert!(!object["url"].as_str().unwrap().ends_with(":0"), "{object}");
    }
    let ready = live.object();
    assert_eq!((&ready["type"], &ready["servers"]), (&"ready".into(), &8.into()));
}

#[test]
fn signals_drain_it() {
    for signal in [Signal::INT, Signal::TERM] {
        let (mut live, urls) = lab(&[]);
        let socket = urls["unix"].strip_prefix("unix:").unwrap().to_owned();
        UnixStream::connect(&socket).unwrap();
        live.signal(signal);
        let end = live.end();
        assert_eq!(
            (end.code, end.err.as_str()),
            (Some(0), "stopping; once more to stop at once\n")
        );
        assert!(!Path::new(&socket).exists(), "{socket}");
        TcpStream::connect(urls["tcp"].strip_prefix("tcp://").unwrap()).unwrap_err();
    }
}

#[test]
fn idle_peers_do_not_hold_up_its_end() {
    let (mut live, urls) = lab(&["--only", "tcp,unix,http,socks5,http-proxy"]);
    let place = |name: &str| urls[name].split_once("://").unwrap().1.trim_end_matches('/');
    let tcp = place("tcp");
    let mut echo = TcpStream::connect(tcp).unwrap();
    echo.write_all(b"ahoy").unwrap();
    echo.read_exact(&mut [0; 4]).unwrap();
    let unix = UnixStream::connect(urls["unix"].strip_prefix("unix:").unwrap()).unwrap();
    // No greeting, a greeting without a request, and a tunnel in which nothing is said.
    let silent = TcpStream::connect(place("socks5")).unwrap();
    let mut greeted = TcpStream::connect(place("socks5")).unwrap();
    greeted.write_all(b"\x05\x01\x00").unwrap();
    greeted.read_exact(&mut [0; 2]).unwrap();
    let mut tunnel = TcpStream::connect(place("http-proxy")).unwrap();
    write!(tunnel, "CONNECT {tcp} HTTP/1.1\r\nHost: {tcp}\r\n\r\n").unwrap();
    tunnel.write_all(b"ahoy").unwrap();
    read_until(&mut tunnel, "ahoy");
    let kept = TcpStream::connect(place("http")).unwrap();
    let mut opened = 0;
    while opened < 7 {
        opened += usize::from(live.object()["event"] == "open");
    }
    let started = now();
    live.signal(Signal::INT);
    assert_eq!(live.end().code, Some(0));
    // The lab would wait 5 s for those that are at work.
    assert!(now() - started < Duration::from_secs(5), "{:?}", now() - started);
    drop((echo, unix, silent, greeted, tunnel, kept));
}

#[test]
fn more_peers_than_open_files_wait_their_turn() {
    let portolan = Portolan::new();
    let lab = portolan.command(&["lab", "--only", "tcp", "--ports", "ephemeral"]);
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""]).arg(lab.get_program());
    shell.args(lab.get_args()).env_clear().stdin(std::process::Stdio::null());
    let piped = std::process::Stdio::piped;
    let mut child = shell.stdout(piped()).stderr(piped()).spawn().unwrap();
    let mut announced = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut announced).unwrap();
    let url = announced.trim().rsplit(' ').next().unwrap();

    let peers: Vec<_> = (0..60).map(|_| dial(url)).collect();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    // By the sixth failure the pause is long enough for all peers to go within it.
    for _ in 0..6 {
        read_until(&mut said, "could not accept: too many open files");
    }
    drop(peers);
    let echoed = echo(url, b"still here");

    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(echoed.unwrap(), b"still here");
    // The pauses grow, also while peers come and go.
    assert!(rest.matches("could not accept").count() < 15, "{rest}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    // A request that takes longer than the lab has to drain keeps it from its end.
    let (mut live, urls) = lab(&["--only", "http,unix"]);
    let mut stream = TcpStream::connect(host(&urls["http"])).unwrap();
    stream.write_all(b"GET /delay/10 HTTP/1.1\r\nHost: lab\r\n\r\n").unwrap();
    assert_eq!(live.object()["event"], "open");
    let started = now();
    live.signal(Signal::INT);
    let mut err = live.child.stderr.take().unwrap();
    read_until(&mut err, "stopping;");
    live.signal(Signal::TERM);
    assert_eq!(live.child.wait().unwrap().code(), Some(0));
    assert!(now() - started < Duration::from_secs(5), "{:?}", now() - started);
    assert!(!Path::new(urls["unix"].strip_prefix("unix:").unwrap()).exists());
}

fn host(url: &str) -> &str {
    url.strip_prefix("http://").unwrap().trim_end_matches('/')
}

fn read_until(reader: &mut impl Read, words: &str) {
    let mut text = String::new();
    let mut byte = [0];
    while !text.contains(words) {
        reader.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
}

#[test]
fn connections_are_told_of() {
    let (mut live, urls) = lab(&["--only", "tcp"]);
    assert_eq!(echo(&urls["tcp"], b"ahoy").unwrap(), b"ahoy");
    let (open, close) = (live.object(), live.object());
    for object in [&open, &close] {
        assert_eq!((&object["type"], &object["name"]), (&"connection".into(), &"tcp".into()));
        assert_eq!(object["peer"], open["peer"]);
    }
    assert_eq!((&open["event"], &close["event"]), (&"open".into(), &"close".into()));
    assert_eq!((&close["bytes_in"], &close["bytes_out"]), (&4.into(), &4.into()));
    assert!(close["ms"].is_number());
}

#[test]
fn only_some_servers() {
    let (_live, urls) = lab(&["--only", "http,tcp"]);
    let mut names: Vec<_> = urls.keys().collect();
    names.sort();
    assert_eq!(names, ["http", "tcp"]);
    run(&["lab", "--only", "tcp,gopher"]).refused(&["--only", "'gopher'", &NAMES.join(", ")]);
}

#[test]
fn ports_that_are_taken() {
    // The lab's TCP server has the base plus 1.
    let servers = Servers::only(&["tcp"]);
    let taken = servers.lab.url("tcp").unwrap().port();
    let base = (taken - 1).to_string();
    let portolan = Portolan::new();
    let refused = portolan.run(&["lab", "--port-base", &base, "--only", "unix,tcp"]);
    refused.failed(
        7,
        &[
            &format!("portolan: could not listen on 127.0.0.1:{taken}: address already in use"),
            "hint: choose other ports with --port-base N, or any with --ports ephemeral",
        ],
    );
    let left: Vec<_> = fs::read_dir(portolan.home.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    run(&["lab", "--port-base", "70000"]).refused(&["--port-base", "'70000'", "1 to 64000"]);
    run(&["lab", "--port-base", "7000", "--ports", "ephemeral"])
        .refused(&["--port-base", "--ports"]);
}

#[test]
fn its_authority_can_be_trusted() {
    let portolan = Portolan::new();
    let ca = portolan.home.path().join("ca.pem").into_os_string().into_string().unwrap();
    let (live, urls) = lab_of(portolan, &["--only", "https", "--ca", &ca]);
    let url = &urls["https"];
    let trusted = live.portolan.run(&["probe", "--json", url, "--cacert", &ca]);
    assert_eq!(trusted.code, Some(0), "{}", trusted.out);
    assert_eq!(run(&["probe", "--json", url]).code, Some(60));

    let lost = run(&["lab", "--ports", "ephemeral", "--ca", "/nowhere/ca.pem"]);
    assert_eq!((lost.code, lost.out.as_str()), (Some(23), ""));
    assert_eq!(lost.err, "portolan: could not write /nowhere/ca.pem: no such file or directory\n");
}

/// The report about this server of a lab with this fault, and the exit code.
fn probe_with_fault(server: &str, faults: &[&str], flags: &[&str]) -> (i32, Value) {
    let faults: Vec<_> = faults.iter().flat_map(|fault| ["--fault", fault]).collect();
    let (_live, urls) = lab(&[&["--only", server], &faults[..]].concat());
    let run = run(&[&["probe", "--json", &urls[server]], flags].concat());
    (run.code.unwrap(), run.objects().remove(0))
}

#[test]
fn faults() {
    let (code, report) = probe_with_fault("http", &["latency=80ms"], &[]);
    assert_eq!(code, 0);
    assert!(report["total_ms"].as_f64().unwrap() >= 75.0, "{report}");
    let (code, report) = probe_with_fault("http", &["http: cut=1"], &[]);
    assert_eq!((code, &report["error"]["phase"]), (8, &"wait".into()), "{report}");
    let (code, report) = probe_with_fault("http", &["reset"], &[]);
    // The reset may come before the system has told of the connection.
    assert!(code == 56 || code == 7, "{report}");
    let (code, report) = probe_with_fault("http", &["refuse"], &[]);
    assert_eq!((code, &report["error"]["phase"]), (7, &"connect".into()), "{report}");
    let (code, report) = probe_with_fault("http", &["stall"], &["--timeout", "2s"]);
    assert_eq!((code, &report["error"]["phase"]), (28, &"wait".into()), "{report}");
    let (code, report) = probe_with_fault("http", &["GET /: reply=503"], &[]);
    assert_eq!(
        (code, &report["notes"][0]),
        (0, &"answered with status 503 Service Unavailable".into())
    );
    let (code, report) = probe_with_fault("https", &["stall"], &["-k", "--timeout", "2s"]);
    assert_eq!((code, &report["error"]["phase"]), (28, &"tls".into()), "{report}");
    let (code, _) = probe_with_fault("udp", &["udp: loss=100%"], &["--idle-timeout", "20ms"]);
    assert_eq!(code, 28);
}

#[test]
fn faults_of_some_connections() {
    let (_live, urls) = lab(&["--only", "tcp", "--fault", "tcp conn=2..3: reset"]);
    let outcomes: Vec<_> = (0..4).map(|_| echo(&urls["tcp"], b"ahoy").is_ok()).collect();
    assert_eq!(outcomes, [true, false, false, true]);
}

#[test]
fn a_share_is_the_same_for_the_same_seed() {
    let outcomes = |seed: &str| {
        let (_live, urls) = lab(&["--only", "tcp", "--fault", "30%: reset", "--seed", seed]);
        (0..40).map(|_| echo(&urls["tcp"], b"ahoy").is_ok()).collect::<Vec<_>>()
    };
    let seventh = outcomes("7");
    assert_eq!(seventh, outcomes("7"));
    assert_ne!(seventh, outcomes("8"));
    let struck = seventh.iter().filter(|is_ok| !**is_ok).count();
    assert!((4..=20).contains(&struck), "{struck}");
}

#[test]
fn faults_that_make_no_sense() {
    let refused = |fault: &str, words: &[&str]| {
        run(&["lab", "--ports", "ephemeral", "--fault", fault])
            .refused(&[&["--fault", fault], words].concat());
    };
    refused("slow", &["latency, jitter, bandwidth"]);
    refused("latency=fast", &["'fast'", "250ms"]);
    refused("conn=0: reset", &["conn=3"]);
    refused("gopher: reset", &[&NAMES.join(", ")]);
    refused("tcp: loss=5%", &[]);
    refused("reset,stall", &["one way"]);
    run(&["lab", "--ports", "ephemeral", "--only", "tcp", "--fault", "udp: loss=5%"]).refused(&[
        "--fault",
        "udp: loss=5%",
        "strikes no server that is started: tcp",
    ]);
}

#[test]
fn text_for_people() {
    let mut live = Portolan::new().start(&["lab", "-v", "--ports", "ephemeral", "--only", "http"]);
    let line = live.line();
    let url = line.strip_prefix("http        listening on ").unwrap();
    assert!(get(&format!("{url}status/404")).starts_with("HTTP/1.1 404 "));
    live.signal(Signal::INT);
    let end = live.end();
    assert_eq!((end.code, end.out.as_str()), (Some(0), ""));
    let told = |start: &str, words: &str| {
        let mut lines = end.err.lines();
        assert!(lines.any(|line| line.starts_with(start) && line.contains(words)), "{}", end.err);
    };
    told("ready; Ctrl-C stops", "");
    told("* http 127.0.0.1:", " came");
    told("* http 127.0.0.1:", " went after ");
    told("stopping; once more to stop at once", "");
}

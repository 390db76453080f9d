//! Memory and time where there is much: bytes that nobody reads, and connections that say nothing.
#![expect(clippy::disallowed_types, reason = "clients and targets here are bare sockets")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use portolan::net::now;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::support::{Live, Portolan, dial, serve};

/// The most memory that a process has had, in KiB (proc(5), VmHWM).
fn peak_memory(live: &Live) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", live.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A reader that does not read for 10 s while 512 MiB wait for it: a relay with these flags has to
/// hold them back, and deliver them all once they are read.
fn hold_back(from: &str, flags: &[&str]) {
    const SIZE: u64 = 512 << 20;
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("tcp://{}", target.local_addr().unwrap());
    let (mut relay, url) = serve(&[&["relay", from, &to], flags].concat());
    let (written, all) = mpsc::channel();
    let writer = thread::spawn(move || {
        write_noughts(&url, SIZE);
        written.send(()).unwrap();
    });
    let (mut reader, _) = target.accept().unwrap();
    let waited = all.recv_timeout(Duration::from_secs(10));
    assert_eq!(waited, Err(RecvTimeoutError::Timeout), "somebody takes in what nobody reads");
    assert!(peak_memory(&relay) < 32 << 10, "{} KiB", peak_memory(&relay));
    let read = io::copy(&mut reader, &mut io::sink()).unwrap();
    drop(reader);
    let close = relay.event("close");
    assert_eq!((read, &close["error"]), (SIZE, &serde_json::Value::Null));
    writer.join().unwrap();
    assert!(peak_memory(&relay) < 32 << 10, "{} KiB", peak_memory(&relay));
}

/// Writes so many bytes to the server at `url`, by `connect` where it speaks TLS.
fn write_noughts(url: &str, size: u64) {
    if url.starts_with("tcp:") {
        io::copy(&mut io::repeat(0).take(size), &mut dial(url)).unwrap();
        return;
    }
    let mut connect = Portolan::new().command(&["connect", url, "--insecure", "--send-only"]);
    let mut child = connect.stdin(Stdio::piped()).spawn().unwrap();
    io::copy(&mut io::repeat(0).take(size), child.stdin.as_mut().unwrap()).unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_kernel_holds_back_what_is_not_read() {
    hold_back("tcp:0", &[]);
}

#[test]
fn tls_holds_back_what_is_not_read() {
    hold_back("tls:0", &[]);
}

#[test]
fn faults_hold_back_what_is_not_read() {
    hold_back("tcp:0", &["--fault", "latency=1ms"]);
}

/// As many idle connections as this are held.
const IDLE: usize = 10_000;

/// Lets this process, and those that it starts, hold as many; one test at a time, as two might
/// need more than the system allows.
fn allow_connections() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    alone
}

#[test]
fn ten_thousand_idle_connections_end_with_a_signal() {
    let _alone = allow_connections();
    for model in ["async", "event-loop"] {
        // The best of three counts: the machine may have other things to do.
        let quickest = (0..3).map(|_| hold_and_end(model)).find(|time| *time < LIMIT);
        assert!(quickest.is_some(), "{model}: they do not end within {LIMIT:?}");
    }
}

/// How long they may take in all, in a debug build beside other tests. What has a machine of its own
/// takes less than 2 s: `versus idle-drain` measures it. Who does not end has 5 s.
const LIMIT: Duration = Duration::from_secs(4);

/// Holds that many connections; how long after the signal they, and the server, are gone.
fn hold_and_end(model: &str) -> Duration {
    let mut live = Portolan::new().start(&["listen", "tcp:0", "--echo", "--model", model]);
    let line = live.line();
    let url = line.strip_prefix("listening on ").unwrap().to_owned();
    let connections: Vec<_> = (0..IDLE).map(|_| dial(&url)).collect();
    // The last one is served, and so are all before it.
    for connection in [&connections[0], &connections[IDLE - 1]] {
        echoed(connection);
    }
    let started = now();
    live.signal(Signal::TERM);
    let end = live.end();
    let elapsed = now() - started;
    assert_eq!(end.code, Some(0), "{}", end.err);
    for mut connection in connections {
        assert_eq!(connection.read(&mut [0]).unwrap(), 0);
    }
    elapsed
}

fn echoed(mut connection: &TcpStream) {
    connection.write_all(b"ahoy\n").unwrap();
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).unwrap();
    assert_eq!(line, "ahoy\n");
}

/// Requests the small file, and waits for all of the answer.
fn fetched(mut connection: &TcpStream) {
    connection.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = BufReader::new(connection);
    let mut line = String::new();
    while line != "ahoy\n" {
        line.clear();
        assert!(answer.read_line(&mut line).unwrap() > 0, "the answer ends early");
    }
}

/// `serve http` of one worker, with a file; where it listens, as `dial` takes it.
fn web_server() -> (Live, String) {
    let home = Portolan::new();
    home.file("small", "ahoy\n");
    let dir = home.home.path().to_str().unwrap().to_owned();
    let args = ["serve", "http", &dir, "--listen", ":0", "--workers", "1", "--access-log", "off"];
    let mut live = home.start(&args);
    let line = live.line();
    let url = line.strip_prefix("listening on ").unwrap().trim_end_matches('/').to_owned();
    (live, url)
}

#[test]
fn ten_thousand_visitors_of_a_web_server_are_answered_and_kept() {
    let _alone = allow_connections();
    let (mut live, url) = web_server();
    let connections: Vec<_> = (0..IDLE).map(|_| dial(&url)).collect();
    for _ in 0..2 {
        connections.iter().for_each(fetched);
    }
    live.signal(Signal::TERM);
    let end = live.end();
    assert_eq!(end.code, Some(0), "{}", end.err);
    for mut connection in connections {
        assert_eq!(connection.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn a_thousand_slow_visitors_do_not_delay_a_normal_one() {
    const SLOW: usize = 1000;
    let _alone = allow_connections();
    let (_live, url) = web_server();
    let slow: Vec<_> = (0..SLOW).map(|_| dial(&url)).collect();
    let request = b"GET /small HTTP/1.1\r\n";
    let mut times = Vec::new();
    for byte in &request[..10] {
        // A byte a second of each, as long as this lasts.
        let second = now() + Duration::from_secs(1);
        slow.iter().for_each(|mut connection| connection.write_all(&[*byte]).unwrap());
        loop {
            let started = now();
            fetched(&dial(&url));
            let ended = now();
            times.push(ended - started);
            if ended >= second {
                break;
            }
        }
    }
    times.sort();
    let middle = times[times.len() / 2];
    // Who waits for the slow ones waits for a second and more.
    assert!(middle < Duration::from_millis(500), "a normal one takes {middle:?}");
}

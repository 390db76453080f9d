//! `--pcap`: the file that it leaves, whatever happens, and what it refuses.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need few peers")]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use pcap_parser::pcapng::{Block, OptionCode, parse_block_le};
use pcap_parser::traits::PcapNGPacketBlock;
use rustix::process::Signal;
use support::{Portolan, Run, Servers, echo, get, run, serve_by};

/// What a complete capture holds.
struct Captured {
    comments: Vec<String>,
    packets: Vec<Vec<u8>>,
    secrets: usize,
}

impl Captured {
    #[track_caller]
    fn read(mut file: &[u8]) -> Self {
        let mut captured = Self { comments: Vec::new(), packets: Vec::new(), secrets: 0 };
        while !file.is_empty() {
            let (rest, block) = parse_block_le(file).unwrap();
            file = rest;
            match block {
                Block::SectionHeader(it) => {
                    let comments = it.options.iter().filter(|it| it.code == OptionCode::Comment);
                    captured.comments.extend(comments.map(|it| it.as_str().unwrap().to_owned()));
                }
                Block::EnhancedPacket(it) => captured.packets.push(it.packet_data().to_vec()),
                Block::DecryptionSecrets(_) => captured.secrets += 1,
                _ => {}
            }
        }
        captured
    }

    fn has(&self, words: &str) -> bool {
        let holds =
            |packet: &Vec<u8>| packet.windows(words.len()).any(|window| window == words.as_bytes());
        self.packets.iter().any(holds)
    }
}

/// A path in the home of `portolan`.
fn place(portolan: &Portolan) -> String {
    portolan.home.path().join("a.pcapng").display().to_string()
}

#[test]
fn a_capture_is_its_owners_alone_and_tells_who_made_it() {
    let servers = Servers::only(&["http", "http-proxy"]);
    let (portolan, url) = (Portolan::new(), servers.url("http"));
    let file = place(&portolan);
    let proxy = servers.url("http-proxy").replace("http://", "http://user:hunter2 @");
    let run = portolan.run(&["probe", &url, "--pcap", &file, "--proxy", &proxy]);
    assert!(run.done().contains("up "));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    let captured = Captured::read(&bytes);
    assert!(captured.has(&format!("GET {url} HTTP/1.1")) && captured.has("HTTP/1.1 200 OK"));
    assert!(captured.comments[0].contains("synthesised"), "{:?}", captured.comments);
    let process = &captured.comments[1];
    assert!(process.starts_with("process ") && process.contains(&url), "{process}");
    assert!(process.ends_with(&servers.url("http-proxy").replace("//", "//***@")), "{process}");
    assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"));
}

#[test]
fn what_is_redacted_has_no_secrets_and_no_arguments() {
    let servers = Servers::only(&["https"]);
    let (portolan, url) = (Portolan::new(), servers.url("https"));
    let file = place(&portolan);
    let capture = |flags: &[&str]| {
        let args = [&["probe", &url, "-k", "--pcap", &file], flags].concat();
        portolan.run(&args).done();
        Captured::read(&fs::read(&file).unwrap())
    };
    let whole = capture(&[]);
    assert!(whole.comments[1].contains(&url) && whole.secrets > 0, "{:?}", whole.comments);
    let redacted = capture(&["--pcap-redact"]);
    assert_eq!((redacted.comments.len(), redacted.secrets), (2, 0));
    assert!(!redacted.comments[1].contains(&url), "{:?}", redacted.comments);
    assert!(redacted.packets.len() > 10);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_ends_the_capture_and_not_the_traffic() {
    let servers = Servers::only(&["http"]);
    let url = servers.url("http");
    let run = run(&["probe", &url, "--pcap", "/dev/full"]);
    assert!(run.out.contains("up "), "{}", run.out);
    let sentence = "portolan: could not write the capture to /dev/full: it ends here: \
                    no space left on device\n";
    assert_eq!((run.code, run.err.as_str()), (Some(0), sentence));
}

#[test]
fn nonsense_is_refused() {
    let servers = Servers::only(&["tcp"]);
    let url = servers.url("tcp");
    run(&["probe", &url, "--pcap-redact"]).failed(2, &["portolan: --pcap is missing"]);
    run(&["probe", &url, "--pcap", "/none/a.pcapng"])
        .refused(&["'/none/a.pcapng' for --pcap", "no such file or directory"]);
    let both = run(&["probe", &url, "--pcap", "-", "--json"]);
    assert_eq!(both.code, Some(2));
    assert!(both.err.contains("--pcap - cannot be used with --json"), "{}", both.err);
}

#[test]
fn stdout_can_be_the_capture() {
    let servers = Servers::only(&["http"]);
    let args = ["probe", &servers.url("http"), "--pcap", "-"];
    let output = Portolan::new().command(&args).output().unwrap();
    assert!(Captured::read(&output.stdout).has("GET / HTTP/1.1"));
    let rows = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && rows.contains("up "), "{rows}");
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_traffic() {
    let servers = Servers::only(&["http"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Portolan::new().command(&["probe", &servers.url("http"), "--pcap", "-"]);
    let run = Run::from(command.stdout(writer).stderr(Stdio::piped()).output().unwrap());
    assert_eq!(run.code, Some(0));
    assert!(run.err.contains("up ") && !run.err.contains("portolan:"), "{}", run.err);
}

#[test]
fn a_reader_that_stops_does_not_hold_the_end_for_ever() {
    let mut live = Portolan::new().start(&["listen", "tcp:0", "--echo", "--pcap", "-"]);
    let line = live.note();
    let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
    // More than fits the pipe, of which nothing is read.
    let said = [7; 200_000];
    assert!(echo(url, &said).unwrap() == said);
    live.signal(Signal::TERM);
    assert_eq!(live.child.wait().unwrap().code(), Some(0));
    let told = std::iter::repeat_with(|| live.note())
        .take(9)
        .any(|line| line.contains("could not complete the capture"));
    assert!(told);
}

#[test]
fn an_interrupted_capture_is_complete() {
    let servers = Servers::only(&["http", "udp"]);
    let portolan = Portolan::new();
    let file = place(&portolan);
    let urls = [servers.url("http"), servers.url("udp")];
    let args = ["probe", &urls[0], &urls[1], "--json", "--watch", "1ms", "--pcap", &file];
    let mut live = portolan.start(&args);
    for _ in 0..10 {
        assert_eq!(live.object()["ok"], true);
    }
    live.signal(Signal::INT);
    assert_eq!(live.end().code, Some(130));
    let captured = Captured::read(&fs::read(&file).unwrap());
    assert!(captured.has("GET / HTTP/1.1") && captured.has("portolan probe"));
}

#[test]
fn the_lab_captures_what_it_serves() {
    let portolan = Portolan::new();
    let file = place(&portolan);
    let args = ["lab", "--json", "--ports", "ephemeral", "--only", "http", "--pcap", &file];
    let mut live = portolan.start(&args);
    let url = live.object()["url"].as_str().unwrap().to_owned();
    assert!(get(&format!("{url}status/418")).contains("418"));
    live.signal(Signal::TERM);
    assert_eq!(live.end().code, Some(0));
    let captured = Captured::read(&fs::read(&file).unwrap());
    assert!(captured.has("GET /status/418 HTTP/1.1") && captured.has("HTTP/1.1 418 "));
}

#[test]
fn every_model_of_listening_captures() {
    for flags in [&["--model", "async"][..], &["--model", "threads"], &["--model", "event-loop"]] {
        let portolan = Portolan::new();
        let file = place(&portolan);
        let args = [&["listen", "tcp:0", "--echo", "--once", "--pcap", &file], flags].concat();
        let (mut live, url) = serve_by(portolan, &args);
        assert_eq!(echo(&url, b"ahoy").unwrap(), b"ahoy");
        assert_eq!(live.end().code, Some(0));
        let captured = Captured::read(&fs::read(&file).unwrap());
        // Open, there and back, and both ends.
        assert_eq!(captured.packets.len(), 3 + 2 + 4, "{flags:?}");
        assert!(captured.has("ahoy"), "{flags:?}");
    }
}

#[test]
fn a_relay_captures_both_sides() {
    let servers = Servers::only(&["tcp"]);
    let portolan = Portolan::new();
    let file = place(&portolan);
    let args = ["relay", "tcp:0", &servers.url("tcp"), "--once", "--pcap", &file];
    let (mut live, url) = serve_by(portolan, &args);
    assert_eq!(echo(&url, b"ahoy").unwrap(), b"ahoy");
    assert_eq!(live.end().code, Some(0));
    let captured = Captured::read(&fs::read(&file).unwrap());
    let count = captured.packets.iter().filter(|packet| packet.ends_with(b"ahoy")).count();
    assert_eq!(count, 4);
}

#[test]
fn a_verb_that_fails_leaves_a_complete_capture() {
    let portolan = Portolan::new();
    let file = place(&portolan);
    let run = portolan.run(&["connect", "tcp:1", "--pcap", &file]);
    assert_eq!(run.code, Some(7));
    let captured = Captured::read(&fs::read(&file).unwrap());
    assert_eq!((captured.comments.len(), captured.packets.len()), (2, 0));
}

#[test]
fn stdout_is_left_to_the_peers() {
    for args in [&["connect", "tcp:1"][..], &["listen", "tcp:0"]] {
        let refused = run(&[args, &["--pcap", "-"]].concat());
        refused.refused(&["--pcap - cannot be used here", "the peer"]);
    }
}

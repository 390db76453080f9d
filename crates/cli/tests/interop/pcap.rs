//! `--pcap`: tshark reads what the command captured. nginx and curl are at the other ends.

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::authority::Authority;
use crate::peer::{Peer, nginx};
use crate::probe::probe;

/// What is looked for. Others would be read into whatever passes at a port that happens to be
/// theirs.
const PROTOCOLS: &[&str] =
    &["frame", "raw", "ip", "ipv6", "tcp", "udp", "data", "tls", "x509sat", "http", "http2"];

/// A capture, in a directory of its own.
struct Capture {
    dir: TempDir,
}

impl Capture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("a.pcapng")
    }

    /// These fields of the packets that a filter lets pass, one line each.
    #[track_caller]
    fn fields(&self, filter: &str, fields: &[&str]) -> Vec<String> {
        let mut command = Command::new("tshark");
        // Without the settings of whoever runs this.
        command.env("HOME", self.dir.path()).arg("-r").arg(self.file()).args(["-Y", filter]);
        command.args(["--disable-protocol", "ALL"]);
        command.args(PROTOCOLS.iter().flat_map(|protocol| ["--enable-protocol", protocol]));
        for protocol in ["ip", "tcp", "udp"] {
            command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
        }
        command.args(["-T", "fields"]).args(fields.iter().flat_map(|field| ["-e", field]));
        let output = match command.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => panic!("install tshark"),
            output => output.unwrap(),
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| line.trim_matches('\t').to_owned()).collect()
    }

    /// There are packets, their checksums are right, and nothing is odd about any of them.
    #[track_caller]
    fn is_sound(&self) -> &Self {
        assert!(self.fields("tcp or udp", &["frame.number"]).len() > 2);
        let bad = ["ip", "tcp", "udp"].map(|it| format!("{it}.checksum.status == 0")).join(" or ");
        // From warnings upwards: that a connection is closed is noted.
        let expert = "_ws.malformed or _ws.expert.severity >= 0x600000";
        let odd = format!("{bad} or tcp.analysis.flags or {expert}");
        let found = self.fields(&odd, &["frame.number", "_ws.col.Info", "_ws.expert.message"]);
        assert_eq!(found, [""; 0]);
        self
    }

    /// It shows one request for `path` and its answer.
    #[track_caller]
    fn shows_http_1(&self, path: &str, status: &str) {
        let shown = self.fields("http", &["http.request.uri", "http.response.code"]);
        assert_eq!(shown, [path, status]);
    }

    /// It shows one request for `path` and its answer, over HTTP/2.
    #[track_caller]
    fn shows_http_2(&self, path: &str, status: &str) {
        let fields = ["http2.headers.path", "http2.headers.status"];
        assert_eq!(self.fields("http2.header", &fields), [path, status]);
    }
}

/// Probes `peer`, which is `site.test`, and captures.
#[track_caller]
fn captured(ca: &Authority, peer: &Peer, path: &str, flags: &str) -> Capture {
    let capture = Capture::new();
    let (port, file) = (peer.port, capture.file());
    let url = format!("https://site.test:{port}{path} --resolve site.test:{port}:127.0.0.1");
    let args = format!("{url} --cacert {} --pcap {}{flags}", ca.file(), file.display());
    probe(&args).is_up("resolve connect tls send wait receive");
    capture
}

#[test]
fn http_over_tls_is_decrypted() {
    let ca = Authority::root("Interop Root");
    let server = nginx("ssl", "location / { return 404; }", Some(&ca.issue("site.test")));
    for flags in [" --tls-max 1.2", " --tls-min 1.3"] {
        captured(&ca, &server, "/chart", flags).is_sound().shows_http_1("/chart", "404");
    }
}

#[test]
fn http_2_over_tls_is_decrypted() {
    let ca = Authority::root("Interop Root");
    let server = nginx("ssl http2", "location / { return 404; }", Some(&ca.issue("site.test")));
    for flags in [" --tls-max 1.2", " --tls-min 1.3"] {
        captured(&ca, &server, "/chart", flags).is_sound().shows_http_2("/chart", "404");
    }
}

#[test]
fn what_is_redacted_stays_secret() {
    let ca = Authority::root("Interop Root");
    let server = nginx("ssl", "location / { return 200 ahoy; }", Some(&ca.issue("site.test")));
    for flags in [" --pcap-redact --tls-max 1.2", " --pcap-redact"] {
        let capture = captured(&ca, &server, "/chart", flags);
        assert_eq!(capture.is_sound().fields("http", &["http.request.uri"]), [""; 0]);
        let names = capture.fields("tls", &["tls.handshake.extensions_server_name"]);
        assert!(names.contains(&"site.test".to_owned()), "{names:?}");
    }
}

/// The lab's HTTPS server, which captures until this is dropped.
struct Lab {
    child: Child,
    out: BufReader<ChildStdout>,
    url: String,
}

impl Lab {
    fn start(file: &Path) -> Self {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("portolan"));
        command.args([
            "lab",
            "--json",
            "-q",
            "--no-config",
            "--only",
            "https",
            "--ports",
            "ephemeral",
        ]);
        command.arg("--pcap").arg(file).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut lab = Self { child, out, url: String::new() };
        lab.url = lab.object()["url"].as_str().unwrap().to_owned();
        assert_eq!(lab.object()["type"], "ready");
        lab
    }

    fn object(&mut self) -> Value {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// What curl says to a request for `path`.
    #[track_caller]
    fn curl(&self, path: &str, flags: &[&str]) {
        let url = format!("{}{path}", self.url);
        let output = Command::new("curl").args(["-sSk", &url]).args(flags).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_decrypts_what_curl_asked() {
    for version in ["1.2", "1.3"] {
        let flags = ["--http1.1", &format!("--tlsv{version}"), "--tls-max", version];
        let capture = Capture::new();
        let lab = Lab::start(&capture.file());
        lab.curl("status/404", &flags);
        drop(lab);
        capture.is_sound().shows_http_1("/status/404", "404");
    }
    let capture = Capture::new();
    let lab = Lab::start(&capture.file());
    lab.curl("status/404", &["--http2"]);
    drop(lab);
    capture.is_sound().shows_http_2("/status/404", "404");
}

#[test]
fn every_transport_is_sound() {
    let capture = Capture::new();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("portolan"));
    command.args(["probe", "--no-config", "--pcap"]).arg(capture.file());
    assert!(command.output().unwrap().status.success());
    capture.is_sound();
    // The probes of tcp, unix and tls say nothing.
    assert_eq!(capture.fields("udp", &["frame.number"]).len(), 2);
    // Of http, https and the proxy, and the handshakes of ws and wss.
    assert_eq!(capture.fields("http.request", &["http.request.method"]), ["GET"; 5]);
    let comments = capture.fields("frame.comment", &["frame.comment"]);
    assert!(comments[0].starts_with("unix:"), "{comments:?}");
}

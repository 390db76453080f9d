//! What `probe` says about certificates and handshakes.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need other peers")]
mod support;

use std::future::pending;
use std::io::{Read, Write};

use portolan::net::tls::{Identity, Server, Version};
use portolan::net::{Connection, Context, Listener, serve};
use portolan::{Error, Scheme};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;
use support::{Portolan, Servers, peer};
use time::{Duration, OffsetDateTime};
use tokio::runtime::Runtime;

/// An authority, the file with its certificate, and the runtime of its servers.
struct Authority {
    portolan: Portolan,
    issuer: Issuer<'static, KeyPair>,
    ca: String,
    runtime: Runtime,
}

impl Authority {
    fn new() -> Self {
        Self::named("test CA")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let portolan = Portolan::new();
        let ca = portolan.file("ca.pem", &pem);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self { portolan, issuer: Issuer::new(params, key), ca, runtime }
    }

    /// A certificate for `name` that is valid between these days from now.
    fn issue(&self, name: &str, days: std::ops::Range<i64>) -> Identity {
        let key = KeyPair::generate().unwrap();
        let pem = params(name, days).signed_by(&key, &self.issuer).unwrap().pem();
        Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// The URL of a server that shakes hands and hangs up.
    fn serve(&self, server: Server) -> String {
        let listener =
            self.runtime.block_on(Listener::bind(&"tls://127.0.0.1:0".parse().unwrap())).unwrap();
        let port = listener.local_url().port();
        let greet = |_: Connection, _: Context| async { Ok::<(), Error>(()) };
        self.runtime.spawn(serve(listener.with_tls(server), greet, pending()));
        format!("{}://localhost:{port}", Scheme::Tls)
    }

    /// The report about a server with this identity, and the exit code, when the authority is
    /// trusted.
    fn probe(&self, identity: Identity, flags: &[&str]) -> (i32, Value) {
        let url = self.serve(Server::new(identity));
        self.probe_url(&url, &[&["--cacert", &self.ca], flags].concat())
    }

    fn probe_url(&self, url: &str, flags: &[&str]) -> (i32, Value) {
        let run = self.portolan.run(&[&["probe", "--json", url], flags].concat());
        assert_eq!(run.objects().len(), 1, "{}", run.err);
        (run.code.unwrap(), run.objects().remove(0))
    }
}

fn params(name: &str, days: std::ops::Range<i64>) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    // Half a day more, so that the tests do not stand on an edge.
    params.not_before = now + Duration::days(days.start);
    params.not_after = now + Duration::days(days.end) + Duration::hours(12);
    params
}

#[track_caller]
fn untrusted(found: &(i32, Value), words: &str) {
    let (code, report) = found;
    assert_eq!(*code, 60, "{report}");
    assert_eq!(
        (&report["error"]["phase"], &report["error"]["kind"]),
        (&"tls".into(), &"untrusted".into())
    );
    assert!(report["error"]["message"].as_str().unwrap().contains(words), "{report}");
    assert!(report["error"]["hint"].is_string(), "{report}");
}

#[test]
fn a_trusted_certificate_is_shown() {
    let authority = Authority::new();
    let (code, report) = authority.probe(authority.issue("localhost", -1..90), &[]);
    assert_eq!((code, &report["ok"]), (0, &Value::Bool(true)), "{report}");
    let tls = report["phases"].as_array().unwrap().iter().find(|p| p["name"] == "tls").unwrap();
    let detail = tls["detail"].to_string();
    for word in ["TLSv1.3", "localhost", "test CA", "90"] {
        assert!(detail.contains(word), "{word} in {detail}");
    }
}

#[test]
fn certificates_that_are_not_trusted() {
    let authority = Authority::new();
    let probe = |name: &str, days| authority.probe(authority.issue(name, days), &[]);
    untrusted(&probe("localhost", -30..-4), "certificate expired 3 days ago");
    untrusted(&probe("localhost", 3..30), "certificate is not valid until ");
    untrusted(&probe("a.test", -1..30), "certificate is for a.test and not for localhost");

    let unknown = Authority::named("unknown CA").issue("localhost", -1..30);
    let words = "certificate was issued by \"CN=unknown CA\", which is not trusted";
    untrusted(&authority.probe(unknown, &[]), words);
    let impostor = Authority::new().issue("localhost", -1..30);
    untrusted(&authority.probe(impostor, &[]), "but another key signed it");

    let key = KeyPair::generate().unwrap();
    let pem = params("localhost", -1..30).self_signed(&key).unwrap().pem();
    let identity = Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    untrusted(&authority.probe(identity, &[]), "certificate is self-signed");
}

#[test]
fn insecure_shows_why_it_would_not_be_trusted() {
    let authority = Authority::new();
    let (code, report) = authority.probe(authority.issue("localhost", -30..-4), &["-k"]);
    assert_eq!(code, 0, "{report}");
    let note = report["notes"][0].as_str().unwrap();
    assert!(note.starts_with("not verified: certificate expired 3 days ago"), "{note}");
}

#[test]
fn a_certificate_that_ends_soon_is_worth_a_note() {
    let authority = Authority::new();
    let (code, report) = authority.probe(authority.issue("localhost", -1..3), &[]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["notes"][0], "the certificate expires in 3 days");
    let identity = authority.issue("localhost", -1..3);
    let (code, report) = authority.probe(identity, &["--expect", "cert-days>14"]);
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["error"]["message"], "expected cert-days>14, got 3");
}

#[test]
fn no_version_in_common() {
    let authority = Authority::new();
    let server = Server::new(authority.issue("localhost", -1..30));
    let server = server.with_versions(Version::Tls12, Version::Tls12).unwrap();
    let url = authority.serve(server);
    let flags = ["--cacert", &authority.ca, "--tls-min", "1.3"];
    let (code, report) = authority.probe_url(&url, &flags);
    assert_eq!((code, &report["error"]["phase"]), (35, &"tls".into()), "{report}");
    let (code, _) = authority.probe_url(&url, &flags[..2]);
    assert_eq!(code, 0);
}

#[test]
fn a_peer_without_tls() {
    let servers = Servers::only(&["http"]);
    let port = servers.lab.url("http").unwrap().port();
    let run = support::run(&["probe", "--json", &format!("https://127.0.0.1:{port}/get")]);
    let report = &run.objects()[0];
    assert_eq!((run.code, &report["error"]["phase"]), (Some(35), &"tls".into()), "{report}");
    assert_eq!(report["error"]["hint"], format!("try http://127.0.0.1:{port}/get"));

    let ssh = peer(|mut stream| {
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    let run = support::run(&["probe", "--json", &format!("tls://127.0.0.1:{ssh}")]);
    assert_eq!(run.objects()[0]["error"]["phase"], "tls", "{}", run.out);
}

#[test]
fn http_2_is_agreed_by_alpn() {
    let servers = Servers::only(&["https"]);
    let portolan = Portolan::new();
    let ca = portolan.file("ca.pem", servers.lab.ca_pem());
    let url = servers.url("https").replace("127.0.0.1", "localhost") + "get";
    for (flags, version) in [(&[][..], "HTTP/2"), (&["--alpn", "http/1.1"], "HTTP/1.1")] {
        let run = portolan.run(&[&["probe", "--json", &url, "--cacert", &ca], flags].concat());
        let report = &run.objects()[0];
        assert_eq!(run.code, Some(0), "{report}");
        let phases = report["phases"].as_array().unwrap();
        let wait = phases.iter().find(|phase| phase["name"] == "wait").unwrap();
        assert_eq!(wait["detail"]["version"], version);
    }
}

#[test]
fn the_key_log_of_the_environment_is_for_tls() {
    let servers = Servers::only(&["tcp", "tls"]);
    let portolan = Portolan::new();
    let probe = |args: &[&str], file: &str| {
        let mut command = portolan.command(&[&["probe", "--json"], args].concat());
        support::Run::from(command.env("SSLKEYLOGFILE", file).output().unwrap())
    };
    let (tcp, tls) = (servers.url("tcp"), servers.url("tls"));
    let log = portolan.home.path().join("keys");
    let file = log.to_str().unwrap();
    assert_eq!(probe(&[&tcp], file).code, Some(0));
    assert!(!log.exists());
    assert_eq!(probe(&[&tls, "-k"], file).code, Some(0));
    assert!(std::fs::read_to_string(&log).unwrap().contains("CLIENT_TRAFFIC_SECRET_0 "));
    assert_eq!(probe(&[&tls, "-k"], "").code, Some(0));
    assert_eq!(probe(&[&tcp], "/nowhere/keys").code, Some(0));
    for args in [&[&tls[..], "-k"][..], &[]] {
        let run = probe(args, "/nowhere/keys");
        assert_eq!(run.code, Some(2));
        let words = "portolan: invalid value '/nowhere/keys' for SSLKEYLOGFILE: ";
        assert!(run.err.starts_with(words), "{}", run.err);
    }
}

#[test]
fn files_that_are_missing_or_no_certificates() {
    let portolan = Portolan::new();
    let empty = portolan.file("empty.pem", "nothing\n");
    let target = "https://localhost:1";
    let probe = |flags: &[&str]| portolan.run(&[&["probe", target], flags].concat());
    probe(&["--cacert", "/no/ca.pem"]).refused(&["--cacert", "'/no/ca.pem'", "no such file"]);
    probe(&["--cacert", &empty]).refused(&["--cacert", &empty]);
    probe(&["--cert", "/no/c.pem", "--key", "/no/k.pem"]).refused(&["--cert", "/no/c.pem"]);
    let minted = |name: &str| {
        let minted = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let cert = portolan.file(&format!("{name}.pem"), &minted.cert.pem());
        let key = minted.signing_key.serialize_pem();
        (cert, portolan.file(&format!("{name}.key"), &key))
    };
    let ((cert, _), (_, other_key)) = (minted("one"), minted("other"));
    probe(&["--cert", &cert]).refused(&[&format!("'{cert}' for --cert: "), "no private key"]);
    for key in ["/no/k.pem", &empty] {
        probe(&["--cert", &cert, "--key", key])
            .refused(&[&format!("invalid value '{key}' for --key: ")]);
    }
    probe(&["--cert", &empty, "--key", &other_key]).refused(&[&format!("'{empty}' for --cert: ")]);
    probe(&["--cert", &cert, "--key", &other_key])
        .refused(&[&format!("invalid value '{cert}' for --cert and '{other_key}' for --key: ")]);
    probe(&["--pin", "sha256/short"]).refused(&[
        "--pin",
        "'sha256/short'",
        "sha256/ and the 44 characters",
    ]);
    probe(&["--tls-min", "1.3", "--tls-max", "1.2"]).refused(&["--tls-min", "1.3", "1.2"]);
}

//! TLS: what a handshake agrees on, and why one fails. nginx and `openssl s_server` are the peers.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::authority::{Authority, Identity};
use crate::peer::{Peer, nginx, s_server};
use crate::probe::probe;

const PHASES: &str = "resolve connect tls send wait receive";

/// The arguments that reach `peer` under the name `host`.
fn at(peer: &Peer, host: &str) -> String {
    format!("https://{host}:{0}/ --resolve {host}:{0}:127.0.0.1", peer.port)
}

#[test]
fn http_2_is_chosen_by_alpn() {
    let ca = Authority::root("Interop Root");
    let server =
        nginx("ssl http2", "location / { return 200 ahoy; }", Some(&ca.issue("site.test")));
    let expected = "--expect status=200,body~ahoy,cert-days>14,cert-days<100";
    let up = probe(&format!("{} --cacert {} {expected}", at(&server, "site.test"), ca.file()));
    up.is_up(PHASES);
    assert_eq!(up.fact("tls", "alpn"), "h2");
    assert_eq!(up.fact("tls", "version"), "TLSv1.3");
    assert_eq!(up.fact("wait", "version"), "HTTP/2");
    let certificate = up.fact("tls", "certificate");
    assert_eq!(certificate["subject"], "CN=site.test");
    assert_eq!(certificate["issuer"], "CN=Interop Root");
    assert_eq!(certificate["names"], json!(["site.test"]));
    assert_eq!(certificate["days_left"], 90);
}

#[test]
fn http_1_1_is_chosen_by_alpn() {
    let ca = Authority::root("Interop Root");
    let server = nginx("ssl", "location / { return 404; }", Some(&ca.issue("site.test")));
    let up = probe(&format!("{} --cacert {}", at(&server, "site.test"), ca.file()));
    up.is_up(PHASES).notes("answered with status 404");
    assert_eq!(up.fact("tls", "alpn"), "http/1.1");
    assert_eq!(up.fact("wait", "version"), "HTTP/1.1");
}

#[test]
fn a_large_body_comes_over_http_2() {
    let ca = Authority::root("Interop Root");
    let server = nginx("ssl http2", "", Some(&ca.issue("site.test")));
    fs::write(server.dir().join("large"), vec![b'x'; 3 << 20]).unwrap();
    let url = at(&server, "site.test").replace("/ ", "/large ");
    let up = probe(&format!("{url} --cacert {} --expect body~^x+$", ca.file()));
    up.is_up(PHASES).notes("the body is longer than 1 MiB");
    assert_eq!(up.fact("receive", "bytes"), 1 << 20);
}

#[test]
fn the_days_of_a_certificate_are_counted() {
    let ca = Authority::root("Interop Root");
    let server = s_server(&ca.issue_for("site.test", -1, 5), &[]);
    let args = format!("{} --cacert {}", at(&server, "site.test"), ca.file());
    probe(&args).is_up(PHASES).notes("the certificate expires in 5 days");
    probe(&format!("{args} --expect cert-days>14")).is_unmet().says("expected cert-days>14, got 5");
}

#[test]
fn a_certificate_for_another_host_is_not_trusted() {
    let ca = Authority::root("Interop Root");
    // The default server answers for every name that it does not know.
    let server = nginx("ssl default_server", "", Some(&ca.issue("site.test")));
    probe(&format!("{} --cacert {}", at(&server, "other.test"), ca.file()))
        .is_down(60, "tls", "untrusted")
        .says("certificate is for site.test and not for other.test")
        .hints("connect by one of the names");
    probe(&format!("https://127.0.0.1:{}/ --cacert {}", server.port, ca.file()))
        .is_down(60, "tls", "untrusted")
        .says("and not for 127.0.0.1");
    probe(&format!("{} --cacert {} --sni site.test", at(&server, "other.test"), ca.file()))
        .is_up(PHASES);
}

#[test]
fn an_expired_certificate_is_not_trusted() {
    let ca = Authority::root("Interop Root");
    let server = s_server(&ca.issue_for("site.test", -30, -3), &[]);
    let args = at(&server, "site.test");
    let down = probe(&format!("{args} --cacert {}", ca.file()));
    down.is_down(60, "tls", "untrusted")
        .says("certificate expired 2 days ago")
        .hints("renew the certificate");
    assert_eq!(down.fact("tls", "certificate")["days_left"], -3);
    probe(&format!("{args} --insecure")).is_up(PHASES).notes("not verified: certificate expired");
}

#[test]
fn a_certificate_of_the_future_is_not_trusted() {
    let ca = Authority::root("Interop Root");
    let server = s_server(&ca.issue_for("site.test", 3, 30), &[]);
    probe(&format!("{} --cacert {}", at(&server, "site.test"), ca.file()))
        .is_down(60, "tls", "untrusted")
        .says("certificate is not valid until")
        .hints("clock");
}

#[test]
fn a_self_signed_certificate_is_not_trusted() {
    let server = s_server(&Identity::self_signed("site.test"), &[]);
    let args = at(&server, "site.test");
    probe(&args)
        .is_down(60, "tls", "untrusted")
        .says("certificate is self-signed")
        .hints("--cacert FILE");
    probe(&format!("{args} -k")).is_up(PHASES).notes("not verified: certificate is self-signed");
}

#[test]
fn an_issuer_that_is_not_known_is_not_trusted() {
    let (trusted, unknown) = (Authority::root("Trusted Root"), Authority::root("Unknown Root"));
    let issuer = unknown.intermediate("Unknown Issuer");
    let server = s_server(&issuer.issue("site.test").with_chain(&issuer), &[]);
    let args = at(&server, "site.test");
    probe(&format!("{args} --cacert {}", trusted.file()))
        .is_down(60, "tls", "untrusted")
        .says("\"CN=Unknown Root\", which is not trusted")
        .hints("trust its issuer with --cacert FILE");
    probe(&format!("{args} --cacert {}", unknown.file())).is_up(PHASES);
}

#[test]
fn a_missing_intermediate_is_named() {
    let root = Authority::root("Interop Root");
    let issuer = root.intermediate("Interop Issuer");
    let server = s_server(&issuer.issue("site.test"), &[]);
    probe(&format!("{} --cacert {}", at(&server, "site.test"), root.file()))
        .is_down(60, "tls", "untrusted")
        .says("\"CN=Interop Issuer\", which is not trusted")
        .hints("the server may not send its intermediate certificate");
}

#[test]
fn a_key_is_pinned_as_openssl_prints_it() {
    let identity = Identity::self_signed("site.test");
    let server = s_server(&identity, &[]);
    let print =
        "openssl x509 -in certificate.pem -noout -pubkey | openssl pkey -pubin -outform der |
                 openssl dgst -sha256 -binary | openssl base64";
    let printed = Command::new("sh").args(["-c", print]).current_dir(server.dir()).output();
    let pin = String::from_utf8(printed.unwrap().stdout).unwrap();
    let certificate = server.dir().join("certificate.pem");
    let args = format!("{} --cacert {}", at(&server, "site.test"), certificate.display());
    probe(&format!("{args} --pin sha256/{}", pin.trim())).is_up(PHASES);
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    probe(&format!("{args} --pin sha256/{other}"))
        .is_down(60, "tls", "untrusted")
        .says(pin.trim())
        .hints("somebody may be in between");
}

#[test]
fn without_a_version_in_common_the_handshake_fails() {
    let ca = Authority::root("Interop Root");
    let server = s_server(&ca.issue("site.test"), &["-tls1_2"]);
    let args = format!("{} --cacert {}", at(&server, "site.test"), ca.file());
    let up = probe(&args);
    up.is_up(PHASES);
    assert_eq!(up.fact("tls", "version"), "TLSv1.2");
    probe(&format!("{args} --tls-min 1.3"))
        .is_down(35, "tls", "tls")
        .says("no TLS version in common")
        .hints("--tls-min");
    let server = s_server(&ca.issue("site.test"), &["-tls1_3"]);
    probe(&format!("{} --tls-max 1.2", at(&server, "site.test")))
        .is_down(35, "tls", "tls")
        .says("no TLS version in common")
        .hints("--tls-max");
}

#[test]
fn without_a_protocol_in_common_the_handshake_fails() {
    let ca = Authority::root("Interop Root");
    let server = nginx("ssl http2", "", Some(&ca.issue("site.test")));
    let args = at(&server, "site.test").replace("https:", "tls:").replace("/ ", " ");
    probe(&format!("{args} --cacert {} --alpn imap", ca.file()))
        .is_down(35, "tls", "tls")
        .says("no protocol in common (ALPN)")
        .hints("--alpn LIST");
}

#[test]
fn a_client_certificate_is_shown() {
    let ca = Authority::root("Interop Root");
    let files = tempfile::tempdir().unwrap();
    let client = ca.issue("client.test").write(files.path());
    let login = format!("--cert {} --key {}", client.certificate, client.key);
    let verify = format!("ssl_verify_client on; ssl_client_certificate {};", ca.file());
    let server = nginx(
        "ssl http2",
        &format!("{verify} location / {{ return 200 $ssl_client_s_dn; }}"),
        Some(&ca.issue("site.test")),
    );
    let args = format!("{} --cacert {}", at(&server, "site.test"), ca.file());
    // nginx does not insist in the handshake, but answers so.
    probe(&args).is_up(PHASES).notes("answered with status 400 Bad Request");
    probe(&format!("{args} {login} --expect status=200,body~CN=client.test")).is_up(PHASES);
}

#[test]
fn a_client_certificate_that_is_missing_is_asked_for() {
    let ca = Authority::root("Interop Root");
    let files = tempfile::tempdir().unwrap();
    let client = ca.issue("client.test").write(files.path());
    let (right, file) = (format!("--cert {} --key {}", client.certificate, client.key), ca.file());
    let strict = ["-Verify", "1", "-verify_return_error", "-CAfile", &file];
    // TLS 1.3 has an alert for it, which comes when the client takes the handshake to be over.
    let (broad, exact) = ("alert handshake_failure", "a client certificate is required");
    for (version, span, words) in [("-tls1_2", "tls", broad), ("-tls1_3", "wait", exact)] {
        let server = s_server(&ca.issue("site.test"), &[&strict[..], &[version]].concat());
        let args = format!("{} --cacert {file}", at(&server, "site.test"));
        probe(&args).is_down_during(span, 35, "tls", "tls").says(words).hints("--cert");
        probe(&format!("{args} {right}")).is_up(PHASES);
    }
}

#[test]
fn clear_text_is_told_from_tls() {
    let server = nginx("", "", None);
    let url = format!("127.0.0.1:{}/", server.port);
    probe(&format!("https://{url}"))
        .is_down(35, "tls", "tls")
        .says("does not speak TLS")
        .hints(&format!("try http://{url}"));
    let server = s_server(&Identity::self_signed("site.test"), &[]);
    let url = format!("127.0.0.1:{}/", server.port);
    probe(&format!("http://{url}"))
        .is_down(56, "wait", "lost")
        .says("closed the connection without an answer")
        .hints(&format!("try https://{url}"));
}

#[test]
fn a_silent_handshake_times_out() {
    let server = Peer::script("kept.append(peer)");
    probe(&format!("tls://127.0.0.1:{} --connect-timeout 2s", server.port))
        .is_down(28, "tls", "timeout")
        .hints("does it speak TLS?");
}

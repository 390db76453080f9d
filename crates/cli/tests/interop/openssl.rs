//! `openssl s_client` and `s_server` at the other end of `listen`, `connect` and `relay`.

use crate::authority::{Authority, Files};
use crate::peer::{Peer, s_server_that};
use crate::support::serve;
use crate::talk::Talk;

const NAME: &str = "site.test";

/// `s_client` that only talks, with the server at a URL.
#[track_caller]
fn s_client(url: &str, options: &str) -> Talk {
    let place = url.strip_prefix("tls://").unwrap();
    let args = format!("s_client -quiet -connect {place} {options}");
    Talk::start("openssl", "openssl", args.trim_end())
}

/// `s_server` that sends each line back to front.
fn reversing(ca: &Authority, options: &[&str]) -> Peer {
    s_server_that("-rev", &ca.issue(NAME), options)
}

/// The arguments for the server that has a certificate for [`NAME`].
fn at(server: &Peer) -> String {
    format!("tls://{NAME}:{0} --connect-to {NAME}:{0}:127.0.0.1:{0}", server.port)
}

#[test]
fn a_client_of_each_version_is_echoed() {
    let (mut live, url) = serve(&["listen", "tls:0", "--echo", "--tls", "self"]);
    for version in ["-tls1_2", "-tls1_3"] {
        s_client(&url, version).say("ahoy").hears("ahoy").say("Grüße").hears("Grüße");
        live.event("close");
    }
    let old = s_client(&url, "-tls1_1").end();
    assert_ne!(old.code, Some(0), "{old:?}");
    assert!(live.event("close")["error"].is_string());
}

#[test]
fn a_client_verifies_our_certificate() {
    let (ca, home) = (Authority::root("Interop Root"), tempfile::tempdir().unwrap());
    let between = ca.intermediate("Interop Between");
    let Files { chain, key, .. } = between.issue(NAME).with_chain(&between).write(home.path());
    let identities = [
        vec!["--tls".to_owned(), format!("{chain},{key}")],
        vec!["--cert".to_owned(), chain, "--key".to_owned(), key],
    ];
    for flags in identities {
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let (_live, url) = serve(&[&["listen", "tls:0", "--echo"], &flags[..]].concat());
        let strict = format!("-verify_return_error -CAfile {}", ca.file());
        s_client(&url, &format!("{strict} -verify_hostname {NAME}")).say("ahoy").hears("ahoy");
        let other = s_client(&url, &format!("{strict} -verify_hostname other.test")).end();
        assert_ne!(other.code, Some(0), "{other:?}");
        assert!(other.err.contains("hostname mismatch"), "{other:?}");
    }
}

#[test]
fn a_client_shows_its_certificate() {
    let (ca, home) = (Authority::root("Clients"), tempfile::tempdir().unwrap());
    let Files { certificate, key, .. } = ca.issue("client.test").write(home.path());
    let (mut live, url) = serve(&["listen", "tls:0", "--echo", "--client-ca", &ca.file()]);
    for version in ["-tls1_2", "-tls1_3"] {
        let right = format!("{version} -cert {certificate} -key {key}");
        s_client(&url, &right).say("ahoy").hears("ahoy");
        live.event("close");
        let none = s_client(&url, version).end();
        assert_ne!(none.code, Some(0), "{none:?}");
        assert!(none.err.contains("alert"), "{none:?}");
        let why = live.event("close")["error"].as_str().unwrap().to_owned();
        assert!(why.contains("certificate"), "{why}");
    }
}

#[test]
fn a_client_with_another_authority_is_not_let_in() {
    let (ours, home) = (Authority::root("Clients"), tempfile::tempdir().unwrap());
    let Files { certificate, key, .. } =
        Authority::root("Others").issue("client.test").write(home.path());
    let (mut live, url) = serve(&["listen", "tls:0", "--echo", "--client-ca", &ours.file()]);
    let wrong = s_client(&url, &format!("-cert {certificate} -key {key}")).end();
    assert_ne!(wrong.code, Some(0), "{wrong:?}");
    assert!(live.event("close")["error"].is_string());
}

#[test]
fn a_client_talks_through_a_relay_that_takes_tls_off() {
    let (_echo, echo) = serve(&["listen", "tcp:0", "--echo"]);
    let (_relay, url) = serve(&["relay", "tls:0", &echo, "--tls", "self"]);
    s_client(&url, "").say("ahoy").hears("ahoy");
}

#[test]
fn a_server_of_each_version_is_spoken_with() {
    let ca = Authority::root("Interop Root");
    for version in ["-tls1_2", "-tls1_3"] {
        let server = reversing(&ca, &[version]);
        let mut connect = Talk::connect(&format!("{} --cacert {}", at(&server), ca.file()));
        connect.say("ahoy").hears("yoha").say("stressed").hears("desserts");
        // The server closes in its turn.
        assert_eq!(connect.end().well(), "");
    }
}

#[test]
fn a_server_that_asks_for_a_certificate() {
    let (ca, home) = (Authority::root("Interop Root"), tempfile::tempdir().unwrap());
    let (client, file) = (ca.issue("client.test").write(home.path()), ca.file());
    let strict = ["-Verify", "1", "-verify_return_error", "-CAfile", &file];
    let server = reversing(&ca, &strict);
    let args = format!("{} --cacert {file}", at(&server));
    let right = format!("{args} --cert {} --key {}", client.certificate, client.key);
    Talk::connect(&right).say("ahoy").hears("yoha");
    let refused = Talk::connect(&args).end();
    assert_eq!(refused.code, Some(35), "{refused:?}");
    assert!(refused.err.contains("hint: ") && refused.err.contains("--cert"), "{refused:?}");
}

#[test]
fn a_server_behind_a_relay_that_adds_tls() {
    let ca = Authority::root("Interop Root");
    let server = reversing(&ca, &[]);
    let flags = at(&server);
    let (to, flags) = flags.split_once(' ').unwrap();
    let cacert = ca.file();
    let flags: Vec<_> = flags.split(' ').chain(["--cacert", &cacert]).collect();
    let (_relay, url) = serve(&[&["relay", "tcp:0", to], &flags[..]].concat());
    Talk::connect(&url).say("ahoy").hears("yoha");
}

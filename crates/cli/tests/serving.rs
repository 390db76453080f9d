//! What keeps `listen` and `relay` from starting: each time a code, a sentence, and a hint that says
//! what to change.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]
#![expect(clippy::disallowed_types, reason = "what is in the way is a bare socket")]

#[expect(dead_code, reason = "these tests need no live peers")]
mod support;

use std::fs;
use std::net::{TcpListener, UdpSocket};

use rcgen::CertifiedKey;
use support::{Portolan, Run, run};

/// Both verbs on `from`.
fn both(from: &str) -> [Run; 2] {
    let to = if from.starts_with("udp:") { "udp:1" } else { "tcp:1" };
    [run(&["listen", from, "--echo"]), run(&["relay", from, to])]
}

/// It did not start: the exit code, and what is in the sentence and in the hint.
#[track_caller]
fn fails(run: &Run, code: i32, sentence: &[&str], hint: &str) {
    assert_eq!((run.code, run.out.as_str()), (Some(code), ""), "{}", run.err);
    let lines: Vec<_> = run.err.lines().collect();
    let [first, second] = lines[..] else { panic!("no sentence and hint: {}", run.err) };
    assert!(first.starts_with("portolan: "), "{first}");
    for word in sentence {
        assert!(first.contains(word), "'{word}' is not in: {first}");
    }
    assert!(second.starts_with("hint: ") && second.contains(hint), "'{hint}' is not in: {second}");
}

#[test]
fn a_port_that_is_used() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (scheme, address) in
        [("tcp", tcp.local_addr()), ("tls", tcp.local_addr()), ("udp", udp.local_addr())]
    {
        let address = address.unwrap().to_string();
        for run in both(&format!("{scheme}://{address}")) {
            fails(&run, 7, &["could not listen on", &address, "in use"], "choose another one");
        }
    }
}

#[test]
fn an_address_that_is_not_ours() {
    for run in both("tcp://192.0.2.1:0") {
        fails(&run, 7, &["could not listen on 192.0.2.1:0"], "not one of this machine");
    }
}

#[test]
fn a_socket_without_a_directory() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("missing/app.sock");
    for run in both(&format!("unix:{}", path.display())) {
        let sentence = ["could not listen on", path.to_str().unwrap()];
        fails(&run, 23, &sentence, "does not exist: make it first");
    }
}

#[test]
fn a_file_where_a_socket_should_be() {
    let portolan = Portolan::new();
    let path = portolan.file("notes.txt", "not a socket");
    for run in both(&format!("unix:{path}")) {
        fails(&run, 23, &["could not listen on", &path], "remove it, or choose another path");
    }
    assert_eq!(fs::read_to_string(path).unwrap(), "not a socket");
}

#[test]
fn a_directory_in_which_one_may_not_write() {
    // Not even root may: the kernel makes what is in there.
    let path = "/dev/pts/app.sock";
    for run in both(&format!("unix:{path}")) {
        fails(&run, 9, &["could not listen on", path], "may not write to the socket's directory");
    }
}

#[test]
fn a_key_that_is_not_the_certificates() {
    let portolan = Portolan::new();
    let mint = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let CertifiedKey { cert, .. } = mint();
    let CertifiedKey { signing_key: other, .. } = mint();
    let cert = portolan.file("cert.pem", &cert.pem());
    let key = portolan.file("key.pem", &other.serialize_pem());
    let pair = format!("{cert},{key}");
    for verb in [&["listen", "tls:0", "--echo"][..], &["relay", "tls:0", "tcp:1"]] {
        let run = portolan.run(&[verb, &["--tls", &pair]].concat());
        run.refused(&[&cert, &key]);
        assert!(run.err.contains("\nhint: "), "{}", run.err);
    }
    let run = portolan.run(&["listen", "tls:0", "--echo", "--cert", &cert, "--key", &key]);
    run.refused(&["--cert", "--key", &key]);

    let none = portolan.run(&["listen", "tls:0", "--echo", "--tls", "none.pem"]);
    none.refused(&["none.pem", "--tls"]);
}

#[test]
fn flags_of_tls_where_none_is_spoken() {
    let ca = ["--client-ca", "ca.pem"];
    for flags in [&["--tls", "self"][..], &ca] {
        run(&[&["listen", "tcp:0", "--echo"], flags].concat()).refused(&[flags[0], "tcp", "tls"]);
        run(&[&["relay", "tcp:0", "tcp:1"], flags].concat()).refused(&[flags[0], "tcp", "tls"]);
    }
    // These are about the other end.
    run(&["relay", "tls:0", "tcp:1", "--insecure"]).refused(&["--insecure", "tcp", "tls"]);
    run(&["relay", "tcp:0", "tls:1", "--tls", "self"]).refused(&["--tls", "tcp"]);
}

#[test]
fn a_command_that_there_is_not() {
    let run = run(&["listen", "tcp:0", "--exec", "no-such-program --at all"]);
    fails(&run, 2, &["no-such-program", "there is no such program"], "install it");
}

#[test]
fn a_directory_is_no_command() {
    let run = run(&["listen", "tcp:0", "--exec", "/"]);
    run.refused(&["'/'"]);
}

#[test]
fn flags_that_contradict_each_other() {
    run(&["listen", "tcp:0", "--echo", "--broadcast"]).refused(&["--echo", "--broadcast"]);
    run(&["listen", "unix:/tmp/a", "--echo", "--allow", "10.0.0.0/8"]).refused(&["--allow"]);
    run(&["relay", "tcp:0", "tcp:1", "--rate", "fast"]).refused(&["--rate", "fast"]);
    run(&["listen", "tcp:0", "--echo", "--max-conns", "0"]).refused(&["--max-conns"]);
    let limit = ["--connect-timeout", "1s"];
    run(&[&["listen", "udp:0", "--echo"], &limit[..]].concat()).refused(&[limit[0], "udp"]);
    for verb in [&["listen", "tcp:0", "--echo"][..], &["relay", "tcp:0", "tcp:1"], &["lab"]] {
        run(&[verb, &["--seed", "7"]].concat()).refused(&["--seed", "--fault"]);
    }
}

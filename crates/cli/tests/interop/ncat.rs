//! ncat at the other end: of `listen` as a client, of `connect` as a server.

use std::process::Command;

use crate::authority::{Authority, Files};
use crate::peer::Peer;
use crate::support::{Live, Portolan, serve};
use crate::talk::Talk;

/// ncat with these arguments.
#[track_caller]
fn ncat(args: &str) -> Talk {
    Talk::start("ncat", "ncat", args)
}

/// The host and the port of a URL, as ncat has them.
fn place(url: &str) -> String {
    url.split_once("://").unwrap().1.replace(':', " ")
}

/// ncat as a server on a TCP port that starts a command for each client.
fn ncat_server(options: &[&str]) -> Peer {
    Peer::start("ncat", |port, _| {
        let mut command = Command::new("ncat");
        command.args(["--listen", "--keep-open", "127.0.0.1", &port.to_string()]).args(options);
        command
    })
}

/// `listen` with this input, and stdout for what comes; its host and port.
fn listen(flags: &[&str]) -> (Live, String, std::io::PipeWriter) {
    let (input, feed) = std::io::pipe().unwrap();
    let args = [&["listen", "tcp:0"], flags].concat();
    let mut live = Portolan::new().start_with_input(&args, input);
    let line = live.note();
    let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
    (live, place(url), feed)
}

#[test]
fn a_client_is_echoed() {
    let (_live, url) = serve(&["listen", "tcp:0", "--echo"]);
    let mut ncat = ncat(&place(&url));
    ncat.say("ahoy").hears("ahoy").say("Grüße").hears("Grüße");
    // It half-closes at the end of its input, and waits for ours.
    assert_eq!(ncat.end().well(), "");
}

#[test]
fn a_client_with_tls_is_echoed() {
    let (ca, home) = (Authority::root("Interop Root"), tempfile::tempdir().unwrap());
    let Files { chain, key, .. } = ca.issue("localhost").write(home.path());
    let (mut live, url) = serve(&["listen", "tls:0", "--echo", "--tls", "self"]);
    let mut talk = ncat(&format!("--ssl {}", place(&url)));
    talk.say("ahoy").hears("ahoy");
    assert_eq!(talk.end().well(), "");
    // It ends TCP, and leaves out TLS's goodbye.
    let close = live.event("close");
    assert!(close["error"].as_str().unwrap().contains("close_notify"), "{close}");

    let (_live, url) = serve(&["listen", "tls:0", "--echo", "--tls", &format!("{chain},{key}")]);
    let verified = format!("--ssl --ssl-verify --ssl-trustfile {}", ca.file());
    let port = url.rsplit(':').next().unwrap();
    ncat(&format!("{verified} localhost {port}")).say("ahoy").hears("ahoy");
    // It does not trust the same certificate for another name.
    let refused = ncat(&format!("{verified} 127.0.0.1 {port}")).end();
    assert_ne!(refused.code, Some(0), "{refused:?}");
}

#[test]
fn a_client_with_tls_that_has_said_all_is_answered() {
    let (_live, url) = serve(&["listen", "tls:0", "--exec", "sh -c 'wc -l; echo was that all?'"]);
    let (_inner, inner) =
        serve(&["listen", "tcp:0", "--exec", "sh -c 'wc -l; echo was that all?'"]);
    let (_relay, relay) = serve(&["relay", "tls:0", &inner]);
    for url in [url, relay] {
        let mut ncat = ncat(&format!("--ssl {}", place(&url)));
        ncat.say("one").say("two");
        assert_eq!(ncat.end().well(), "2\nwas that all?\n");
    }
}

#[test]
fn a_client_talks_with_a_command() {
    let script = "sh -c 'echo welcome; while read line; do echo you said $line; done'";
    let (_live, url) = serve(&["listen", "tcp:0", "--exec", script]);
    for _ in 0..2 {
        let mut ncat = ncat(&place(&url));
        ncat.hears("welcome").say("ahoy").hears("you said ahoy");
        assert_eq!(ncat.end().well(), "");
    }
}

#[test]
fn a_command_written_for_ncat_knows_its_peer() {
    let script = "sh -c 'echo $NCAT_REMOTE_ADDR $NCAT_LOCAL_PORT'";
    let (_live, url) = serve(&["listen", "tcp:0", "--exec", script]);
    let port = url.rsplit(':').next().unwrap();
    ncat(&place(&url)).hears(&format!("127.0.0.1 {port}"));
}

#[test]
fn a_client_talks_with_the_terminal() {
    use std::io::Write;
    let (mut live, place, mut feed) = listen(&["--once"]);
    let mut ncat = ncat(&place);
    ncat.say("ahoy");
    assert_eq!(live.line(), "ahoy");
    writeln!(feed, "aye").unwrap();
    ncat.hears("aye");
    assert_eq!(ncat.end().well(), "");
    let end = live.end();
    assert_eq!((end.code, end.out.as_str()), (Some(0), ""));
}

#[test]
fn clients_hear_each_other() {
    let (mut live, url) = serve(&["listen", "tcp:0", "--broadcast"]);
    let mut one = ncat(&place(&url));
    let mut other = ncat(&place(&url));
    live.event("open");
    live.event("open");
    one.say("ahoy");
    other.hears("ahoy").say("aye");
    one.hears("aye");
}

#[test]
fn a_client_of_a_unix_socket_is_echoed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("echo.sock").display().to_string();
    let (_live, _) = serve(&["listen", &format!("unix:{path}"), "--echo"]);
    let mut ncat = ncat(&format!("--unixsock {path}"));
    ncat.say("ahoy").hears("ahoy");
    assert_eq!(ncat.end().well(), "");
}

#[test]
fn a_client_of_datagrams_is_echoed() {
    let (_live, url) = serve(&["listen", "udp:0", "--echo"]);
    let mut ncat = ncat(&format!("--udp {}", place(&url)));
    ncat.say("one").hears("one").say("two").hears("two");
}

#[test]
fn a_client_speaks_through_a_relay() {
    let server = ncat_server(&["--exec", "/bin/cat"]);
    let (_inner, inner) = serve(&["relay", "tls:0", &format!("tcp:{}", server.port)]);
    let (_outer, outer) = serve(&["relay", "tcp:0", &inner, "--insecure"]);
    for mut ncat in [ncat(&place(&outer)), ncat(&format!("--ssl {}", place(&inner)))] {
        ncat.say("ahoy").hears("ahoy");
        assert_eq!(ncat.end().well(), "");
    }
}

#[test]
fn a_server_is_spoken_with() {
    let server = ncat_server(&["--sh-exec", "echo welcome; cat"]);
    let mut connect = Talk::connect(&format!("tcp:{}", server.port));
    connect.hears("welcome").say("ahoy").hears("ahoy");
    assert_eq!(connect.end().well(), "");
}

#[test]
fn a_server_with_tls_is_spoken_with() {
    let ca = Authority::root("Interop Root");
    let home = tempfile::tempdir().unwrap();
    let Files { chain, key, .. } = ca.issue("localhost").write(home.path());
    let server =
        ncat_server(&["--exec", "/bin/cat", "--ssl", "--ssl-cert", &chain, "--ssl-key", &key]);
    let at = format!("tls://localhost:{}", server.port);
    let mut connect = Talk::connect(&format!("{at} -4 --cacert {}", ca.file()));
    connect.say("ahoy").hears("ahoy");
    assert_eq!(connect.end().well(), "");
    let refused = Talk::connect(&format!("{at} -4")).end();
    assert_eq!(refused.code, Some(60), "{refused:?}");
}

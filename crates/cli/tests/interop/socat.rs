//! socat at the other end: TCP, TLS, UDP and Unix sockets, from either side.

use std::process::Command;

use crate::authority::{Authority, Files};
use crate::peer::Peer;
use crate::support::serve;
use crate::talk::Talk;

/// socat between the test and an address.
#[track_caller]
fn socat(address: &str) -> Talk {
    // For as long as this, it waits for the answer after the end of its input.
    Talk::start("socat", "socat", &format!("-t 5 - {address}"))
}

/// The host and the port of a URL, with a colon between.
fn place(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

/// socat as an echo at this address, in which `PORT` is a free one.
fn echo_at(address: &str) -> impl Fn(u16, &std::path::Path) -> Command {
    move |port, dir| {
        let at = address.replace("PORT", &port.to_string());
        let at = at.replace("DIR", &dir.display().to_string());
        let mut command = Command::new("socat");
        command.args([&at, "PIPE"]);
        command
    }
}

#[test]
fn clients_are_echoed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("echo.sock").display().to_string();
    let name = format!("portolan-test-{}", std::process::id());
    let (_tcp, tcp) = serve(&["listen", "tcp:0", "--echo"]);
    let (_tls, tls) = serve(&["listen", "tls:0", "--echo"]);
    let (_unix, _) = serve(&["listen", &format!("unix:{path}"), "--echo"]);
    let (_hidden, _) = serve(&["listen", &format!("unix:@{name}"), "--echo"]);
    for address in [
        format!("TCP:{}", place(&tcp)),
        format!("OPENSSL:{},verify=0", place(&tls)),
        format!("UNIX-CONNECT:{path}"),
        format!("ABSTRACT-CONNECT:{name}"),
    ] {
        let mut socat = socat(&address);
        socat.say("ahoy").hears("ahoy").say("Grüße").hears("Grüße");
        assert_eq!(socat.end().well(), "", "{address}");
    }
}

#[test]
fn clients_verify_our_certificate() {
    let (ca, home) = (Authority::root("Interop Root"), tempfile::tempdir().unwrap());
    let Files { chain, key, .. } = ca.issue("localhost").write(home.path());
    let (_live, url) = serve(&["listen", "tls:0", "--echo", "--tls", &format!("{chain},{key}")]);
    let port = url.rsplit(':').next().unwrap();
    let cafile = ca.file();
    socat(&format!("OPENSSL:localhost:{port},pf=ip4,cafile={cafile}")).say("ahoy").hears("ahoy");
    let refused = socat(&format!("OPENSSL:127.0.0.1:{port},cafile={cafile}")).end();
    assert_ne!(refused.code, Some(0), "{refused:?}");
}

#[test]
fn clients_of_datagrams_are_echoed() {
    let (_live, url) = serve(&["listen", "udp:0", "--echo"]);
    for _ in 0..2 {
        socat(&format!("UDP:{}", place(&url))).say("one").hears("one").say("two").hears("two");
    }
}

#[test]
fn a_command_written_for_socat_knows_its_peer() {
    let script = "sh -c 'echo $SOCAT_PEERADDR $SOCAT_SOCKPORT'";
    let (_live, url) = serve(&["listen", "tcp:0", "--exec", script]);
    let port = url.rsplit(':').next().unwrap();
    socat(&format!("TCP:{}", place(&url))).hears(&format!("127.0.0.1 {port}"));
}

#[test]
fn a_server_of_tcp_is_spoken_with() {
    let server = Peer::start("socat", echo_at("TCP-LISTEN:PORT,bind=127.0.0.1,fork"));
    let url = format!("tcp:{}", server.port);
    let (_relay, relay) = serve(&["relay", "tcp:0", &url]);
    for url in [url, relay] {
        let mut connect = Talk::connect(&url);
        connect.say("ahoy").hears("ahoy");
        assert_eq!(connect.end().well(), "");
    }
}

#[test]
fn a_server_of_unix_sockets_is_spoken_with() {
    // The port beside it says when it is there.
    let server = Peer::start("socat", |port, dir| {
        let script = format!(
            "socat UNIX-LISTEN:{0}/echo.sock,fork PIPE & \
             until [ -S {0}/echo.sock ]; do :; done; \
             exec socat TCP-LISTEN:{port},bind=127.0.0.1,fork UNIX-CONNECT:{0}/echo.sock",
            dir.display()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command
    });
    let url = format!("unix:{}/echo.sock", server.dir().display());
    let (_relay, relay) = serve(&["relay", "tcp:0", &url]);
    for url in [url, relay] {
        let mut connect = Talk::connect(&url);
        connect.say("ahoy").hears("ahoy");
        assert_eq!(connect.end().well(), "");
    }
}

#[test]
fn a_server_of_tls_is_spoken_with() {
    let (ca, home) = (Authority::root("Interop Root"), tempfile::tempdir().unwrap());
    let Files { chain, key, .. } = ca.issue("localhost").write(home.path());
    let listen = format!("OPENSSL-LISTEN:PORT,bind=127.0.0.1,fork,verify=0,cert={chain},key={key}");
    let server = Peer::start("socat", echo_at(&listen));
    let url = format!("tls://localhost:{} -4 --cacert {}", server.port, ca.file());
    let mut connect = Talk::connect(&url);
    connect.say("ahoy").hears("ahoy");
    assert_eq!(connect.end().well(), "");
}

#[test]
fn a_server_of_datagrams_is_spoken_with() {
    let server = Peer::start_udp("socat", echo_at("UDP-RECVFROM:PORT,bind=127.0.0.1,fork"));
    let url = format!("udp:{}", server.port);
    Talk::connect(&url).say("one").hears("one").say("two").hears("two");
    let (_relay, relay) = serve(&["relay", "udp:0", &url]);
    socat(&format!("UDP:{}", place(&relay))).say("one").hears("one").say("two").hears("two");
}

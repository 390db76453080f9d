//! Python at the other end, as its documentation and the usual tutorials write servers and clients.

use std::process::Command;

use crate::peer::{Peer, spawn};
use crate::support::{Live, serve};
use crate::talk::Talk;

/// The script of this name beside this file.
fn script(name: &str) -> Command {
    let path = format!("{}/tests/interop/python/{name}.py", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.arg(path).env("PYTHONUTF8", "1");
    command
}

fn server(name: &str) -> Peer {
    Peer::that_prints_its_port(script(name))
}

/// What a client of the server at `url` prints before it ends well.
#[track_caller]
fn client(name: &str, url: &str) -> String {
    let mut command = script(name);
    command.arg(url.rsplit(':').next().unwrap()).stdout(std::process::Stdio::piped());
    let output = spawn(&mut command, "python3").wait_with_output().unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server of TCP as it is, and behind a relay: the URLs.
fn plain_and_relayed(peer: &Peer) -> (Live, [String; 2]) {
    let url = format!("tcp:{}", peer.port);
    let (relay, relayed) = serve(&["relay", "tcp:0", &url]);
    (relay, [url, relayed])
}

/// Ours that do as the servers of the tutorials, directly and behind a relay.
fn ours(service: &[&str]) -> (Vec<Live>, [String; 2]) {
    let (listen, url) = serve(&[&["listen", "tcp:0"], service].concat());
    let (relay, relayed) = serve(&["relay", "tcp:0", &url]);
    (vec![listen, relay], [url, relayed])
}

#[test]
fn a_server_greets_and_echoes_until_exit() {
    let server = server("greeting_server");
    let (_relay, urls) = plain_and_relayed(&server);
    for url in urls {
        let mut connect = Talk::connect(&url);
        connect.hears_start("Welcome, 127.0.0.1:");
        connect.say("ahoy").hears("ahoy").say("Grüße").hears("Grüße");
        connect.say("exit").hears("Goodbye");
        assert_eq!(connect.end_by_itself().well(), "");
    }
}

#[test]
fn servers_of_every_model_echo() {
    for name in ["selectors_server", "asyncio_server"] {
        let server = server(name);
        let (_relay, urls) = plain_and_relayed(&server);
        for url in urls {
            Talk::connect(&url).say("ahoy").hears("ahoy");
        }
    }
}

#[test]
fn a_threaded_server_serves_several_at_once() {
    let server = server("threaded_server");
    let (_relay, urls) = plain_and_relayed(&server);
    let mut talks: Vec<_> = urls.iter().chain(&urls).map(|url| Talk::connect(url)).collect();
    for round in 1..=2 {
        for talk in &mut talks {
            talk.say(&format!("round {round}")).hears_start("Thread-");
        }
    }
    for mut talk in talks {
        assert_eq!(talk.end().well(), "");
    }
}

#[test]
fn a_server_of_datagrams_answers() {
    let server = server("udp_server");
    let url = format!("udp:{}", server.port);
    Talk::connect(&url).say("one").hears("ONE").say("two").hears("TWO");
    let (_relay, relayed) = serve(&["relay", "udp:0", &url]);
    assert_eq!(client("udp_client", &relayed), "ONE\nTWO\nTHREE\n");
}

#[test]
fn a_client_is_greeted_and_echoed_until_exit() {
    let script = "sh -c 'echo Welcome, $PORTOLAN_PEER_ADDR; \
                  while read line && [ \"$line\" != exit ]; do echo \"$line\"; done; echo Goodbye'";
    let (_lives, urls) = ours(&["--exec", script]);
    for url in urls {
        let said = client("greeting_client", &url);
        assert_eq!(said, "Welcome, 127.0.0.1\nahoy\nGrüße\nGoodbye\nclosed\n");
    }
}

#[test]
fn clients_are_echoed_in_every_model() {
    for model in ["async", "threads", "event-loop"] {
        let (_lives, urls) = ours(&["--echo", "--model", model]);
        for url in urls {
            assert_eq!(client("echo_client", &url), "Received b'Hello, world'\n", "{model}");
            assert_eq!(
                client("asyncio_client", &url),
                "Send: 'Hello World!'\nReceived: 'Hello World!'\nClose the connection\n",
                "{model}"
            );
        }
    }
}

#[test]
fn a_client_of_datagrams_is_echoed() {
    let (_live, url) = serve(&["listen", "udp:0", "--echo"]);
    assert_eq!(client("udp_client", &url), "one\ntwo\nthree\n");
}

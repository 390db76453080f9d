//! `listen` as the command does it: with each of its models.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]
#![expect(clippy::disallowed_types, reason = "clients here are bare sockets")]

#[expect(dead_code, reason = "these tests need no peers but their own sockets")]
mod support;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use portolan::net::now;
use rustix::process::Signal;
use support::{Live, Portolan, run};

const MODELS: [&str; 3] = ["async", "threads", "event-loop"];

/// A server that listens, and where.
fn listen(flags: &[&str]) -> (Live, String) {
    let mut live = Portolan::new().start(&[&["listen", "tcp:0"], flags].concat());
    let line = live.line();
    let address = line.strip_prefix("listening on tcp://").unwrap_or_else(|| panic!("{line}"));
    (live, address.to_owned())
}

#[test]
fn every_model_echoes_to_several_peers_at_once() {
    for model in MODELS {
        for workers in ["1", "3"] {
            let (_live, address) = listen(&["--echo", "--model", model, "--workers", workers]);
            let mut peers: Vec<_> = (0..8).map(|_| TcpStream::connect(&address).unwrap()).collect();
            for (number, peer) in peers.iter_mut().enumerate() {
                write!(peer, "ahoy {number}").unwrap();
            }
            for (number, peer) in peers.into_iter().enumerate() {
                peer.shutdown(Shutdown::Write).unwrap();
                assert_eq!(io::read_to_string(peer).unwrap(), format!("ahoy {number}"));
            }
        }
    }
}

#[test]
fn every_model_drains_idle_peers_at_once() {
    for model in MODELS {
        let (mut live, address) = listen(&["--echo", "--model", model, "--workers", "2"]);
        let mut peers: Vec<_> = (0..8).map(|_| TcpStream::connect(&address).unwrap()).collect();
        for peer in &mut peers {
            peer.write_all(b"ahoy").unwrap();
            peer.read_exact(&mut [0; 4]).unwrap();
        }
        let started = now();
        live.signal(Signal::TERM);
        assert_eq!(live.end().code, Some(0), "{model}");
        // Those that are at work have 5 s.
        assert!(now() - started < Duration::from_secs(5), "{model}: {:?}", now() - started);
        for mut peer in peers {
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "{model}");
        }
    }
}

#[test]
fn several_workers_cannot_share_a_unix_socket() {
    let url = "unix:@portolan-listen-workers";
    run(&["listen", url, "--echo", "--workers", "2"]).refused(&["--workers", "unix:", "tcp"]);
}

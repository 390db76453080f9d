//! Faults on demand in `relay` and in `listen`: what each does, and that the same seed does it again.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]
#![expect(clippy::disallowed_types, reason = "clients here are bare sockets")]

#[expect(dead_code, reason = "these tests need no peers but an echo")]
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::time::Duration;

use portolan::net::now;
use support::{Live, Servers, dial, echo, run, serve};

const STREAMS: [Via; 2] = [Via::Listen("tcp"), Via::Relay("tcp")];
const DATAGRAMS: [Via; 2] = [Via::Listen("udp"), Via::Relay("udp")];

/// An echo that is reached with faults on the way, and the scheme by which.
#[derive(Clone, Copy, Debug)]
enum Via {
    /// It has the faults itself.
    Listen(&'static str),
    /// A relay in front of it has them.
    Relay(&'static str),
}

/// What keeps an echo going, and its URL.
struct Echo {
    _live: Live,
    _target: Option<Servers>,
    url: String,
}

impl Via {
    fn echo(self, flags: &[&str]) -> Echo {
        let (verb, target) = match self {
            Self::Listen(_) => ("listen", None),
            Self::Relay(scheme) => ("relay", Some(Servers::only(&[scheme]))),
        };
        let (Self::Listen(scheme) | Self::Relay(scheme)) = self;
        let to = target.as_ref().map_or_else(|| "--echo".to_owned(), |it| it.url(scheme));
        let from = format!("{scheme}:0");
        let (live, url) = serve(&[&[verb, &from, &to], flags].concat());
        Echo { _live: live, _target: target, url }
    }

    /// What comes back of `said` from a server of its own with this fault.
    fn echoed(self, said: &[u8], fault: &str, seed: &str) -> Vec<u8> {
        let server = self.echo(&["--fault", fault, "--seed", seed]);
        echo(&server.url, said).unwrap()
    }

    /// The numbers that come back of a hundred datagrams.
    fn numbers(self, fault: &str, seed: &str) -> Vec<u8> {
        let server = self.echo(&["--fault", fault, "--seed", seed]);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.url.strip_prefix("udp://").unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // Marks follow, of which enough get through.
        for number in (0..100).chain([END; 40]) {
            client.send(&[number]).unwrap();
        }
        let mut numbers = Vec::new();
        let mut ends = 0;
        while ends < 5 {
            let mut number = [0];
            assert_eq!(client.recv(&mut number).unwrap(), 1);
            match number {
                [END] => ends += 1,
                [number] => numbers.push(number),
            }
        }
        numbers
    }
}

/// The mark after all numbers.
const END: u8 = 255;

#[test]
fn latency_delays() {
    for via in STREAMS {
        let server = via.echo(&["--fault", "latency=150ms"]);
        let started = now();
        assert_eq!(echo(&server.url, b"ahoy").unwrap(), b"ahoy", "{via:?}");
        let elapsed = (now() - started).as_millis();
        assert!((150..20_000).contains(&elapsed), "{via:?}: {elapsed} ms");
    }
}

#[test]
fn bandwidth_is_bounded() {
    for via in STREAMS {
        let server = via.echo(&["--fault", "bandwidth=200KB/s"]);
        let said = vec![b'x'; 100_000];
        let started = now();
        assert!(echo(&server.url, &said).unwrap() == said, "{via:?}");
        let elapsed = (now() - started).as_millis();
        assert!((400..20_000).contains(&elapsed), "{via:?}: {elapsed} ms");
    }
}

#[test]
fn a_cut_ends_in_order_or_by_a_reset() {
    for via in STREAMS {
        let server = via.echo(&["--fault", "cut=10KiB", "--fault", "conn=2: cut=10KiB,reset"]);
        // Both fit the buffers on the way, so that writing does not fail.
        let said = [7; 20 << 10];
        let mut heard = Vec::new();
        let mut stream = dial(&server.url);
        stream.write_all(&said).unwrap();
        let _ = stream.read_to_end(&mut heard);
        assert_eq!(heard.len(), 10 << 10, "{via:?}");

        let mut stream = dial(&server.url);
        stream.write_all(&said).unwrap();
        let end = stream.read_to_end(&mut heard).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset, "{via:?}");
    }
}

#[test]
fn corruption_follows_from_the_seed() {
    let said = [0; 100_000];
    for via in STREAMS {
        let seventh = via.echoed(&said, "corrupt=1/100", "7");
        assert_eq!(seventh.len(), said.len(), "{via:?}");
        let flipped = seventh.iter().filter(|byte| **byte != 0).count();
        assert!((500..2000).contains(&flipped), "{via:?}: {flipped} bytes");
        assert!(seventh == via.echoed(&said, "corrupt=1/100", "7"), "{via:?}");
        assert!(seventh != via.echoed(&said, "corrupt=1/100", "8"), "{via:?}");
    }
}

#[test]
fn loss_follows_from_the_seed() {
    for via in DATAGRAMS {
        let seventh = via.numbers("loss=30%", "7");
        assert!((50..=90).contains(&seventh.len()), "{via:?}: {seventh:?}");
        assert!(seventh.is_sorted_by(|one, next| one < next), "{via:?}: {seventh:?}");
        assert_eq!(seventh, via.numbers("loss=30%", "7"), "{via:?}");
        assert_ne!(seventh, via.numbers("loss=30%", "8"), "{via:?}");
    }
}

#[test]
fn duplication_follows_from_the_seed() {
    for via in DATAGRAMS {
        let seventh = via.numbers("duplicate=30%", "7");
        assert!((110..=150).contains(&seventh.len()), "{via:?}: {seventh:?}");
        let mut once = seventh.clone();
        once.dedup();
        assert_eq!(once, (0..100).collect::<Vec<_>>(), "{via:?}: {seventh:?}");
        assert_eq!(seventh, via.numbers("duplicate=30%", "7"), "{via:?}");
    }
}

#[test]
fn reordering_follows_from_the_seed() {
    for via in DATAGRAMS {
        let seventh = via.numbers("reorder=30%", "7");
        let mut sorted = seventh.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>(), "{via:?}");
        assert_ne!(seventh, sorted, "{via:?}");
        // Without a next one in time it goes on alone: where the machine halts, but not each time.
        let agree = || via.numbers("reorder=30%", "7") == via.numbers("reorder=30%", "7");
        assert!((0..3).any(|_| agree()), "{via:?}");
    }
}

#[test]
fn a_share_of_the_connections_is_reset() {
    for via in STREAMS {
        let outcomes = || {
            let server = via.echo(&["--fault", "30%: reset", "--seed", "7"]);
            (0..20).map(|_| echo(&server.url, b"ahoy").is_ok()).collect::<Vec<_>>()
        };
        let once = outcomes();
        assert!(once.contains(&true) && once.contains(&false), "{via:?}: {once:?}");
        assert_eq!(once, outcomes(), "{via:?}");
    }
}

#[test]
fn faults_that_do_not_fit_are_refused() {
    let refused = |from: &str, fault: &str, words: &[&str]| {
        for verb in [&["listen", from, "--echo"][..], &["relay", from, "tcp:1"]] {
            let words = [&["--fault", fault], words].concat();
            run(&[verb, &["--fault", fault]].concat()).refused(&words);
        }
    };
    refused("tcp:0", "loss=5%", &["datagrams"]);
    refused("udp:0", "cut=10KiB", &["streams"]);
    refused("tcp:0", "tcp: reset", &["the lab"]);
    refused("tcp:0", "GET /: reply=503", &["event"]);
    refused("tcp:0", "latency=soon", &["'soon'", "250ms"]);
}

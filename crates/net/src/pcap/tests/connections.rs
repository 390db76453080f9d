//! What connections and datagrams look like.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use portolan_core::{Endpoint, Transport};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{Datagram, blocking, fault};

/// A connection that says `ping` and `pong`, closed by us after the peer has closed.
async fn converse(dialled: Connection, accepted: Connection) {
    let (mut near, mut far) = (dialled.stream, accepted.stream);
    near.write_all(b"ping").await.unwrap();
    far.read_exact(&mut [0; 4]).await.unwrap();
    far.write_all(b"pong").await.unwrap();
    far.shutdown().await.unwrap();
    near.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_dialled_connection() {
    for address in ["tcp://127.0.0.1:0", "tcp://[::1]:0"] {
        let (file, capture) = memory();
        let listener = Listener::bind(&url(address)).await.unwrap();
        let dialer = Dialer::new().with_capture(capture.clone());
        let (dialled, accepted) = connect(&dialer, &listener).await;
        let ends = (dialled.info.local.unwrap(), dialled.info.remote.unwrap());
        converse(dialled, accepted).await;
        capture.finish().await.unwrap();
        let packets = file.packets();
        assert_eq!(story(&packets), ">S <S > >ping <pong <F > >F <");
        assert_eq!((packets[0].from, packets[0].to), ends);
        assert_eq!((packets[1].to, packets[1].from), ends);
        assert_eq!(reassembled(&packets), [b"ping", b"pong"]);
    }
}

#[tokio::test]
async fn an_accepted_connection() {
    let (file, capture) = memory();
    let listener = Listener::bind(&url("tcp:0")).await.unwrap().with_capture(capture.clone());
    let (dialled, accepted) = connect(&Dialer::new(), &listener).await;
    let ends = (dialled.info.local.unwrap(), dialled.info.remote.unwrap());
    converse(dialled, accepted).await;
    capture.finish().await.unwrap();
    let packets = file.packets();
    assert_eq!(story(&packets), "<S >S < <ping >pong >F <");
    assert_eq!((packets[0].from, packets[0].to), ends);
    assert_eq!(reassembled(&packets), [b"ping", b"pong"]);
}

#[tokio::test]
async fn an_ipv4_peer_of_a_socket_for_both_versions() {
    let (file, capture) = memory();
    let listener = Listener::bind(&url("tcp://[::]:0")).await.unwrap();
    let listener = listener.with_capture(capture.clone());
    let at = format!("tcp://127.0.0.1:{}", listener.local_url().port());
    let cx = context();
    let (dialer, at) = (Dialer::new(), url(&at));
    let (dialled, _accepted) = tokio::join!(dialer.dial_url(&at, &cx), listener.accept());
    let info = dialled.unwrap().info;
    capture.finish().await.unwrap();
    let packets = file.packets();
    assert_eq!((packets[0].from, packets[0].to), (info.local.unwrap(), info.remote.unwrap()));
}

#[test]
fn blocking_streams() {
    let (file, capture) = memory();
    let listener = blocking::bind(&url("tcp:0")).unwrap().with_capture(capture.clone());
    let at = listener.local_url();
    let (stop, stopped) = mpsc::channel::<()>();
    let echo = |peer: blocking::Connection, _: Context| blocking::echo(peer.stream).map(drop);
    let shutdown = move || stopped.recv().unwrap_or_default();
    let server = thread::spawn(move || blocking::serve(listener, echo, shutdown));
    let dialer = Dialer::new().with_capture(capture.clone());
    let mut client = blocking::dial(&dialer, &at, &context()).unwrap().stream;
    let buffers = [io::IoSlice::new(b""), io::IoSlice::new(b"ping")];
    assert_eq!(client.write_vectored(&buffers).unwrap(), 4);
    client.shutdown().unwrap();
    assert_eq!(io::read_to_string(&mut client).unwrap(), "ping");
    drop((client, stop));
    server.join().unwrap().unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        capture.finish().await.unwrap();
    });
    let packets = file.packets();
    let is_dialled = |packet: &Packet| packet.is_sent == (packet.to.port() == at.port());
    let (dialled, accepted): (Vec<_>, Vec<_>) = packets.into_iter().partition(is_dialled);
    assert_eq!(story(&dialled), ">S <S > >ping >F < <ping <F >");
    assert_eq!(story(&accepted), "<S >S < <ping >ping <F > >F <");
    assert_eq!(reassembled(&accepted), [b"ping", b"ping"]);
}

#[tokio::test]
async fn a_unix_socket_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (file, capture) = memory();
    let at = url(&format!("unix:{}", dir.path().join("sock").display()));
    let listener = Listener::bind(&at).await.unwrap().with_capture(capture.clone());
    let dialer = Dialer::new().with_capture(capture.clone());
    let (dialled, accepted) = connect(&dialer, &listener).await;
    converse(dialled, accepted).await;
    capture.finish().await.unwrap();
    let packets = file.packets();
    let clients: Vec<_> = packets.iter().filter_map(|packet| packet.comment.as_ref()).collect();
    assert_eq!(clients.len(), 2);
    for comment in clients {
        assert!(comment.starts_with(&at.to_string()), "{comment}");
    }
    // The two ends are two connections of one capture, and not mixed up.
    let (dialled, accepted): (Vec<_>, Vec<_>) = {
        let opener = packets[0].from;
        packets.into_iter().partition(|packet| packet.from == opener || packet.to == opener)
    };
    for packets in [dialled, accepted] {
        assert_eq!(reassembled(&packets), [b"ping", b"pong"]);
    }
}

#[tokio::test]
async fn resets_from_either_end() {
    let (file, capture) = memory();
    let listener = Listener::bind(&url("tcp:0")).await.unwrap();
    let dialer = Dialer::new().with_capture(capture.clone());
    let (dialled, _accepted) = connect(&dialer, &listener).await;
    dialled.stream.abort();
    let (mut dialled, accepted) = connect(&dialer, &listener).await;
    accepted.stream.abort();
    dialled.stream.read_u8().await.unwrap_err();
    drop(dialled);
    capture.finish().await.unwrap();
    assert_eq!(story(&file.packets()), ">S <S > >R >S <S > <R");
}

#[tokio::test]
async fn a_fault_shows_as_it_passed_the_socket() {
    let (file, capture) = memory();
    let plan = fault::Plan::new(vec!["cut=2".parse().unwrap()], 0);
    let listener = Listener::bind(&url("tcp:0")).await.unwrap().with_faults(plan).unwrap();
    let listener = listener.with_capture(capture.clone());
    let (mut dialled, mut accepted) = connect(&Dialer::new(), &listener).await;
    accepted.stream.write_all(b"pong").await.unwrap_err();
    accepted.stream.flush().await.unwrap();
    let mut seen = Vec::new();
    dialled.stream.read_to_end(&mut seen).await.unwrap();
    capture.finish().await.unwrap();
    assert_eq!(seen, b"po");
    assert_eq!(story(&file.packets()), "<S >S < >po >F <");
}

#[tokio::test]
async fn datagrams_over_ip() {
    for place in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        let (file, capture) = memory();
        let any: SocketAddr = place.parse().unwrap();
        let any = Endpoint::from(any).with_transport(Transport::Udp);
        let server = Datagram::bind(&any).await.unwrap().with_capture(capture.clone());
        let mut at: SocketAddr = place.parse().unwrap();
        at.set_port(server.local_endpoint().unwrap().port);
        if at.ip().is_unspecified() {
            at.set_ip([127, 0, 0, 1].into());
        }
        let client = Dialer::new().with_capture(capture.clone()).datagram(at).await.unwrap();
        client.send(b"ping").await.unwrap();
        let mut buffer = [0; 16];
        let (_, peer) = server.receive_from(&mut buffer).await.unwrap();
        server.send_to(b"", &peer).await.unwrap();
        client.receive(&mut buffer).await.unwrap();
        capture.finish().await.unwrap();
        let packets = file.packets();
        let seen = |packet: &Packet| (packet.is_sent, packet.from == at, packet.payload.clone());
        assert_eq!(
            packets.iter().map(seen).collect::<Vec<_>>(),
            [
                (true, false, b"ping".to_vec()),
                (false, false, b"ping".to_vec()),
                (true, true, Vec::new()),
                (false, true, Vec::new()),
            ]
        );
        let from = packets[0].from;
        assert!(packets.iter().all(|packet| [packet.from, packet.to].contains(&from)));
    }
}

#[tokio::test]
async fn datagrams_of_unix_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (file, capture) = memory();
    let place =
        |name| Endpoint::unix(dir.path().join(name)).with_transport(Transport::UnixDatagram);
    let [server, client] = [place("server"), place("client")];
    let served = Datagram::bind(&server).await.unwrap();
    let dialled = Datagram::bind(&client).await.unwrap().with_capture(capture.clone());
    let large = vec![7; 100_000];
    dialled.send_to(&large, &server).await.unwrap();
    served.send_to(b"pong", &client).await.unwrap();
    dialled.receive_from(&mut [0; 16]).await.unwrap();
    capture.finish().await.unwrap();
    let packets = file.packets();
    let comments: Vec<_> = packets.iter().map(|packet| packet.comment.clone().unwrap()).collect();
    assert!(comments[0].starts_with(&format!("to {server}")), "{comments:?}");
    assert!(comments[0].ends_with("of 100000 bytes, 65507 are shown"), "{comments:?}");
    assert!(comments[1].starts_with(&format!("from {server}")), "{comments:?}");
    assert_eq!((packets[0].payload.len(), &packets[1].payload[..]), (65_507, &b"pong"[..]));
}

/// One step of a conversation: who speaks, and how much.
fn steps() -> impl Strategy<Value = Vec<(bool, usize)>> {
    let size = prop_oneof![1..200_usize, 60_000..140_000_usize];
    proptest::collection::vec((any::<bool>(), size), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn streams_reassemble(steps in steps(), is_reset in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (file, said) = runtime.block_on(async {
            let (file, capture) = memory();
            let (mut near, mut far) = tapped(&capture, 70_000);
            let mut said = [Vec::new(), Vec::new()];
            for (index, (is_ours, size)) in steps.into_iter().enumerate() {
                let bytes: Vec<u8> = (index..).map(|byte| byte as u8).take(size).collect();
                let mut heard = vec![0; size];
                if is_ours {
                    let _ = tokio::join!(near.write_all(&bytes), far.read_exact(&mut heard));
                } else {
                    let _ = tokio::join!(far.write_all(&bytes), near.read_exact(&mut heard));
                }
                assert_eq!(heard, bytes);
                said[usize::from(!is_ours)].extend(bytes);
            }
            if is_reset {
                near.abort();
            } else {
                near.shutdown().await.unwrap();
            }
            capture.finish().await.unwrap();
            (file, said)
        });
        let packets = file.packets();
        prop_assert_eq!(reassembled(&packets), said);
        let last = packets.last().unwrap().tcp.unwrap().flags;
        prop_assert_eq!(last & RST != 0, is_reset);
    }
}

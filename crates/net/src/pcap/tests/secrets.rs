//! The secrets of TLS: in the file before they are needed.

use portolan_core::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::read::Item;
use super::*;
use crate::fault;
use crate::tls::{Identity, Server, Tls, Version};

/// Both ends of TLS for 127.0.0.1, of this version.
fn tls(version: Version) -> (Tls, Server) {
    let minted = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = minted.signing_key.serialize_pem();
    let identity = Identity::from_pem(minted.cert.pem().as_bytes(), key.as_bytes()).unwrap();
    let client = Tls::new().with_ca([minted.cert.der().to_vec()]).unwrap();
    let client = client.with_versions(version, version).unwrap();
    (client, Server::new(identity))
}

/// The secrets stand before the first packet of the server's handshake, and are those of the
/// client's; in between, nothing has gone amiss.
#[track_caller]
fn are_in_time(items: &[Item], version: Version) {
    let is_handshake = |packet: &Packet, kind| {
        packet.payload.first() == Some(&0x16) && packet.payload.get(5) == Some(&kind)
    };
    let position = |is: &dyn Fn(&Item) -> bool| items.iter().position(is).unwrap();
    let client_hello = position(&|it| matches!(it, Item::Packet(it) if is_handshake(it, 1)));
    let server_hello = position(&|it| matches!(it, Item::Packet(it) if is_handshake(it, 2)));
    let secrets = position(&|it| matches!(it, Item::Secrets(_)));
    assert!(secrets < server_hello, "{secrets}, {client_hello}, {server_hello}");
    let (Item::Packet(hello), Item::Secrets(secrets)) = (&items[client_hello], &items[secrets])
    else {
        panic!("{items:?}");
    };
    let random: String = hello.payload[11..43].iter().map(|byte| format!("{byte:02x}")).collect();
    let labels: Vec<_> = secrets.lines().map(|line| line.split(' ').next().unwrap()).collect();
    match version {
        Version::Tls12 => assert_eq!(labels, ["CLIENT_RANDOM"]),
        Version::Tls13 => {
            for label in ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"] {
                assert!(labels.contains(&label), "{labels:?}");
            }
        }
    }
    assert!(secrets.lines().all(|line| line.split(' ').nth(1) == Some(&random)), "{secrets}");
}

async fn listen(url: &str) -> Listener {
    Listener::bind(&super::url(url)).await.unwrap()
}

async fn greet(dialled: Connection, accepted: Connection) {
    let (mut near, mut far) = (dialled.stream, accepted.stream);
    far.write_all(b"ahoy").await.unwrap();
    far.flush().await.unwrap();
    near.read_exact(&mut [0; 4]).await.unwrap();
}

#[tokio::test]
async fn of_both_ends_and_versions() {
    for version in [Version::Tls12, Version::Tls13] {
        let (client, server) = tls(version);
        let listener = listen("tls://127.0.0.1:0").await.with_tls(server);
        let dialer = Dialer::new().with_tls(client);
        let (file, capture) = memory();
        let (dialled, accepted) =
            connect(&dialer.clone().with_capture(capture.clone()), &listener).await;
        greet(dialled, accepted).await;
        capture.finish().await.unwrap();
        are_in_time(&file.items(), version);

        let (file, capture) = memory();
        // A fault, so that TLS does not run on the very stream that is captured.
        let plan = fault::Plan::new(vec!["latency=1ms".parse().unwrap()], 0);
        let listener = listener.with_capture(capture.clone()).with_faults(plan).unwrap();
        let (dialled, accepted) = connect(&dialer, &listener).await;
        greet(dialled, accepted).await;
        capture.finish().await.unwrap();
        are_in_time(&file.items(), version);
    }
}

#[tokio::test]
async fn of_tls_that_begins_later() {
    let (client, server) = tls(Version::Tls13);
    let listener = listen("tcp:0").await;
    let (file, capture) = memory();
    let dialer = Dialer::new().with_capture(capture.clone());
    let (mut dialled, mut accepted) = connect(&dialer, &listener).await;
    dialled.stream.write_all(b"STARTTLS").await.unwrap();
    accepted.stream.read_exact(&mut [0; 8]).await.unwrap();
    let (host, cx) = (Host::parse("127.0.0.1").unwrap(), context());
    let (near, far) = tokio::join!(
        client.connect(dialled.stream, &host, &cx),
        server.accept(accepted.stream, &cx)
    );
    let (_near, _far) = (near.unwrap(), far.unwrap());
    capture.finish().await.unwrap();
    let items = file.items();
    are_in_time(&items, Version::Tls13);
    assert!(matches!(&items[3], Item::Packet(packet) if packet.payload == b"STARTTLS"));
}

#[tokio::test]
async fn of_tls_within_tls() {
    let (client, server) = tls(Version::Tls13);
    let listener = listen("tls://127.0.0.1:0").await.with_tls(server.clone());
    let (file, capture) = memory();
    let dialer = Dialer::new().with_tls(client.clone()).with_capture(capture.clone());
    let (dialled, accepted) = connect(&dialer, &listener).await;
    let (host, cx) = (Host::parse("127.0.0.1").unwrap(), context());
    let (near, far) = tokio::join!(
        client.connect(dialled.stream, &host, &cx),
        server.accept(accepted.stream, &cx)
    );
    let (_near, _far) = (near.unwrap(), far.unwrap());
    capture.finish().await.unwrap();
    let items = file.items();
    are_in_time(&items, Version::Tls13);
    let inner = items.iter().rposition(|item| matches!(item, Item::Secrets(_))).unwrap();
    assert_ne!(inner, items.iter().position(|item| matches!(item, Item::Secrets(_))).unwrap());
    // All of the handshake within follows its secrets: a hello each way, and what ends it.
    let says = |item: &Item| matches!(item, Item::Packet(packet) if !packet.payload.is_empty());
    assert!(items[inner..].iter().filter(|item| says(item)).count() >= 3);
}

#[tokio::test]
async fn of_a_handshake_that_fails() {
    let (_, server) = tls(Version::Tls13);
    let (client, _) = tls(Version::Tls13);
    let listener = listen("tls://127.0.0.1:0").await.with_tls(server);
    let (file, capture) = memory();
    let dialer = Dialer::new().with_tls(client).with_capture(capture.clone());
    let (url, cx) = (listener.local_url(), context());
    let accepted = async { listener.accept().await.establish(&context()).await };
    let (dialled, accepted) = tokio::join!(dialer.dial_url(&url, &cx), accepted);
    assert!(dialled.is_err() && accepted.is_err());
    capture.finish().await.unwrap();
    are_in_time(&file.items(), Version::Tls13);
}

#[tokio::test]
async fn are_left_out_where_they_are_not_wanted() {
    let (client, server) = tls(Version::Tls13);
    let listener = listen("tls://127.0.0.1:0").await.with_tls(server);
    let file = Memory::default();
    let capture = Capture::builder().without_secrets().write_to(file.clone(), "memory").unwrap();
    let dialer = Dialer::new().with_tls(client).with_capture(capture.clone());
    let (dialled, accepted) = connect(&dialer, &listener.with_capture(capture.clone())).await;
    greet(dialled, accepted).await;
    capture.finish().await.unwrap();
    assert!(file.items().iter().all(|item| matches!(item, Item::Packet(_))));
}

#[tokio::test]
async fn what_is_held_is_bounded() {
    let (file, capture) = memory();
    let (mut near, mut far) = tapped(&capture, 1 << 20);
    let hold = near.tap().and_then(Tap::hold).unwrap();
    far.write_all(&[7; 300 * 1024]).await.unwrap();
    near.read_exact(&mut [0; 300 * 1024]).await.unwrap();
    hold.tap().secret("LABEL 00 00\n");
    capture.finish().await.unwrap();
    assert_eq!(reassembled(&file.packets())[1].len(), 300 * 1024);
    assert!(matches!(file.items().last(), Some(Item::Secrets(line)) if line == "LABEL 00 00\n"));
}

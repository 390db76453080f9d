//! Hostile peers: each ends its own connection, with the right code, and does no harm to others.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

mod common;

use std::future::pending;
use std::time::Duration;

use common::{connect, cx, echo_server, listener, raw_accept, raw_client, raw_server, read_all};
use common::{dial, request};
use flate2::{Compress, Compression, FlushCompress};
use portolan_core::{Error, Kind, Url};
use portolan_net::fault::Plan;
use portolan_net::{Context, Listener, Stream, now};
use portolan_ws::wire::handshake::Agreed;
use portolan_ws::wire::{Decoder, Limits, Received, Role};
use portolan_ws::{
    Close, CloseCode, Config, Deflate, Info, Message, Policy, Room, Server, Violation, WebSocket,
    WsError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

const BRIEF: Duration = Duration::from_millis(100);

/// The payload of a masked frame is sent with a key of zeros: as it is.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Writes `bytes` again and again until the peer takes no more, and gives its close frame.
async fn flood(mut stream: Stream, first: &[u8], bytes: &[u8]) -> Close {
    stream.write_all(first).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        while !bytes.is_empty() && writer.write_all(bytes).await.is_ok() {}
        pending::<()>().await;
    };
    let read = async {
        let mut decoder = Decoder::new(Role::Client, Limits::default());
        let mut bytes = [0; 4096];
        loop {
            match decoder.next().unwrap() {
                Some(Received::Close(close)) => return close,
                Some(_) => {}
                None => match reader.read(&mut bytes).await {
                    Ok(count @ 1..) => decoder.feed(&bytes[..count]),
                    end => panic!("it ended without a close frame: {end:?}"),
                },
            }
        }
    };
    tokio::select! {
        close = read => close,
        () = write => unreachable!(),
    }
}

/// Somebody else who is served at the same time.
async fn is_served(url: &Url) {
    let (mut socket, _) = connect(url, &Config::default()).await.unwrap();
    socket.send("ahoy").await.unwrap();
    assert_eq!(socket.receive().await.unwrap(), Some("ahoy".into()));
    socket.close(CloseCode::NORMAL, "").await.unwrap();
}

/// The violation that ended one of the connections.
async fn violation_of(ends: &mut mpsc::UnboundedReceiver<Result<(), Error>>) -> Violation {
    loop {
        match ends.recv().await {
            Some(Ok(())) => {}
            end => return violation(end),
        }
    }
}

fn violation(end: Option<Result<(), Error>>) -> Violation {
    let error = end.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    match error.find::<WsError>() {
        Some(WsError::Violation(violation)) => *violation,
        cause => panic!("{cause:?}"),
    }
}

#[tokio::test]
async fn a_compressed_bomb_is_too_big() {
    let deflate = Some(Deflate::default());
    let (url, mut ends) = echo_server(Config { deflate, ..Config::default() }).await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut compress = Compress::new(Compression::best(), false);
    let mut bomb = Vec::with_capacity(64 * 1024);
    compress.compress_vec(&vec![0; 17 << 20], &mut bomb, FlushCompress::Sync).unwrap();
    assert!(bomb.len() < 0xffff);

    let (stream, bomb) = (raw_client(&url, offer).await, masked(0xc2, &bomb));
    let (close, ()) = tokio::join!(flood(stream, &bomb, &[]), is_served(&url));
    assert_eq!(close.code.0, 1009);
    assert_eq!(violation_of(&mut ends).await, Violation::Bomb(100));

    // Without a limit of the ratio, that of the size holds.
    let limits = Limits { max_ratio: u32::MAX, ..Limits::default() };
    let (url, mut ends) = echo_server(Config { deflate, limits, ..Config::default() }).await;
    let stream = raw_client(&url, offer).await;
    assert_eq!(flood(stream, &bomb, &[]).await.code.0, 1009);
    assert_eq!(violation_of(&mut ends).await, Violation::MessageTooLarge(16 << 20));
}

#[tokio::test]
async fn an_endless_fragmented_message_is_too_big() {
    let (url, mut ends) = echo_server(Config::default()).await;
    let stream = raw_client(&url, "").await;
    let (first, more) = (masked(1, b"a"), masked(0, &[b'a'; 60_000]));
    let (close, ()) = tokio::join!(flood(stream, &first, &more), is_served(&url));
    assert_eq!(close.code.0, 1009);
    assert_eq!(violation_of(&mut ends).await, Violation::MessageTooLarge(16 << 20));
}

#[tokio::test]
async fn control_frames_without_end_are_against_the_policy() {
    let (url, mut ends) = echo_server(Config::default()).await;
    for first in [0x89, 0x8a] {
        let stream = raw_client(&url, "").await;
        let many = masked(first, b"").repeat(20_000);
        let (close, ()) = tokio::join!(flood(stream, &[], &many), is_served(&url));
        assert_eq!(close.code.0, 1008);
        assert!(matches!(violation_of(&mut ends).await, Violation::Flood(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_are_no_excuse_for_a_flood_of_pings() {
    let (url, mut ends) = echo_server(Config::default()).await;
    let (mut reader, mut writer) = tokio::io::split(raw_client(&url, "").await);
    // After each the server is waited for: it has read all that there is.
    let (many, last) = (masked(0x89, b"").repeat(999), masked(0x89, b"last"));
    let mut pings = async |pause: Duration| {
        for _ in 0..30 {
            writer.write_all(&[&many[..], &last].concat()).await.ok()?;
            let mut head = [0; 2];
            loop {
                reader.read_exact(&mut head).await.ok()?;
                let mut payload = vec![0; usize::from(head[1])];
                reader.read_exact(&mut payload).await.ok()?;
                match (head[0], &payload[..]) {
                    (0x8a, b"last") => break,
                    (0x8a, _) => {}
                    _ => return None,
                }
            }
            tokio::time::sleep(pause).await;
        }
        Some(())
    };
    assert_eq!(pings(Duration::from_millis(150)).await, Some(()));
    assert_eq!(pings(Duration::from_millis(10)).await, None);
    assert!(matches!(violation_of(&mut ends).await, Violation::Flood(_)));
}

#[tokio::test]
async fn a_masked_frame_of_a_server_breaks_the_protocol() {
    let (sender, mut closes) = mpsc::unbounded_channel();
    let url = raw_server(move |mut stream: Stream| async move {
        raw_accept(&mut stream, "").await;
        let bytes = masked(0x81, b"Hello");
        stream.write_all(&bytes).await.unwrap();
        sender.send(read_all(&mut stream).await).unwrap();
    });
    let (mut socket, _) = connect(&url.await, &Config::default()).await.unwrap();
    let error = socket.receive().await.unwrap_err();
    assert_eq!(violation(Some(Err(error))), Violation::Masked);
    let mut decoder = Decoder::new(Role::Server, Limits::default());
    decoder.feed(&closes.recv().await.unwrap());
    assert!(matches!(decoder.next(), Ok(Some(Received::Close(close))) if close.code.0 == 1002));
    assert_eq!(socket.receive().await.unwrap(), None);
}

#[tokio::test]
async fn a_handshake_without_end_has_one() {
    // Long enough for that of somebody else meanwhile.
    let handshake = Duration::from_secs(1);
    let (url, _ends) = echo_server(Config { handshake, ..Config::default() }).await;
    // One byte at a time keeps nobody waiting.
    let mut slow = dial(&url).await;
    let (mut reader, mut writer) = tokio::io::split(&mut slow);
    let drip = async {
        let mut piece = &b"GET /chat HTTP/1.1\r\nX: "[..];
        while writer.write_all(piece).await.is_ok() {
            piece = b"a";
            tokio::task::yield_now().await;
        }
    };
    let mut answer = Vec::new();
    let read = reader.read_to_end(&mut answer);
    let ((), _, ()) = tokio::join!(drip, read, is_served(&url));
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "{answer:?}");

    let mut silent = dial(&url).await;
    assert_eq!(read_all(&mut silent).await, b"");

    let mut endless = dial(&url).await;
    let head = request(&format!("X: {}\r\n", "a".repeat(17 << 10)));
    endless.write_all(head.as_bytes()).await.unwrap();
    let answer = String::from_utf8(read_all(&mut endless).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// A server that sends 60 KB messages for ever; tells how each connection ended.
async fn pouring(config: Config) -> (Url, mpsc::UnboundedReceiver<Error>) {
    let (listener, url): (Listener, Url) = listener().await;
    let (sender, ends) = mpsc::unbounded_channel();
    let handler = move |mut socket: WebSocket, _: Info, _: Context| {
        let sender = sender.clone();
        async move {
            let message = Message::from(vec![7; 60_000]);
            loop {
                if let Err(error) = socket.send(message.clone()).await {
                    let _ = sender.send(error);
                    return Ok(());
                }
            }
        }
    };
    tokio::spawn(Server::new(handler).with_config(config).serve(listener, pending()));
    (url, ends)
}

#[tokio::test]
async fn a_socket_that_nobody_reads_is_given_up() {
    let (url, mut ends) = pouring(Config { stall: Some(BRIEF), ..Config::default() }).await;
    let _unread = raw_client(&url, "").await;
    let error = ends.recv().await.unwrap();
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(format!("{error:#}"), "the peer read nothing for 100 ms");
}

#[tokio::test]
async fn an_echo_that_nobody_reads_is_given_up() {
    let (url, mut ends) = echo_server(Config { stall: Some(BRIEF), ..Config::default() }).await;
    let mut stream = raw_client(&url, "").await;
    let message = masked(0x82, &[7; 60_000]);
    while stream.write_all(&message).await.is_ok() {}
    let error = ends.recv().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    is_served(&url).await;
}

/// Whichever half sees the end first, the other one hears of it, too.
#[tokio::test(start_paused = true)]
async fn both_halves_hear_why_it_ended() {
    let open = |stream: Stream| {
        let (config, agreed) = (Config::default(), Agreed::default());
        WebSocket::new(Role::Client, stream, &[], &config, &agreed, &cx()).split()
    };
    let (unread, _unread) = tokio::io::duplex(1024);
    let (mut sender, mut receiver) = open(Stream::boxed(unread));
    let sending = sender.send(vec![7; 60_000]).await.unwrap_err();
    assert_eq!(format!("{sending:#}"), "the peer read nothing for 30 s");
    assert_eq!(receiver.receive().await.unwrap_err(), sending);
    assert_eq!(receiver.receive().await.unwrap(), None);
    assert_eq!(sender.send("more").await.unwrap_err(), sending);

    let (unread, _unread) = tokio::io::duplex(1024);
    let ended = tokio::io::join(tokio::io::empty(), unread);
    let (mut sender, mut receiver) = open(Stream::boxed(ended));
    let (sent, received) = tokio::join!(sender.send(vec![7; 10_000]), receiver.receive());
    let lost = received.unwrap_err();
    assert_eq!((lost.kind(), sent.unwrap_err()), (Kind::Lost, lost));
}

/// Half a minute without a byte read, not half a minute for the whole.
#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_a_little_is_waited_for() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let (config, agreed) = (Config::default(), Agreed::default());
    let stream = Stream::boxed(ours);
    let mut socket = WebSocket::new(Role::Server, stream, &[], &config, &agreed, &cx());
    let sending = tokio::spawn(async move {
        let sent = socket.send(vec![7; 60_000]).await;
        (sent, now())
    });
    let mut last = now();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(29)).await;
        theirs.read_u8().await.unwrap();
        last = now();
    }
    let (sent, ended) = sending.await.unwrap();
    assert_eq!(format!("{:#}", sent.unwrap_err()), "the peer read nothing for 30 s");
    assert_eq!(ended.duration_since(last).as_secs(), 30);
}

/// A room in which nobody says anything, and how its members end.
async fn room(policy: Policy) -> (Room, Url, mpsc::UnboundedReceiver<(Option<Error>, u64)>) {
    let (listener, url) = listener().await;
    let room = Room::new(16, policy);
    let (sender, ends) = mpsc::unbounded_channel();
    let hall = room.clone();
    let handler = move |socket: WebSocket, _: Info, _: Context| {
        let mut member = hall.join(socket);
        let sender = sender.clone();
        async move {
            let end = loop {
                match member.receive().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            let _ = sender.send((end, member.missed()));
            Ok(())
        }
    };
    tokio::spawn(Server::new(handler).serve(listener, pending()));
    (room, url, ends)
}

#[tokio::test]
async fn a_member_that_is_slow_holds_nobody_up() {
    for policy in [Policy::Drop, Policy::Close] {
        let (room, url, mut ends) = room(policy).await;
        let (mut slow, _) = connect(&url, &Config::default()).await.unwrap();
        let (mut quick, _) = connect(&url, &Config::default()).await.unwrap();
        while room.members() < 2 {
            tokio::task::yield_now().await;
        }
        // More than the buffers of the system hold.
        let payload = Message::from(vec![7; 60_000]);
        for _ in 0..400 {
            room.send(payload.clone());
            assert_eq!(quick.receive().await.unwrap().as_ref(), Some(&payload));
        }
        room.send("last");
        let mut count = 0;
        while slow.receive().await.unwrap().is_some_and(|message| !message.is_text()) {
            count += 1;
        }
        assert!(count < 400);
        match policy {
            Policy::Drop => {
                slow.close(CloseCode::NORMAL, "").await.unwrap();
                let (end, missed) = ends.recv().await.unwrap();
                assert_eq!((end, missed), (None, 400 - count));
            }
            Policy::Close => {
                assert_eq!(slow.closed().unwrap().code, CloseCode::POLICY_VIOLATION);
                let (end, _) = ends.recv().await.unwrap();
                assert_eq!(end.unwrap().find(), Some(&WsError::TooSlow));
            }
        }
    }
}

#[tokio::test]
async fn who_does_not_answer_a_ping_or_a_close_is_left() {
    let config = Config { ping: Some(BRIEF), pong: BRIEF, close: BRIEF, ..Config::default() };
    let (url, mut ends) = echo_server(config.clone()).await;
    let mut silent = raw_client(&url, "").await;
    let error = ends.recv().await.unwrap().unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "lost the connection: the peer answered no ping within 100 ms"
    );
    let bytes = read_all(&mut silent).await;
    assert!(bytes.starts_with(&[0x89, 8]) && bytes[10..].starts_with(&[0x88]), "{bytes:?}");

    let url = raw_server(|mut stream: Stream| async move {
        raw_accept(&mut stream, "").await;
        read_all(&mut stream).await;
    });
    let config = Config { close: BRIEF, ..Config::default() };
    let (mut socket, _) = connect(&url.await, &config).await.unwrap();
    let error = socket.close(CloseCode::NORMAL, "").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn by_default_nobody_is_waited_for_for_ever() {
    let (url, mut ends) = echo_server(Config::default()).await;
    let opened = now();
    let silent = raw_client(&url, "").await;
    let error = ends.recv().await.unwrap().unwrap_err();
    // Who is lost is not waited for once more.
    assert_eq!(now().duration_since(opened).as_secs(), 40);
    assert_eq!(format!("{error:#}"), "lost the connection: the peer answered no ping within 20 s");
    drop(silent);

    // It answers the pings, and begins a message that it never ends.
    let (mut reader, mut writer) = tokio::io::split(raw_client(&url, "").await);
    writer.write_all(&masked(0x01, b"a")).await.unwrap();
    let answer = async {
        let mut ping = [0; 10];
        while reader.read_exact(&mut ping).await.is_ok() && ping[0] == 0x89 {
            writer.write_all(&masked(0x8a, &ping[2..])).await.unwrap();
        }
        ping
    };
    let (last, end) = tokio::join!(answer, ends.recv());
    let error = format!("{:#}", end.unwrap().unwrap_err());
    assert!(error.starts_with("the peer did not finish its message within 2 min"), "{error}");
    assert_eq!((last[0], &last[2..4]), (0x88, &1008u16.to_be_bytes()[..]));
}

#[tokio::test(start_paused = true)]
async fn who_speaks_or_reads_is_alive() {
    let (url, mut ends) = echo_server(Config::default()).await;
    let mut stream = raw_client(&url, "").await;
    for _ in 0..20 {
        // It never answers a ping, but is never silent for long.
        tokio::time::sleep(Duration::from_secs(15)).await;
        stream.write_all(&masked(0x81, b"a")).await.unwrap();
        assert!(ends.is_empty());
    }
    let error = ends.recv().await.unwrap().unwrap_err();
    assert_eq!(format!("{error:#}"), "lost the connection: the peer answered no ping within 20 s");
}

/// A client that echoes against a server whose stream has this fault; how it ends.
async fn echo_through(fault: &str) -> Result<(), Error> {
    let (listener, url) = listener().await;
    let listener = listener.with_faults(Plan::new(vec![fault.parse().unwrap()], 1)).unwrap();
    let handler = |mut socket: WebSocket, _: Info, _: Context| async move {
        while let Some(message) = socket.receive().await? {
            socket.feed(message).await?;
        }
        Ok(())
    };
    tokio::spawn(Server::new(handler).serve(listener, pending()));
    let (mut socket, _) = connect(&url, &Config::default()).await?;
    for size in [20, 60_000, 0] {
        let message = Message::from("a".repeat(size));
        socket.send(message.clone()).await?;
        assert_eq!(socket.receive().await?, Some(message));
    }
    socket.close(CloseCode::NORMAL, "").await
}

#[tokio::test]
async fn a_bad_line_is_survived_or_told() {
    for fault in ["latency=2ms", "bandwidth=1MiB/s"] {
        assert_eq!(echo_through(fault).await, Ok(()), "{fault}");
    }
    for (fault, kind) in [("cut=20KiB", Kind::Lost), ("cut=50", Kind::Lost)] {
        assert_eq!(echo_through(fault).await.unwrap_err().kind(), kind, "{fault}");
    }
}

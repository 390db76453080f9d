//! Connections that are busy when their server stops end in an orderly way.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

mod common;

use std::time::Duration;

use common::{cx, echo};
use portolan_core::{Error, Kind};
use portolan_net::Stream;
use portolan_ws::wire::handshake::Agreed;
use portolan_ws::wire::{Decoder, Encoder, Limits, Output, Received, Role};
use portolan_ws::{Close, CloseCode, Config, Message, Policy, Room, WebSocket, WsError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

/// A server's end of a connection, the peer's in bytes, and what stops the server.
fn open() -> (WebSocket, Peer, CancellationToken) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let stop = CancellationToken::new();
    let (stream, cx) = (Stream::boxed(ours), cx().with_stopping(stop.clone()));
    let (config, agreed) = (Config::default(), Agreed::default());
    let socket = WebSocket::new(Role::Server, stream, &[], &config, &agreed, &cx);
    (socket, Peer { stream: theirs, decoder: Decoder::new(Role::Client, Limits::default()) }, stop)
}

/// A peer that reads and answers when it is told to, and not before.
struct Peer {
    stream: DuplexStream,
    decoder: Decoder,
}

impl Peer {
    async fn say(&mut self, write: impl FnOnce(&mut Encoder, &mut Output)) {
        let mut output = Output::default();
        write(&mut Encoder::new(Role::Client), &mut output);
        self.stream.write_all(&output.take_all()).await.unwrap();
    }

    async fn send(&mut self, text: &str) {
        self.say(|encoder, output| encoder.message(&Message::from(text), output)).await;
    }

    async fn close(&mut self) {
        self.say(|encoder, output| encoder.close(&Close::new(CloseCode::NORMAL, ""), output)).await;
    }

    /// The next that the server says; nothing once it has ended.
    async fn hear(&mut self) -> Option<Received> {
        loop {
            if let Some(received) = self.decoder.next().unwrap() {
                return Some(received);
            }
            let mut bytes = [0; 1024];
            match self.stream.read(&mut bytes).await.unwrap() {
                0 => return None,
                count => self.decoder.feed(&bytes[..count]),
            }
        }
    }

    async fn is_told_of_the_stop(&mut self) {
        match self.hear().await {
            Some(Received::Close(close)) => assert_eq!(close.code, CloseCode::GOING_AWAY),
            heard => panic!("{heard:?}"),
        }
    }
}

/// Who asked for the end is told when too late; who did not is not.
fn is_closed(sent: Result<(), Error>) {
    let error = sent.unwrap_err();
    assert_eq!(error.kind(), Kind::Lost);
    assert!(matches!(error.find(), Some(WsError::Closed(_))), "{error:#}");
}

#[tokio::test]
async fn an_echo_hears_its_peer_out() {
    let (mut socket, mut peer, stop) = open();
    let echoing = tokio::spawn(async move {
        echo(&mut socket).await?;
        Ok::<_, Error>(socket)
    });
    peer.send("ahoy").await;
    assert_eq!(peer.hear().await, Some(Received::Message("ahoy".into())));
    stop.cancel();
    peer.is_told_of_the_stop().await;
    // What was under way then.
    for _ in 0..10 {
        peer.send("too late").await;
    }
    peer.close().await;
    assert_eq!(peer.hear().await, None);
    let mut socket = echoing.await.unwrap().unwrap();
    assert_eq!(socket.closed().unwrap().code, CloseCode::NORMAL);
    // The connection is over.
    is_closed(socket.send("ahoy").await);
}

#[tokio::test]
async fn a_member_of_a_room_is_heard_out() {
    let (socket, mut peer, stop) = open();
    let room = Room::new(1, Policy::Close);
    let mut member = room.join(socket);
    let listening = tokio::spawn(async move {
        let mut said = Vec::new();
        while let Some(message) = member.receive().await? {
            said.push(message);
        }
        Ok::<_, Error>(said)
    });
    room.send("welcome");
    assert_eq!(peer.hear().await, Some(Received::Message("welcome".into())));
    stop.cancel();
    peer.is_told_of_the_stop().await;
    // Nobody is too slow for what is not sent any more.
    for _ in 0..10 {
        room.send("too late");
    }
    peer.send("farewell").await;
    peer.close().await;
    assert_eq!(peer.hear().await, None);
    assert_eq!(listening.await.unwrap().unwrap(), ["farewell".into()]);
}

#[tokio::test]
async fn a_half_that_sends_does_not_fail_by_a_stop() {
    let (socket, mut peer, stop) = open();
    let (mut sender, mut receiver) = socket.split();
    let receiving = tokio::spawn(async move { receiver.receive().await });
    stop.cancel();
    peer.is_told_of_the_stop().await;
    sender.send("too late").await.unwrap();
    is_closed(sender.ping().await);
    peer.close().await;
    assert_eq!(peer.hear().await, None);
    assert_eq!(receiving.await.unwrap().unwrap(), None);
    is_closed(sender.send("ahoy").await);
}

#[tokio::test]
async fn who_has_closed_sends_nothing_more_whether_the_server_stops_or_not() {
    let (mut socket, mut peer, stop) = open();
    socket.begin_close(CloseCode(4000), "enough");
    is_closed(socket.send("one more thing").await);
    let receiving = tokio::spawn(async move {
        stop.cancel();
        let received = socket.receive().await;
        (socket, received)
    });
    match peer.hear().await {
        Some(Received::Close(close)) => assert_eq!(close.code, CloseCode(4000)),
        heard => panic!("{heard:?}"),
    }
    peer.send("ahoy").await;
    let (mut socket, received) = receiving.await.unwrap();
    assert_eq!(received.unwrap(), Some("ahoy".into()));
    is_closed(socket.send("one more thing").await);
}

#[tokio::test]
async fn who_only_sends_lets_others_run_and_learns_of_the_end() {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    // A peer that reads, and does not close.
    tokio::spawn(async move { tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await });
    let stop = CancellationToken::new();
    let config = Config { close: Duration::from_millis(100), ..Config::default() };
    let (stream, cx) = (Stream::boxed(ours), cx().with_stopping(stop.clone()));
    let mut socket = WebSocket::new(Role::Server, stream, &[], &config, &Agreed::default(), &cx);
    let sending = tokio::spawn(async move {
        loop {
            if let Err(error) = socket.send("ahoy").await {
                return error;
            }
        }
    });
    tokio::task::yield_now().await;
    stop.cancel();
    assert_eq!(sending.await.unwrap().kind(), Kind::Timeout);
}

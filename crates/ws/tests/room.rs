//! A room: all hear the same, however each compresses.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

mod common;

use std::future::pending;

use common::{connect, listener};
use portolan_core::Error;
use portolan_net::Context;
use portolan_ws::{CloseCode, Config, Deflate, Info, Message, Policy, Room, Server, WebSocket};

#[tokio::test]
async fn all_hear_the_same() {
    let (listener, url) = listener().await;
    let room = Room::new(64, Policy::Close);
    let hall = room.clone();
    // What a member says, it alone hears once more, in between what all hear.
    let handler = move |socket: WebSocket, _: Info, _: Context| {
        let room = hall.clone();
        async move {
            let mut member = room.join(socket);
            while let Some(message) = member.receive().await? {
                member.socket().send(message.clone()).await?;
                room.send(message);
            }
            Ok::<(), Error>(())
        }
    };
    let deflate = Some(Deflate::default());
    let config = Config { deflate, ..Config::default() };
    tokio::spawn(Server::new(handler).with_config(config).serve(listener, pending()));

    let small = Deflate { server_max_window_bits: 9, ..Deflate::default() };
    let forgetful = Deflate { server_no_context_takeover: true, ..Deflate::default() };
    let mut members = Vec::new();
    for deflate in [None, deflate, Some(small), Some(forgetful)] {
        let config = Config { deflate, ..Config::default() };
        let (socket, info) = connect(&url, &config).await.unwrap();
        assert_eq!(info.agreed.deflate.is_some(), deflate.is_some());
        members.push(socket);
    }
    while room.members() < members.len() {
        tokio::task::yield_now().await;
    }
    for round in 0..20 {
        let message = Message::from("ahoy, all hands! ".repeat(round * round));
        let speaker = round % members.len();
        members[speaker].send(message.clone()).await.unwrap();
        for (index, member) in members.iter_mut().enumerate() {
            let times = if index == speaker { 2 } else { 1 };
            for _ in 0..times {
                assert_eq!(member.receive().await.unwrap().as_ref(), Some(&message));
            }
        }
    }
    for (index, member) in members.iter_mut().enumerate() {
        member.close(CloseCode::NORMAL, "").await.unwrap();
        while room.members() > 3 - index {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(room.send("nobody"), 0);
}

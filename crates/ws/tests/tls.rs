//! `wss:`, from both ends: TLS that knows its peer beneath the same WebSocket.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

mod common;

use std::future::pending;

use common::{connect, cx, echo};
use portolan_core::{Kind, Url};
use portolan_net::tls::{self, Identity, Pin, Tls, Version, danger};
use portolan_net::{Context, Dialer, Listener};
use portolan_ws::{Client, CloseCode, Config, Deflate, Info, Message, Server, WebSocket};

/// A server that says first by which version of TLS it is spoken to, and then echoes; the pin of
/// its certificate.
async fn server(config: Config) -> (Url, Pin) {
    let url: Url = "wss://127.0.0.1:0".parse().unwrap();
    let identity = Identity::self_signed(url.host()).unwrap();
    let pin = identity.chain()[0].pin;
    let tls = tls::Server::new(identity).with_alpn(["http/1.1"]);
    let listener = Listener::bind(&url).await.unwrap().with_tls(tls);
    let url = listener.local_url();
    let handler = |mut socket: WebSocket, info: Info, _: Context| async move {
        let version = info.connection.tls.map(|tls| tls.version.to_string());
        socket.send(version.unwrap_or_default()).await?;
        echo(&mut socket).await
    };
    tokio::spawn(Server::new(handler).with_config(config).serve(listener, pending()));
    (url, pin)
}

/// A dialer that trusts nothing but this key.
fn dialer(pin: Pin) -> Dialer {
    Dialer::new().with_tls(danger::without_verification(Tls::new().with_pin(pin)))
}

#[tokio::test]
async fn messages_pass_over_tls_and_it_is_closed_with_a_code() {
    for deflate in [None, Some(Deflate::default())] {
        let config = Config { deflate, ..Config::default() };
        let (url, pin) = server(config.clone()).await;
        let opened = Client::connect(&dialer(pin), &url, &config, &cx()).await;
        let (mut socket, info) = opened.unwrap();
        assert_eq!(info.connection.tls.unwrap().version, Version::Tls13);
        assert_eq!(info.agreed.deflate.is_some(), deflate.is_some());
        assert_eq!(socket.receive().await.unwrap(), Some("TLSv1.3".into()));
        // Nothing, a record of TLS, and many.
        for size in [0, 100, 1_000_000] {
            let message = Message::from(vec![7; size]);
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.receive().await.unwrap(), Some(message), "{size} bytes");
        }
        socket.ping().await.unwrap();
        socket.close(CloseCode(4000), "enough").await.unwrap();
        assert_eq!(socket.closed().unwrap().code, CloseCode(4000));
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let (url, _) = server(Config::default()).await;
    let error = connect(&url, &Config::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Untrusted, "{error:#}");
    // It is another server's key that is pinned.
    let (_, other) = server(Config::default()).await;
    let refused = Client::connect(&dialer(other), &url, &Config::default(), &cx()).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Untrusted);
}

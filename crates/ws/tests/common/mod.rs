//! What the tests share: servers of ours, and peers that speak bytes.

#![allow(dead_code, reason = "each test uses its own part of it")]

use std::future::pending;
use std::sync::{Arc, Mutex};

use portolan_core::{Error, Timeouts, Url};
use portolan_net::{Connection, Context, Dialer, Listener, Stream, serve};
use portolan_ws::{Client, Config, Info, Server, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// The key of RFC 6455 section 1.3.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub(crate) fn cx() -> Context {
    Context::new(Timeouts::default())
}

pub(crate) async fn listener() -> (Listener, Url) {
    let listener = Listener::bind(&"ws://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = listener.local_url();
    (listener, url)
}

/// Sends every message back.
pub(crate) async fn echo(socket: &mut WebSocket) -> Result<(), Error> {
    while let Some(message) = socket.receive().await? {
        socket.feed(message).await?;
    }
    Ok(())
}

/// A server that echoes; tells how each connection ended.
pub(crate) async fn echo_server(
    config: Config,
) -> (Url, mpsc::UnboundedReceiver<Result<(), Error>>) {
    let (listener, url) = listener().await;
    let (sender, ends) = mpsc::unbounded_channel();
    let handler = move |mut socket: WebSocket, _: Info, _: Context| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(echo(&mut socket).await);
            Ok(())
        }
    };
    tokio::spawn(Server::new(handler).with_config(config).serve(listener, pending()));
    (url, ends)
}

/// A client of ours.
pub(crate) async fn connect(url: &Url, config: &Config) -> Result<(WebSocket, Info), Error> {
    Client::connect(&Dialer::new(), url, config, &cx()).await
}

/// A server of one connection that does with the bytes what `talk` does.
pub(crate) async fn raw_server<F, Fut>(talk: F) -> Url
where
    F: FnOnce(Stream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (listener, url) = listener().await;
    let talk = Arc::new(Mutex::new(Some(talk)));
    let handler = move |connection: Connection, _: Context| {
        let talk = talk.lock().unwrap().take();
        async move {
            if let Some(talk) = talk {
                talk(connection.stream).await;
            }
            Ok(())
        }
    };
    tokio::spawn(serve(listener, handler, pending()));
    url
}

pub(crate) async fn dial(url: &Url) -> Stream {
    Dialer::new().dial(&url.endpoint(), &cx()).await.unwrap().stream
}

/// A request to upgrade, with these header lines besides.
pub(crate) fn request(more: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// Reads up to the end of a head.
pub(crate) async fn read_head(stream: &mut Stream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// The client's end of an open connection, in bytes.
pub(crate) async fn raw_client(url: &Url, more: &str) -> Stream {
    let mut stream = dial(url).await;
    stream.write_all(request(more).as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

/// The server's end of the opening handshake, in bytes.
pub(crate) async fn raw_accept(stream: &mut Stream, more: &str) -> String {
    let head = read_head(stream).await;
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    let accept = portolan_ws::wire::handshake::accept_of(key);
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    );
    stream.write_all(response.as_bytes()).await.unwrap();
    head
}

/// All that comes until the end.
pub(crate) async fn read_all(stream: &mut Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

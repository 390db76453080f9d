//! What the tests of HTTP share: peers on loopback that run until the test's runtime ends.

use std::future::pending;

use axum::Router;
use portolan_core::{Error, Timeouts, Url};
use portolan_http::{Client, Server};
use portolan_net::{Connection, Context, Dialer, Listener, Stream, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An operation without limits.
pub(crate) fn context() -> Context {
    Context::new(Timeouts::default())
}

pub(crate) async fn listener() -> Listener {
    Listener::bind(&"http://127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// The URL of a server of these routes.
pub(crate) async fn server(routes: Router) -> Url {
    let listener = listener().await;
    let url = listener.local_url();
    tokio::spawn(Server::new(routes).serve(listener, pending()));
    url
}

/// The URL of a peer that reads the head of a request, says this, and hangs up.
pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Url {
    let answer = answer.into();
    let listener = listener().await;
    let url = listener.local_url();
    let script = move |mut connection: Connection, _: Context| {
        let answer = answer.clone();
        async move {
            read_head(&mut connection.stream).await;
            let _ = connection.stream.write_all(&answer).await;
            Ok::<(), Error>(())
        }
    };
    tokio::spawn(serve(listener, script, pending()));
    url
}

/// Reads a request up to the empty line after its head.
pub(crate) async fn read_head(stream: &mut Stream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

pub(crate) async fn client(url: &Url) -> Client {
    Client::connect(&Dialer::new(), url, &context()).await.unwrap()
}

//! What the tests of HTTP share: peers on loopback that run until the test's runtime ends.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use portolan_core::{Error, Host, Timeouts, Url};
use portolan_http::{Client, Server};
use portolan_net::{Connection, Context, Dialer, Listener, Stream, serve, tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An operation without limits.
pub(crate) fn context() -> Context {
    Context::new(Timeouts::default())
}

pub(crate) async fn listener() -> Listener {
    Listener::bind(&"http://127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// A listener with TLS that offers these protocols.
pub(crate) async fn secure_listener(alpn: &[&str]) -> Listener {
    let identity = tls::Identity::self_signed(&Host::parse("127.0.0.1").unwrap()).unwrap();
    let listener = Listener::bind(&"https://127.0.0.1:0".parse().unwrap()).await.unwrap();
    listener.with_tls(tls::Server::new(identity).with_alpn(alpn))
}

/// A dialer that trusts such a listener.
pub(crate) fn trusting() -> Dialer {
    Dialer::new().with_tls(tls::danger::without_verification(tls::Tls::new()))
}

/// A stream to whatever listens there, by TLS where the URL says so.
pub(crate) async fn dial(url: &Url) -> Stream {
    let dialer = trusting().with_default_alpn(&["http/1.1"]);
    dialer.dial(&url.endpoint(), &context()).await.unwrap().stream
}

/// All that a server says to these bytes, after which the client has no more to say.
pub(crate) async fn exchange(url: &Url, bytes: &[u8]) -> String {
    let (mut reader, mut writer) = tokio::io::split(dial(url).await);
    let mut heard = Vec::new();
    let speak = async {
        let _ = writer.write_all(bytes).await;
        let _ = writer.shutdown().await;
    };
    let (_, _) = tokio::join!(reader.read_to_end(&mut heard), speak);
    String::from_utf8_lossy(&heard).into_owned()
}

/// The statuses of several answers, whose bodies have no status lines in them.
pub(crate) fn statuses(answers: &str) -> Vec<u16> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

/// What follows the heads of several answers.
pub(crate) fn bodies(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|it| it.split_once("\r\n\r\n").unwrap().1).collect()
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

/// The URL of a peer that answers each request, its head and body together, by a script that learns
/// on which connection it came; without an answer it hangs up.
pub(crate) async fn scripted(
    script: impl Fn(usize, &str) -> Option<String> + Clone + Send + Sync + 'static,
) -> Url {
    let listener = listener().await;
    let url = listener.local_url();
    let count = Arc::new(AtomicUsize::new(0));
    let talk = move |mut connection: Connection, _: Context| {
        let (script, number) = (script.clone(), count.fetch_add(1, Ordering::Relaxed));
        async move {
            loop {
                let mut request = read_head(&mut connection.stream).await;
                let mut body = vec![0; content_length(&request)];
                if request.is_empty() || connection.stream.read_exact(&mut body).await.is_err() {
                    return Ok::<(), Error>(());
                }
                request.push_str(&String::from_utf8(body).unwrap());
                let Some(answer) = script(number, &request) else { return Ok(()) };
                let _ = connection.stream.write_all(answer.as_bytes()).await;
                let _ = connection.stream.flush().await;
            }
        }
    };
    tokio::spawn(serve(listener, talk, pending()));
    url
}

fn content_length(head: &str) -> usize {
    let field = head.to_ascii_lowercase();
    let value = field.split_once("content-length: ").map(|(_, rest)| rest.lines().next().unwrap());
    value.map_or(0, |value| value.parse().unwrap())
}

/// An answer with these fields and this body.
pub(crate) fn answer(status: u16, fields: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{fields}\r\n{body}"))
}

//! WebSockets: one that echoes, one in which each hears all others, and one that counts.

use std::future::Future;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use portolan_core::Error;
use portolan_net::Context;
use portolan_ws::{CloseCode, Config, Deflate, Policy, Room, Upgrade, WebSocket};
use serde_json::json;

use super::request::{Args, Bad};

pub(super) const INDEX: &str = "\
/ws                                     a WebSocket that echoes
/ws/chat                                one where each hears what all others say
/ws/ticks?interval=&count=              one that sends a line of JSON each second
";

/// How many messages wait for somebody slow in the chat, and how large each may be.
const WAITING: usize = 256;
const SAID_MAX: usize = 64 * 1024;
/// The least time from tick to tick.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

pub(super) fn routes() -> Router {
    let room = Room::new(WAITING, Policy::Close);
    let chat = move |Extension(cx): Extension<Context>, request: Request| async move {
        let mut config = config();
        config.limits.max_message = SAID_MAX;
        open(request, &config, cx, |socket| talk(room, socket))
    };
    Router::new()
        .route("/ws", get(echo))
        .route("/ws/chat", get(chat))
        .route("/ws/ticks", get(ticks))
}

/// Compression is agreed to, where a client offers it.
fn config() -> Config {
    Config { deflate: Some(Deflate::default()), ..Config::default() }
}

/// Opens the WebSocket that `request` asks for and runs `handler` on it, or says why not.
fn open<F>(
    request: Request,
    config: &Config,
    cx: Context,
    handler: impl FnOnce(WebSocket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<(), Error>> + Send,
{
    let (response, upgrade) = match Upgrade::new(&request, config) {
        Ok(agreed) => agreed,
        Err(refusal) => return refusal.response().into_response(),
    };
    portolan_http::upgrade(request, async move |stream| {
        // How it ended is seen at the other end.
        let _ = handler(upgrade.on(stream, &cx)).await;
    });
    response.map(|()| Body::empty())
}

async fn echo(Extension(cx): Extension<Context>, request: Request) -> Response {
    open(request, &config(), cx, async |mut socket| {
        while let Some(message) = socket.receive().await? {
            socket.feed(message).await?;
        }
        Ok(())
    })
}

async fn talk(room: Room, socket: WebSocket) -> Result<(), Error> {
    let mut member = room.join(socket);
    while let Some(message) = member.receive().await? {
        member.say(message);
    }
    Ok(())
}

async fn ticks(
    args: Args,
    Extension(cx): Extension<Context>,
    request: Request,
) -> Result<Response, Bad> {
    let gap = args.pause("interval")?.unwrap_or(Duration::from_secs(1)).max(INTERVAL_MIN);
    let count = args.number("count")?.unwrap_or(u64::MAX);
    Ok(open(request, &config(), cx, async move |mut socket| {
        let mut clock = tokio::time::interval(gap);
        for tick in 1..=count {
            loop {
                tokio::select! {
                    _ = clock.tick() => break,
                    // What clients say is not listened to, but pings are answered.
                    received = socket.receive() => if received?.is_none() {
                        return Ok(());
                    },
                }
            }
            socket.send(json!({ "tick": tick }).to_string()).await?;
        }
        socket.close(CloseCode::NORMAL, "that was the last").await
    }))
}

//! WebSocket: a service is up when it upgrades the connection and answers a ping.

use std::time::Duration;

use portolan_core::{Error, Phase, Scheme, Value};
use portolan_net::{Context, now};
use portolan_ws::{Client, CloseCode, Config, UPGRADE, WebSocket};

use super::{Answer, Answering, Protocol, Visit};

/// Waiting for the pong.
const WAIT: Phase = Phase::new("wait");
/// What is sent to see whether the server echoes.
const QUESTION: &str = "portolan probe";
/// How long an echo may take beyond the time of the pong where no idle limit says otherwise, and
/// how long the farewell.
const PATIENCE: Duration = Duration::from_millis(250);

pub(super) struct WebSockets;

impl Protocol for WebSockets {
    fn schemes(&self) -> &'static [Scheme] {
        &[Scheme::Ws, Scheme::Wss]
    }

    fn phases(&self, scheme: Scheme) -> &'static [Phase] {
        use Phase as P;
        match scheme {
            Scheme::Wss => &[P::RESOLVE, P::CONNECT, P::PROXY, P::TLS, UPGRADE, WAIT],
            _ => &[P::RESOLVE, P::CONNECT, P::PROXY, UPGRADE, WAIT],
        }
    }

    fn neighbours(&self, scheme: Scheme) -> &'static [u16] {
        match scheme {
            Scheme::Wss => &[443, 80, 8443],
            _ => &[80, 443, 8080],
        }
    }

    fn probe<'a>(&'a self, visit: Visit<'a>) -> Answering<'a> {
        Box::pin(async move {
            let config = Config { close: PATIENCE, ..Config::default() };
            let (mut socket, info) =
                Client::connect(visit.dialer, visit.url, &config, visit.cx).await?;
            let pong = visit.cx.within(WAIT, socket.ping()).await;
            let pong = pong.map_err(|error| error.with_endpoint(&visit.url.endpoint()))?;
            visit.cx.fact(WAIT, "pong_ms", millis(pong));
            if let Some(echo) = echo(&mut socket, pong, visit.cx).await {
                visit.cx.fact(WAIT, "echo_ms", millis(echo));
            }
            // What is known is known, however it ends.
            let _ = socket.close(CloseCode::NORMAL, "").await;
            Ok(Answer { tls: info.connection.tls.map(|tls| *tls), ..Answer::default() })
        })
    }
}

/// How long an echo takes; `None` where what comes is none, or nothing.
async fn echo(socket: &mut WebSocket, pong: Duration, cx: &Context) -> Option<Duration> {
    let started = now();
    let asking = async {
        socket.send(QUESTION).await?;
        socket.receive().await
    };
    let patience = cx.timeouts().idle.unwrap_or(pong + PATIENCE);
    let asked: Option<Result<_, Error>> = cx.limited(Some(patience)).until_deadline(asking).await;
    let elapsed = now().saturating_duration_since(started);
    let answer = asked?.ok()??;
    (answer.as_str() == Some(QUESTION)).then_some(elapsed)
}

fn millis(duration: Duration) -> Value {
    Value::Number((duration.as_secs_f64() * 1e6).round() / 1e3)
}

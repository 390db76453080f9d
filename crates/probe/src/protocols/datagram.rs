//! UDP: there is no handshake, so a service is up when it answers a datagram.

use std::io;
use std::time::Duration;

use portolan_core::{Endpoint, Error, Kind, Phase, Scheme, Value};
use portolan_net::{Context, Datagram};

use super::{Answer, Answering, Protocol, Visit};

/// Waiting for the answer.
const WAIT: Phase = Phase::new("wait");
/// What is sent. An echo server gives it back; most others answer anything, or nothing.
const QUESTION: &[u8] = b"portolan probe\n";
/// How often it is sent, and how long each answer is waited for.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Udp;

impl Protocol for Udp {
    fn schemes(&self) -> &'static [Scheme] {
        &[Scheme::Udp]
    }

    fn phases(&self, _scheme: Scheme) -> &'static [Phase] {
        &[Phase::RESOLVE, Phase::CONNECT, WAIT]
    }

    fn probe<'a>(&'a self, visit: Visit<'a>) -> Answering<'a> {
        Box::pin(async move {
            let endpoint = visit.url.endpoint();
            let addresses = visit.dialer.addresses(&endpoint, visit.cx).await?;
            let mut refusal = None;
            for address in addresses {
                let socket = visit
                    .cx
                    .within(Phase::CONNECT, async {
                        let socket = visit.dialer.datagram(address).await?;
                        visit.cx.fact(Phase::CONNECT, "address", address.to_string());
                        Ok(socket)
                    })
                    .await?;
                match ask(&socket, &endpoint, visit.cx).await {
                    Ok(()) => return Ok(Answer::default()),
                    // One family may be served and the other not.
                    Err(error) if error.kind() == Kind::Connect => refusal = Some(error),
                    Err(error) => return Err(error),
                }
            }
            Err(refusal.unwrap_or_else(|| Error::new(Kind::Resolve, "could not find an address")))
        })
    }
}

async fn ask(socket: &Datagram, endpoint: &Endpoint, cx: &Context) -> Result<(), Error> {
    let mut buffer = [0; 2048];
    let refused = |error: io::Error| {
        Error::new(Kind::Connect, format!("could not get an answer from {endpoint}"))
            .with_endpoint(endpoint)
            .with_hint(format!("nothing listens on UDP port {} there", endpoint.port))
            .with_source(error)
    };
    cx.within(WAIT, async {
        for attempt in 1..=TRIES {
            socket.send(QUESTION).await.map_err(refused)?;
            let patience = cx.timeouts().idle.unwrap_or(PATIENCE);
            let answer = socket.receive(&mut buffer);
            if let Some(answer) = cx.limited(Some(patience)).until_deadline(answer).await {
                let size = answer.map_err(refused)?;
                cx.fact(WAIT, "bytes", size as u64);
                cx.fact(WAIT, "attempts", Value::Count(u64::from(attempt)));
                return Ok(());
            }
        }
        Err(Error::new(Kind::Timeout, format!("could not get an answer from {endpoint}"))
            .with_endpoint(endpoint)
            .with_hint(
                "UDP has no handshake: the port may be open and its service ignore strangers, or \
                 a firewall drops them",
            )
            .with_source(NoAnswer))
    })
    .await
}

/// The cause of a probe over UDP that heard nothing.
#[derive(Debug, thiserror::Error)]
#[error("no answer to {TRIES} datagrams")]
struct NoAnswer;

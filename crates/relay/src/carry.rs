//! Joining two ends.

use std::io;
use std::time::Duration;

use portolan_core::{Error, Kind};
use portolan_net::{Carried, Context, Datagram, Join, Pace, Stream, join, now};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::framing::Cutter;
use crate::talk::unfit;
use crate::{End, Framing, Messages};

/// How long an end that cannot say that it is done may say nothing, where the context sets no
/// idle limit: as NAT routers keep UDP (RFC 4787 section 4.3 asks for two minutes at least where
/// nobody else does).
const QUIET: Duration = Duration::from_secs(60);
/// The same, once the other end has said all: time for an answer.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// How two ends are joined.
///
/// # Defaults
/// Those of [`Join`]; what is read at once is a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carry {
    /// How streams are joined; the rate is that of messages too.
    pub join: Join,
    /// How bytes become messages, where one end has bytes and the other has messages.
    pub framing: Framing,
}

impl Carry {
    /// Carries what comes in at one end to the other, both ways: for two streams until both have
    /// said all, else until nothing has passed for the context's idle limit (60 s where it has
    /// none), or for 2 s (or that limit) once a stream has said all.
    ///
    /// # Errors
    /// [`Kind::Lost`] where an end breaks, [`Kind::Timeout`] where two streams are idle for too
    /// long, [`Kind::Connect`] where a datagram's port is closed, [`Kind::Usage`] for a line that
    /// does not fit a message.
    pub async fn join(&self, near: End, far: End, cx: &Context) -> Result<Carried, Error> {
        match (near, far) {
            (End::Stream(near), End::Stream(far)) => join(near, far, self.join, cx).await,
            // Boxed, so that two streams do not hold the room that messages take.
            (End::Stream(near), End::Messages(far)) => Box::pin(self.frame(near, far, cx)).await,
            (End::Messages(near), End::Stream(far)) => {
                let Carried { there, back } = Box::pin(self.frame(far, near, cx)).await?;
                Ok(Carried { there: back, back: there })
            }
            (End::Messages(near), End::Messages(far)) => {
                Box::pin(self.exchange(near, far, cx)).await
            }
        }
    }

    /// Between bytes and messages.
    async fn frame(
        &self,
        mut bytes: Stream,
        mut messages: Messages,
        cx: &Context,
    ) -> Result<Carried, Error> {
        let mut carried = Carried::default();
        let (mut there, mut back) = (self.way(), self.way());
        let mut cutter = Cutter::new(self.framing, Datagram::MAX);
        let (mut piece, mut message) = (vec![0; Datagram::MAX], vec![0; Datagram::MAX]);
        let mut is_over = false;
        loop {
            let quiet = if is_over { LAST_ANSWER } else { QUIET };
            let limit = cx.timeouts().idle.unwrap_or(quiet) + there.pause().max(back.pause());
            let next = async {
                tokio::select! {
                    read = there.when_allowed(bytes.read(&mut piece)), if !is_over => {
                        Next::Near(read.map(Some))
                    }
                    received = back.when_allowed(messages.receive(&mut message)) => {
                        Next::Far(received)
                    }
                }
            };
            match cx.limited(Some(limit)).until_deadline(cx.until_stopping(next)).await.flatten() {
                Some(Next::Near(read)) => {
                    let count = read.map_err(lost)?.unwrap_or_default();
                    let mut whole = cutter.cut(&piece[..count]).map_err(unfit)?;
                    is_over = count == 0;
                    if is_over {
                        whole.extend(cutter.finish());
                    }
                    for message in whole {
                        messages.send(&message).await.map_err(|cause| refused(&messages, cause))?;
                        carried.there += message.len() as u64;
                    }
                    there.spend(count);
                }
                Some(Next::Far(received)) => {
                    let received = received.map_err(|cause| refused(&messages, cause))?;
                    let Some(count) = received else { break };
                    carried.back += count as u64;
                    let mut line = message[..count].to_vec();
                    cutter.paste(&mut line);
                    bytes.write_all(&line).await.map_err(lost)?;
                    bytes.flush().await.map_err(lost)?;
                    back.spend(count);
                }
                None => break,
            }
        }
        bytes.shutdown().await.map_err(lost)?;
        Ok(carried)
    }

    /// Between messages and messages: each is passed on as it is.
    async fn exchange(
        &self,
        mut near: Messages,
        mut far: Messages,
        cx: &Context,
    ) -> Result<Carried, Error> {
        let mut carried = Carried::default();
        let (mut there, mut back) = (self.way(), self.way());
        let (mut question, mut answer) = (vec![0; Datagram::MAX], vec![0; Datagram::MAX]);
        loop {
            let limit = cx.timeouts().idle.unwrap_or(QUIET) + there.pause().max(back.pause());
            let next = async {
                tokio::select! {
                    received = there.when_allowed(near.receive(&mut question)) => {
                        Next::Near(received)
                    }
                    received = back.when_allowed(far.receive(&mut answer)) => Next::Far(received),
                }
            };
            match cx.limited(Some(limit)).until_deadline(cx.until_stopping(next)).await.flatten() {
                Some(Next::Near(received)) => {
                    let Some(count) = received.map_err(|cause| refused(&near, cause))? else {
                        break;
                    };
                    far.send(&question[..count]).await.map_err(|cause| refused(&far, cause))?;
                    carried.there += count as u64;
                    there.spend(count);
                }
                Some(Next::Far(received)) => {
                    let Some(count) = received.map_err(|cause| refused(&far, cause))? else {
                        break;
                    };
                    near.send(&answer[..count]).await.map_err(|cause| refused(&near, cause))?;
                    carried.back += count as u64;
                    back.spend(count);
                }
                None => break,
            }
        }
        Ok(carried)
    }

    fn way(&self) -> Way {
        Way(self.join.rate.map(|rate| Pace::new(rate, now())))
    }
}

/// One way of messages, with a pace of its own where there is one.
struct Way(Option<Pace>);

impl Way {
    /// For how long nothing may pass.
    fn pause(&mut self) -> Duration {
        let now = now();
        let due = self.0.as_mut().and_then(|pace| pace.allow(now).err());
        due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
    }

    /// What `next` gives, once something may pass.
    async fn when_allowed<T>(&mut self, next: impl Future<Output = T>) -> T {
        while let Some(Err(due)) = self.0.as_mut().map(|pace| pace.allow(now())) {
            tokio::time::sleep_until(due.into()).await;
        }
        next.await
    }

    fn spend(&mut self, count: usize) {
        if let Some(pace) = &mut self.0 {
            pace.spend(count);
        }
    }
}

/// What comes next: from which end, and what.
enum Next {
    Near(io::Result<Option<usize>>),
    Far(io::Result<Option<usize>>),
}

fn lost(cause: io::Error) -> Error {
    Error::new(Kind::Lost, "the connection was lost").with_source(cause)
}

/// The error of a datagram that came back.
fn refused(messages: &Messages, cause: io::Error) -> Error {
    let peer = messages.peer();
    if cause.kind() == io::ErrorKind::ConnectionRefused {
        return Error::new(Kind::Connect, format!("could not reach {peer}"))
            .with_endpoint(peer)
            .with_hint(format!("nothing listens on UDP port {} there", peer.port))
            .with_source(cause);
    }
    Error::new(Kind::Lost, format!("could not exchange messages with {peer}"))
        .with_endpoint(peer)
        .with_source(cause)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use portolan_core::{Endpoint, Timeouts, Transport, Url};
    use portolan_net::Dialer;

    use super::*;

    /// A socket, and another that was dialled to it.
    async fn pair() -> (Datagram, Messages) {
        let any = Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let peer = Datagram::bind(&any.with_transport(Transport::Udp)).await.unwrap();
        let url: Url = format!("udp://{}", peer.local_endpoint().unwrap()).parse().unwrap();
        let cx = Context::new(Timeouts::default());
        let End::Messages(dialled) = End::dial(&url, &Dialer::new(), &cx).await.unwrap() else {
            panic!("datagrams are messages");
        };
        (peer, dialled)
    }

    #[tokio::test]
    async fn one_way_does_not_wait_for_the_other() {
        let ((client, mut near), (server, mut far)) = (pair().await, pair().await);
        // Each learns from a first datagram where the other is.
        let mut buffer = [0; 64];
        near.send(b"here").await.unwrap();
        far.send(b"here").await.unwrap();
        let (_, near_at) = client.receive_from(&mut buffer).await.unwrap();
        let (_, far_at) = server.receive_from(&mut buffer).await.unwrap();
        let carry = Carry { join: Join { rate: Some(10), ..Join::default() }, ..Carry::default() };
        let cx = Context::new(Timeouts::default());
        let joining =
            tokio::spawn(
                async move { carry.join(End::Messages(near), End::Messages(far), &cx).await },
            );
        // A hundred bytes at ten a second: this way is busy for ten seconds.
        let started = now();
        client.send_to(&[7; 100], &near_at).await.unwrap();
        assert_eq!(server.receive_from(&mut [0; 128]).await.unwrap().0, 100);
        server.send_to(b"!", &far_at).await.unwrap();
        assert_eq!(client.receive_from(&mut buffer).await.unwrap().0, 1);
        assert!(now() - started < Duration::from_secs(5));
        joining.abort();
    }
}

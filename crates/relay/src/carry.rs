//! Joining two ends.

use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portolan_core::{Error, Kind};
use portolan_net::{Carried, Context, Join, Pace, Until, join, now};
use portolan_ws::{Close, CloseCode, Message, Text};
use tokio::sync::Notify;

use crate::framing::{Cutter, Unfit};
use crate::halves::{Incoming, Outgoing};
use crate::talk::unfit;
use crate::{End, Framing};

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
    /// Carries what comes in at one end to the other, both ways. Two streams are joined until
    /// both have said all. Messages are carried until their peer has closed, where it can, and
    /// datagrams until nothing has passed for the context's idle limit (60 s where it has none).
    /// When a stream has said all to an end of messages, an answer is awaited for 2 s (or that
    /// limit), unless [`Until`] says that nobody would hear it; then a WebSocket is closed.
    ///
    /// # Errors
    /// [`Kind::Lost`] where an end breaks, or closes a WebSocket with
    /// another code than 1000 or 1001; [`Kind::Timeout`] where two
    /// streams, or a WebSocket's peer, are idle for too long;
    /// [`Kind::Connect`] where a datagram's port is closed;
    /// [`Kind::Usage`] for bytes that are not messages: what comes until the peer has closed is
    /// still carried.
    pub async fn join(&self, near: End, far: End, cx: &Context) -> Result<Carried, Error> {
        match (near, far) {
            (End::Stream(near), End::Stream(far)) => join(near, far, self.join, cx).await,
            // Boxed, so that two streams do not hold the room that messages take.
            (near, far) => Box::pin(self.exchange(near, far, cx)).await,
        }
    }

    /// Where one end, or both, have messages.
    async fn exchange(&self, near: End, far: End, cx: &Context) -> Result<Carried, Error> {
        let (near, far) = (near.split(), far.split());
        let has_websocket = near.1.is_websocket() || far.1.is_websocket();
        let quiet = Quiet::new(cx, if has_websocket { None } else { Some(QUIET) });
        let mut there = Way::new(self, near.0, far.1, self.join.until == Until::Near);
        let mut back = Way::new(self, far.0, near.1, self.join.until == Until::Far);
        let stopping = async {
            match has_websocket {
                // Its close frame says so, and its end is the end.
                true => pending().await,
                false => cx.stopping().await,
            }
        };
        let ended = tokio::select! {
            biased;
            ended = there.carry(&quiet) => ended,
            ended = back.carry(&quiet) => ended,
            () = quiet.passes() => Ok(()),
            () = stopping => Ok(()),
        };
        let left = leave(&mut there, &mut back, ended.is_err(), &quiet).await;
        ended.and(left).or_else(|error| match error.kind() {
            // That no answer comes shows to either of the two that wait for it.
            Kind::Timeout if quiet.is_shortened() => Ok(()),
            _ => Err(error),
        })?;
        Ok(Carried { there: there.count, back: back.count })
    }
}

/// Closes both ends: WebSockets first, whose peers may say something until they close, too.
async fn leave(
    there: &mut Way,
    back: &mut Way,
    has_failed: bool,
    quiet: &Quiet,
) -> Result<(), Error> {
    let far = there.close(back, has_failed, quiet).await;
    let near = back.close(there, has_failed, quiet).await;
    for way in [there, back] {
        // Who has gone need not be told.
        let _ = way.to.shutdown().await;
    }
    far.and(near)
}

/// One way: from an end to the other.
struct Way {
    from: Incoming,
    to: Outgoing,
    framing: Framing,
    cutter: Cutter,
    pace: Option<Pace>,
    /// Whether all is over when a stream has said all.
    ends: bool,
    /// Whether what came in is no message: that ends what is sent, not what is heard.
    is_unfit: bool,
    /// How many bytes of messages have passed.
    count: u64,
}

impl Way {
    fn new(carry: &Carry, from: Incoming, to: Outgoing, ends: bool) -> Self {
        let cutter = Cutter::new(carry.framing, to.max());
        let pace = carry.join.rate.map(|rate| Pace::new(rate, now()));
        Self { from, to, framing: carry.framing, cutter, pace, ends, is_unfit: false, count: 0 }
    }

    /// Carries until what comes in ends; never ready where the answer to it is yet to come.
    async fn carry(&mut self, quiet: &Quiet) -> Result<(), Error> {
        loop {
            self.wait(quiet).await;
            let received = self.from.receive().await?;
            quiet.is_broken();
            let Some(message) = received else { break };
            let size = message.as_bytes().len();
            if self.from.is_stream() {
                let mut pieces = Vec::new();
                let cut = self.cutter.cut(message.as_bytes(), &mut pieces);
                self.send_pieces(pieces).await?;
                cut.map_err(|cause| self.misfit(cause))?;
            } else {
                self.count += size as u64;
                let message = match self.to.is_stream() {
                    true => self.framing.paste(message.as_bytes()).into(),
                    false => message,
                };
                self.to.send(message).await?;
            }
            if let Some(pace) = &mut self.pace {
                pace.spend(size);
            }
            quiet.is_broken();
        }
        if self.from.is_stream() {
            let last = self.cutter.finish().map_err(|cause| self.misfit(cause))?;
            self.send_pieces(last.into_iter().collect()).await?;
            if !self.ends {
                quiet.shorten();
                return pending().await;
            }
        }
        Ok(())
    }

    /// Sends what was cut out of a stream.
    async fn send_pieces(&mut self, pieces: Vec<Vec<u8>>) -> Result<(), Error> {
        for piece in pieces {
            self.count += piece.len() as u64;
            let message = if self.framing == Framing::Lines && self.to.is_websocket() {
                let text = Text::new(piece.into()).map(Message::Text);
                text.map_err(|_| self.misfit(Unfit::Utf8))?
            } else {
                Message::from(piece)
            };
            self.to.send(message).await?;
        }
        Ok(())
    }

    fn misfit(&mut self, cause: Unfit) -> Error {
        self.is_unfit = true;
        unfit(cause)
    }

    /// Closes the WebSocket that this leads to, and hears it out; `other` leads back from it.
    async fn close(
        &mut self,
        other: &mut Self,
        has_failed: bool,
        quiet: &Quiet,
    ) -> Result<(), Error> {
        if !self.to.is_websocket() || other.from.closed().is_some() {
            return Ok(());
        }
        let close = match self.from.closed() {
            _ if self.is_unfit => Close::new(CloseCode::INTERNAL_ERROR, "the input is no message"),
            _ if has_failed => Close::new(CloseCode::INTERNAL_ERROR, "the other end has failed"),
            Some(close) if close.code.may_be_sent() => close,
            _ => Close::new(CloseCode::NORMAL, ""),
        };
        other.from.leave();
        if self.to.close(&close).await.is_err() {
            // It has gone, and is told nothing.
            return Ok(());
        }
        let is_heard = self.is_unfit || !has_failed;
        if self.ends || !is_heard || self.from.closed().is_some() {
            while other.from.receive().await?.is_some() {}
            return Ok(());
        }
        other.carry(quiet).await
    }

    /// Waits until something may pass.
    async fn wait(&mut self, quiet: &Quiet) {
        while let Some(Err(due)) = self.pace.as_mut().map(|pace| pace.allow(now())) {
            quiet.is_broken_at(due);
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

/// How long nothing has passed either way.
struct Quiet {
    silence: Mutex<Silence>,
    shortened: Notify,
    last_answer: Duration,
}

struct Silence {
    since: Instant,
    limit: Option<Duration>,
    is_last: bool,
}

impl Quiet {
    /// A limit of the context, where it has one, and this otherwise. WebSockets see to the
    /// context's limit themselves.
    fn new(cx: &Context, limit: Option<Duration>) -> Self {
        let idle = cx.timeouts().idle;
        let limit = limit.map(|limit| idle.unwrap_or(limit));
        let silence = Mutex::new(Silence { since: now(), limit, is_last: false });
        let last_answer = idle.unwrap_or(LAST_ANSWER);
        Self { silence, shortened: Notify::new(), last_answer }
    }

    fn is_broken(&self) {
        self.is_broken_at(now());
    }

    fn is_broken_at(&self, at: Instant) {
        let mut silence = self.silence();
        silence.since = silence.since.max(at);
    }

    /// From now on only an answer is awaited.
    fn shorten(&self) {
        let since = self.silence().since;
        *self.silence() = Silence { since, limit: Some(self.last_answer), is_last: true };
        self.shortened.notify_one();
    }

    fn is_shortened(&self) -> bool {
        self.silence().is_last
    }

    /// Waits until nothing has passed for too long.
    async fn passes(&self) {
        loop {
            let due = {
                let silence = self.silence();
                silence.limit.map(|limit| silence.since + limit)
            };
            match due {
                Some(due) if due <= now() => return,
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = self.shortened.notified() => {}
                },
                None => self.shortened.notified().await,
            }
        }
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use portolan_core::{Endpoint, Timeouts, Transport, Url};
    use portolan_net::{Datagram, Dialer};

    use super::*;
    use crate::Messages;

    /// A socket, and another that was dialled to it.
    async fn pair() -> (Datagram, End) {
        let any = Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let peer = Datagram::bind(&any.with_transport(Transport::Udp)).await.unwrap();
        let url: Url = format!("udp://{}", peer.local_endpoint().unwrap()).parse().unwrap();
        let cx = Context::new(Timeouts::default());
        let websocket = portolan_ws::Config::default();
        (peer, End::dial(&url, &Dialer::new(), &websocket, &cx).await.unwrap())
    }

    #[tokio::test]
    async fn one_way_does_not_wait_for_the_other() {
        let ((client, near), (server, far)) = (pair().await, pair().await);
        // Each learns from a first datagram where the other is.
        let mut buffer = [0; 64];
        for end in [&near, &far] {
            let End::Messages(Messages::Datagram(socket, _)) = end else { panic!("{end:?}") };
            socket.send(b"here").await.unwrap();
        }
        let (_, near_at) = client.receive_from(&mut buffer).await.unwrap();
        let (_, far_at) = server.receive_from(&mut buffer).await.unwrap();
        let carry = Carry { join: Join { rate: Some(10), ..Join::default() }, ..Carry::default() };
        let cx = Context::new(Timeouts::default());
        let joining = tokio::spawn(async move { carry.join(near, far, &cx).await });
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

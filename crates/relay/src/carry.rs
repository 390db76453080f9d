//! Joining two ends.

use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portolan_core::{Error, Kind};
use portolan_net::{Carried, Context, Join, Pace, Until, join, now};
use portolan_ws::{Close, CloseCode, Message, Text, WsError};
use tokio::sync::Notify;

use crate::framing::{Cutter, Unfit};
use crate::halves::{Incoming, Outgoing};
use crate::talk::unfit;
use crate::{End, Framing};

/// How long an end that cannot say that it is done may say nothing, where the context sets no
/// idle limit: as NAT routers keep UDP (RFC 4787 section 4.3 asks for two minutes at least where
/// nobody else does).
const QUIET: Duration = Duration::from_secs(60);
/// The same, once the other end has said all: time for a further answer. A stream that is left
/// before its end is read for so long at the most.
const LAST_ANSWER: Duration = Duration::from_secs(2);
/// The same for a WebSocket that has sent fewer messages than it got: some are not answered.
const UNANSWERED: Duration = Duration::from_secs(10);

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

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How much has passed.
    pub carried: Carried,
    /// How many messages of a stream a WebSocket had not answered, as far as the numbers show, when
    /// no answer was awaited any longer.
    pub unanswered: u64,
}

impl Carry {
    /// Carries what comes in at one end to the other, both ways. Two streams are joined until
    /// both have said all. Messages are carried until their peer has closed, where it can, and
    /// datagrams until nothing has passed for the context's idle limit (60 s where it has none).
    /// When a stream has said all to an end of messages, an answer is awaited for 2 s (or that
    /// limit), or 10 s while a WebSocket has sent fewer messages than it got, unless [`Until`] says
    /// that nobody would hear it; then a WebSocket is closed. What a stream says after that is read
    /// for nobody, for 2 s at most: a socket that is closed with something unread is reset.
    ///
    /// # Errors
    /// [`Kind::Lost`] where an end breaks, or closes a WebSocket with another code than 1000 or
    /// 1001; [`Kind::Timeout`] where two streams, or a WebSocket's peer, are idle for too long, or
    /// the latter answers no ping or no close frame; [`Kind::Connect`] where a datagram's port is
    /// closed; [`Kind::Usage`] for bytes that are not messages: what comes until the peer has closed
    /// is still carried.
    pub async fn join(&self, near: End, far: End, cx: &Context) -> Result<Outcome, Error> {
        match (near, far) {
            (End::Stream(near), End::Stream(far)) => {
                let carried = join(near, far, self.join, cx).await?;
                Ok(Outcome { carried, unanswered: 0 })
            }
            // Boxed, so that two streams do not hold the room that messages take.
            (near, far) => Box::pin(self.exchange(near, far, cx)).await,
        }
    }

    /// Where one end, or both, have messages.
    async fn exchange(&self, near: End, far: End, cx: &Context) -> Result<Outcome, Error> {
        let (near, far) = (near.split(), far.split());
        let has_websocket = near.1.is_websocket() || far.1.is_websocket();
        let quiet = Quiet::new(cx, has_websocket);
        let mut has_waited = false;
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
            () = quiet.passes() => {
                has_waited = true;
                Ok(())
            }
            () = stopping => Ok(()),
        };
        let left = leave(&mut there, &mut back, ended.is_err(), &quiet).await;
        if ended.is_ok() {
            // What is near need not end where only one end is waited for: it may be a terminal.
            if self.join.until == Until::Both {
                there.hear_out(cx).await;
            }
            back.hear_out(cx).await;
        }
        ended.and(left).or_else(|error| match error.kind() {
            // That no answer comes shows to either of the two that wait for it.
            Kind::Timeout if quiet.is_shortened() && !is_lost(&error) => {
                has_waited = true;
                Ok(())
            }
            _ => Err(error),
        })?;
        let carried = Carried { there: there.count, back: back.count };
        Ok(Outcome { carried, unanswered: if has_waited { quiet.unanswered() } else { 0 } })
    }
}

/// Whether the peer of a WebSocket does not even answer what nobody may leave unanswered.
fn is_lost(error: &Error) -> bool {
    let cause = error.find::<WsError>();
    matches!(cause, Some(WsError::PingUnanswered(_) | WsError::CloseUnanswered(_)))
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
                self.send_pieces(pieces, quiet).await?;
                cut.map_err(|cause| self.misfit(cause))?;
            } else {
                self.count += size as u64;
                quiet.hears();
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
            self.send_pieces(last.into_iter().collect(), quiet).await?;
            if !self.ends {
                quiet.shorten();
                return pending().await;
            }
        }
        Ok(())
    }

    /// Sends what was cut out of a stream.
    async fn send_pieces(&mut self, pieces: Vec<Vec<u8>>, quiet: &Quiet) -> Result<(), Error> {
        // Other pieces than lines have no number.
        let before = self.cutter.lines().saturating_sub(pieces.len());
        for (index, piece) in pieces.into_iter().enumerate() {
            self.count += piece.len() as u64;
            let message = if self.framing == Framing::Lines && self.to.is_websocket() {
                let text = Text::new(piece.into()).map(Message::Text);
                text.map_err(|_| self.misfit(Unfit::Utf8(before + index + 1)))?
            } else {
                Message::from(piece)
            };
            if self.to.is_websocket() {
                quiet.asks();
            }
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
        match self.to.close(&close).await {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Timeout => return Err(error),
            // It has gone, and is told nothing.
            Err(_) => return Ok(()),
        }
        let is_heard = self.is_unfit || !has_failed;
        if self.ends || !is_heard || self.from.closed().is_some() {
            while other.from.receive().await?.is_some() {}
            return Ok(());
        }
        other.carry(quiet).await
    }

    /// Reads what a stream still says, for nobody: its peer may lose what it was told last where
    /// the socket is closed with something unread.
    async fn hear_out(&mut self, cx: &Context) {
        if self.from.is_stream() {
            let ending = async { while let Ok(Some(_)) = self.from.receive().await {} };
            cx.limited(Some(LAST_ANSWER)).until_deadline(ending).await;
        }
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
    /// How long it may last at first; then, while messages are not answered; and then.
    limits: [Option<Duration>; 3],
}

struct Silence {
    since: Instant,
    /// Whether only an answer is awaited.
    is_last: bool,
    /// How many more messages of a stream went out than came back.
    unanswered: u64,
}

impl Quiet {
    /// With the limit of the context, where it has one. WebSockets see to that themselves until
    /// only an answer is awaited.
    fn new(cx: &Context, has_websocket: bool) -> Self {
        let limits = match has_websocket {
            true => [None, Some(UNANSWERED), Some(LAST_ANSWER)],
            false => [Some(QUIET), None, Some(LAST_ANSWER)],
        };
        let idle = cx.timeouts().idle;
        let limits = limits.map(|limit| limit.map(|limit| idle.unwrap_or(limit)));
        let silence = Silence { since: now(), is_last: false, unanswered: 0 };
        Self { silence: Mutex::new(silence), shortened: Notify::new(), limits }
    }

    /// A message of a stream goes out to a WebSocket.
    fn asks(&self) {
        self.silence().unanswered += 1;
    }

    /// A message comes back.
    fn hears(&self) {
        let mut silence = self.silence();
        silence.unanswered = silence.unanswered.saturating_sub(1);
        if silence.is_last && silence.unanswered == 0 {
            self.shortened.notify_one();
        }
    }

    fn unanswered(&self) -> u64 {
        self.silence().unanswered
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
        self.silence().is_last = true;
        self.shortened.notify_one();
    }

    fn is_shortened(&self) -> bool {
        self.silence().is_last
    }

    /// Waits until nothing has passed for too long.
    async fn passes(&self) {
        loop {
            match self.due() {
                Some(due) if due <= now() => return,
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = self.shortened.notified() => {}
                },
                None => self.shortened.notified().await,
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let silence = self.silence();
        let [first, unanswered, last] = self.limits;
        let limit = match (silence.is_last, silence.unanswered) {
            (false, _) => first,
            (true, 0) => last,
            (true, _) => unanswered,
        };
        silence.since.checked_add(limit?)
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use portolan_core::{Endpoint, Timeouts, Transport, Url};
    use portolan_net::{Datagram, Dialer, Stream};
    use portolan_ws::wire::Role;
    use portolan_ws::{Agreed, WebSocket};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_util::sync::CancellationToken;

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

    /// Lets a line be said to a server that answers after this time; what is heard, how many were
    /// not answered, and how long that took.
    async fn ask(answer: Option<Duration>) -> (String, u64, Duration) {
        let cx = Context::new(Timeouts::default());
        let (client, server) = tokio::io::duplex(1024);
        let open = |role, stream| {
            let (config, agreed) = (portolan_ws::Config::default(), Agreed::default());
            WebSocket::new(role, Stream::boxed(stream), &[], &config, &agreed, &cx)
        };
        let (far, mut server) = (open(Role::Client, client), open(Role::Server, server));
        let far = End::websocket(far, Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 9))));
        let (near, mut here) = tokio::io::duplex(1024);
        here.write_all(b"ahoy\n").await.unwrap();
        here.shutdown().await.unwrap();
        let answering = async {
            while let Some(message) = server.receive().await.unwrap() {
                if let Some(pause) = answer {
                    tokio::time::sleep(pause).await;
                    server.send(message).await.unwrap();
                }
            }
        };
        let started = now();
        let carry = Carry { framing: Framing::Lines, ..Carry::default() };
        let joining = carry.join(End::Stream(Stream::boxed(near)), far, &cx);
        let (outcome, ()) = tokio::join!(joining, answering);
        let mut heard = String::new();
        here.read_to_string(&mut heard).await.unwrap();
        (heard, outcome.unwrap().unanswered, now() - started)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_due_is_awaited_for_longer() {
        let second = Duration::from_secs(1);
        let ahoy = || "ahoy\n".to_owned();
        assert_eq!(ask(Some(Duration::ZERO)).await, (ahoy(), 0, 2 * second));
        assert_eq!(ask(Some(9 * second)).await, (ahoy(), 0, 11 * second));
        assert_eq!(ask(None).await, (String::new(), 1, 10 * second));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_even_close_is_lost() {
        let idle = Some(Duration::from_secs(2));
        for (until, idle) in [(Until::Far, None), (Until::Near, None), (Until::Far, idle)] {
            let cx = Context::new(Timeouts { idle, ..Timeouts::default() });
            let (client, _frozen) = tokio::io::duplex(1024);
            let (config, agreed) = (portolan_ws::Config::default(), Agreed::default());
            let stream = Stream::boxed(client);
            let far = WebSocket::new(Role::Client, stream, &[], &config, &agreed, &cx);
            let far = End::websocket(far, Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 9))));
            let near = Stream::boxed(tokio::io::join(&b"ahoy\n"[..], tokio::io::sink()));
            let join = Join { until, ..Join::default() };
            let carry = Carry { join, framing: Framing::Lines };
            let error = carry.join(End::Stream(near), far, &cx).await.unwrap_err();
            let words = "the peer did not answer the close frame within 5 s";
            assert_eq!(error.kind(), Kind::Timeout);
            assert!(format!("{error:#}").ends_with(words), "{error:#}");
        }
    }

    /// A server's end of a WebSocket, and its client.
    fn served(cx: &Context) -> (End, WebSocket) {
        let (ours, theirs) = tokio::io::duplex(1024);
        let open = |role, stream, cx| {
            let (config, agreed) = (portolan_ws::Config::default(), Agreed::default());
            WebSocket::new(role, Stream::boxed(stream), &[], &config, &agreed, cx)
        };
        let end = open(Role::Server, ours, cx);
        let end = End::websocket(end, Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 9))));
        (end, open(Role::Client, theirs, &Context::new(Timeouts::default())))
    }

    #[tokio::test]
    async fn who_is_told_that_the_relay_stops_is_heard_out() {
        let stop = CancellationToken::new();
        let cx = Context::new(Timeouts::default()).with_stopping(stop.clone());
        let (near, mut client) = served(&cx);
        let (far, mut target) = tokio::io::duplex(1024);
        let far = End::Stream(Stream::boxed(far));
        let joining = tokio::spawn(async move { Carry::default().join(near, far, &cx).await });
        target.write_all(b"ahoy").await.unwrap();
        assert_eq!(client.receive().await.unwrap(), Some(Message::from(b"ahoy".to_vec())));
        stop.cancel();
        // The relay closes meanwhile.
        tokio::task::yield_now().await;
        target.write_all(b"too late").await.unwrap();
        tokio::task::yield_now().await;
        client.send("farewell").await.unwrap();
        assert_eq!(client.receive().await.unwrap(), None);
        assert_eq!(client.closed().unwrap().code, CloseCode::GOING_AWAY);
        let mut heard = String::new();
        target.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "farewell");
        drop(target);
        joining.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_read_to_its_end() {
        let cx = Context::new(Timeouts::default());
        for ends in [true, false] {
            let (near, mut client) = served(&cx);
            let (far, mut target) = tokio::io::duplex(1024);
            let (far, cx) = (End::Stream(Stream::boxed(far)), cx.clone());
            let joining = tokio::spawn(async move { Carry::default().join(near, far, &cx).await });
            client.send("ahoy").await.unwrap();
            client.close(CloseCode::NORMAL, "").await.unwrap();
            let mut heard = String::new();
            target.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "ahoy");
            // Nobody hears it, but neither does it break what is said.
            let started = now();
            target.write_all(&[7; 10_000]).await.unwrap();
            if ends {
                drop(target);
            }
            joining.await.unwrap().unwrap();
            let waited = if ends { Duration::ZERO } else { LAST_ANSWER };
            assert_eq!(now() - started, waited);
        }
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

//! A connection, of either role.

mod core;
mod split;
mod watch;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;

use futures_util::{Sink, Stream as Messages};
use portolan_core::{Error, Kind};
use portolan_net::{Context, Stream};

use self::core::{Core, Next};
pub use self::split::{Receiver, Sender};
use crate::error::closed;
use crate::wire::handshake::Agreed;
use crate::wire::{Close, CloseCode, Role, Shared};
use crate::{Config, Message, WsError};

/// How many messages that come before a pong are held back.
const EARLY_MAX: usize = 64;

/// An open WebSocket (RFC 6455), of a client or a server.
///
/// Pings are answered, and the closing handshake is answered, while it [`receive`](Self::receive)s:
/// somebody should always receive. When a server shuts down, its connections are closed with
/// [`CloseCode::GOING_AWAY`]: what is sent from then on is dropped, and what the peer says until it
/// closes, too, can be received. A peer that breaks the protocol is told so by the code that
/// [`Violation::code`](crate::Violation::code) gives, and left.
///
/// Every method may be cancelled: nothing is lost by it. Dropping closes without a handshake, which
/// the peer sees as code 1006.
pub struct WebSocket {
    core: Core,
    /// What came before a pong that was waited for.
    early: VecDeque<Message>,
}

impl WebSocket {
    /// The connection on `stream` once the opening handshake is over, of which `rest` was read
    /// already.
    #[must_use]
    pub fn new(
        role: Role,
        stream: Stream,
        rest: &[u8],
        config: &Config,
        agreed: &Agreed,
        cx: &Context,
    ) -> Self {
        let core = Core::new(role, stream, rest, config, agreed, cx.clone());
        Self { core, early: VecDeque::new() }
    }

    /// The next message; nothing once the connection is closed, as [`closed`](Self::closed) says.
    /// All that was [`feed`](Self::feed) is sent before this waits.
    ///
    /// # Errors
    /// [`Kind::Protocol`] with a [`Violation`](crate::Violation) where the peer breaks the protocol,
    /// [`Kind::Lost`] where the connection ends without a closing handshake, [`Kind::Timeout`] where
    /// one of the times in [`Config`] has passed. Nothing comes after an error.
    pub async fn receive(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|task| self.poll_receive(task)).await
    }

    fn poll_receive(
        &mut self,
        task: &mut task::Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        if let Some(message) = self.early.pop_front() {
            return Poll::Ready(Ok(Some(message)));
        }
        poll_message(&mut self.core, task)
    }

    /// Sends a message. Where a shutdown has closed the connection, the message is dropped: that is
    /// no failure of who sends, and [`receive`](Self::receive) gives the end.
    ///
    /// # Errors
    /// [`Kind::Lost`] where the connection is closed otherwise or lost, [`Kind::Timeout`] where the
    /// peer reads nothing for [`Config::stall`], or does not close for [`Config::close`].
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Takes a message that is to be sent with the next ones: by [`flush`](Self::flush), before
    /// [`receive`](Self::receive) waits, or when 64 KiB have gathered. An answer to each of many
    /// messages is best sent like this.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn feed(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        poll_fn(|task| self.core.poll_room(task)).await?;
        self.core.start_send(&message.into())
    }

    /// The same for a message that others get, too.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn feed_shared(&mut self, message: &Shared) -> Result<(), Error> {
        poll_fn(|task| self.core.poll_room(task)).await?;
        self.core.start_shared(message)
    }

    /// Sends what was [`feed`](Self::feed).
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|task| self.core.poll_flush(task)).await
    }

    /// Sends a ping, and waits for the pong; gives how long that took. Messages that come before it
    /// are kept for [`receive`](Self::receive).
    ///
    /// # Errors
    /// Those of [`receive`](Self::receive), and [`WsError::NoPong`] where more than 64 messages come
    /// first.
    pub async fn ping(&mut self) -> Result<Duration, Error> {
        self.core.ping()?;
        loop {
            match poll_fn(|task| self.core.poll_next(task)).await? {
                Some(Next::Pong) => return Ok(self.latency().unwrap_or_default()),
                Some(Next::Message(message)) if self.early.len() < EARLY_MAX => {
                    self.early.push_back(message);
                }
                Some(Next::Message(message)) => {
                    self.early.push_back(message);
                    let error = Error::new(Kind::Protocol, "could not measure the round trip");
                    return Err(error.with_source(WsError::NoPong));
                }
                None => return Err(closed(self.core.closing().received())),
            }
        }
    }

    /// How long the peer took for the last pong: pings are sent by [`ping`](Self::ping), and as
    /// [`Config::ping`] says.
    #[must_use]
    pub const fn latency(&self) -> Option<Duration> {
        self.core.watch().latency()
    }

    /// Closes the connection: sends a close frame with this code and the first 123 bytes of
    /// `reason`, and waits for the peer's. Messages that come before it are lost; who wants them
    /// [`begins to close`](Self::begin_close) and goes on to receive.
    ///
    /// # Errors
    /// Those of [`receive`](Self::receive).
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.begin_close(code, reason);
        while self.receive().await?.is_some() {}
        Ok(())
    }

    /// Puts a close frame behind what waits to be sent. Nothing can be sent after it; messages can
    /// be received until the peer closes, too.
    pub fn begin_close(&mut self, code: CloseCode, reason: &str) {
        self.core.close(Close::new(code, reason));
    }

    /// Whether a close frame was sent: nothing can be sent after it.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.core.closing().is_sent()
    }

    /// The peer's close frame, once it came.
    #[must_use]
    pub const fn closed(&self) -> Option<&Close> {
        self.core.closing().received()
    }

    /// One half that sends and one that receives, for different tasks.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        split::split(self)
    }
}

fn poll_message(
    core: &mut Core,
    task: &mut task::Context<'_>,
) -> Poll<Result<Option<Message>, Error>> {
    loop {
        match ready!(core.poll_next(task))? {
            Some(Next::Message(message)) => return Poll::Ready(Ok(Some(message))),
            Some(Next::Pong) => {}
            None => return Poll::Ready(Ok(None)),
        }
    }
}

impl Messages for WebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.poll_receive(task).map(Result::transpose)
    }
}

impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
    ) -> Poll<Result<(), Error>> {
        self.core.poll_room(task)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.core.start_send(&message)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
    ) -> Poll<Result<(), Error>> {
        self.core.poll_flush(task)
    }

    /// Closes with [`CloseCode::NORMAL`]; the peer's answer is for who receives.
    fn poll_close(
        mut self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
    ) -> Poll<Result<(), Error>> {
        self.begin_close(CloseCode::NORMAL, "");
        self.core.poll_flush(task)
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("closed", &self.closed()).finish_non_exhaustive()
    }
}

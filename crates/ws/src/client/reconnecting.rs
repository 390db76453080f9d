//! A client that connects again.

use std::future::pending;

use portolan_core::{Error, Event, Kind, Url};
use portolan_net::{Context, Dialer, Retry};

use super::Client;
use crate::wire::{Close, CloseCode};
use crate::{Config, Message, WebSocket, WsError};

/// A client that connects again where the connection is lost, or the server closes it because it
/// goes down or is overloaded (codes 1001 and 1011 to 1014). What was sent and not delivered is not
/// sent again.
///
/// ```no_run
/// # async fn watch() -> Result<(), portolan_core::Error> {
/// use portolan_net::{Context, Dialer, Retry};
/// use portolan_ws::{Config, Reconnecting};
///
/// let url = "wss://example.org/prices".parse().expect("a URL");
/// let retry = Retry { count: 10, ..Retry::default() };
/// let cx = Context::new(portolan_core::Timeouts::default());
/// let mut prices = Reconnecting::new(Dialer::new(), url, Config::default(), retry, cx);
/// while let Some(price) = prices.receive().await? {
///     assert!(price.is_text());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reconnecting {
    dialer: Dialer,
    url: Url,
    config: Config,
    retry: Retry,
    cx: Context,
    socket: Option<WebSocket>,
    /// How many connections in a row failed, or ended before a message came.
    failures: u32,
}

impl Reconnecting {
    /// A client that connects when it first sends or receives. A connection on which a message came
    /// lets the count of `retry` begin anew.
    #[must_use]
    pub const fn new(dialer: Dialer, url: Url, config: Config, retry: Retry, cx: Context) -> Self {
        Self { dialer, url, config, retry, cx, socket: None, failures: 0 }
    }

    /// The next message, of this connection or of the next one; nothing once the server has closed
    /// for good.
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`WebSocket::receive`], of the last try.
    pub async fn receive(&mut self) -> Result<Option<Message>, Error> {
        loop {
            let socket = self.socket().await?;
            let error = match socket.receive().await {
                Ok(Some(message)) => {
                    self.failures = 0;
                    return Ok(Some(message));
                }
                Ok(None) => match socket.closed().filter(|close| is_passing(close.code)) {
                    Some(close) => went_away(close),
                    None => return Ok(None),
                },
                Err(error) => error,
            };
            self.fail(error).await?;
        }
    }

    /// Sends a message, on a new connection where there is none.
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`WebSocket::send`], of the last try.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        loop {
            match self.socket().await?.send(message.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => self.fail(error).await?,
            }
        }
    }

    /// The connection that there is now.
    #[must_use]
    pub const fn connected(&mut self) -> Option<&mut WebSocket> {
        self.socket.as_mut()
    }

    async fn socket(&mut self) -> Result<&mut WebSocket, Error> {
        loop {
            // Taken out and put back, so that it is not borrowed when there is none.
            if let Some(socket) = self.socket.take() {
                return Ok(self.socket.insert(socket));
            }
            match Client::connect(&self.dialer, &self.url, &self.config, &self.cx).await {
                Ok((socket, _)) => return Ok(self.socket.insert(socket)),
                Err(error) => self.fail(error).await?,
            }
        }
    }

    /// Drops the connection, and pauses before the next one; gives the error back where there is to
    /// be none.
    async fn fail(&mut self, error: Error) -> Result<(), Error> {
        self.socket = None;
        self.failures += 1;
        if self.failures > self.retry.count || !Retry::is_worthwhile(&error) {
            return Err(error);
        }
        let pause = self.retry.backoff.pause(self.failures);
        self.cx.observe(&Event::Retrying(pause));
        self.cx.limited(Some(pause)).until_deadline(pending::<()>()).await;
        Ok(())
    }
}

/// Whether a server that closes with this code may be better next time.
const fn is_passing(code: CloseCode) -> bool {
    matches!(code.0, 1001 | 1011..=1014)
}

fn went_away(close: &Close) -> Error {
    Error::new(Kind::Lost, "lost the connection").with_source(WsError::Closed(Some(close.clone())))
}

//! The halves of a connection.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use futures_util::{Sink, Stream as Messages};
use portolan_core::Error;

use super::core::Core;
use super::{WebSocket, poll_message};
use crate::Message;
use crate::wire::{Close, CloseCode, Shared};

/// What both halves share. It is locked while one of them is polled, never while it waits.
struct Both {
    core: Mutex<Core>,
    wakers: Arc<Wakers>,
}

/// The tasks that wait, of the half that sends and the half that receives. The stream knows one
/// waker for each direction, and either half reads or writes: so whatever happens, both look.
#[derive(Default)]
struct Wakers([AtomicWaker; 2]);

#[derive(Clone, Copy)]
enum Half {
    Sender,
    Receiver,
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        for waker in &self.0 {
            waker.wake();
        }
    }
}

impl Both {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll<T>(
        &self,
        half: Half,
        task: &task::Context<'_>,
        poll: impl FnOnce(&mut Core, &mut task::Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.wakers.0[half as usize].register(task.waker());
        let waker = Waker::from(self.wakers.clone());
        poll(&mut self.core(), &mut task::Context::from_waker(&waker))
    }
}

pub(super) fn split(socket: WebSocket) -> (Sender, Receiver) {
    let WebSocket { core, early } = socket;
    let both = Arc::new(Both { core: Mutex::new(core), wakers: Arc::default() });
    (Sender(both.clone()), Receiver { both, early })
}

/// The half of a [`WebSocket`] that sends.
pub struct Sender(Arc<Both>);

impl Sender {
    fn poll<T>(
        &self,
        task: &task::Context<'_>,
        poll: impl FnOnce(&mut Core, &mut task::Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.0.poll(Half::Sender, task, poll)
    }

    /// The half that receives is woken: it sees to it that the peer answers in time.
    fn begin_close(&self, code: CloseCode, reason: &str) {
        self.0.core().close(Close::new(code, reason));
        self.0.wakers.wake_by_ref();
    }

    /// See [`WebSocket::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// See [`WebSocket::feed`].
    ///
    /// # Errors
    /// As there.
    pub async fn feed(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        poll_fn(|task| self.poll(task, Core::poll_room)).await?;
        self.0.core().start_send(&message.into())
    }

    /// See [`WebSocket::feed_shared`].
    ///
    /// # Errors
    /// As there.
    pub async fn feed_shared(&mut self, message: &Shared) -> Result<(), Error> {
        poll_fn(|task| self.poll(task, Core::poll_room)).await?;
        self.0.core().start_shared(message)
    }

    /// See [`WebSocket::flush`].
    ///
    /// # Errors
    /// As there.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|task| self.poll(task, Core::poll_flush)).await
    }

    /// Sends a ping; when the half that receives sees the pong, [`latency`](Self::latency) tells.
    ///
    /// # Errors
    /// As for [`WebSocket::send`].
    pub async fn ping(&mut self) -> Result<(), Error> {
        self.0.core().ping()?;
        self.0.wakers.wake_by_ref();
        self.flush().await
    }

    /// See [`WebSocket::latency`].
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.0.core().watch().latency()
    }

    /// Sends a close frame with this code and the first 123 bytes of `reason`. The half that
    /// receives sees the peer's answer.
    ///
    /// # Errors
    /// As for [`WebSocket::send`].
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.begin_close(code, reason);
        self.flush().await
    }
}

impl Sink<Message> for Sender {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(task, Core::poll_room)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.0.core().start_send(&message)
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(task, Core::poll_flush)
    }

    fn poll_close(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        self.begin_close(CloseCode::NORMAL, "");
        self.poll(task, Core::poll_flush)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

/// The half of a [`WebSocket`] that receives. It answers pings, and the closing handshake.
pub struct Receiver {
    both: Arc<Both>,
    early: VecDeque<Message>,
}

impl Receiver {
    /// See [`WebSocket::receive`].
    ///
    /// # Errors
    /// As there.
    pub async fn receive(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|task| self.poll_receive(task)).await
    }

    fn poll_receive(&mut self, task: &task::Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        if let Some(message) = self.early.pop_front() {
            return Poll::Ready(Ok(Some(message)));
        }
        self.both.poll(Half::Receiver, task, poll_message)
    }

    /// See [`WebSocket::closed`].
    #[must_use]
    pub fn closed(&self) -> Option<Close> {
        self.both.core().closing().received().cloned()
    }
}

impl Messages for Receiver {
    type Item = Result<Message, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.poll_receive(task).map(Result::transpose)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

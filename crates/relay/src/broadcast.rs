//! A crowd: what one peer sends goes to all the others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portolan_core::{Error, Kind};
use portolan_net::Context;
use portolan_ws::Message;
use tokio::sync::{mpsc, oneshot};

use crate::End;

/// How many bytes may wait for a peer.
const WAITING: usize = 4 * 1024 * 1024;
/// What each message that waits takes besides its bytes.
const EACH: usize = 64;

/// Passes on what each peer sends to all others, in the order in which it came. A peer that is too
/// slow to take it is let go, so that it holds up nobody and no more than 4 MiB wait for it.
///
/// Cheap to clone; a clone is the same crowd.
#[derive(Clone, Debug, Default)]
pub struct Broadcast(Arc<Mutex<Crowd>>);

#[derive(Debug, Default)]
struct Crowd {
    /// By number, in the order of their coming.
    inboxes: HashMap<u64, Inbox>,
    joined: u64,
}

/// What waits for a peer.
#[derive(Debug)]
struct Inbox {
    sender: mpsc::UnboundedSender<Message>,
    /// How many bytes.
    waiting: Arc<AtomicUsize>,
    /// Tells the peer, when this is dropped, that it is let go.
    _stays: oneshot::Sender<()>,
}

impl Inbox {
    /// Puts it in, unless too much waits already.
    fn takes(&self, message: &Message) -> bool {
        let size = message.as_bytes().len() + EACH;
        let waiting = self.waiting.fetch_add(size, Ordering::Relaxed);
        waiting + size <= WAITING && self.sender.send(message.clone()).is_ok()
    }
}

impl Broadcast {
    /// An empty crowd.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a peer in until it has said all that it has to say, or the server stops and nothing
    /// passes any more. What waits for it then is delivered.
    ///
    /// # Errors
    /// [`Kind::Lost`] where the peer breaks off, or is let go because it is too slow;
    /// [`Kind::Timeout`] where nothing passed for the context's idle limit.
    pub async fn take(&self, peer: End, cx: &Context) -> Result<(), Error> {
        let (mut incoming, mut outgoing) = peer.split();
        let mut seat = self.seat();
        let is_websocket = outgoing.is_websocket();
        loop {
            let next = async {
                tokio::select! {
                    received = incoming.receive() => received.map(Next::Received),
                    waiting = seat.inbox.recv() => Ok(Next::Waiting(waiting)),
                }
            };
            let next = match is_websocket {
                // A close frame says so, and its end is the end.
                true => Some(within_idle(cx, next).await?),
                false => within_idle(cx, cx.until_stopping(next)).await?,
            };
            let Some(next) = next else { break };
            match next? {
                Next::Received(Some(message)) => self.pass_on(seat.number, &message),
                Next::Received(None) => break,
                Next::Waiting(Some(message)) => {
                    let size = message.as_bytes().len();
                    let sent = async {
                        tokio::select! {
                            biased;
                            sent = outgoing.send(message) => sent,
                            _ = &mut seat.let_go => Err(too_slow()),
                        }
                    };
                    within_idle(cx, sent).await??;
                    seat.is_sent(size);
                }
                Next::Waiting(None) => return Err(too_slow()),
            }
        }
        seat.inbox.close();
        if is_websocket {
            // One that was closed takes nothing more.
            return Ok(());
        }
        while let Some(message) = seat.inbox.recv().await {
            within_idle(cx, outgoing.send(message)).await??;
        }
        outgoing.shutdown().await
    }

    fn seat(&self) -> Seat<'_> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut crowd = self.crowd();
        crowd.joined += 1;
        let number = crowd.joined;
        let (stays, let_go) = oneshot::channel();
        let place = Inbox { sender, waiting: waiting.clone(), _stays: stays };
        crowd.inboxes.insert(number, place);
        Seat { broadcast: self, number, inbox, waiting, let_go }
    }

    fn pass_on(&self, from: u64, message: &Message) {
        self.crowd().inboxes.retain(|number, inbox| *number == from || inbox.takes(message));
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens next to a peer.
enum Next {
    Received(Option<Message>),
    /// Something waits for it; `None` where it was let go.
    Waiting(Option<Message>),
}

/// A peer's place in the crowd, which it leaves when this is dropped.
struct Seat<'a> {
    broadcast: &'a Broadcast,
    number: u64,
    inbox: mpsc::UnboundedReceiver<Message>,
    waiting: Arc<AtomicUsize>,
    let_go: oneshot::Receiver<()>,
}

impl Seat<'_> {
    fn is_sent(&self, size: usize) {
        self.waiting.fetch_sub(size + EACH, Ordering::Relaxed);
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.broadcast.crowd().inboxes.remove(&self.number);
    }
}

/// Why a peer was let go.
#[derive(Debug, thiserror::Error)]
#[error("it does not read what waits for it")]
struct TooSlow;

/// What comes of `future`, unless that takes longer than the idle limit.
async fn within_idle<T>(cx: &Context, future: impl Future<Output = T>) -> Result<T, Error> {
    let idle = || Error::new(Kind::Timeout, "nothing passed for too long");
    cx.limited(cx.timeouts().idle).until_deadline(future).await.ok_or_else(idle)
}

fn too_slow() -> Error {
    Error::new(Kind::Lost, "the peer was lost").with_source(TooSlow)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portolan_core::Timeouts;
    use portolan_net::Stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::task::JoinHandle;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A peer that has been taken in, and the task that does so.
    fn join(crowd: &Broadcast, cx: &Context) -> (DuplexStream, JoinHandle<Result<(), Error>>) {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (crowd, cx) = (crowd.clone(), cx.clone());
        let peer = End::Stream(Stream::boxed(ours));
        (theirs, tokio::spawn(async move { crowd.take(peer, &cx).await }))
    }

    /// A speaker, and a listener that does not read.
    async fn crowd(idle: Option<Duration>) -> (DuplexStream, DuplexStream, Error) {
        let (crowd, cx) = (Broadcast::new(), Context::new(Timeouts::default()));
        let (mut speaker, _) = join(&crowd, &cx);
        let limits = Timeouts { idle, ..Timeouts::default() };
        let (deaf, taken) = join(&crowd, &Context::new(limits));
        while crowd.crowd().inboxes.len() < 2 {
            tokio::task::yield_now().await;
        }
        let speech = vec![7; if idle.is_some() { 100_000 } else { 2 * WAITING }];
        speaker.write_all(&speech).await.unwrap();
        let error = taken.await.unwrap().unwrap_err();
        (speaker, deaf, error)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_before_the_server_stops_is_heard() {
        let stop = CancellationToken::new();
        let cx = Context::new(Timeouts::default()).with_stopping(stop.clone());
        let crowd = Broadcast::new();
        let (mut listener, heard) = join(&crowd, &cx);
        let (mut speaker, said) = join(&crowd, &cx);
        while crowd.crowd().inboxes.len() < 2 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        speaker.write_all(&[7; 5000]).await.unwrap();
        let mut bytes = Vec::new();
        listener.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.len(), 5000);
        for taken in [heard, said] {
            taken.await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_let_go() {
        let (_speaker, _deaf, error) = crowd(None).await;
        assert!(format!("{error:#}").ends_with("it does not read what waits for it"), "{error:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_idle() {
        let (_speaker, _deaf, error) = crowd(Some(Duration::from_secs(5))).await;
        assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
    }
}

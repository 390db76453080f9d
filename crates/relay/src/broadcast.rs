//! A crowd: what one peer sends goes to all the others.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portolan_core::{Error, Kind};
use portolan_net::Context;
use tokio::sync::mpsc;

use crate::End;

/// The most that is read from a peer at once; a datagram of any size fits.
const CHUNK: usize = 64 * 1024;
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
    sender: mpsc::UnboundedSender<Arc<[u8]>>,
    /// How many bytes.
    waiting: Arc<AtomicUsize>,
}

impl Inbox {
    /// Puts it in, unless too much waits already.
    fn takes(&self, bytes: &Arc<[u8]>) -> bool {
        let size = bytes.len() + EACH;
        let waiting = self.waiting.fetch_add(size, Ordering::Relaxed);
        waiting + size <= WAITING && self.sender.send(bytes.clone()).is_ok()
    }
}

impl Broadcast {
    /// An empty crowd.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a peer in until it has said all that it has to say, or the server stops. What waits
    /// for it then is delivered.
    ///
    /// # Errors
    /// [`Kind::Lost`] where the peer breaks off, or is let go because it is too slow;
    /// [`Kind::Timeout`] where nothing passed for the context's idle limit.
    pub async fn take(&self, mut peer: End, cx: &Context) -> Result<(), Error> {
        let mut seat = self.seat();
        let mut buffer = vec![0; CHUNK];
        loop {
            let next = async {
                let coming = async {
                    tokio::select! {
                        received = peer.receive(&mut buffer) => Next::Received(received),
                        waiting = seat.inbox.recv() => Next::Waiting(waiting),
                    }
                };
                tokio::select! {
                    // What has come is taken before the end.
                    biased;
                    next = coming => next,
                    () = cx.stopping() => Next::Received(Ok(None)),
                }
            };
            match cx.limited(cx.timeouts().idle).until_deadline(next).await {
                Some(Next::Received(received)) => match received.map_err(lost)? {
                    Some(count) => self.pass_on(seat.number, &buffer[..count]),
                    None => break,
                },
                Some(Next::Waiting(Some(bytes))) => {
                    peer.send(&bytes).await.map_err(lost)?;
                    seat.is_sent(&bytes);
                }
                Some(Next::Waiting(None)) => return Err(lost(io::Error::other(TooSlow))),
                None => return Err(Error::new(Kind::Timeout, "nothing passed for too long")),
            }
        }
        seat.inbox.close();
        while let Some(bytes) = seat.inbox.recv().await {
            peer.send(&bytes).await.map_err(lost)?;
        }
        peer.shutdown().await.map_err(lost)
    }

    fn seat(&self) -> Seat<'_> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut crowd = self.crowd();
        crowd.joined += 1;
        let number = crowd.joined;
        crowd.inboxes.insert(number, Inbox { sender, waiting: waiting.clone() });
        Seat { broadcast: self, number, inbox, waiting }
    }

    fn pass_on(&self, from: u64, bytes: &[u8]) {
        let bytes: Arc<[u8]> = bytes.into();
        self.crowd().inboxes.retain(|number, inbox| *number == from || inbox.takes(&bytes));
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens next to a peer.
enum Next {
    Received(io::Result<Option<usize>>),
    /// Something waits for it; `None` where it was let go.
    Waiting(Option<Arc<[u8]>>),
}

/// A peer's place in the crowd, which it leaves when this is dropped.
struct Seat<'a> {
    broadcast: &'a Broadcast,
    number: u64,
    inbox: mpsc::UnboundedReceiver<Arc<[u8]>>,
    waiting: Arc<AtomicUsize>,
}

impl Seat<'_> {
    fn is_sent(&self, bytes: &[u8]) {
        self.waiting.fetch_sub(bytes.len() + EACH, Ordering::Relaxed);
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

fn lost(cause: io::Error) -> Error {
    Error::new(Kind::Lost, "the peer was lost").with_source(cause)
}

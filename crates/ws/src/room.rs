//! A room: what one says, all hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portolan_core::{Error, Kind};
use tokio::sync::broadcast;

use crate::wire::{CloseCode, Shared};
use crate::{Message, WebSocket, WsError};

/// What happens to a member that is too slow for what is said. One that reads nothing at all is
/// given up after [`Config::stall`](crate::Config::stall).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It misses the oldest messages that it has not got.
    #[default]
    Drop,
    /// It is closed with [`CloseCode::POLICY_VIOLATION`].
    Close,
}

/// A room for broadcasting. A message is kept once for all members, and compressed once for each size
/// of window that they use; a slow member holds nobody up.
///
/// Cheap to clone; a clone is the same room.
///
/// ```
/// use portolan_core::Error;
/// use portolan_net::Context;
/// use portolan_ws::{Info, Policy, Room, Server, WebSocket};
///
/// let room = Room::new(128, Policy::Close);
/// let chat = Server::new(move |socket: WebSocket, _: Info, _: Context| {
///     let room = room.clone();
///     async move {
///         let mut member = room.join(socket);
///         while let Some(message) = member.receive().await? {
///             room.send(message);
///         }
///         Ok::<(), Error>(())
///     }
/// });
/// # drop(chat);
/// ```
#[derive(Clone, Debug)]
pub struct Room {
    sender: broadcast::Sender<Said>,
    policy: Policy,
    /// How many have joined so far.
    joined: Arc<AtomicU64>,
}

/// A message, and the number of the member that does not hear it.
#[derive(Clone, Debug)]
struct Said {
    message: Shared,
    not_to: Option<u64>,
}

impl Room {
    /// A room that keeps the last `waiting` messages for members that have not got them yet.
    ///
    /// # Panics
    /// Where `waiting` is 0.
    #[must_use]
    pub fn new(waiting: usize, policy: Policy) -> Self {
        Self { sender: broadcast::Sender::new(waiting), policy, joined: Arc::default() }
    }

    /// Says `message` to all members; gives how many there are.
    pub fn send(&self, message: impl Into<Message>) -> usize {
        self.say(message.into(), None)
    }

    fn say(&self, message: Message, not_to: Option<u64>) -> usize {
        let said = Said { message: Shared::new(message), not_to };
        self.sender.send(said).unwrap_or_default()
    }

    /// How many members there are.
    #[must_use]
    pub fn members(&self) -> usize {
        self.sender.receiver_count()
    }

    /// Makes the peer at `socket` a member, which hears what is said from now on.
    #[must_use]
    pub fn join(&self, socket: WebSocket) -> Member {
        let queue = self.sender.subscribe();
        let number = self.joined.fetch_add(1, Ordering::Relaxed);
        Member { socket, room: self.clone(), number, queue, waiting: None, missed: 0 }
    }
}

/// A member of a [`Room`], which it leaves when this is dropped.
#[derive(Debug)]
pub struct Member {
    socket: WebSocket,
    room: Room,
    number: u64,
    queue: broadcast::Receiver<Said>,
    /// What was taken out of the queue and has no room in the connection yet.
    waiting: Option<Shared>,
    missed: u64,
}

impl Member {
    /// The next message that the member says; what is said in the room is sent to it meanwhile.
    /// Nothing once it has left.
    ///
    /// # Errors
    /// Those of [`WebSocket::receive`], and [`Kind::Lost`] with [`WsError::TooSlow`] where the
    /// policy is to close.
    pub async fn receive(&mut self) -> Result<Option<Message>, Error> {
        loop {
            if let Some(said) = &self.waiting {
                self.socket.feed_shared(said).await?;
                self.waiting = None;
            }
            let said = tokio::select! {
                received = self.socket.receive() => return received,
                said = self.queue.recv() => said,
            };
            match said {
                Ok(said) if said.not_to == Some(self.number) => {}
                // Who is about to leave is sent nothing more.
                Ok(said) => self.waiting = Some(said.message).filter(|_| !self.socket.is_closing()),
                Err(broadcast::error::RecvError::Lagged(_)) if self.socket.is_closing() => {}
                Err(broadcast::error::RecvError::Lagged(count)) => self.miss(count).await?,
                // The member holds the room open.
                Err(broadcast::error::RecvError::Closed) => {}
            }
        }
    }

    /// Says `message` to all other members; gives how many there are.
    pub fn say(&self, message: impl Into<Message>) -> usize {
        self.room.say(message.into(), Some(self.number)).saturating_sub(1)
    }

    async fn miss(&mut self, count: u64) -> Result<(), Error> {
        self.missed += count;
        if self.room.policy == Policy::Drop {
            return Ok(());
        }
        let _ = self.socket.close(CloseCode::POLICY_VIOLATION, "too slow").await;
        let error = Error::new(Kind::Lost, "could not keep up a member of the room");
        Err(error.with_source(WsError::TooSlow))
    }

    /// How many messages of the room it has missed because it was too slow.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// The connection, to say something to this member alone.
    #[must_use]
    pub const fn socket(&mut self) -> &mut WebSocket {
        &mut self.socket
    }
}

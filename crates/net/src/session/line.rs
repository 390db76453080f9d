//! The line between a datagram server and one of its peers: what waits each way.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use portolan_core::Endpoint;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::fault::{DatagramFaults, Outbox};
use crate::{Datagram, Meter, now};

/// How much may wait for the handler. It holds at least one datagram, however large.
const CAPACITY: usize = 64 * 1024;
/// What a datagram counts for beyond its bytes, so that empty ones are bounded too.
const OVERHEAD: usize = 64;

pub(super) struct Line {
    number: u64,
    peer: Endpoint,
    socket: Arc<Datagram>,
    inbox: Mutex<Inbox>,
    arrived: Notify,
    over: CancellationToken,
    meter: Arc<Meter>,
    delay: Option<Delay>,
}

/// What has come and was not taken yet.
struct Inbox {
    datagrams: VecDeque<Vec<u8>>,
    /// How much of the capacity they take.
    used: usize,
    state: State,
    /// Whether the handler has taken any.
    is_read: bool,
    /// When a datagram passed last, either way.
    active: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// No more come in; what is there can be taken.
    Closed,
    /// The handler has returned: what is there is for the next session.
    HungUp,
}

/// What a handler finds when it looks for a datagram.
pub(super) enum Taken {
    Datagram(Vec<u8>),
    Nothing,
    Over,
}

/// What faults hold back.
struct Delay {
    way: Mutex<(DatagramFaults, Outbox<Arc<Parcel>>)>,
    changed: Notify,
    room: Arc<Semaphore>,
}

/// A datagram under way, and the room that it takes.
struct Parcel {
    datagram: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl Line {
    pub(super) fn new(number: u64, peer: Endpoint, socket: Arc<Datagram>) -> Self {
        Self {
            number,
            peer,
            socket,
            inbox: Mutex::new(Inbox {
                datagrams: VecDeque::new(),
                used: 0,
                state: State::Open,
                is_read: false,
                active: now(),
            }),
            arrived: Notify::new(),
            over: CancellationToken::new(),
            meter: Arc::default(),
            delay: None,
        }
    }

    /// Sends through `faults`, within the `room` that all lines share.
    pub(super) fn with_faults(mut self, faults: DatagramFaults, room: Arc<Semaphore>) -> Self {
        let way = Mutex::new((faults, Outbox::default()));
        self.delay = Some(Delay { way, changed: Notify::new(), room });
        self
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn peer(&self) -> &Endpoint {
        &self.peer
    }

    /// Counts what was taken and what went out.
    pub(super) fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    /// When a datagram passed last, either way.
    pub(super) fn active(&self) -> Instant {
        self.inbox().active
    }

    /// Lets a datagram wait for the handler; false where the handler takes no more.
    pub(super) fn put(&self, datagram: &[u8], now: Instant) -> bool {
        let mut inbox = self.inbox();
        if inbox.state != State::Open {
            return false;
        }
        inbox.active = now;
        inbox.used += datagram.len() + OVERHEAD;
        inbox.datagrams.push_back(datagram.to_vec());
        while inbox.used > CAPACITY && inbox.datagrams.len() > 1 {
            inbox.pop();
        }
        drop(inbox);
        self.arrived.notify_one();
        true
    }

    pub(super) fn take(&self) -> Taken {
        let mut inbox = self.inbox();
        let next = if inbox.state == State::HungUp { None } else { inbox.pop() };
        match (next, inbox.state) {
            (Some(datagram), _) => {
                inbox.is_read = true;
                self.meter.count_read(datagram.len());
                Taken::Datagram(datagram)
            }
            (None, State::Open) => Taken::Nothing,
            (None, State::Closed | State::HungUp) => {
                // Whoever else waits is to know it too.
                self.arrived.notify_one();
                Taken::Over
            }
        }
    }

    /// Waits until there may be something to take.
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }

    /// Takes in no more; what is there can be taken.
    pub(super) fn close(&self) {
        let mut inbox = self.inbox();
        if inbox.state == State::Open {
            inbox.state = State::Closed;
        }
        drop(inbox);
        self.arrived.notify_one();
    }

    /// Ends the session at once; what waits is lost.
    pub(super) fn end(&self) {
        self.close();
        self.inbox().clear();
        self.over.cancel();
    }

    /// Waits until the session is ended.
    pub(super) async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// The handler has returned; whether it left something.
    pub(super) fn hang_up(&self) -> bool {
        let mut inbox = self.inbox();
        inbox.state = State::HungUp;
        self.arrived.notify_one();
        !inbox.datagrams.is_empty()
    }

    /// What a handler that has returned left for the next session: nothing, where it took nothing
    /// itself, for so would the next.
    pub(super) fn rest(&self) -> VecDeque<Vec<u8>> {
        let mut inbox = self.inbox();
        let rest = inbox.clear();
        if inbox.is_read { rest } else { VecDeque::new() }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a datagram, or lets it wait for when it is due.
    pub(super) async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let now = now();
        self.inbox().active = now;
        let Some(delay) = &self.delay else { return self.transmit(datagram).await };
        delay.put(datagram, now);
        self.send_due(delay).await;
        delay.changed.notify_one();
        Ok(())
    }

    /// Sends what is under way as it falls due, until nothing is.
    pub(super) async fn deliver(&self) {
        let Some(delay) = &self.delay else { return };
        while let Some(due) = delay.due() {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => self.send_due(delay).await,
                () = delay.changed.notified() => {}
            }
        }
    }

    /// Sends what falls due, for ever.
    pub(super) async fn keep_delivering(&self) {
        let Some(delay) = &self.delay else { return std::future::pending().await };
        loop {
            self.deliver().await;
            delay.changed.notified().await;
        }
    }

    async fn send_due(&self, delay: &Delay) {
        while let Some(parcel) = delay.pop() {
            // Who sent it has gone on meanwhile; a lost datagram is no news.
            let _ = self.transmit(&parcel.datagram).await;
        }
    }

    async fn transmit(&self, datagram: &[u8]) -> io::Result<()> {
        match self.socket.send_to(datagram, &self.peer).await {
            Ok(size) => {
                self.meter.count_written(size);
                Ok(())
            }
            // A full queue loses what comes.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Inbox {
    fn pop(&mut self) -> Option<Vec<u8>> {
        let datagram = self.datagrams.pop_front()?;
        self.used -= datagram.len() + OVERHEAD;
        Some(datagram)
    }

    fn clear(&mut self) -> VecDeque<Vec<u8>> {
        self.used = 0;
        std::mem::take(&mut self.datagrams)
    }
}

impl Delay {
    /// Lets a datagram meet its fate. Where there is no room for it, it is lost.
    fn put(&self, datagram: &[u8], now: Instant) {
        let mut datagram = datagram.to_vec();
        let mut way = self.way();
        let fate = way.0.next(&mut datagram);
        let size = u32::try_from(datagram.len() + OVERHEAD).unwrap_or(u32::MAX);
        if let Ok(room) = self.room.clone().try_acquire_many_owned(size) {
            way.1.push(now, fate, Arc::new(Parcel { datagram, _room: room }));
        }
    }

    fn due(&self) -> Option<Instant> {
        self.way().1.due()
    }

    fn pop(&self) -> Option<Arc<Parcel>> {
        self.way().1.pop(now())
    }

    fn way(&self) -> MutexGuard<'_, (DatagramFaults, Outbox<Arc<Parcel>>)> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

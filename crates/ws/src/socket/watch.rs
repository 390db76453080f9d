//! The times of a connection: when to ping, and when it has taken too long.
//!
//! A connection has one timer, which is made when it first waits. It is not set back with each
//! message: when it rings, it is asked whether anything is due by now.

use std::future::pending;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::{Duration, Instant};

use portolan_core::Timeouts;
use portolan_net::{Context, now};

use crate::Config;

/// How many pings and pongs may come within [`FLOOD_TIME`] without a message among them.
pub(crate) const FLOOD: u32 = 10_000;
const FLOOD_TIME: Duration = Duration::from_secs(1);

/// What must be done now, with the limit that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The peer is to be pinged.
    Ping,
    /// No pong came.
    Pong(Duration),
    /// The peer was silent.
    Idle(Duration),
    /// The peer does not finish its message.
    Message(Duration),
    /// The peer reads nothing.
    Stall(Duration),
    /// The closing handshake has not ended.
    Close(Duration),
    /// The whole operation is over.
    Deadline,
    /// The server shuts down, or the client was told to stop.
    Stopping,
}

pub(crate) struct Watch {
    ping: Option<Duration>,
    pong: Duration,
    idle: Option<Duration>,
    message: Option<Duration>,
    stall: Option<Duration>,
    close: Duration,
    /// When the peer was heard last, where there is a limit to that.
    heard: Instant,
    /// When the peer was last known to be alive: when a pong came, or the timer rang.
    alive: Instant,
    /// Whether it showed a sign of life since then. To read the clock at each would cost more.
    is_alive: bool,
    /// The ping that is not answered.
    asked: Option<Instant>,
    /// How many pings were sent: the payload of the last.
    pings: u64,
    latency: Option<Duration>,
    /// How many pings and pongs came without a message since `counted`, or since the last message.
    controls: u32,
    counted: Instant,
    /// Since when a message is awaited of which some has come.
    begun: Option<Instant>,
    /// Since when nothing could be written.
    blocked: Option<Instant>,
    /// Since when we want to leave.
    leaving: Option<Instant>,
    /// Whether it was said that we are to stop.
    is_told: bool,
    timer: Option<Timer>,
}

struct Timer {
    at: Option<Instant>,
    /// Gives whether we are to stop.
    ringing: Pin<Box<dyn Future<Output = bool> + Send>>,
}

impl Watch {
    pub(crate) fn new(config: &Config, cx: &Context) -> Self {
        Self {
            ping: config.ping,
            pong: config.pong,
            idle: cx.timeouts().idle,
            message: config.message,
            stall: config.stall,
            close: config.close,
            heard: now(),
            alive: now(),
            is_alive: false,
            asked: None,
            pings: 0,
            latency: None,
            controls: 0,
            counted: now(),
            begun: None,
            blocked: None,
            leaving: None,
            is_told: false,
            timer: None,
        }
    }

    /// How long the last pong took.
    pub(crate) const fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// The peer was heard.
    pub(crate) fn hear(&mut self) {
        self.is_alive = true;
        if self.idle.is_some() {
            self.heard = now();
        }
    }

    /// All of a message came.
    pub(crate) const fn has_message(&mut self) {
        self.begun = None;
        self.controls = 0;
    }

    /// A ping or a pong came; gives whether there were too many of them of late, whatever the pauses
    /// between them.
    pub(crate) fn is_flooded(&mut self) -> bool {
        self.controls += 1;
        if self.controls <= FLOOD {
            return false;
        }
        let since = std::mem::replace(&mut self.counted, now());
        self.controls = 0;
        self.counted.saturating_duration_since(since) < FLOOD_TIME
    }

    /// More is awaited, and perhaps of a message that has begun.
    pub(crate) fn awaits(&mut self, is_within_message: bool) {
        match is_within_message {
            true => _ = self.begun.get_or_insert_with(now),
            false => self.begun = None,
        }
    }

    /// A ping is sent; gives its payload.
    pub(crate) fn ask(&mut self) -> [u8; 8] {
        self.pings += 1;
        self.asked = Some(now());
        self.pings.to_be_bytes()
    }

    /// Whether this pong answers the last ping.
    pub(crate) fn is_pong(&mut self, payload: &[u8]) -> bool {
        match self.asked.filter(|_| payload == self.pings.to_be_bytes()) {
            Some(asked) => {
                self.asked = None;
                self.alive = now();
                self.is_alive = false;
                self.latency = Some(self.alive.saturating_duration_since(asked));
                true
            }
            None => false,
        }
    }

    /// Nothing can be written for now.
    pub(crate) fn is_blocked(&mut self) {
        self.blocked.get_or_insert_with(now);
    }

    /// Something was written: where nothing could be before, the peer has read.
    pub(crate) const fn is_read_by_peer(&mut self) {
        if self.blocked.take().is_some() {
            self.is_alive = true;
        }
    }

    /// The closing handshake begins.
    pub(crate) fn leave(&mut self) {
        self.leaving.get_or_insert_with(now);
    }

    /// Waits until something is due.
    pub(crate) fn poll(&mut self, cx: &Context, task: &mut task::Context<'_>) -> Poll<Due> {
        loop {
            let next = self.next(cx);
            let at = next.map(|(at, _)| at);
            let timer = match &mut self.timer {
                Some(timer) if timer.rings_by(at) => timer,
                timer => timer.insert(Timer::new(at, self.is_told, cx)),
            };
            let is_stopping = ready!(timer.ringing.as_mut().poll(task));
            self.timer = None;
            if is_stopping {
                self.is_told = true;
                return Poll::Ready(Due::Stopping);
            }
            match next {
                Some((at, due)) if at <= now() && !self.is_answered(due) => {
                    return Poll::Ready(due);
                }
                _ => {}
            }
        }
    }

    /// Whether what is due is a sign of life that the peer has shown meanwhile.
    fn is_answered(&mut self, due: Due) -> bool {
        if !self.is_alive || !matches!(due, Due::Ping | Due::Pong(_)) {
            return false;
        }
        self.is_alive = false;
        self.alive = now();
        self.asked = self.asked.map(|_| self.alive);
        true
    }

    /// What is due next, and when.
    fn next(&self, cx: &Context) -> Option<(Instant, Due)> {
        if let Some(leaving) = self.leaving {
            let at = leaving.checked_add(self.close)?;
            return Some((at, Due::Close(self.close)));
        }
        let after = |since: Option<Instant>, limit: Option<Duration>, due: fn(Duration) -> Due| {
            let limit = limit?;
            Some((since?.checked_add(limit)?, due(limit)))
        };
        // A ping that waits behind what the peer does not read has not reached it.
        let is_reached = self.blocked.is_none();
        let asked = self.asked.filter(|_| is_reached);
        let unasked = Some(self.alive).filter(|_| is_reached && self.asked.is_none());
        [
            cx.deadline().instant().map(|end| (end, Due::Deadline)),
            after(self.begun, self.message, Due::Message),
            after(self.blocked, self.stall, Due::Stall),
            after(asked, Some(self.pong), Due::Pong),
            after(unasked, self.ping, |_| Due::Ping),
            after(Some(self.heard), self.idle, Due::Idle),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }
}

impl Timer {
    fn new(at: Option<Instant>, is_told: bool, cx: &Context) -> Self {
        let cx = cx.clone();
        let stopping = async move {
            match is_told {
                true => pending().await,
                false => cx.stopping().await,
            }
        };
        let ringing: Pin<Box<dyn Future<Output = bool> + Send>> = match at {
            // Most connections wait for nothing else, and need less room for it.
            None => Box::pin(async move {
                stopping.await;
                true
            }),
            // What is due after the operation's own deadline has a time of its own.
            Some(at) => Box::pin(async move {
                let limit = at.saturating_duration_since(now());
                let limited = Context::new(Timeouts::default()).limited(Some(limit));
                limited.until_deadline(stopping).await.is_some()
            }),
        };
        Self { at, ringing }
    }

    /// Whether it rings at this time or before.
    fn rings_by(&self, at: Option<Instant>) -> bool {
        match (self.at, at) {
            (Some(rings), Some(at)) => rings <= at,
            (_, None) => true,
            (None, Some(_)) => false,
        }
    }
}

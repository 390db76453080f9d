//! The connections of a session: idle ones of HTTP/1.1, and shared ones of HTTP/2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portolan_core::{Host, Scheme, Url};
use portolan_net::{Context, now};

use crate::client::{Client, Protocol};

/// How long a connection is kept that nobody uses, how often those are sought out, and how many are
/// kept of one origin.
const IDLE_MAX: Duration = Duration::from_secs(90);
const SWEEP_EVERY: Duration = Duration::from_secs(10);
const IDLE_COUNT_MAX: usize = 100;
/// How long a connection may take to be ready once its last answer has been read.
const SETTLING: Duration = Duration::from_millis(50);

/// Connections by whom they lead to and what is spoken.
#[derive(Default)]
pub(super) struct Pool(Mutex<Places>);

#[derive(Default)]
struct Places {
    by_key: HashMap<Key, Arc<Place>>,
    swept: Option<Instant>,
}

/// An origin (RFC 9110 section 4.3.1), and the versions that are spoken with it.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    scheme: Scheme,
    host: Host,
    port: u16,
    protocol: Protocol,
}

/// All connections of one key.
#[derive(Default)]
pub(super) struct Place {
    /// Held while it is not known yet whether one connection will do for all.
    pub(super) opening: tokio::sync::Mutex<()>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The one used last is the last.
    idle: Vec<(Box<Client>, Instant)>,
    shared: Option<(Client, Instant)>,
    /// Whether the origin is known to have chosen HTTP/1.1.
    is_http1: bool,
}

/// A connection for one exchange. Dropping it closes the connection, unless others share it.
pub(crate) struct Lease {
    pub(crate) client: Box<Client>,
    place: Arc<Place>,
    /// Whether it carried an exchange before.
    pub(super) is_reused: bool,
}

impl Pool {
    pub(super) fn place(&self, url: &Url, protocol: Protocol) -> Arc<Place> {
        let key =
            Key { scheme: url.scheme(), host: url.host().clone(), port: url.port(), protocol };
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.sweep();
        places.by_key.entry(key).or_default().clone()
    }
}

impl Places {
    /// Closes what nobody has used for long, and forgets origins that nobody asks.
    fn sweep(&mut self) {
        let now = now();
        let is_due =
            self.swept.is_none_or(|last| now.saturating_duration_since(last) > SWEEP_EVERY);
        if is_due {
            self.swept = Some(now);
            self.by_key.retain(|_, place| {
                let is_empty = place.kept().close_idle(now);
                !is_empty || Arc::strong_count(place) > 1
            });
        }
    }
}

impl Place {
    /// A connection that there is.
    pub(super) async fn reuse(self: &Arc<Self>, cx: &Context) -> Option<Lease> {
        loop {
            let mut client = self.kept().take()?;
            let is_ready = cx.limited(Some(SETTLING)).until_deadline(client.is_ready()).await;
            if is_ready == Some(true) {
                return Some(Lease { client, place: self.clone(), is_reused: true });
            }
            if client.is_http2() {
                self.kept().shared = None;
            }
        }
    }

    /// Whether one connection may do for all requests.
    pub(super) fn may_share(&self, url: &Url, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Any => url.scheme() == Scheme::Https && !self.kept().is_http1,
        }
    }

    /// Takes in a new connection.
    pub(super) fn lease(self: &Arc<Self>, client: Client) -> Lease {
        let mut kept = self.kept();
        match client.share() {
            Some(shared) => kept.shared = Some((shared, now())),
            None => kept.is_http1 = true,
        }
        drop(kept);
        Lease { client: Box::new(client), place: self.clone(), is_reused: false }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn take(&mut self) -> Option<Box<Client>> {
        if let Some((shared, since)) = &mut self.shared {
            *since = now();
            return shared.share().map(Box::new);
        }
        self.close_idle(now());
        self.idle.pop().map(|(client, _)| client)
    }

    /// Closes what nobody has used for long; whether none is left.
    fn close_idle(&mut self, now: Instant) -> bool {
        let is_old = |since: Instant| now.saturating_duration_since(since) > IDLE_MAX;
        // The first is the one that was used longest ago.
        let count = self.idle.iter().take_while(|(_, since)| is_old(*since)).count();
        self.idle.drain(..count);
        // Requests that are on their way hold it open.
        self.shared.take_if(|(_, since)| is_old(*since));
        self.idle.is_empty() && self.shared.is_none()
    }
}

impl Lease {
    /// Keeps the connection for the next exchange.
    pub(crate) fn give_back(self) {
        if self.client.is_http2() {
            return;
        }
        let mut kept = self.place.kept();
        if kept.idle.len() < IDLE_COUNT_MAX {
            kept.idle.push((self.client, now()));
        }
    }
}

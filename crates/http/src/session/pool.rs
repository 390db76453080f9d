//! The connections of a session: idle ones of HTTP/1.1, and shared ones of HTTP/2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portolan_core::{Host, Scheme, Url};
use portolan_net::{Context, now};

use crate::client::{Client, Protocol};

/// How long a connection is kept that nobody uses, and how many of one origin.
const IDLE_MAX: Duration = Duration::from_secs(90);
const IDLE_COUNT_MAX: usize = 100;
/// How long a connection may take to be ready once its last answer has been read.
const SETTLING: Duration = Duration::from_millis(50);

/// Connections by whom they lead to and what is spoken.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Key, Arc<Place>>>);

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
    idle: Vec<(Client, Instant)>,
    shared: Option<Client>,
    /// Whether the origin is known to have chosen HTTP/1.1.
    is_http1: bool,
}

/// A connection for one exchange. Dropping it closes the connection, unless others share it.
pub(crate) struct Lease {
    pub(super) client: Client,
    place: Arc<Place>,
    /// Whether it carried an exchange before.
    pub(super) is_reused: bool,
}

impl Pool {
    pub(super) fn place(&self, url: &Url, protocol: Protocol) -> Arc<Place> {
        let key =
            Key { scheme: url.scheme(), host: url.host().clone(), port: url.port(), protocol };
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(key).or_default().clone()
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
            Some(shared) => kept.shared = Some(shared),
            None => kept.is_http1 = true,
        }
        drop(kept);
        Lease { client, place: self.clone(), is_reused: false }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn take(&mut self) -> Option<Client> {
        if let Some(shared) = &self.shared {
            return shared.share();
        }
        let (client, since) = self.idle.pop()?;
        if now().saturating_duration_since(since) > IDLE_MAX {
            // Those below were idle for longer still.
            self.idle.clear();
            return None;
        }
        Some(client)
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

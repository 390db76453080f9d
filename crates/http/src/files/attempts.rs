//! Logins that are being verified. Each costs time and memory, by design: so few are verified at
//! once, few wait, and no peer has the whole queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use http::header::{self, HeaderValue};
use portolan_core::Host;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::spawn_blocking;

use super::refusal::Refusal;

/// How many are verified at once.
const VERIFIERS: usize = 2;
/// How many are verified, or wait for it.
const MOST: usize = 64;
/// How many of them one address may have sent.
const SHARE: usize = 8;

/// What stands for a login, without telling it.
pub(super) type Tag = [u8; 32];

/// The logins that are being verified.
#[derive(Debug)]
pub(super) struct Attempts {
    waiting: Mutex<HashMap<Tag, Waiting>>,
    verifiers: Arc<Semaphore>,
}

/// One login, for all who send it meanwhile.
#[derive(Debug)]
struct Waiting {
    peer: Option<Host>,
    is_right: Arc<OnceCell<bool>>,
    /// How many requests wait for it.
    count: usize,
}

/// A request that waits.
#[derive(Debug)]
struct Attempt<'a> {
    attempts: &'a Attempts,
    tag: Tag,
    is_right: Arc<OnceCell<bool>>,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), verifiers: Arc::new(Semaphore::new(VERIFIERS)) }
    }

    /// Verifies a login from this peer, off the event loop; or hears of it where another request
    /// has it verified already.
    pub(super) async fn is_right(
        &self,
        tag: Tag,
        peer: Option<&Host>,
        verify: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<bool, Refusal> {
        let attempt = self.begin(tag, peer)?;
        let verified = attempt.is_right.get_or_init(async || {
            let Ok(permit) = self.verifiers.clone().acquire_owned().await else { return false };
            // A client that leaves does not end the work, and so does not give way to more of it.
            let verify = move || (verify(), permit).0;
            spawn_blocking(verify).await.unwrap_or(false)
        });
        Ok(*verified.await)
    }

    fn begin(&self, tag: Tag, peer: Option<&Host>) -> Result<Attempt<'_>, Refusal> {
        let mut waiting = self.waiting();
        if !waiting.contains_key(&tag) {
            if waiting.values().filter(|other| other.peer.as_ref() == peer).count() >= SHARE {
                let why = "too many logins from this address are being verified: try again";
                return Err(later(StatusCode::TOO_MANY_REQUESTS, why));
            }
            if waiting.len() >= MOST {
                let why = "too many logins are being verified: try again";
                return Err(later(StatusCode::SERVICE_UNAVAILABLE, why));
            }
        }
        let entry = waiting.entry(tag).or_insert_with(|| Waiting {
            peer: peer.cloned(),
            is_right: Arc::default(),
            count: 0,
        });
        entry.count += 1;
        Ok(Attempt { attempts: self, tag, is_right: entry.is_right.clone() })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Tag, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut waiting = self.attempts.waiting();
        if let Some(entry) = waiting.get_mut(&self.tag) {
            entry.count -= 1;
            if entry.count == 0 {
                waiting.remove(&self.tag);
            }
        }
    }
}

fn later(status: StatusCode, why: &str) -> Refusal {
    Refusal::new(status, why).with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    fn peer(number: u8) -> Host {
        Host::V4(Ipv4Addr::new(192, 0, 2, number))
    }

    fn tag(number: usize) -> Tag {
        let mut tag = [0; 32];
        tag[..8].copy_from_slice(&number.to_le_bytes());
        tag
    }

    #[test]
    fn the_queue_is_short_and_nobody_has_all_of_it() {
        let attempts = Attempts::new();
        let begin = |number: usize, from: u8| attempts.begin(tag(number), Some(&peer(from)));
        let refused = |number, from| begin(number, from).unwrap_err().status().as_u16();
        let mut held: Vec<_> = (0..SHARE).map(|number| begin(number, 0).unwrap()).collect();
        assert_eq!(refused(100, 0), 429);
        // The same login again costs nothing, and others have their share.
        drop(begin(0, 0).unwrap());
        assert_eq!(refused(100, 0), 429);
        held.extend((SHARE..MOST).map(|number| begin(number, (number / SHARE) as u8).unwrap()));
        assert_eq!(refused(100, 200), 503);
        held.remove(0);
        drop(begin(100, 200).unwrap());
        held.clear();
        assert!(attempts.waiting().is_empty());
    }

    #[tokio::test]
    async fn a_login_is_verified_once_for_all_who_send_it() {
        let (attempts, count) = (Attempts::new(), Arc::new(AtomicUsize::new(0)));
        let peer = peer(1);
        let is_right = || {
            let count = count.clone();
            attempts.is_right(tag(1), Some(&peer), move || count.fetch_add(1, Relaxed) == 0)
        };
        let (first, second) = tokio::join!(is_right(), is_right());
        assert!(first.unwrap() && second.unwrap());
        assert_eq!(count.load(Relaxed), 1);
        assert!(!is_right().await.unwrap());
    }
}

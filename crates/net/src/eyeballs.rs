//! Happy eyeballs, version 2 (RFC 8305): race the addresses of a name, the families in turn.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use portolan_core::{Attempt, Failure};

use crate::now;

/// How long an attempt runs alone before the next one joins it (RFC 8305 section 5).
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Orders addresses as RFC 8305 section 4 says: families in turn, beginning with that of the
/// first address, each family in the resolver's order.
pub(crate) fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let addresses: Vec<_> = addresses.into_iter().collect();
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(preferred.len() + other.len());
    while !preferred.is_empty() || !other.is_empty() {
        ordered.extend(preferred.pop_front());
        ordered.extend(other.pop_front());
    }
    ordered
}

/// Tries `addresses` in order until one connects. The next attempt begins when the latest one
/// fails, or [`ATTEMPT_DELAY`] after it began; attempts that run are not given up for it. Each
/// attempt is reported when it ends, and the ones that still run when another wins are dropped.
pub(crate) async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
    report: impl Fn(Attempt),
) -> Option<(SocketAddr, T)>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = VecDeque::from(addresses);
    let mut running = FuturesUnordered::new();
    let begin = |address| {
        let attempt = connect(address);
        let started = now();
        async move { (address, started, attempt.await) }
    };
    running.push(begin(waiting.pop_front()?));
    loop {
        let pause = tokio::time::sleep(ATTEMPT_DELAY);
        let ended = tokio::select! {
            ended = running.next() => ended,
            () = pause, if !waiting.is_empty() => None,
        };
        if let Some((address, started, result)) = ended {
            let failure = result.as_ref().err().map(Failure::from);
            let elapsed = now().saturating_duration_since(started);
            report(Attempt { address, elapsed, failure });
            if let Ok(connected) = result {
                return Some((address, connected));
            }
        }
        match waiting.pop_front() {
            Some(address) => running.push(begin(address)),
            None if running.is_empty() => return None,
            None => {}
        }
    }
}

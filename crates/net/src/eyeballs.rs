//! Happy eyeballs, version 2 (RFC 8305): race the addresses of a name, the families in turn.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use portolan_core::{Attempt, Failure};

use crate::now;

/// How long an attempt runs alone before the next one joins it (RFC 8305 section 5).
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Orders addresses as RFC 8305 section 4 says: families in turn, beginning with that of the
/// first address, each family in the resolver's order.
pub(crate) fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let addresses: Vec<_> = addresses.into_iter().collect();
    if addresses.len() < 2 {
        return addresses;
    }
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
/// attempt is reported when it ends; the ones that still run when another wins, or when the caller
/// gives up, are reported as unanswered.
///
/// # Errors
/// All attempts, when each of them failed.
pub(crate) async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
    report: impl Fn(Attempt),
) -> Result<(SocketAddr, T), Vec<Attempt>>
where
    F: Future<Output = io::Result<T>>,
{
    let begin = |address| {
        let watch = Watch { address, started: now(), report: &report, ended: false };
        let attempt = connect(address);
        async move { (watch, attempt.await) }
    };
    if let [address] = addresses[..] {
        let (watch, result) = begin(address).await;
        let attempt = watch.end(result.as_ref().err().map(Failure::from));
        return result.map(|connected| (address, connected)).map_err(|_| vec![attempt]);
    }
    let mut waiting = VecDeque::from(addresses);
    let mut running = FuturesUnordered::new();
    let mut failed = Vec::new();
    running.extend(waiting.pop_front().map(begin));
    while !running.is_empty() {
        let ended = tokio::select! {
            ended = running.next() => ended,
            () = tokio::time::sleep(ATTEMPT_DELAY), if !waiting.is_empty() => None,
        };
        if let Some((watch, result)) = ended {
            let address = watch.address;
            let attempt = watch.end(result.as_ref().err().map(Failure::from));
            match result {
                Ok(connected) => return Ok((address, connected)),
                Err(_) => failed.push(attempt),
            }
        }
        running.extend(waiting.pop_front().map(begin));
    }
    Err(failed)
}

/// An attempt that runs. Dropped before its end, it is reported as unanswered.
struct Watch<'a, R: Fn(Attempt)> {
    address: SocketAddr,
    started: Instant,
    report: &'a R,
    ended: bool,
}

impl<R: Fn(Attempt)> Watch<'_, R> {
    fn end(mut self, failure: Option<Failure>) -> Attempt {
        self.ended = true;
        let attempt = self.attempt(failure);
        (self.report)(attempt.clone());
        attempt
    }

    fn attempt(&self, failure: Option<Failure>) -> Attempt {
        let elapsed = now().saturating_duration_since(self.started);
        Attempt { address: self.address, elapsed, failure }
    }
}

impl<R: Fn(Attempt)> Drop for Watch<'_, R> {
    fn drop(&mut self) {
        if !self.ended {
            let unanswered =
                Failure { kind: io::ErrorKind::TimedOut, words: "no answer".to_owned() };
            (self.report)(self.attempt(Some(unanswered)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const V4: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
    const V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 1);

    /// How a faked peer behaves.
    #[derive(Clone, Copy)]
    enum Peer {
        Answers(u64),
        Refuses(u64),
        BlackHole,
    }

    impl Peer {
        async fn connect(self) -> io::Result<()> {
            match self {
                Self::Answers(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Self::Refuses(ms) => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Self::BlackHole => std::future::pending().await,
            }
            Ok(())
        }
    }

    /// Races V6, then V4: who won after how many milliseconds, and what became of each attempt.
    async fn run(v6: Peer, v4: Peer) -> (Option<SocketAddr>, u128, Vec<Option<io::ErrorKind>>) {
        let reports = RefCell::new(Vec::new());
        let started = now();
        let connect = |address: SocketAddr| if address.is_ipv6() { v6 } else { v4 }.connect();
        let won = race(vec![V6, V4], connect, |a| reports.borrow_mut().push(a)).await;
        let elapsed = now().duration_since(started).as_millis();
        let mut reports = reports.into_inner();
        reports.sort_by_key(|attempt| attempt.address.is_ipv4());
        let kinds = reports.into_iter().map(|a| a.failure.map(|f| f.kind)).collect();
        (won.ok().map(|(address, ())| address), elapsed, kinds)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_address_wins_alone() {
        assert_eq!(run(Peer::Answers(249), Peer::Answers(1)).await, (Some(V6), 249, vec![None]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_black_hole_costs_a_quarter_of_a_second() {
        let kinds = vec![Some(io::ErrorKind::TimedOut), None];
        assert_eq!(run(Peer::BlackHole, Peer::Answers(12)).await, (Some(V4), 262, kinds));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_costs_no_more_than_itself() {
        let kinds = vec![Some(io::ErrorKind::ConnectionRefused), None];
        assert_eq!(run(Peer::Refuses(3), Peer::Answers(4)).await, (Some(V4), 7, kinds));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_the_second_leaves_the_first_running() {
        let kinds = vec![None, Some(io::ErrorKind::ConnectionRefused)];
        assert_eq!(run(Peer::Answers(400), Peer::Refuses(1)).await, (Some(V6), 400, kinds));
    }

    #[tokio::test(start_paused = true)]
    async fn all_refusals_are_kept() {
        let kinds = vec![Some(io::ErrorKind::ConnectionRefused); 2];
        assert_eq!(run(Peer::Refuses(2), Peer::Refuses(2)).await, (None, 4, kinds));
    }

    #[tokio::test(start_paused = true)]
    async fn giving_up_reports_what_was_running() {
        let kinds = RefCell::new(Vec::new());
        let running = race(
            vec![V6, V4],
            |address: SocketAddr| {
                if address.is_ipv6() { Peer::BlackHole } else { Peer::Refuses(5) }.connect()
            },
            |attempt| kinds.borrow_mut().extend(attempt.failure.map(|f| f.kind)),
        );
        let gave_up = tokio::time::sleep(Duration::from_secs(1));
        tokio::select! {
            biased;
            _ = running => panic!("a black hole answered"),
            () = gave_up => {}
        }
        let expected = [io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut];
        assert_eq!(*kinds.borrow(), expected);
    }

    #[test]
    fn families_take_turns() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let given = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1", "2.2.2.2:1"].map(at);
        let expected = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"].map(at);
        assert_eq!(interleave(given), expected);
    }
}

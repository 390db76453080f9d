//! Connections that wait for their peers without a task each: in an epoll(7) of their own, which is
//! one descriptor to the runtime, and with one timer.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use tokio::io::unix::AsyncFd;
use tokio_util::time::{DelayQueue, delay_queue};

/// How many are woken by one call at most.
const BATCH: usize = 64;
/// The longest limit; the timers that count here end somewhat beyond two years.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The call does not wait: the runtime does.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Sockets at rest, with what belongs to each.
pub(super) struct Resting<T> {
    epoll: AsyncFd<OwnedFd>,
    queue: DelayQueue<T>,
    /// Where each is in the queue, by the number of its descriptor.
    keys: Vec<Option<delay_queue::Key>>,
    /// The places in `keys` of those that are to be woken.
    woken: Vec<usize>,
}

/// What becomes of one who rests.
pub(super) enum Rested<T> {
    /// The peer has said something, or is gone.
    Woken(T),
    /// The limit has passed.
    Expired,
}

impl<T: AsFd> Resting<T> {
    /// Nobody yet.
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "what owns its descriptor is safe; the successor is `unsafe`"
        )]
        let epoll = AsyncFd::new(epoll)?;
        Ok(Self {
            epoll,
            queue: DelayQueue::new(),
            keys: Vec::new(),
            woken: Vec::with_capacity(BATCH),
        })
    }

    /// Lets `one` rest until there is something to read from it, or until `limit` has passed.
    ///
    /// # Errors
    /// The system's; then it is dropped.
    pub(super) fn add(&mut self, one: T, limit: Duration) -> io::Result<()> {
        let slot = slot(&one);
        let data = epoll::EventData::new_u64(slot as u64);
        epoll::add(self.epoll.get_ref(), &one, data, epoll::EventFlags::IN)?;
        if self.keys.len() <= slot {
            self.keys.resize(slot + 1, None);
        }
        self.keys[slot] = Some(self.queue.insert(one, limit.min(LONGEST)));
        Ok(())
    }

    /// The next one whose rest has ended; `None` when nobody rests.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Rested<T>>> {
        loop {
            while let Some(slot) = self.woken.pop() {
                if let Some(one) = self.take(slot) {
                    return Poll::Ready(Some(Rested::Woken(one)));
                }
            }
            // Who has said something wakes, though the limit has passed meanwhile.
            let mut ready = match self.epoll.poll_read_ready(cx) {
                Poll::Ready(Ok(ready)) => ready,
                // The runtime ends.
                Poll::Ready(Err(_)) => return Poll::Pending,
                Poll::Pending => return self.poll_expired(cx),
            };
            let mut events = [MaybeUninit::uninit(); BATCH];
            match epoll::wait(ready.get_inner(), &mut events, Some(&AT_ONCE)) {
                Ok((events, _)) if !events.is_empty() => {
                    self.woken.extend(events.iter().map(|event| event.data.u64() as usize));
                }
                _ => ready.clear_ready(),
            }
        }
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Option<Rested<T>>> {
        let expired = ready!(self.queue.poll_expired(cx));
        Poll::Ready(expired.map(|expired| {
            self.keys[slot(expired.get_ref())] = None;
            Rested::Expired
        }))
    }

    fn take(&mut self, slot: usize) -> Option<T> {
        let key = self.keys.get_mut(slot)?.take()?;
        let one = self.queue.remove(&key).into_inner();
        let _ = epoll::delete(self.epoll.get_ref(), &one);
        Some(one)
    }
}

/// The number of a descriptor.
fn slot(one: &impl AsFd) -> usize {
    // It is not negative while it is open.
    one.as_fd().as_raw_fd() as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::future::poll_fn;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn pairs(count: usize) -> (Vec<UnixStream>, Vec<UnixStream>) {
        (0..count).map(|_| UnixStream::pair().unwrap()).unzip()
    }

    #[tokio::test]
    async fn those_to_whom_something_is_said_wake() {
        let (mut theirs, ours) = pairs(3 * BATCH);
        let mut resting = Resting::new().unwrap();
        let mut expected = BTreeSet::new();
        for (number, one) in ours.into_iter().enumerate() {
            if number % 3 != 0 {
                theirs[number].write_all(b"ahoy").unwrap();
                expected.insert(slot(&one));
            }
            assert!(resting.add(one, LIMIT).is_ok());
        }
        let mut woken = BTreeSet::new();
        while woken.len() < expected.len() {
            match poll_fn(|cx| resting.poll_next(cx)).await {
                Some(Rested::Woken(one)) => assert!(woken.insert(slot(&one))),
                _ => panic!("nobody's limit has passed"),
            }
        }
        assert_eq!(woken, expected);
        assert!(futures_util::poll!(poll_fn(|cx| resting.poll_next(cx))).is_pending());
        drop(theirs);
        for _ in 0..BATCH {
            let rested = poll_fn(|cx| resting.poll_next(cx)).await;
            assert!(matches!(rested, Some(Rested::Woken(_))));
        }
        assert!(poll_fn(|cx| resting.poll_next(cx)).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_has_a_limit() {
        let (_theirs, mut ours) = pairs(2);
        let mut resting = Resting::new().unwrap();
        let started = crate::now();
        assert!(resting.add(ours.remove(0), LIMIT).is_ok());
        assert!(resting.add(ours.remove(0), Duration::MAX).is_ok());
        let rested = poll_fn(|cx| resting.poll_next(cx)).await;
        assert!(matches!(rested, Some(Rested::Expired)));
        assert!(crate::now() - started < LIMIT + Duration::from_secs(1));
        assert!(futures_util::poll!(poll_fn(|cx| resting.poll_next(cx))).is_pending());
    }

    #[tokio::test]
    async fn what_is_said_counts_though_the_limit_has_passed() {
        let (mut theirs, mut ours) = pairs(1);
        let mut resting = Resting::new().unwrap();
        assert!(resting.add(ours.remove(0), Duration::from_millis(5)).is_ok());
        theirs[0].write_all(b"ahoy").unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let rested = poll_fn(|cx| resting.poll_next(cx)).await;
        assert!(matches!(rested, Some(Rested::Woken(_))));
    }
}

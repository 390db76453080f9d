//! A limit of time that is moved often and reached rarely.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::now;

/// A limit of time for who is polled and moves the limit with every step, such as a server between
/// the requests of a connection. Moving it to a later instant costs nothing: the runtime's timer is
/// left as it is, and set anew only when it goes off too early.
#[derive(Debug, Default)]
pub struct Alarm {
    end: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Goes off once `limit` has passed from now.
    pub fn set(&mut self, limit: Duration) {
        self.end = now().checked_add(limit);
    }

    /// Ready once it has gone off; never, where it was not set.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(end) = self.end else { return Poll::Pending };
        let timer =
            self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end.into())));
        if end < timer.deadline().into_std() {
            timer.as_mut().reset(end.into());
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline().into_std() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_when_it_was_last_told_to() {
        let started = now();
        let mut alarm = Alarm::default();
        alarm.set(Duration::from_secs(9));
        assert!(futures_util::poll!(poll_fn(|cx| alarm.poll(cx))).is_pending());
        alarm.set(Duration::from_secs(20));
        poll_fn(|cx| alarm.poll(cx)).await;
        assert_eq!(now() - started, Duration::from_secs(20));
        alarm.set(Duration::from_secs(9));
        assert!(futures_util::poll!(poll_fn(|cx| alarm.poll(cx))).is_pending());
        alarm.set(Duration::from_secs(3));
        poll_fn(|cx| alarm.poll(cx)).await;
        assert_eq!(now() - started, Duration::from_secs(23));
    }
}

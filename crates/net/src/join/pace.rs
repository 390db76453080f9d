//! How fast bytes may pass.

use std::time::{Duration, Instant};

/// Paced bytes pass in so many pieces a second.
const PIECES_A_SECOND: u64 = 20;

/// A limit of bytes a second, kept in small pieces. It never waits: who asks waits.
#[derive(Debug)]
pub struct Pace {
    rate: u64,
    /// What may pass without waiting.
    allowed: u64,
    /// Until when what has passed was earned.
    earned_at: Instant,
}

impl Pace {
    /// At most `rate` bytes a second, and never less than one.
    #[must_use]
    pub fn new(rate: u64, now: Instant) -> Self {
        let rate = rate.max(1);
        Self { rate, allowed: piece(rate), earned_at: now }
    }

    /// How many bytes may pass now; at least one.
    ///
    /// # Errors
    /// When the next ones may, where none may now.
    pub fn allow(&mut self, now: Instant) -> Result<usize, Instant> {
        if self.allowed == 0 {
            let due = self.earned_at + self.time_of(piece(self.rate));
            if now < due {
                return Err(due);
            }
            self.earn(now);
        }
        Ok(usize::try_from(self.allowed).unwrap_or(usize::MAX))
    }

    /// So many bytes have passed. Where they are more than might, as a whole message may be, the
    /// next ones wait for longer.
    pub fn spend(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        let excess = bytes.saturating_sub(self.allowed);
        self.allowed -= bytes - excess;
        if excess > 0 {
            self.earned_at += self.time_of(excess);
        }
    }

    /// Who was late by a piece may catch up, but not by more.
    fn earn(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.earned_at);
        let earned = elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000;
        let most = 2 * piece(self.rate);
        match u64::try_from(earned) {
            Ok(earned) if earned <= most => {
                self.allowed = earned;
                self.earned_at += self.time_of(earned);
            }
            _ => {
                self.allowed = most;
                self.earned_at = now;
            }
        }
    }

    fn time_of(&self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

const fn piece(rate: u64) -> u64 {
    let piece = rate / PIECES_A_SECOND;
    if piece == 0 { 1 } else { piece }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many bytes pass within `time`, for one who takes at most `most` at once and is always
    /// late by `late`; and in how many pieces.
    fn pass(rate: u64, time: Duration, most: usize, late: Duration) -> (u64, u64) {
        let start = crate::now();
        let (mut now, mut passed, mut waits) = (start, 0, 0);
        let mut pace = Pace::new(rate, start);
        while now < start + time {
            match pace.allow(now) {
                Ok(allowed) => {
                    let count = allowed.min(most);
                    pace.spend(count);
                    passed += count as u64;
                }
                Err(due) => {
                    assert!(due > now);
                    waits += 1;
                    now = due + late;
                }
            }
        }
        (passed, waits)
    }

    #[test]
    fn twenty_pieces_a_second() {
        let second = Duration::from_secs(1);
        assert_eq!(pass(1_000_000, second, 4096, Duration::ZERO).1, 20);
        assert_eq!(pass(3, second, 4096, Duration::ZERO), (3, 3));
    }

    #[test]
    fn what_passes_whole_is_paid_for_later() {
        let start = crate::now();
        let mut pace = Pace::new(1000, start);
        pace.spend(3000);
        let due = pace.allow(start).unwrap_err() - start;
        assert_eq!(due.as_secs(), 3, "{due:?}");
    }

    proptest! {
        #[test]
        fn the_rate_is_kept(rate in 1..1_u64 << 34, most in 1024..1_usize << 20, late in 0..5_u64) {
            let time = Duration::from_secs(4);
            let (passed, _) = pass(rate, time, most, Duration::from_millis(late));
            let expected = (rate * 4) as f64;
            let piece = (rate / 20).max(1) as f64;
            prop_assert!(passed as f64 <= expected + 3.0 * piece, "{passed} of {expected}");
            prop_assert!(passed as f64 >= expected * 0.98 - 2.0 * piece, "{passed} of {expected}");
        }
    }
}

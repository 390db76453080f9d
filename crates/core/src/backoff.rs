//! The pauses between retries.

use std::time::Duration;

/// A doubling, jittered pause between attempts: attempt number in, pause out, the same for the
/// same seed.
///
/// # Defaults
/// `first` 500 ms, `max` 30 s, `seed` 0.
///
/// ```
/// use portolan_core::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff { first: Duration::from_millis(100), ..Backoff::default() };
/// let third = backoff.pause(3);
/// assert!(third >= Duration::from_millis(200) && third <= Duration::from_millis(400));
/// assert_eq!(third, backoff.pause(3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first attempt, before jitter.
    pub first: Duration,
    /// No pause is longer than this.
    pub max: Duration,
    /// Chooses the jitter; peers that retry together should differ in it.
    pub seed: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), max: Duration::from_secs(30), seed: 0 }
    }
}

impl Backoff {
    /// The pause after attempt number `attempt` (the first is 1): `first` doubled `attempt - 1`
    /// times, at most `max`, of which a random share between half and the whole is taken.
    #[must_use]
    pub fn pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.max);
        let mut random = fastrand::Rng::with_seed(self.seed.wrapping_add(u64::from(attempt)));
        whole.mul_f64(0.5 + random.f64() / 2.0)
    }
}

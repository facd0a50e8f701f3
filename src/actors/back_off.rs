//! How long to back off from a failing source.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Waiting times between failing rounds: about 1 s, doubled each time, never above 60 s, jittered so that many loops do
/// not return at the same time. The same seed gives the same times.
#[derive(Debug)]
pub struct BackOff {
    seed: u64,
    delays: Option<ExponentialBackoff>,
}

impl BackOff {
    /// Longest wait, whatever the source requests.
    pub const CAP: Duration = Duration::from_mins(1);

    /// Returns the state of a source that has not failed.
    pub fn new(seed: u64) -> Self {
        Self { seed, delays: None }
    }

    /// Counts a failed round and returns how long to wait; at least `asked`, the delay requested by the source.
    pub fn failed(&mut self, asked: Option<Duration>) -> Duration {
        let seed = self.seed;
        let delays = self.delays.get_or_insert_with(|| {
            let half = Self::CAP / 2;
            let delays = ExponentialBuilder::new().with_max_delay(half).without_max_times();
            // Jitter adds up to the delay itself.
            delays.with_jitter().with_jitter_seed(seed).build()
        });
        delays.next().unwrap_or(Self::CAP).max(asked.unwrap_or_default()).min(Self::CAP)
    }

    /// Forgets the failures: a round succeeded.
    pub fn succeeded(&mut self) {
        // A different jitter sequence next time.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.delays = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_start_again_after_a_success() {
        for seed in 0..50 {
            let mut back_off = BackOff::new(seed);
            let waits: Vec<f64> = (0..100).map(|_| back_off.failed(None).as_secs_f64()).collect();
            let mut least = 1.0_f64;
            for (step, wait) in waits.iter().enumerate() {
                assert!((least..=(2.0 * least)).contains(wait), "seed {seed}, step {step}: {wait}");
                least = (2.0 * least).min(30.0);
            }
            back_off.succeeded();
            assert!(back_off.failed(None) < Duration::from_secs(2));
        }
    }

    #[test]
    fn the_same_seed_waits_alike_and_another_does_not() {
        let waits = |seed| {
            let mut back_off = BackOff::new(seed);
            (0..5).map(|_| back_off.failed(None)).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }

    #[test]
    fn what_the_source_asks_for_is_kept_up_to_the_cap() {
        let mut back_off = BackOff::new(1);
        assert_eq!(back_off.failed(Some(Duration::from_secs(20))), Duration::from_secs(20));
        assert_eq!(back_off.failed(Some(Duration::from_hours(24))), BackOff::CAP);
        assert!(back_off.failed(Some(Duration::ZERO)) >= Duration::from_secs(4));
    }
}

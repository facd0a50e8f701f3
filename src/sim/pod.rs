//! Pods from creation to deletion: they start slowly, serve equally, and are deleted youngest first.

use std::time::Duration;

use super::noise::Noise;

/// Seconds that a deleted pod still exists (and is billed) while it finishes its requests.
pub const TERMINATION_SECONDS: i64 = 30;

/// The start time distribution of pods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StartTime {
    /// The median, from creation to ready.
    pub median: Duration,
    /// Standard deviation of its logarithm: times are `median * exp(spread * z)`.
    pub spread: f64,
}

/// One pod. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pod {
    /// When it was created.
    pub created: i64,
    /// When it becomes, or became, ready.
    pub ready_at: i64,
}

impl Pod {
    /// Returns whether it serves at `now`.
    pub fn ready(&self, now: i64) -> bool {
        self.ready_at <= now
    }
}

/// The pods of one service.
#[derive(Debug, Clone)]
pub struct Pods {
    start: StartTime,
    noise: Noise,
    created: i64,
    living: Vec<Pod>,
    terminating: Vec<i64>,
}

impl Pods {
    /// Returns `count` pods that have been ready for long at `now`.
    pub fn running(count: u32, start: StartTime, noise: Noise, now: i64) -> Self {
        let old = now.saturating_sub(86_400_000);
        let living = (0..count).map(|_| Pod { created: old, ready_at: old }).collect();
        Self { start, noise, created: 0, living, terminating: Vec::new() }
    }

    /// Creates or deletes pods until `wanted` remain; pods that are not ready are deleted first, then the youngest.
    pub fn scale(&mut self, wanted: u32, now: i64) {
        let wanted = wanted as usize;
        while self.living.len() < wanted {
            self.created = self.created.saturating_add(1);
            let factor = (self.start.spread * self.noise.normal(self.created)).exp();
            let takes = self.start.median.as_secs_f64() * 1000.0 * factor;
            self.living.push(Pod { created: now, ready_at: now.saturating_add(takes as i64) });
        }
        if self.living.len() > wanted {
            self.living.sort_by_key(|pod| (!pod.ready(now), pod.created, pod.ready_at));
            let gone = self.living.len() - wanted;
            self.living.truncate(wanted);
            let until = now.saturating_add(TERMINATION_SECONDS * 1000);
            self.terminating.extend(std::iter::repeat_n(until, gone));
        }
    }

    /// Removes pods whose termination has ended by `now`.
    pub fn reap(&mut self, now: i64) {
        self.terminating.retain(|until| *until > now);
    }

    /// Returns the pods that are not being deleted, ready or not.
    pub fn living(&self) -> &[Pod] {
        &self.living
    }

    /// Returns how many serve at `now`.
    pub fn ready(&self, now: i64) -> u32 {
        self.living.iter().filter(|pod| pod.ready(now)).count() as u32
    }

    /// Returns how many are billed: living and terminating ones.
    pub fn billed(&self) -> u32 {
        (self.living.len() + self.terminating.len()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(count: u32) -> Pods {
        let start = StartTime { median: Duration::from_mins(1), spread: 0.3 };
        Pods::running(count, start, Noise::new(1, "pods"), 0)
    }

    #[test]
    fn new_pods_are_ready_about_the_start_time_later() {
        let mut pods = pods(2);
        pods.scale(42, 0);
        assert_eq!((pods.living().len(), pods.ready(0), pods.ready(15_000)), (42, 2, 2));
        let half = pods.ready(60_000);
        assert!((12..=32).contains(&half), "{half} of 42 within the median");
        assert_eq!(pods.ready(180_000), 42);
    }

    #[test]
    fn pods_that_are_not_ready_go_first_then_the_youngest() {
        let mut pods = pods(3);
        pods.scale(5, 0);
        pods.scale(6, 200_000);
        pods.scale(5, 200_000);
        assert_eq!(pods.ready(200_000), 5, "the one still starting went");
        pods.scale(3, 200_000);
        assert!(pods.living().iter().all(|pod| pod.created < 0), "the oldest stayed");
    }

    #[test]
    fn a_deleted_pod_is_billed_until_it_has_ended() {
        let mut pods = pods(5);
        pods.scale(2, 0);
        assert_eq!((pods.living().len(), pods.billed()), (2, 5));
        pods.reap(29_999);
        assert_eq!(pods.billed(), 5);
        pods.reap(30_000);
        assert_eq!(pods.billed(), 2);
    }
}

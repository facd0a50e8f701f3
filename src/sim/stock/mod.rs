//! The rule of the stock Kubernetes horizontal autoscaler for one CPU utilisation target, without `behavior`: flyball's
//! baseline.
//!
//! **Source**: kubernetes/kubernetes `pkg/controller/podautoscaler/replica_calculator.go` and `horizontal.go`, defaults
//! of `pkg/apis/autoscaling/v2/defaults.go`.

use std::collections::VecDeque;

use crate::model::Bounds;

/// Seconds between two syncs of the autoscaler.
pub const SYNC_SECONDS: i64 = 15;

/// Relative deviation from the target within which nothing is done.
const TOLERANCE: f64 = 0.1;

/// Seconds after its start in which a pod's CPU may be due to initialisation.
const INITIALISATION_SECONDS: i64 = 300;

/// Seconds after its start within which the first change to not ready means that it was never ready.
const INITIAL_READINESS_SECONDS: i64 = 30;

/// Seconds over which the highest recommendation applies.
const STABILISATION_SECONDS: i64 = 300;

/// CPU use of one pod as the metrics pipeline delivers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// End of the window, second since the Unix epoch.
    pub at: i64,
    /// Length of the window, seconds.
    pub window: i64,
    /// Mean use, millicores.
    pub millicores: u64,
}

/// The lifecycle of a pod, as the API server reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Deleted or failed.
    Gone,
    /// Not started.
    Pending,
    /// Started at `started`; has been `ready` (or not) since `since`. Seconds since the Unix epoch.
    Running {
        /// When it started.
        started: i64,
        /// Its readiness.
        ready: bool,
        /// When that last changed.
        since: i64,
    },
}

/// One pod as the autoscaler sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodView {
    /// Its phase.
    pub phase: Phase,
    /// Its CPU request, millicores.
    pub request: u64,
    /// Its newest measurement; `None` if there is none.
    pub usage: Option<Usage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Ignored,
    Unready,
    Missing,
    Ready(u64),
}

fn classify(pod: &PodView, now: i64) -> Class {
    let (started, ready, since) = match pod.phase {
        Phase::Gone => return Class::Ignored,
        Phase::Pending => return Class::Unready,
        Phase::Running { started, ready, since } => (started, ready, since),
    };
    let Some(usage) = pod.usage else { return Class::Missing };
    let unready = if now < started + INITIALISATION_SECONDS {
        !ready || usage.at < since + usage.window
    } else {
        !ready && since < started + INITIAL_READINESS_SECONDS
    };
    if unready { Class::Unready } else { Class::Ready(usage.millicores) }
}

/// Use and request of the pods that count.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    pods: u32,
    used: u64,
    requested: u64,
}

impl Sum {
    fn add(&mut self, used: u64, requested: u64) {
        self.pods = self.pods.saturating_add(1);
        self.used = self.used.saturating_add(used);
        self.requested = self.requested.saturating_add(requested);
    }

    /// Adds pods with these requests, each assumed to use `percent` of its request.
    fn assume(&mut self, requests: &[u64], percent: u64) {
        for request in requests {
            self.add(request.saturating_mul(percent) / 100, *request);
        }
    }

    /// Whole percent of the request in use, relative to the target.
    fn ratio(&self, target_percent: u32) -> Option<f64> {
        let percent = self.used.saturating_mul(100).checked_div(self.requested)?;
        Some(percent as f64 / f64::from(target_percent))
    }

    fn replicas(&self, ratio: f64) -> u32 {
        (ratio * f64::from(self.pods)).ceil() as u32
    }
}

/// Returns the replicas that the pods' CPU requires for `target_percent` (above 0); `None` if no ready pod has a
/// measurement, in which case nothing is scaled.
pub fn recommend(current: u32, pods: &[PodView], target_percent: u32, now: i64) -> Option<u32> {
    let mut sum = Sum::default();
    let (mut unready, mut missing) = (Vec::new(), Vec::new());
    for pod in pods {
        match classify(pod, now) {
            Class::Ignored => {}
            Class::Unready => unready.push(pod.request),
            Class::Missing => missing.push(pod.request),
            Class::Ready(used) => sum.add(used, pod.request),
        }
    }
    let ratio = sum.ratio(target_percent)?;
    let raises_past_unready = !unready.is_empty() && ratio > 1.0;
    if missing.is_empty() && !raises_past_unready {
        return Some(if within_tolerance(ratio) { current } else { sum.replicas(ratio) });
    }
    if ratio < 1.0 {
        sum.assume(&missing, u64::from(target_percent.max(100)));
    } else if ratio > 1.0 {
        sum.assume(&missing, 0);
    }
    if raises_past_unready {
        sum.assume(&unready, 0);
    }
    let refilled = sum.ratio(target_percent)?;
    let turned = (ratio < 1.0 && refilled > 1.0) || (ratio > 1.0 && refilled < 1.0);
    let wanted = sum.replicas(refilled);
    let against = (refilled < 1.0 && wanted > current) || (refilled > 1.0 && wanted < current);
    Some(if within_tolerance(refilled) || turned || against { current } else { wanted })
}

fn within_tolerance(ratio: f64) -> bool {
    (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio)
}

/// The autoscaler of one service.
#[derive(Debug, Clone)]
pub struct StockAutoscaler {
    target_percent: u32,
    bounds: Bounds,
    recommendations: VecDeque<(i64, u32)>,
}

impl StockAutoscaler {
    /// Returns an autoscaler with this CPU target (percent of the request, above 0) and these bounds.
    pub fn new(target_percent: u32, bounds: Bounds) -> Self {
        Self { target_percent, bounds, recommendations: VecDeque::new() }
    }

    /// Runs one sync and returns the replicas to set; `current` is the current setting.
    pub fn sync(&mut self, current: u32, pods: &[PodView], now: i64) -> u32 {
        let Bounds { min, max } = self.bounds;
        if current == 0 && min != 0 {
            return current;
        }
        if current > max {
            return max;
        }
        if current < min {
            return min;
        }
        match recommend(current, pods, self.target_percent, now) {
            None => current,
            Some(wanted) => {
                let stable = self.stabilise(current, wanted, now);
                self.limit(current, stable)
            }
        }
    }

    /// Returns the highest recommendation of the window, this one included.
    fn stabilise(&mut self, current: u32, wanted: u32, now: i64) -> u32 {
        if self.recommendations.is_empty() {
            self.recommendations.push_back((now, current));
        }
        self.recommendations.push_back((now, wanted));
        self.recommendations.retain(|(at, _)| *at >= now - STABILISATION_SECONDS);
        self.recommendations.iter().map(|(_, replicas)| *replicas).max().unwrap_or(wanted)
    }

    /// Returns `wanted` limited to what one sync may add and to the bounds.
    fn limit(&self, current: u32, wanted: u32) -> u32 {
        let most = current.saturating_mul(2).max(4).min(self.bounds.max);
        wanted.min(most).max(self.bounds.min)
    }
}

#[cfg(test)]
mod tests;

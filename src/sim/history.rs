//! The history before the start of a plant, as a pure function of (seed, time). The load is exact: it is what the plant
//! would have seen. Latency, CPU and errors are what a well-run service would have shown.

use super::scenario::ServicePlan;
use super::service::Scrape;
use super::workload::Load;

/// Utilisation of a well-run service.
const RESTED_UTILISATION: f64 = 0.6;

/// Returns the replicas that a well-run service would have had at `rps`.
pub fn rested_replicas(plan: &ServicePlan, rps: f64) -> u32 {
    let needed = (rps / (RESTED_UTILISATION * plan.per_pod_rate)).ceil() as u32;
    needed.max(plan.bounds.min).min(plan.bounds.max)
}

/// Returns what telemetry showed at second `at`, over the minute before it.
pub fn scrape(plan: &ServicePlan, load: &Load, at: i64) -> Scrape {
    let rps = load.minute_before(at);
    let pods = rested_replicas(plan, load.rate(at - 30));
    let cpu = (rps / (f64::from(pods) * plan.per_pod_rate)).min(1.0);
    Scrape { rps, p99: plan.queue.p99(cpu), p50: plan.queue.p50(cpu), errors: 0.0, cpu }
}

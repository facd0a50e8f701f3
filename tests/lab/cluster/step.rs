//! An unpredictable step to twice the load: from the first slow request until the objective holds again, including
//! scrape and pod start, under flyball and under the stock autoscaler.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Cluster;
use super::compare::{self, Controller};
use super::rig::{self, SLO, Seen};
use crate::prometheus::Prometheus;

/// Requests per second before and after the step: two pods carry the former within the objective, not the latter.
const USUAL: f64 = 12.0;
const STEP: f64 = 24.0;
/// Seconds before the first step, from one step to the next and from one autoscaler to the next (the phase of its
/// period, and of its metrics, is random: three thirds of both), and after the step.
const BEFORE: u32 = 60;
const APART: u32 = 5;
const AFTER: u32 = 120;
/// Seconds in a row within the objective that count as recovered.
const CALM: u64 = 15;
/// Workloads per controller.
const PAIRS: usize = 3;
/// The usual target of an autoscaler, percent.
const TARGET: u32 = 60;

/// Returns the seconds from the first bad request after `step` to the start of the first calm period, or to the end if
/// there is none; `None` without a bad request.
fn onset_to_recovered(seen: &[Seen], step: u32, end: u32) -> Option<f64> {
    let after = |request: &&Seen| request.planned >= Duration::from_secs(u64::from(step));
    let bad = seen.iter().filter(after).filter(|request| request.status != 200 || request.latency > SLO);
    let onset = bad.map(|request| request.planned).min()?;
    let calm = |from: &u64| rig::violation_seconds(seen, SLO, *from, from + CALM) == 0;
    let recovered = (onset.as_secs() + 1..u64::from(end) - CALM).find(calm).unwrap_or(u64::from(end));
    Some(recovered as f64 - onset.as_secs_f64())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "4 minutes; scripts/lab/score runs it, on more nodes"]
async fn unforeseen() {
    let cluster = Cluster::open().await;
    let controllers = [Controller::Flyball, Controller::Stock(TARGET)];
    let all: Vec<_> = (0..2 * PAIRS).map(|index| (format!("step-{index}"), controllers[index % 2])).collect();
    let workloads = compare::workloads(&cluster, &all, Duration::from_secs(u64::from(APART))).await;
    let ours: Vec<&str> =
        all.iter().filter(|(_, it)| *it == Controller::Flyball).map(|(namespace, _)| namespace.as_str()).collect();
    let mut prometheus = Prometheus::scraping(&rig::discovery(&ours.join("|")), Duration::from_secs(1));
    prometheus.start().await;
    let installation = compare::flyball(&prometheus.url(), 0, &ours);
    let mut flyball = installation.start(None);
    flyball.url();
    let step = |index: usize| BEFORE + u32::try_from(index / 2).unwrap() * APART;
    let end = |index: usize| step(index) + AFTER;
    let plan = |index: usize| vec![(0, USUAL), (step(index), STEP), (end(index), 0.0)];
    let at = Timestamp::now().as_millisecond() + 1000;
    let outcomes = compare::play(&cluster, workloads, at, plan).end().await;
    for (index, outcome) in outcomes.iter().enumerate() {
        let mut line = outcome.line();
        line["onset_to_recovered_s"] = json!(onset_to_recovered(&outcome.seen, step(index), end(index)));
        println!("{line}");
    }
    assert!(flyball.stop().success());
}

#[test]
fn the_time_to_recover_counts_from_the_first_bad_request_to_the_last_bad_second() {
    let request = |ms: u64| Seen {
        planned: Duration::from_millis(ms),
        status: 200,
        latency: Duration::from_millis(if [10_500, 14_000, 20_900].contains(&ms) { 900 } else { 300 }),
    };
    let seen: Vec<Seen> = (0..600).map(|index| request(index * 100)).collect();
    assert_eq!(onset_to_recovered(&seen, 10, 60), Some(10.5));
    assert_eq!(onset_to_recovered(&seen, 21, 60), None);
}

//! flyball is killed at the nightly trough, and the morning comes: whatever was lowered has an autoscaler that raises
//! it again, and whatever has none was never lowered. Compared with the same requests under the stock autoscaler alone.
//! Judged by request logs, by the API and by etcd's history.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use super::compare::{self, Controller, NAME, Outcome};
use super::rig::{self, SLO};
use super::witness::{Move, floors_since, moves_since, revision};
use super::{Cluster, PATIENCE, account};
use crate::eventually;
use crate::prometheus::Prometheus;
use crate::support::flyball::Installation;

/// With autoscaler and flyball, with flyball alone, with the autoscaler alone.
const BOTH: &str = "trough-both";
const ALONE: &str = "trough-alone";
const STOCK: &str = "trough-stock";
/// In addition to the first of them, without pods: a tenth of the fleet may be removed in ten minutes, and two pods
/// must be less than that.
const FLEET: &str = "fleet";
const LARGE: u32 = 40;
/// Requests per second in the evening, at night and from the morning on: one pod carries the night, three the others.
/// All workloads fit on the existing nodes: which one gets a new node first would be random.
const EVENING: f64 = 24.0;
const NIGHT: f64 = 5.0;
const DAY: f64 = 24.0;
/// Seconds of the play at which night and morning start, the day is reached, and the end.
const DUSK: u32 = 14;
const DAWN: u32 = 155;
const RISEN: u32 = 163;
const END: u32 = 215;
/// Seconds before the morning at which flyball is killed: the night has lasted for two lowerings, a minute apart.
const BEFORE_DAWN: u32 = 8;
/// Pods of every workload at night if something lowers it (the floor of its autoscaler), and of the one that nothing
/// may lower.
const LEAST: u32 = 2;
const KEPT: u32 = 4;
const TARGET: u32 = 60;
/// The autoscaler syncs every 15 s, here for both workloads at the same times, and both get the same requests: a value
/// that is once slightly below and once slightly above the threshold costs one sync.
const LOOK: usize = 15;

/// Raises in the evening; at night it wants less than the autoscaler's floor before flyball. No capacity is declared,
/// so a lowering depends only on the last minute.
const POLICY: &str = r#"
rule("evening", #{ priority: 9, goal: "protect" }, |s, p| [when(s.rps.current > rps(16)), scale_to(3)]);
rule("night", #{ priority: 1, goal: "cost" }, |s, p| [when(s.rps.current < rps(12)), scale_to(1)]);
"#;

fn plan() -> Vec<(u32, f64)> {
    let rise = |step: u32| NIGHT + (DAY - NIGHT) * f64::from(step) / f64::from(RISEN - DAWN);
    let dawn = (DAWN..RISEN).step_by(2).map(|second| (second, rise(second - DAWN)));
    [(0, EVENING), (DUSK, NIGHT)].into_iter().chain(dawn).chain([(RISEN, DAY), (END, 0.0)]).collect()
}

async fn ready(cluster: &Cluster, namespace: &str, wanted: u32, within: Duration) {
    eventually(&format!("{wanted} pods in {namespace}"), within, async || {
        (rig::ready(cluster, namespace, NAME).await == wanted).then_some(())
    })
    .await;
}

fn of(moves: &[Move], namespace: &str) -> Vec<(Option<u32>, u32)> {
    moves.iter().filter(|it| it.namespace == namespace).map(|it| (it.from, it.to)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_22_flyball_killed_at_the_nightly_trough_costs_the_morning_no_more_than_an_autoscaler_alone() {
    let cluster = Cluster::open().await;
    let controllers =
        [(BOTH, Controller::Both(TARGET)), (ALONE, Controller::Flyball), (STOCK, Controller::Stock(TARGET))];
    let workloads =
        compare::workloads(&cluster, &controllers.map(|(name, it)| (name.to_owned(), it)), Duration::ZERO).await;
    // Faster scale-down; everything else is default.
    let soon = json!({ "spec": { "behavior": { "scaleDown": { "stabilizationWindowSeconds": 15 } } } });
    for namespace in [BOTH, STOCK] {
        assert_eq!(cluster.patch(&rig::autoscaler_path(namespace, NAME), soon.clone()).await, 200);
    }
    let mut fleet = rig::idle_manifest(BOTH, FLEET, LARGE);
    fleet["spec"]["paused"] = json!(true);
    cluster.create(fleet).await;
    let scale = format!("/apis/apps/v1/namespaces/{ALONE}/deployments/{NAME}/scale");
    assert_eq!(cluster.patch(&scale, json!({ "spec": { "replicas": KEPT } })).await, 200);
    ready(&cluster, ALONE, KEPT, PATIENCE).await;

    let mut prometheus = Prometheus::scraping(&rig::discovery(&format!("{BOTH}|{ALONE}")), Duration::from_secs(1));
    prometheus.start().await;
    let program = Path::new(env!("CARGO_BIN_EXE_flyball"));
    let installation = Installation::new(program, &settings(&prometheus.url()), &[("p.rhai", POLICY)]);
    let installation = installation.with_environment(vec![account()]);
    let before = revision(&cluster).await;
    let mut flyball = installation.start(None);
    flyball.url();
    let begin = Timestamp::now().as_millisecond() + 1000;
    let playing = compare::play(&cluster, workloads, begin, |_| plan());
    let second = || u32::try_from((Timestamp::now().as_millisecond() - begin) / 1000).unwrap_or(0);

    // At night nothing of what flyball raised is left, and it has had time to lower what it must not.
    sleep(Duration::from_secs(u64::from(DAWN - BEFORE_DAWN))).await;
    let at_night = [(BOTH, LEAST), (ALONE, KEPT), (STOCK, LEAST)];
    for (namespace, pods) in at_night {
        ready(&cluster, namespace, pods, Duration::from_secs(5)).await;
    }
    flyball.kill();
    assert!(second() < DAWN, "killed after the night");
    let floors = of(&floors_since(before).await, BOTH);
    assert_eq!(floors, [(Some(2), 3), (Some(3), 2)], "raised in the evening, and lowered at night to where it was");

    let outcomes = playing.end().await;
    outcomes.iter().for_each(|outcome| println!("{}", outcome.line()));
    let [both, alone, stock] = [0, 1, 2].map(|index| morning(&outcomes[index]));
    println!("{}", json!({ "morning_violation_s": { "both": both, "alone": alone, "stock": stock } }));
    assert_eq!(of(&floors_since(before).await, BOTH), floors, "nobody is left to move the floor");
    assert_eq!(of(&moves_since(before).await, ALONE), [], "lowered with nobody behind it");
    assert!(stock > 0, "the morning was no trouble for the autoscaler either: this run says nothing");
    assert!(both <= stock + LOOK, "{both} s outside the objective, {stock} under the autoscaler alone");
    assert!(alone <= stock, "{alone} s outside the objective without an autoscaler, {stock} under one");
}

/// Returns the seconds outside the objective from the morning on.
fn morning(outcome: &Outcome) -> usize {
    rig::violation_seconds(&outcome.seen, SLO, u64::from(DAWN), u64::from(END))
}

fn settings(prometheus: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\n\
         sources:\n  main: {{ kind: prometheus, url: \"{prometheus}\", interval: 1s, history: 0s }}\n\
         signals:\n  rps:\n    source: main\n    \
         query: 'sum by (namespace, service) (rate(http_requests_total{{$selector}}[8s]))'\n    \
         samples: 'http_requests_total{{$selector}}'\n    labels: [namespace, service]\n    unit: per_second\n    \
         role: arrival_rate\n    range: [0, 5000]\n    scrape_interval: 1s\n\
         defaults:\n  mode: auto\n  signals: [rps]\n  slo: {{ p99: {}ms, error_ratio: 0.01 }}\n  \
         bounds: {{ min: 1, max: 12 }}\n  \
         guards: {{ stabilisation: 60s, reversal_lock: 60s, lower_cooldown: 60s }}\n\
         services:\n  - name: {BOTH}/{NAME}\n  - name: {ALONE}/{NAME}\n  - {{ name: {BOTH}/{FLEET}, mode: observe }}\n",
        SLO.as_millis(),
    )
}

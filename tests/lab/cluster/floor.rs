//! An autoscaler on the workload, under a surge of real requests: flyball moves only its floor, the autoscaler stays in
//! charge above it, and neither reverts the other. Judged by etcd's history and the audit log.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::rig::{self, CAPACITY, COLD_START};
use super::witness::{floors_since, moves_since, requests, revision};
use super::{Cluster, PATIENCE, account};
use crate::eventually;
use crate::prometheus::Prometheus;
use crate::support::flyball::Installation;

const NAMESPACE: &str = "floor";
const NAME: &str = "checkout";
/// Requests per second, usually and in the surge: two pods carry the former, eight the latter.
const USUAL: f64 = 12.0;
const SURGE: f64 = 60.0;
/// Seconds of the play before the surge, and of the surge.
const BEFORE: u32 = 20;
const SURGES: u32 = 70;
const FLOOR: u32 = 2;
const CEILING: u32 = 10;
/// The rate over 12 s takes that long to climb, and a raise may follow another after 15 s: more writes are not a climb.
/// A fight would show as a reset floor, or a replica count set by flyball.
const MOST_WRITES: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn x2_with_an_autoscaler_flyball_moves_its_floor_and_never_the_target() {
    let cluster = Cluster::open().await;
    cluster.namespaces(&[NAMESPACE.to_owned()]).await;
    rig::workload(&cluster, NAMESPACE, NAME, FLOOR).await;
    let autoscaler = rig::autoscaler(&cluster, NAMESPACE, NAME, (FLOOR, CEILING)).await;
    let (_balancer, url) = rig::balancer(NAMESPACE, NAME);
    eventually("two pods", PATIENCE, async || (rig::ready(&cluster, NAMESPACE, NAME).await == FLOOR).then_some(()))
        .await;

    let begin = Timestamp::now().as_millisecond() + 1000;
    let load = rig::Load::start(&url, begin, &[(0, USUAL), (BEFORE, SURGE), (BEFORE + SURGES, 0.0)]);
    let mut prometheus = Prometheus::scraping(&rig::discovery(NAMESPACE), Duration::from_secs(1));
    prometheus.start().await;
    let (before, since) = (revision(&cluster).await, Timestamp::now());
    let policies = [("capacity.rhai", include_str!("../../../deploy/policies/capacity.rhai"))];
    let program = Path::new(env!("CARGO_BIN_EXE_flyball"));
    let installation = Installation::new(program, &settings(&prometheus.url()), &policies);
    let installation = installation.with_environment(vec![account()]);
    let flyball = installation.start(None);
    let needed = (SURGE / CAPACITY).ceil() as u32;
    eventually("enough pods", Duration::from_secs(u64::from(BEFORE + SURGES)), async || {
        (rig::ready(&cluster, NAMESPACE, NAME).await >= needed).then_some(())
    })
    .await;
    let seen = load.end().await;

    let (floors, moves) = (floors_since(before).await, moves_since(before).await);
    let patches: Vec<_> = requests().into_iter().filter(|it| it.verb == "patch" && it.arrived > since).collect();
    let figures =
        json!({ "floor_writes": floors.len(), "patches": patches.len(), "moves": moves.len(), "requests": seen.len() });
    println!("{figures}");
    assert!((1..=MOST_WRITES).contains(&floors.len()), "{floors:?}");
    for floor in &floors {
        assert_eq!(floor.manager, "flyball", "{floors:?}");
        assert!(Some(floor.to) > floor.from && floor.to <= CEILING, "{floors:?}");
    }
    let autoscalers = format!("/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{NAME}?");
    assert!(patches.iter().all(|patch| patch.uri.starts_with(&autoscalers)), "it wrote elsewhere: {patches:?}");
    let accepted = patches.iter().filter(|patch| patch.status == 200).count();
    assert_eq!(accepted, floors.len(), "a write of nothing, or one that was taken back: {patches:?}");
    assert!(!moves.is_empty() && moves.iter().all(|it| it.manager == "kube-controller-manager"), "{moves:?}");

    let stored = cluster.get(&rig::autoscaler_path(NAMESPACE, NAME)).await;
    assert_eq!(stored["metadata"]["uid"], autoscaler["metadata"]["uid"]);
    assert_eq!(stored["metadata"]["annotations"]["flyball.dev/floor-baseline"], FLOOR.to_string());
    for field in ["maxReplicas", "scaleTargetRef", "metrics"] {
        assert_eq!(stored["spec"][field], autoscaler["spec"][field], "{field} was touched");
    }
    assert!(flyball.stop().success());
    let why = String::from_utf8(installation.ask(&["explain", &format!("{NAMESPACE}/{NAME}")]).stdout).unwrap();
    assert!(why.contains("HPA checkout"), "{why}");
}

fn settings(prometheus: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\n\
         sources:\n  main: {{ kind: prometheus, url: \"{prometheus}\", interval: 1s, history: 0s }}\n\
         signals:\n  rps:\n    source: main\n    \
         query: 'sum by (namespace, service) (rate(http_requests_total{{$selector}}[12s]))'\n    \
         samples: 'http_requests_total{{$selector}}'\n    labels: [namespace, service]\n    unit: per_second\n    \
         role: arrival_rate\n    range: [0, 5000]\n    scrape_interval: 1s\n\
         defaults:\n  mode: auto\n  signals: [rps]\n  slo: {{ p99: 800ms, error_ratio: 0.01 }}\n  \
         bounds: {{ min: 1, max: 20 }}\n  \
         capacity: {{ per_pod_rate: {CAPACITY}, utilisation: 0.8, start_time: {}s }}\n\
         services:\n  - name: {NAMESPACE}/{NAME}\n",
        COLD_START.as_secs(),
    )
}

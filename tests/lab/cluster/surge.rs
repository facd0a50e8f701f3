//! A surge that recurs each day, in real requests to real processes: the replicas are there before it, and the clients
//! hardly notice.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::rig::{self, CAPACITY, COLD_START};
use super::witness::{moves_since, revision};
use super::{Cluster, account};
use crate::eventually;
use crate::load::{self, minute_now};
use crate::prometheus::Prometheus;
use crate::support::flyball::Installation;

const NAMESPACE: &str = "surge";
const NAME: &str = "checkout";
const SERVICE: &str = "surge/checkout";
/// Requests a second, usually and in the surge: two pods carry the one, eight the other.
const USUAL: f64 = 12.0;
const SURGE: f64 = 60.0;
/// Minutes that a surge lasts in the history, and that it is played.
const LASTS: i64 = 20;
const PLAYED: u32 = 60;
const DAYS: u32 = 4;
/// What a client accepts; a worker alone takes 200 ms.
const SLO: Duration = Duration::from_millis(800);

/// Returns the load of the past days, with a surge from `minute` of each.
fn history(minute: i64) -> load::Load {
    let first = minute_now() - i64::from(DAYS + 1) * 1440;
    let surges = |at: i64| (at - minute).rem_euclid(1440) < LASTS;
    let value = |at: i64| Some(if surges(at) { SURGE } else { USUAL });
    load::Load::Recorded { values: (first..=minute_now() + 1).map(value).collect(), first }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_ready_before_a_surge_that_recurs() {
    let cluster = Cluster::open().await;
    cluster.namespaces(&[NAMESPACE.to_owned()]).await;
    rig::workload(&cluster, NAMESPACE, NAME, 2).await;
    let (_balancer, url) = rig::balancer(NAMESPACE, NAME);
    eventually("two pods", Duration::from_secs(60), async || {
        (rig::ready(&cluster, NAMESPACE, NAME).await == 2).then_some(())
    })
    .await;

    // The next minute that leaves time to start everything, and flyball time to look ahead.
    let surge = minute_now() + 3;
    let begin = Timestamp::now().as_millisecond() + 1000;
    let quiet = u32::try_from((surge * 60_000 - begin) / 1000).unwrap();
    let plan = [(0, USUAL), (quiet, SURGE), (quiet + PLAYED, 0.0)];
    let load = rig::Load::start(&url, begin, &plan);
    let mut prometheus = Prometheus::scraping(&rig::discovery(NAMESPACE), Duration::from_secs(1));
    prometheus.backfill(&[(SERVICE, history(surge))], DAYS);
    prometheus.start().await;
    eventually("the live load alone", Duration::from_secs(60), async || {
        let past = prometheus.query("rate(http_requests_total{instance=\"history\"}[12s])").await?;
        let live = prometheus.value("sum(rate(http_requests_total{service=\"checkout\"}[12s]))").await?;
        (past.is_empty() && live > 0.7 * USUAL).then_some(())
    })
    .await;

    let before = revision(&cluster).await;
    let policies = [("capacity.rhai", include_str!("../../../deploy/policies/capacity.rhai"))];
    let program = Path::new(env!("CARGO_BIN_EXE_flyball"));
    let installation = Installation::new(program, &settings(&prometheus.url()), &policies);
    let installation = installation.with_environment(vec![account()]);
    let mut flyball = installation.start(None);
    let needed = (SURGE / CAPACITY).ceil() as u32;
    let until_surge = Duration::from_millis(u64::try_from(surge * 60_000 - Timestamp::now().as_millisecond()).unwrap());
    let enough = async {
        while rig::ready(&cluster, NAMESPACE, NAME).await < needed {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(until_surge, enough).await.is_err() {
        let ready = rig::ready(&cluster, NAMESPACE, NAME).await;
        let why = installation.ask(&["explain", SERVICE]);
        let why = String::from_utf8_lossy(&why.stdout).into_owned();
        panic!("{ready} of {needed} pods ready when the surge begins: {why}\n{}", flyball.log());
    }

    let seen = load.end().await;
    let violated = rig::violation_seconds(&seen, SLO, u64::from(quiet), u64::from(quiet + PLAYED));
    let moves = moves_since(before).await;
    println!("{{\"surge_violation_seconds\": {violated}, \"requests\": {}, \"moves\": {}}}", seen.len(), moves.len());
    assert!(moves.iter().all(|it| it.manager == "flyball"), "somebody else wrote: {moves:?}");
    assert!(moves.iter().all(|it| Some(it.to) > it.from), "lowered before or in the surge: {moves:?}");
    assert!(violated <= 6, "{violated} seconds of the surge were outside the objective: {moves:?}");
    assert!(flyball.stop().success());
}

fn settings(prometheus: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\n\
         sources:\n  main: {{ kind: prometheus, url: \"{prometheus}\", interval: 1s, history: {DAYS}d }}\n\
         signals:\n  rps:\n    source: main\n    \
         query: 'sum by (namespace, service) (rate(http_requests_total{{$selector}}[12s]))'\n    \
         samples: 'http_requests_total{{$selector}}'\n    labels: [namespace, service]\n    unit: per_second\n    \
         role: arrival_rate\n    forecast: true\n    range: [0, 5000]\n    scrape_interval: 1s\n\
         defaults:\n  mode: auto\n  signals: [rps]\n  slo: {{ p99: {}ms, error_ratio: 0.01 }}\n  \
         bounds: {{ min: 2, max: 20 }}\n  \
         capacity: {{ per_pod_rate: {CAPACITY}, utilisation: 0.8, start_time: {}s }}\n\
         services:\n  - name: {SERVICE}\n",
        SLO.as_millis(),
        COLD_START.as_secs(),
    )
}

//! Prometheus and the API server go away, in the middle of things, and return: no capacity is lost meanwhile, no
//! earlier decision is written afterwards, and the loop continues from the current state. Judged by etcd's history and
//! the audit log.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use super::governed::{DECLARED, Governed, NAME};
use super::rig::{self, CAPACITY, COLD_START};
use super::server::ApiServer;
use super::witness::{Move, Request, compact, moves_since, requests, revision};
use super::{Cluster, PATIENCE, account};
use crate::eventually;
use crate::prometheus::Prometheus;
use crate::support::flyball::Installation;

/// Requests per second, usually and in the surge: two pods carry the former, eight the latter.
const USUAL: f64 = 12.0;
const SURGE: f64 = 60.0;
/// Seconds of the play before the surge, and of the surge.
const BEFORE: u32 = 3;
const SURGES: u32 = 120;
/// Longer than a value stays fresh (17 s), and than the cooldown between two raises.
const AWAY: Duration = Duration::from_secs(20);
/// How long the cluster's controllers may take to recover from an outage: they back off exponentially.
const CONTROLLERS: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn p1_prometheus_stopped_in_a_surge_of_real_requests_loses_no_capacity() {
    const NAMESPACE: &str = "blind";
    let cluster = Cluster::open().await;
    cluster.namespaces(&[NAMESPACE.to_owned()]).await;
    rig::workload(&cluster, NAMESPACE, NAME, 2).await;
    let (_balancer, url) = rig::balancer(NAMESPACE, NAME);
    eventually("two pods", PATIENCE, async || (rig::ready(&cluster, NAMESPACE, NAME).await == 2).then_some(())).await;
    eventually("requests are served", PATIENCE, async || {
        reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()).then_some(())
    })
    .await;

    let begin = Timestamp::now().as_millisecond() + 1000;
    let load = rig::Load::start(&url, begin, &[(0, USUAL), (BEFORE, SURGE), (BEFORE + SURGES, 0.0)]);
    let mut prometheus = Prometheus::scraping(&rig::discovery(NAMESPACE), Duration::from_secs(1));
    prometheus.start().await;
    let before = revision(&cluster).await;
    let policies = [("capacity.rhai", super::governed::POLICY), ("down.rhai", DOWN)];
    let program = Path::new(env!("CARGO_BIN_EXE_flyball"));
    let installation = Installation::new(program, &settings(NAMESPACE, &prometheus.url()), &policies);
    let installation = installation.with_environment(vec![account()]);
    let mut flyball = installation.start(None);
    let raised = async {
        while moves_since(before).await.is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, raised).await.is_err() {
        let why = installation.ask(&["explain", &format!("{NAMESPACE}/{NAME}")]);
        panic!("no raise: {}\n{}", String::from_utf8_lossy(&why.stdout), flyball.log());
    }
    let first = moves_since(before).await[0].clone();
    prometheus.stop();
    // Requests that were in flight when it stopped.
    sleep(Duration::from_secs(2)).await;
    let written = moves_since(before).await;
    sleep(AWAY).await;
    assert_eq!(moves_since(before).await, written, "a write without telemetry");
    let needed = (SURGE / (0.8 * CAPACITY)).ceil() as u32;
    assert!(first.to < needed, "the surge was met before the outage: {written:?}");

    prometheus.start().await;
    eventually("the surge is met", PATIENCE, async || {
        let replicas = cluster.deployment(NAMESPACE, NAME).await["spec"]["replicas"].as_u64().unwrap();
        (replicas * CAPACITY as u64 >= SURGE as u64).then_some(())
    })
    .await;
    drop(load);
    let moves = moves_since(before).await;
    assert!(moves.iter().all(|it| it.manager == "flyball" && Some(it.to) > it.from), "capacity was lost: {moves:?}");
    // The rate of a counter that was not scraped for a while may be slightly off.
    assert!(moves.iter().all(|it| it.to <= needed + 1), "a jump: {moves:?}");
    assert!(flyball.stop().success());
}

/// Lowers as soon as less is needed; only the guards decide when.
const DOWN: &str = "rule(\"down\", #{ priority: 1, goal: \"cost\" }, |s, p| \
    [when(s.capacity.needed_now < s.replicas.current), scale_to(s.capacity.needed_now)]);\n";

#[tokio::test(flavor = "multi_thread")]
async fn k1_k5_the_api_server_goes_and_comes_back_and_nothing_is_lost_and_nothing_stale_is_written() {
    let policy = format!("{}\n{DOWN}", super::governed::POLICY);
    let governed = Governed::start("away", 2, &policy, DECLARED).await;
    governed.shows("Deciding").await;
    let mut server = ApiServer::find();

    // Short: what was wanted first is not what is needed in the end.
    server.kill().await;
    governed.needs(9);
    sleep(Duration::from_secs(4)).await;
    governed.needs(5);
    sleep(Duration::from_secs(3)).await;
    server.start().await;
    governed.wants(5).await;

    // For a minute; the lower need during it lowers nothing on return.
    sleep(Duration::from_secs(2)).await;
    server.kill().await;
    let gone = Timestamp::now();
    governed.needs(12);
    sleep(Duration::from_secs(5)).await;
    governed.needs(2);
    sleep(Duration::from_secs(55)).await;
    server.start().await;
    let back = Timestamp::now();
    governed.needs(2);
    sleep(Duration::from_secs(12)).await;
    let quiet = governed.written().await;
    // While pods of the last raise are missing, further ones would not become ready either: the controllers have to be
    // back first.
    eventually("the pods of the first raise are there", CONTROLLERS, async || {
        (rig::ready(&governed.cluster, "away", NAME).await == 5).then_some(())
    })
    .await;
    governed.needs(7);
    governed.wants(7).await;

    assert_eq!(steps(&quiet), [(Some(2), 5)], "capacity was lost, or something stale was written");
    assert_eq!(steps(&governed.written().await), [(Some(2), 5), (Some(5), 7)]);
    let after: Vec<Request> = requests().into_iter().filter(|it| it.arrived > gone).collect();
    let position = |verb: &str, what: &str| after.iter().position(|it| it.verb == verb && it.uri.contains(what));
    let listed = position("list", "/namespaces/away/deployments?").expect("what was watched is listed anew");
    assert!(Some(listed) < position("patch", "/scale"), "a write before what it is about was seen anew: {after:?}");
    println!("{{\"requests_in_12_s_after_the_return\": {}}}", after.iter().filter(|it| it.arrived > back).count());
    governed.nothing_refused();
    eventually("the controllers work again", CONTROLLERS, async || {
        (rig::ready(&governed.cluster, "away", NAME).await == 7).then_some(())
    })
    .await;
    governed.stop();
}

fn steps(moves: &[Move]) -> Vec<(Option<u32>, u32)> {
    moves.iter().map(|it| (it.from, it.to)).collect()
}

/// The store compacts away the revisions of flyball's watches. While flyball is paused and the server is replaced, a
/// person changes what is watched.
#[tokio::test(flavor = "multi_thread")]
async fn k5_watches_whose_revisions_are_compacted_away_are_listed_anew_before_anything_is_written() {
    const NAMESPACE: &str = "forgotten";
    let policy = format!("{}\n{DOWN}", super::governed::POLICY);
    let governed = Governed::start(NAMESPACE, 2, &policy, DECLARED).await;
    governed.shows("Deciding").await;
    let cluster = &governed.cluster;
    let watched = format!("/namespaces/{NAMESPACE}/deployments?");
    let mut server = ApiServer::find();

    // All connections of flyball are cut before any of this happens: it cannot know about it.
    governed.flyball.signal("STOP");
    let known = revision(cluster).await;
    // Something that flyball does not watch: the new server's view starts after `known`.
    let metadata = json!({ "namespace": NAMESPACE, "name": "unwatched" });
    cluster.create(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata })).await;
    server.kill().await;
    sleep(Duration::from_secs(5)).await;
    server.start().await;
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}/scale");
    assert_eq!(cluster.patch(&path, json!({ "spec": { "replicas": 6 } })).await, 200);
    rig::idle(cluster, NAMESPACE, "other", 0).await;
    let forgotten = compact().await;
    assert!(known < forgotten, "{known} is the newest that flyball can go on from");
    assert_eq!(watch_from(cluster, &watched, known).await, 410, "no watch can go on from {known}");
    // From what it has seen, flyball would raise to 4.
    governed.needs(4);
    let back = Timestamp::now();
    governed.flyball.signal("CONT");
    eventually("all that was watched is listed anew", PATIENCE, async || {
        requests().iter().any(|it| it.arrived > back && it.verb == "list" && it.uri.contains(&watched)).then_some(())
    })
    .await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        steps(&governed.written().await),
        [],
        "what a person had set was taken back, or something stale written"
    );
    governed.needs(9);
    governed.wants(9).await;

    assert_eq!(steps(&governed.written().await), [(Some(6), 9)], "capacity was lost, or something stale was written");
    let after: Vec<Request> = requests().into_iter().filter(|it| it.arrived > back).collect();
    let position = |verb: &str, what: &str| after.iter().position(|it| it.verb == verb && it.uri.contains(what));
    let listed = position("list", &watched).expect("what was watched is listed anew");
    assert!(Some(listed) < position("patch", "/scale"), "a write before what it is about was seen anew: {after:?}");
    governed.nothing_refused();
    eventually("the controllers work again", CONTROLLERS, async || {
        (rig::ready(cluster, NAMESPACE, NAME).await == 9).then_some(())
    })
    .await;
    governed.stop();
}

/// Returns the status with which the server answers a watch of `uri` from a version.
async fn watch_from(cluster: &Cluster, uri: &str, version: u64) -> u64 {
    let path = format!("/apis/apps/v1{uri}watch=true&timeoutSeconds=1&resourceVersion={version}");
    cluster
        .text(&path)
        .await
        .lines()
        .find_map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            (event["type"] == "ERROR").then(|| event["object"]["code"].as_u64())?
        })
        .unwrap_or(200)
}

fn settings(namespace: &str, prometheus: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\n\
         sources:\n  main: {{ kind: prometheus, url: \"{prometheus}\", interval: 1s, history: 0s }}\n\
         signals:\n  rps:\n    source: main\n    \
         query: 'sum by (namespace, service) (rate(http_requests_total{{$selector}}[12s]))'\n    \
         samples: 'http_requests_total{{$selector}}'\n    labels: [namespace, service]\n    unit: per_second\n    \
         role: arrival_rate\n    range: [0, 5000]\n    scrape_interval: 1s\n\
         defaults:\n  mode: auto\n  signals: [rps]\n  allow_lowering: true\n  \
         slo: {{ p99: 800ms, error_ratio: 0.01 }}\n  bounds: {{ min: 2, max: 20 }}\n  \
         guards: {{ stabilisation: 60s, reversal_lock: 60s, lower_cooldown: 60s }}\n  \
         capacity: {{ per_pod_rate: {CAPACITY}, utilisation: 0.8, start_time: {}s }}\n\
         services:\n  - name: {namespace}/{NAME}\n",
        COLD_START.as_secs(),
    )
}

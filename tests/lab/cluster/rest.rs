//! What flyball costs at rest: requests to the API server by its audit log, memory by the kernel. For
//! `scripts/lab/score`, which also names the program: the shipped one is built with optimisations.

use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::governed::custom_resources;
use super::witness::requests;
use super::{Cluster, account, rig};
use crate::eventually;
use crate::support::flyball::Installation;
use crate::support::kills::Rates;

/// Services of one namespace.
const OF_ONE: usize = 100;
/// Without a write of status or Event for this long the system is at rest,
const QUIET: Duration = Duration::from_secs(30);
/// except for the numbers in statuses, at most twenty per minute however many loops there are: the figure includes
/// them.
const NUMBERS: usize = 11;
/// How long requests are counted, in minutes: every watch restarts each minute.
const MINUTES: u32 = 1;
/// How long it may take to come to rest: statuses are written at ten per second, each several times at first.
const PATIENCE: Duration = Duration::from_secs(900);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; scripts/lab/score runs it for its figures"]
async fn at_rest() {
    let count: usize = std::env::var("FLYBALL_LAB_LOOPS").map_or(1, |count| count.parse().unwrap());
    let program = std::env::var_os("FLYBALL_LAB_PROGRAM");
    let program = program.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_flyball")), PathBuf::from);
    let cluster = Cluster::open().await;
    let namespace = |number: usize| format!("rest{}", number / OF_ONE);
    let namespaces: Vec<String> = (0..count.div_ceil(OF_ONE)).map(|number| namespace(number * OF_ONE)).collect();
    cluster.namespaces(&namespaces).await;
    custom_resources();
    let rates = Rates::start().await;
    let made = stream::iter(0..count).map(|number| {
        let (cluster, namespace, name) = (cluster.clone(), namespace(number), format!("s{number}"));
        rates.set(&namespace, &name, 15.0);
        async move {
            // Without pods: paused, and the loop only observes what it would have to request.
            let mut deployment = rig::idle_manifest(&namespace, &name, 2);
            deployment["spec"]["paused"] = json!(true);
            cluster.create(deployment).await;
            let spec = json!({ "mode": "auto", "bounds": { "min": 1, "max": 20 } });
            let metadata = json!({ "namespace": namespace, "name": name });
            let (version, kind) = ("flyball.dev/v1alpha1", "ServiceLoop");
            cluster.create(json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec })).await;
        }
    });
    made.buffer_unordered(8).collect::<Vec<()>>().await;

    let installation = Installation::new(&program, &settings(&rates.url), &[("p.rhai", super::governed::POLICY)]);
    let installation = installation.with_environment(vec![account()]);
    let mut flyball = installation.start(None);
    flyball.url();
    let listed = async || cluster.get("/apis/flyball.dev/v1alpha1/serviceloops").await["items"].clone();
    eventually("every loop was decided on", PATIENCE, async || {
        let loops = listed().await;
        let decided = |one: &&Value| !one["status"]["lastDecision"].is_null();
        (loops.as_array()?.iter().filter(decided).count() == count).then_some(())
    })
    .await;
    let written = || requests().into_iter().filter(|it| matches!(&*it.verb, "patch" | "create")).count();
    let mut before = written();
    let begin = std::time::Instant::now();
    loop {
        sleep(QUIET).await;
        let now = written();
        if now <= before + NUMBERS {
            break;
        }
        before = now;
        assert!(begin.elapsed() < PATIENCE, "it does not come to rest");
    }
    let (since, span) = (Timestamp::now(), MINUTES * Duration::from_secs(60));
    // A watch is counted when it has ended, a minute after its start.
    sleep(span + Duration::from_secs(65)).await;
    let asked = requests().into_iter().filter(|it| it.arrived > since && it.arrived < since + span);
    let asked = asked.count() as f64 / f64::from(MINUTES);
    let figures = json!({ "loops": count, "api_requests_per_min": asked, "rss_mib": flyball.resident_mib() });
    println!("{figures}");
    assert!(flyball.stop().success());
}

/// Loops from the API, policies and switch from files (as ConfigMaps they would add two watches), rounds of 15 s, a
/// forecast for each.
fn settings(telemetry: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\n\
         sources:\n  rates: {{ kind: prometheus, url: \"{telemetry}\", interval: 15s, history: 0s }}\n\
         signals:\n  rps:\n    source: rates\n    query: 'sum by (namespace, service) (x{{$selector}})'\n    \
         samples: 'x{{$selector}}'\n    labels: [namespace, service]\n    unit: per_second\n    role: arrival_rate\n    \
         forecast: true\n    range: [0, 1e6]\n    scrape_interval: 15s\n\
         defaults:\n  signals: [rps]\n  slo: {{ p99: 200ms, error_ratio: 0.01 }}\n  \
         capacity: {{ per_pod_rate: 10, utilisation: 1.0, start_time: 1s }}\n\
         services: serviceloops\n"
    )
}

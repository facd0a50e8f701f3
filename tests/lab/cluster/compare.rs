//! Workloads under the same load at the same time, each with its own controller: what their clients saw, and how many
//! pods each used. flyball's own reports do not count here.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::rig::{self, CAPACITY, COLD_START, Load, Process, SLO, Seen};
use super::{Cluster, PATIENCE, account};
use crate::eventually;
use crate::support::flyball::Installation;

/// Minimum and maximum pods of a workload, under any controller.
const BOUNDS: (u32, u32) = (2, 12);
/// The name of every workload; namespaces distinguish them.
pub const NAME: &str = "checkout";
/// How often the pods are counted.
const COUNTED: Duration = Duration::from_secs(1);

/// Who scales a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// flyball, as shipped.
    Flyball,
    /// The Kubernetes autoscaler with default timings, by CPU at this target in percent.
    Stock(u32),
    /// Such an autoscaler, whose floor flyball moves.
    Both(u32),
}

impl Controller {
    /// Returns the target of the autoscaler, percent; `None` without one.
    fn target(self) -> Option<u32> {
        match self {
            Self::Flyball => None,
            Self::Stock(target) | Self::Both(target) => Some(target),
        }
    }
}

/// A workload with its load balancer.
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    controller: Controller,
    url: String,
    _balancer: Process,
}

/// The number of pods at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Time since the start of the play.
    pub at: Duration,
    /// From the first appearance in the API until the pod is gone.
    pub pods: u32,
    /// Ready ones among them.
    pub ready: u32,
}

/// The result for a workload.
#[derive(Debug)]
pub struct Outcome {
    /// Its namespace.
    pub namespace: String,
    /// Who scaled it.
    pub controller: Controller,
    /// What its clients saw.
    pub seen: Vec<Seen>,
    /// Its pods, second by second.
    pub counts: Vec<Count>,
    /// Duration of the play, seconds.
    pub lasted: u32,
}

impl Outcome {
    /// Returns the seconds outside the objective.
    pub fn violation_seconds(&self) -> usize {
        rig::violation_seconds(&self.seen, SLO, 0, u64::from(self.lasted))
    }

    /// Returns the pod seconds of the play.
    pub fn pod_seconds(&self) -> f64 {
        let end = Duration::from_secs(u64::from(self.lasted));
        let until = self.counts.iter().skip(1).map(|next| next.at).chain([end]);
        let spans = self.counts.iter().zip(until);
        spans
            .map(|(count, until)| f64::from(count.pods) * (until.min(end).saturating_sub(count.at)).as_secs_f64())
            .sum()
    }

    /// Returns the line of JSON that `scripts/lab/score` reads.
    pub fn line(&self) -> Value {
        let stock = match self.controller {
            Controller::Stock(target) => Some(target),
            Controller::Flyball | Controller::Both(_) => None,
        };
        json!({
            "namespace": self.namespace, "stock_target": stock, "requests": self.seen.len(),
            "violation_seconds": self.violation_seconds(), "pod_seconds": self.pod_seconds().round(),
            "most_pods": self.counts.iter().map(|count| count.pods).max(),
        })
    }
}

/// Creates a workload for each controller, in its namespace, and waits until its first pods are ready. The autoscalers
/// are created last, staggered: each syncs every 15 s from its creation. Created together, two of them do not differ in
/// when they sync; staggered, the mean of several does not depend on one phase.
pub async fn workloads(cluster: &Cluster, of: &[(String, Controller)], apart: Duration) -> Vec<Workload> {
    let namespaces: Vec<String> = of.iter().map(|(namespace, _)| namespace.clone()).collect();
    cluster.namespaces(&namespaces).await;
    let mut made = Vec::new();
    for (namespace, controller) in of {
        rig::workload(cluster, namespace, NAME, BOUNDS.0).await;
        let (balancer, url) = rig::balancer(namespace, NAME);
        made.push(Workload { namespace: namespace.clone(), controller: *controller, url, _balancer: balancer });
    }
    for namespace in &namespaces {
        eventually("the first pods", PATIENCE, async || {
            (rig::ready(cluster, namespace, NAME).await == BOUNDS.0).then_some(())
        })
        .await;
    }
    let scaled = of.iter().filter_map(|(namespace, controller)| Some((namespace, controller.target()?)));
    let autoscalers = scaled.zip(0..).map(async |((namespace, target), turn)| {
        tokio::time::sleep(apart * turn).await;
        rig::autoscaler_at(cluster, namespace, NAME, BOUNDS, target).await
    });
    futures::future::join_all(autoscalers).await;
    made
}

/// Running loads, and the pod counter.
pub struct Playing {
    of: Vec<(Workload, Load, u32)>,
    counts: Arc<Mutex<Vec<Vec<Count>>>>,
    _counting: AbortOnDropHandle<()>,
}

/// Starts the loads at a time in milliseconds since 1970; `plan` says what is played to which.
pub fn play(cluster: &Cluster, of: Vec<Workload>, at: i64, plan: impl Fn(usize) -> Vec<(u32, f64)>) -> Playing {
    let namespaces: Vec<String> = of.iter().map(|workload| workload.namespace.clone()).collect();
    let load = |(index, workload): (usize, Workload)| {
        let plan = plan(index);
        let load = Load::start(&workload.url, at, &plan);
        (workload, load, plan.last().map_or(0, |(end, _)| *end))
    };
    let of = of.into_iter().enumerate().map(load).collect();
    let counts = Arc::new(Mutex::new(vec![Vec::new(); namespaces.len()]));
    let ahead = Duration::from_millis(u64::try_from(at - jiff::Timestamp::now().as_millisecond()).unwrap_or(0));
    let counting = count(cluster.clone(), namespaces, Instant::now() + ahead, Arc::clone(&counts));
    Playing { of, counts, _counting: AbortOnDropHandle::new(tokio::spawn(counting)) }
}

impl Playing {
    /// Waits until all loads have ended; a player that was late fails the test.
    pub async fn end(self) -> Vec<Outcome> {
        let (mut outcomes, counts) = (Vec::new(), Arc::clone(&self.counts));
        for (index, (workload, load, lasted)) in self.of.into_iter().enumerate() {
            let seen = load.end().await;
            let (namespace, controller) = (workload.namespace.clone(), workload.controller);
            let counts = counts.lock().unwrap()[index].clone();
            outcomes.push(Outcome { namespace, controller, seen, counts, lasted });
        }
        outcomes
    }
}

/// Counts the pods of each namespace until it is ended.
async fn count(cluster: Cluster, namespaces: Vec<String>, begin: Instant, counts: Arc<Mutex<Vec<Vec<Count>>>>) {
    tokio::time::sleep_until(begin).await;
    let mut turns = tokio::time::interval(COUNTED);
    loop {
        turns.tick().await;
        let pods = cluster.get("/api/v1/pods").await;
        let at = begin.elapsed();
        for (namespace, counts) in namespaces.iter().zip(counts.lock().unwrap().iter_mut()) {
            let ours = pods["items"].as_array().into_iter().flatten();
            let ours: Vec<&Value> = ours.filter(|pod| pod["metadata"]["namespace"] == *namespace).collect();
            let ready = ours.iter().filter(|pod| is_ready(pod)).count();
            let [pods, ready] = [ours.len(), ready].map(|count| u32::try_from(count).unwrap());
            counts.push(Count { at, pods, ready });
        }
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// Returns a flyball ready to start: in `auto` over these namespaces, sized by the arrival rate from Prometheus, with
/// this many days of history.
pub fn flyball(prometheus: &str, days: u32, namespaces: &[&str]) -> Installation {
    let policies = [("capacity.rhai", include_str!("../../../deploy/policies/capacity.rhai"))];
    let program = Path::new(env!("CARGO_BIN_EXE_flyball"));
    let installation = Installation::new(program, &settings(prometheus, days, namespaces), &policies);
    installation.with_environment(vec![account()])
}

/// As recommended in `docs/operations.md` for pods that start in seconds and scrapes every second: the rate over the
/// time in which about a hundred requests arrive, and a raise may follow another once the first has shown. The rest is
/// default.
fn settings(prometheus: &str, days: u32, namespaces: &[&str]) -> String {
    let services = namespaces.iter().map(|namespace| format!("  - name: {namespace}/{NAME}\n"));
    format!(
        "listen: 127.0.0.1:0\n\
         sources:\n  main: {{ kind: prometheus, url: \"{prometheus}\", interval: 1s, history: {days}d }}\n\
         signals:\n  rps:\n    source: main\n    \
         query: 'sum by (namespace, service) (rate(http_requests_total{{$selector}}[8s]))'\n    \
         samples: 'http_requests_total{{$selector}}'\n    labels: [namespace, service]\n    unit: per_second\n    \
         role: arrival_rate\n    forecast: true\n    range: [0, 5000]\n    scrape_interval: 1s\n\
         defaults:\n  mode: auto\n  allow_lowering: true\n  signals: [rps]\n  \
         slo: {{ p99: {}ms, error_ratio: 0.01 }}\n  bounds: {{ min: {}, max: {} }}\n  \
         capacity: {{ per_pod_rate: {CAPACITY}, utilisation: 0.8, start_time: {}s }}\n  \
         guards: {{ raise_cooldown: 30s }}\n\
         services:\n{}",
        SLO.as_millis(),
        BOUNDS.0,
        BOUNDS.1,
        COLD_START.as_secs(),
        services.collect::<String>(),
    )
}

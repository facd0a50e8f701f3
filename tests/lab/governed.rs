//! flyball pointed at the workers' Prometheus servers and at an API double, and what it reports.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use flyball::demo::kubernetes::objects::{Objects, Write};
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use crate::eventually;
use crate::prometheus::Prometheus;
use crate::support::flyball::{Flyball, Installation};
use crate::support::kubernetes::BreakableDouble;

/// Configured capacity of a pod, requests per second.
pub const PER_POD: f64 = 8.0;
/// How soon flyball has to react to anything.
pub const WITHIN: Duration = Duration::from_secs(60);

const POLICIES: [(&str, &str); 2] = [
    ("capacity.rhai", include_str!("../../deploy/policies/capacity.rhai")),
    ("traffic.rhai", include_str!("../../deploy/policies/traffic.rhai")),
];

/// Requests what the arrival rate needs, up and down.
const FOLLOW: &str = r#"
rule("follow", #{ priority: 1, goal: "cost" }, |s, p| [
    when(s.capacity.needed_now < s.replicas.current),
    scale_to(max(s.capacity.needed_now, s.capacity.floor)),
]);
"#;

/// A service: its name, its mode, and the position of its source.
pub type Governed<'a> = (&'a str, &'a str, usize);

/// flyball and what it writes to.
pub struct Lab {
    /// The API server.
    pub double: BreakableDouble,
    /// The installation it was started from.
    pub installation: Installation,
    /// The process.
    pub flyball: Flyball,
    client: reqwest::Client,
    url: String,
    _controller: AbortOnDropHandle<()>,
}

/// Plays the controller: pods are ready as soon as they are requested.
async fn start_pods(objects: Objects, services: Vec<String>) {
    let mut newest = objects.newest();
    loop {
        for (namespace, name) in services.iter().filter_map(|service| service.split_once('/')) {
            if let Some(wanted) = objects.wanted(namespace, name) {
                objects.set_status(namespace, name, wanted, wanted);
            }
        }
        // Ends with the objects.
        if newest.changed().await.is_err() {
            return;
        }
    }
}

impl Lab {
    /// Starts flyball over `sources`; each service has `replicas` at first.
    pub async fn start(sources: &[&Prometheus], history: &str, services: &[Governed<'_>], replicas: u32) -> Self {
        Self::start_with(&settings_of(sources, history, services), &POLICIES, services, replicas).await
    }

    /// Starts flyball with the shortest waits that settings allow, and a policy that immediately requests what the
    /// arrival rate needs, so that a lowering is seen within two minutes.
    pub async fn start_impatient(sources: &[&Prometheus], services: &[Governed<'_>], replicas: u32) -> Self {
        let guards = "guards: { stabilisation: 1m, lower_cooldown: 1m, reversal_lock: 1m }";
        let settings = settings_of(sources, "0s", services);
        let settings =
            settings.replacen("  allow_lowering: true\n", &format!("  allow_lowering: true\n  {guards}\n"), 1);
        Self::start_with(&settings, &[("follow.rhai", FOLLOW)], services, replicas).await
    }

    async fn start_with(settings: &str, policies: &[(&str, &str)], services: &[Governed<'_>], replicas: u32) -> Self {
        let objects = Objects::default();
        for (service, ..) in services {
            let (namespace, name) = service.split_once('/').unwrap();
            objects.add_deployment(namespace, name, replicas);
        }
        let names: Vec<String> = services.iter().map(|(service, ..)| (*service).to_owned()).collect();
        let controller = AbortOnDropHandle::new(tokio::spawn(start_pods(objects.clone(), names)));
        let double = BreakableDouble::start(objects).await.unwrap();
        let settings = format!("cluster: {{ url: \"{}\" }}\n{settings}", double.url());
        let installation = Installation::new(Path::new(env!("CARGO_BIN_EXE_flyball")), &settings, policies);
        let mut flyball = installation.start(None);
        let url = flyball.url();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        Self { double, installation, flyball, client, url, _controller: controller }
    }

    /// Returns the status and body of a page of the console.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.expect("the console answers");
        (answer.status().as_u16(), answer.text().await.expect("the console answers whole"))
    }

    /// Returns the JSON at `path` of the API.
    pub async fn api(&self, path: &str) -> Value {
        let (status, body) = self.page(&format!("/api/v1/{path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("the API answers in JSON")
    }

    /// Returns the sum of a metric over all series that contain `labels`.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        let (_, page) = self.page("/metrics").await;
        let series =
            page.lines().filter_map(|line| line.strip_prefix("flyball_")?.strip_prefix(name)?.rsplit_once(' '));
        let series = series.filter(|(rest, _)| rest.is_empty() || rest.starts_with('{'));
        series.filter(|(rest, _)| rest.contains(labels)).map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    /// Returns the present reading of a service's first signal.
    pub async fn reading(&self, service: &str) -> Value {
        self.api(&format!("services/{service}")).await["features"]["signals"][0]["reading"].clone()
    }

    /// Returns flyball's writes to a service so far.
    pub fn writes(&self, service: &str) -> Vec<Write> {
        let ours = |write: &Write| write.who == "flyball" && format!("{}/{}", write.namespace, write.name) == service;
        self.double.objects().history().into_iter().filter(ours).collect()
    }

    /// Asserts that flyball never removed a replica.
    pub fn assert_nothing_lowered(&self) {
        let history = self.double.objects().history();
        let lowered: Vec<_> = history.iter().filter(|write| write.who == "flyball" && write.to < write.from).collect();
        assert!(lowered.is_empty(), "{lowered:?}");
    }

    /// Waits until `wanted` replicas of a service are requested.
    pub async fn until_wanted(&self, service: &str, wanted: u32) {
        self.until_wanted_within(service, wanted, WITHIN).await;
    }

    /// The same, with a time limit.
    pub async fn until_wanted_within(&self, service: &str, wanted: u32, within: Duration) {
        let (namespace, name) = service.split_once('/').unwrap();
        let objects = self.double.objects();
        let reached = async { eventually_wanted(objects, namespace, name, wanted).await };
        if tokio::time::timeout(within, reached).await.is_err() {
            let now = objects.wanted(namespace, name);
            panic!("{service} has {now:?} replicas, not {wanted}: {}", self.api(&format!("services/{service}")).await);
        }
    }

    /// Waits until the loop can decide.
    pub async fn until_ready(&self) {
        eventually("flyball is ready", WITHIN, async || (self.page("/readyz").await.0 == 200).then_some(())).await;
    }
}

async fn eventually_wanted(objects: &Objects, namespace: &str, name: &str, wanted: u32) {
    while objects.wanted(namespace, name) != Some(wanted) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn settings_of(sources: &[&Prometheus], history: &str, services: &[Governed<'_>]) -> String {
    let mut text = String::new();
    let port = crate::prometheus::free_port();
    let _ = writeln!(text, "listen: 127.0.0.1:{port}\nsources:");
    for (index, source) in sources.iter().enumerate() {
        let url = source.url();
        let _ = writeln!(text, "  p{index}: {{ kind: prometheus, url: \"{url}\", interval: 1s, history: {history} }}");
    }
    text.push_str("signals:\n");
    for index in 0..sources.len() {
        let _ = write!(
            text,
            "  rps{index}:\n    source: p{index}\n    \
             query: 'sum by (namespace, service) (rate(http_requests_total{{$selector}}[12s]))'\n    \
             samples: 'http_requests_total{{$selector}}'\n    labels: [namespace, service]\n    unit: per_second\n    \
             role: arrival_rate\n    forecast: true\n    range: [0, 5000]\n    scrape_interval: 1s\n"
        );
    }
    let _ = write!(
        text,
        "defaults:\n  allow_lowering: true\n  slo: {{ p99: 200ms, error_ratio: 0.01 }}\n  \
         bounds: {{ min: 2, max: 60 }}\n  \
         capacity: {{ per_pod_rate: {PER_POD}, utilisation: 1.0, start_time: 5s }}\nservices:\n"
    );
    for (service, mode, source) in services {
        let _ = writeln!(text, "  - {{ name: {service}, mode: {mode}, signals: [rps{source}] }}");
    }
    text
}

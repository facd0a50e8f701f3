//! Repeatedly kills a writing flyball on one state directory, and at the end compares its journal with what the API
//! server, real or a double, has seen. The program must be built with the feature `failpoints`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::routing::post;
use axum::{Form, Json, Router};
use flyball::adapters::store::JournalReader;
use flyball::demo::kubernetes::call::Verb;
use flyball::demo::kubernetes::resource::Resource;
use flyball::model::WriteOutcome;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::flyball::{Flyball, Installation};
use super::kubernetes::BreakableDouble;
use super::kubernetes::faults::{Fault, Faults};

/// The steps of the write protocol after which the process is killed.
const STEPS: [&str; 5] = ["gate_admitted", "gate_prepared", "gate_checked", "gate_sent", "gate_ended"];
/// Namespaces, each with its own budget.
const NAMESPACES: usize = 5;
/// Services in each; each is asked to grow occasionally, far below its own budget.
const SERVICES: usize = 16;
/// How long the process may take to reach a step.
const PATIENCE: Duration = Duration::from_secs(40);
/// The policy that sizes by arrival rate.
pub const POLICY: &str = include_str!("../../deploy/policies/capacity.rhai");

/// An API server that flyball writes to, seen from outside.
pub trait Server {
    /// Returns the settings line that leads to it; empty if the environment does.
    fn settings(&self) -> String;
    /// Returns the environment that leads to it.
    fn environment(&self) -> Vec<(&'static str, String)>;
    /// Creates a Deployment that nothing else scales.
    async fn add(&self, namespace: &str, name: &str, replicas: u32);
    /// Returns the replicas that a Deployment requests.
    async fn wanted(&self, namespace: &str, name: &str) -> u32;
    /// Returns every accepted write of flyball.
    async fn writes(&self) -> Vec<Step>;
    /// Returns how requests can be held up, if they can.
    fn faults(&self) -> Option<&Faults>;
}

/// A write: namespace, name, replicas before and after.
pub type Step = (String, String, u32, u32);

impl Server for BreakableDouble {
    fn settings(&self) -> String {
        format!("cluster: {{ url: \"{}\" }}\n", self.url())
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    async fn add(&self, namespace: &str, name: &str, replicas: u32) {
        self.objects().add_deployment(namespace, name, replicas);
    }

    async fn wanted(&self, namespace: &str, name: &str) -> u32 {
        self.objects().wanted(namespace, name).unwrap()
    }

    async fn writes(&self) -> Vec<Step> {
        let ours = self.objects().history().into_iter();
        let ours = ours.filter(|write| write.who == "flyball" && write.resource == Resource::Deployments);
        ours.map(|write| (write.namespace, write.name, write.from.unwrap(), write.to.unwrap())).collect()
    }

    fn faults(&self) -> Option<&Faults> {
        Some(BreakableDouble::faults(self))
    }
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Kills, by place.
    pub kills: BTreeMap<String, usize>,
    /// Intents in the journal, by how they ended.
    pub intents: BTreeMap<String, usize>,
    /// Writes that the server accepted.
    pub writes: usize,
    /// Intents without an end, writes without an applied intent, applied intents without a write.
    pub lost: usize,
    /// Descriptions of the losses.
    pub losses: Vec<String>,
    /// Writes or intents beyond the first for the same step of a service.
    pub doubled: usize,
}

impl Report {
    /// Returns how often the process was killed.
    pub fn killed(&self) -> usize {
        self.kills.values().sum()
    }
}

/// When a kill happens.
#[derive(Debug, Clone)]
enum Moment {
    /// Right after a step of the write protocol.
    Step(&'static str),
    /// While a fault delays a request.
    Request(Verb, Fault),
    /// This long after the start.
    Any(Duration),
}

impl Moment {
    /// Returns the moment of kill number `index`: a quarter of the kills are at random times, a quarter during requests
    /// if these can be delayed.
    fn of(index: usize, faults: bool) -> Self {
        let turn = index / 4;
        match index % 4 {
            0 | 1 => Self::Step(STEPS[(turn * 2 + index % 4) % STEPS.len()]),
            2 if !faults => Self::Step(STEPS[turn % STEPS.len()]),
            2 => {
                // The write lands after the next process has asked about it, and before that process would write again.
                let late = Duration::from_millis(700);
                let faults = [
                    (Verb::Patch, Fault::DelayBefore(late)),
                    (Verb::Patch, Fault::HoldAnswer),
                    (Verb::Get, Fault::HoldAnswer),
                    (Verb::Patch, Fault::DelayBefore(late)),
                    (Verb::Patch, Fault::Cut),
                    (Verb::Get, Fault::Cut),
                    (Verb::Patch, Fault::DelayAnswer(Duration::from_secs(2))),
                    (Verb::Get, Fault::DelayBefore(Duration::from_secs(2))),
                ];
                let (verb, fault) = faults[turn % faults.len()].clone();
                Self::Request(verb, fault)
            }
            _ => Self::Any(Duration::from_millis(200 + random(index as u64) % 2300)),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Step(point) => (*point).to_owned(),
            Self::Request(verb, fault) => format!("{verb:?} {}", format!("{fault:?}").split('(').next().unwrap()),
            Self::Any(_) => "random".to_owned(),
        }
    }
}

/// Kills `program` `count` times while it writes to `server`, and reports what was lost or doubled.
pub async fn kills(program: &Path, count: usize, server: &impl Server) -> Report {
    let telemetry = Rates::start().await;
    let installation =
        Installation::new(program, &settings(&telemetry.url, &server.settings()), &[("capacity.rhai", POLICY)]);
    let installation = installation.with_environment(server.environment());
    for (namespace, name) in places() {
        server.add(&namespace, &name, 1).await;
        telemetry.set(&namespace, &name, 5.0);
    }
    let mut places = places().cycle();
    let mut killed = BTreeMap::new();
    for index in 0..count {
        // One more replica for one or two services, those that have rested longest.
        for (namespace, name) in places.by_ref().take(1 + index % 2) {
            let wanted = server.wanted(&namespace, &name).await;
            telemetry.set(&namespace, &name, f64::from(wanted) * 10.0 + 5.0);
        }
        let moment = Moment::of(index, server.faults().is_some());
        kill_at(&installation, server.faults(), &moment).await;
        *killed.entry(moment.name()).or_default() += 1;
    }
    let mut last = installation.start(None);
    let url = last.url();
    let settled = async {
        while !has_settled(&url).await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let has_settled = timeout(PATIENCE, settled).await.is_ok();
    assert!(has_settled, "flyball does not settle its writes:\n{}", last.log());
    assert!(last.stop().success(), "flyball stops with an error");
    compare(killed, &installation, server.writes().await)
}

/// Returns whether the process is ready and no earlier write is open.
async fn has_settled(url: &str) -> bool {
    let Ok(answer) = reqwest::get(format!("{url}/api/v1/status")).await else { return false };
    let status: serde_json::Value = answer.json().await.unwrap_or_default();
    let waits = status["services_wait_for"].as_array().map_or(&[][..], Vec::as_slice);
    status["ready"] == true && waits.iter().all(|wait| wait["kind"] != "earlier_writes")
}

async fn kill_at(installation: &Installation, faults: Option<&Faults>, moment: &Moment) {
    match moment {
        Moment::Step(point) => {
            let flyball = installation.start(Some(point));
            let line = format!("halted at {point}");
            tokio::task::spawn_blocking(move || reach(flyball, &line).kill()).await.unwrap();
        }
        Moment::Request(verb, fault) => {
            let faults = faults.expect("requests that can be held up");
            let (received, delayed) = (faults.requests(*verb), matches!(fault, Fault::DelayBefore(_)));
            faults.order(*verb, 1, fault.clone());
            let mut flyball = installation.start(None);
            let arrived = async {
                faults.wait_for_requests(*verb, received + 1).await;
                if !delayed {
                    // The counts of received and handled requests differ while earlier ones are still delayed.
                    sleep(Duration::from_millis(30)).await;
                }
            };
            let arrived = timeout(PATIENCE, arrived).await.is_ok();
            assert!(arrived, "no {verb:?} came:\n{}", flyball.log());
            flyball.kill();
            faults.clear();
        }
        Moment::Any(after) => {
            let flyball = installation.start(None);
            sleep(*after).await;
            flyball.kill();
        }
    }
}

fn reach(mut flyball: Flyball, line: &str) -> Flyball {
    let reached = flyball.line(line, PATIENCE).is_some();
    assert!(reached, "not {line}:\n{}", flyball.log());
    flyball
}

/// Compares the journal with the writes that the server accepted. Replicas only grow, one write per step, so that
/// (target, from, to) names one write.
fn compare(kills: BTreeMap<String, usize>, installation: &Installation, writes: Vec<Step>) -> Report {
    let journal = JournalReader::open(&installation.journal()).unwrap();
    let open = journal.open_intents().unwrap();
    let (mut intents, mut applied) = (BTreeMap::new(), BTreeMap::<_, usize>::new());
    for record in journal.decisions(None, None, usize::MAX).unwrap() {
        let (Some(change), Some(outcome)) = (record.change, record.outcome) else { continue };
        // Refused before there was an intent.
        if matches!(outcome, WriteOutcome::Refused(_) | WriteOutcome::NoLever) {
            continue;
        }
        *intents.entry(outcome.as_str().to_owned()).or_default() += 1;
        if outcome == WriteOutcome::Applied {
            *applied.entry((change.target.namespace, change.target.name, change.from, change.to)).or_default() += 1;
        }
    }
    let mut written = BTreeMap::<_, usize>::new();
    for step in writes {
        *written.entry(step).or_default() += 1;
    }
    let unsaid = written.keys().filter(|step| !applied.contains_key(*step)).map(|step| format!("unsaid: {step:?}"));
    let unmade = applied.keys().filter(|step| !written.contains_key(*step)).map(|step| format!("unmade: {step:?}"));
    let open = open.iter().map(|intent| format!("open: {}", intent.change.id));
    let losses: Vec<String> = unsaid.chain(unmade).chain(open).collect();
    let beyond = |counts: &BTreeMap<_, usize>| counts.values().map(|count| count - 1).sum::<usize>();
    Report {
        kills,
        writes: written.values().sum(),
        lost: losses.len(),
        losses,
        doubled: beyond(&applied) + beyond(&written),
        intents,
    }
}

/// Returns the services, by namespace and name, alternating between namespaces.
pub fn places() -> impl Iterator<Item = (String, String)> + Clone {
    (0..NAMESPACES * SERVICES).map(|index| (format!("n{}", index % NAMESPACES), format!("s{}", index / NAMESPACES)))
}

/// Returns the settings of all services, sized by the rates from `telemetry`; `cluster` is a line or empty.
pub fn settings(telemetry: &str, cluster: &str) -> String {
    settings_of(places(), telemetry, cluster)
}

/// Returns the same for other services. The journal keeps all records: each start decides on every service, and the
/// final comparison covers all of them.
pub fn settings_of(places: impl Iterator<Item = (String, String)>, telemetry: &str, cluster: &str) -> String {
    let services: Vec<String> = places.map(|(namespace, name)| format!("  - name: {namespace}/{name}")).collect();
    let services = services.join("\n");
    format!(
        "listen: 127.0.0.1:0\njournal: {{ max_records: 1000000, max_age: 14d }}\n{cluster}\
         sources:\n  rates: {{ kind: prometheus, url: \"{telemetry}\", interval: 1s, history: 0s }}\n\
         signals:\n  rps:\n    source: rates\n    query: 'sum by (namespace, service) (x{{$selector}})'\n    \
         samples: 'x{{$selector}}'\n    labels: [namespace, service]\n    unit: per_second\n    role: arrival_rate\n    \
         range: [0, 1e6]\n    scrape_interval: 1s\n\
         defaults:\n  mode: auto\n  signals: [rps]\n  slo: {{ p99: 200ms, error_ratio: 0.01 }}\n  \
         bounds: {{ min: 1, max: 100 }}\n  capacity: {{ per_pod_rate: 10, utilisation: 1.0, start_time: 1s }}\n\
         services:\n{services}\n"
    )
}

/// A telemetry source that answers with the rates it was given, sampled now. Stops on drop.
pub struct Rates {
    /// Its base URL.
    pub url: String,
    of: Told,
    server: JoinHandle<()>,
}

type Told = Arc<Mutex<BTreeMap<(String, String), f64>>>;

impl Rates {
    /// Starts it without rates.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let of = Told::default();
        let router = Router::new().route("/api/v1/query", post(rates)).with_state(of.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, of, server }
    }

    /// Sets the rate of a service from now on.
    pub fn set(&self, namespace: &str, name: &str, rate: f64) {
        self.of.lock().unwrap().insert((namespace.to_owned(), name.to_owned()), rate);
    }
}

impl Drop for Rates {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn rates(State(told): State<Told>, Form(asked): Form<BTreeMap<String, String>>) -> Json<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let times = asked["query"].contains("timestamp(");
    let series = |((namespace, service), rate): (&(String, String), &f64)| {
        let value = if times { now } else { *rate };
        json!({ "metric": { "namespace": namespace, "service": service }, "value": [now, value.to_string()] })
    };
    let result: Vec<Value> = told.lock().unwrap().iter().map(series).collect();
    Json(json!({ "status": "success", "data": { "resultType": "vector", "result": result } }))
}

/// Returns a deterministic number for `step` (`SplitMix64`).
pub fn random(step: u64) -> u64 {
    let mut state = step.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

//! The console over a real loopback connection, in front of a fake loop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use flyball::adapters::kill_file::read_state;
use flyball::config::Settings;
use flyball::console::{DecisionSummary, Decisions, Forecast, ServiceSummary, Services, router, serve};
use flyball::instrument::Metrics;
use flyball::model::explain::{headline, text};
use flyball::model::{
    Autoscaling, DecisionId, DecisionRecord, KillState, Mode, QUANTILES, RecordMask, Role, ServiceId, TargetReading,
    record::SignalLabel,
};
use flyball::ports::{Awaited, Control, Declaration, JournalError, PolicyStatus, ServiceSnapshot, Status};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::records;

pub const SERVICE: &str = "shop/checkout";

/// A loop of one service with two decisions, and one that has not run yet.
#[derive(Default)]
pub struct Loop {
    pub ready: bool,
    pub damaged: bool,
    /// For how many seconds the loop has been stalled.
    pub still: Option<u64>,
    /// Its state directory.
    pub state: Option<PathBuf>,
    /// The file of the switch that it reads.
    pub switch: Option<PathBuf>,
    /// What it was started with.
    pub settings: Option<String>,
    /// What was decided after those two, newest first.
    pub later: Arc<Mutex<Vec<DecisionRecord>>>,
    /// How many pages of decisions were requested.
    pub pages: Arc<AtomicUsize>,
    /// The threads on which all services were visited.
    pub walked: Arc<Mutex<Vec<ThreadId>>>,
}

fn decided() -> Vec<DecisionRecord> {
    vec![records::nothing(records::id(SERVICE, 2)), records::acted(records::id(SERVICE, 1))]
}

impl Loop {
    fn rounds(&self) -> Option<Awaited> {
        self.still.map(|silent_seconds| Awaited::Rounds { source: "main".to_owned(), silent_seconds })
    }

    fn decided(&self) -> Vec<DecisionRecord> {
        let later = self.later.lock().unwrap().clone();
        later.into_iter().chain(decided()).collect()
    }
}

impl Control for Loop {
    fn status(&self) -> Status {
        self.walked.lock().unwrap().push(thread::current().id());
        let mut waiting = if self.ready { vec![] } else { vec![Awaited::FirstRound { services: 2 }] };
        waiting.extend(self.rounds());
        Status {
            ready: self.ready,
            waiting_for: waiting,
            services_wait_for: Vec::new(),
            revision: None,
            policy_faults: Vec::new(),
            kill: self.switch.as_deref().map_or_else(KillState::released, read_state),
            lead: flyball::model::Lead::Alone,
            now: records::at(5),
            uptime: Duration::from_secs(3),
            version: String::new(),
            state: self.state.clone(),
            settings: self.settings.clone(),
            kill_switch: self.switch.as_ref().map(|path| path.display().to_string()),
            sources: Vec::new(),
        }
    }

    fn policies(&self) -> PolicyStatus {
        PolicyStatus { faults: vec!["t.rhai:1:1: odd".to_owned()], ..PolicyStatus::default() }
    }

    fn standstill(&self) -> Option<Awaited> {
        self.rounds().filter(Awaited::is_standstill)
    }

    fn services(&self, after: Option<&ServiceId>, limit: usize) -> Vec<ServiceSnapshot> {
        self.walked.lock().unwrap().push(thread::current().id());
        let spec = records::spec(SERVICE);
        let record = records::acted(records::id(SERVICE, 1));
        let snapshot = ServiceSnapshot {
            service: spec.id,
            mode: Mode::Auto,
            revision: None,
            slo: spec.slo,
            bounds: spec.bounds,
            signals: record.signals.to_vec(),
            features: Some(record.features.clone()),
            outlook: Some(record.outlook.clone()),
            last: Some(Arc::new(record)),
            restarts: 2,
            quarantined: None,
            denied: None,
            stood_down: None,
        };
        let service = "shop/search".parse().unwrap();
        let new = ServiceSnapshot { service, features: None, outlook: None, last: None, ..snapshot.clone() };
        let is_later = |snapshot: &ServiceSnapshot| after.is_none_or(|after| snapshot.service > *after);
        vec![snapshot, new].into_iter().filter(is_later).take(limit).collect()
    }

    fn service(&self, id: &ServiceId) -> Option<ServiceSnapshot> {
        self.services(None, usize::MAX).into_iter().find(|snapshot| snapshot.service == *id)
    }

    fn declaration(&self, id: &ServiceId) -> Option<Declaration> {
        let mask = RecordMask { parameters: ["p99_max".into()].into(), ..RecordMask::default() };
        let mut spec = records::spec(SERVICE);
        spec.parameters.insert("p99_max".into(), Some(0.4));
        (*id == spec.id).then(|| Declaration::shown(spec, &mask))
    }

    fn decisions(
        &self,
        service: Option<&ServiceId>,
        before: Option<&DecisionId>,
        limit: usize,
    ) -> Result<Vec<DecisionRecord>, JournalError> {
        if self.damaged {
            return Err(JournalError::Damaged { path: "j.redb".to_owned(), reason: "bad page".to_owned() });
        }
        self.pages.fetch_add(1, Relaxed);
        let is_later = |record: &DecisionRecord| before.is_some_and(|before| record.id.cycle >= before.cycle);
        let wanted = |record: &DecisionRecord| service.is_none_or(|service| *service == record.id.service);
        Ok(self.decided().into_iter().skip_while(is_later).filter(wanted).take(limit).collect())
    }

    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError> {
        Ok(self.decided().into_iter().find(|record| record.id == *id))
    }
}

pub struct Server {
    pub address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

pub async fn start(control: Loop) -> Server {
    start_at("127.0.0.1:0".parse().unwrap(), control).await
}

pub async fn start_at(address: SocketAddr, control: Loop) -> Server {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let routes = router(Arc::new(control), Arc::new(Metrics::new()));
    let serving = tokio::spawn(serve(listener, routes, shutdown.clone()));
    Server { address, shutdown, serving }
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}

impl Server {
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap().unwrap();
    }

    async fn send(&self, method: &str, path: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: flyball\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path).await
    }
}

#[tokio::test]
async fn probes_and_metrics() {
    let server = start(Loop::default()).await;
    assert_eq!(server.get("/livez").await.status, 200);
    let reply = server.get("/readyz").await;
    assert_eq!((reply.status, &reply.json()["waiting_for"][0]), (503, &"a first round for 2 services".into()));
    let reply = server.get("/metrics").await;
    assert!(reply.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", reply.head);
    assert!(reply.head.contains("cache-control: no-store"), "{}", reply.head);
    assert!(reply.body.ends_with("# EOF\n"), "{}", reply.body);

    let server = start(Loop { ready: true, ..Loop::default() }).await;
    let reply = server.get("/readyz").await;
    assert_eq!((reply.status, reply.json()["ready"].as_bool()), (200, Some(true)));
    assert_eq!(server.get("/api/v1/status").await.json()["kill"]["state"], "readable");
}

#[tokio::test]
async fn services_and_forecasts() {
    let server = start(Loop::default()).await;
    let page: Services = serde_json::from_str(&server.get("/api/v1/services").await.body).unwrap();
    let (listed, next) = (page.services, page.next);
    assert_eq!(next, None);
    assert_eq!((listed[0].replicas, listed[0].ready, listed[0].fresh_signals), (Some(4), Some(4), (2, 3)));
    assert!(listed[0].sentence.as_deref().unwrap().starts_with("scaling shop/checkout from 4 to 7"));
    assert_eq!((listed[1].replicas, listed[1].last.as_ref()), (None, None));

    let whole: ServiceSnapshot =
        serde_json::from_str(&server.get("/api/v1/services/shop/checkout").await.body).unwrap();
    assert_eq!(Some(whole), Loop::default().service(&SERVICE.parse().unwrap()));

    let forecast = server.get("/api/v1/forecast?service=shop/checkout").await;
    let forecast: Forecast = serde_json::from_str(&forecast.body).unwrap();
    let record = records::acted(records::id(SERVICE, 1));
    assert_eq!((forecast.probabilities, &forecast.capacity), (QUANTILES, &record.outlook.capacity));
    assert_eq!(forecast.signals.len(), 2, "cpu is not forecast");
    let rps = &forecast.signals[0];
    assert_eq!((rps.signal.as_str(), rps.now.map(f64::from)), ("rps", Some(312.4)));
    assert_eq!(Some(&rps.outlook), record.outlook.signals[0].as_ref());
}

#[tokio::test]
async fn long_lists_come_page_by_page() {
    let server = start(Loop::default()).await;
    let first: Services = serde_json::from_str(&server.get("/api/v1/services?limit=1").await.body).unwrap();
    assert_eq!(first.next.as_ref().map(ServiceId::as_str), Some(SERVICE));
    let second = format!("/api/v1/services?limit=1&after={}", first.next.unwrap());
    let second: Services = serde_json::from_str(&server.get(&second).await.body).unwrap();
    assert_eq!((second.services[0].service.as_str(), second.next), ("shop/search", None));

    for of in ["?service=shop/checkout&limit=1", "?limit=1"] {
        let first = server.get(&format!("/api/v1/decisions{of}")).await;
        let first: Decisions<DecisionSummary> = serde_json::from_str(&first.body).unwrap();
        assert_eq!(first.next, Some(decided()[0].id.clone()));
        let second = server.get(&format!("/api/v1/decisions{of}&before={}", first.next.unwrap())).await;
        let second: Decisions<DecisionSummary> = serde_json::from_str(&second.body).unwrap();
        assert_eq!(second.decisions[0].id, decided()[1].id);
    }
}

/// Everything a schema refers to is in the document.
#[tokio::test]
async fn every_reference_of_the_document_resolves() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, found));
            }
            _ => {}
        }
    }
    let server = start(Loop::default()).await;
    let document = server.get("/api/v1/openapi.json").await.json();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "{found:?}");
    for reference in found {
        let place = reference.strip_prefix('#').and_then(|place| document.pointer(place));
        assert!(place.is_some(), "{reference} resolves to nothing");
    }
}

/// Every path of the document is requested, and every answer and refusal checked against the document.
#[tokio::test]
async fn the_answers_are_as_the_document_describes_them() {
    let server = start(Loop { ready: true, ..Loop::default() }).await;
    let document = server.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(!document.to_string().contains("nanos") && document.to_string().contains("lead_time_seconds"));
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 9, "{paths:?}");
    for (path, item) in paths {
        let asked = path.replace("{namespace}", "shop").replace("{name}", "checkout").replace("{cycle}", "1-1");
        let parameters = item["get"]["parameters"].as_array().unwrap();
        let needed = parameters.iter().any(|parameter| parameter["in"] == "query" && parameter["required"] == true);
        let asked = if needed { format!("{asked}?service={SERVICE}") } else { asked };
        let reply = server.get(&asked).await;
        assert_eq!(reply.status, 200, "{asked}: {}", reply.body);
        hold(&document, &item["get"]["responses"]["200"], &reply.json());
        let refused = server.get(&format!("{path}?nonsense=1").replace(['{', '}'], "_")).await;
        if refused.status != 200 {
            hold(&document, &item["get"]["responses"]["default"], &refused.json());
        }
    }
    let text = &document["paths"]["/api/v1/decisions/{namespace}/{name}/{cycle}"]["get"]["responses"]["200"];
    assert!(text["content"]["text/plain"].is_object(), "{text}");
    let limit = &document["paths"]["/api/v1/services"]["get"]["parameters"][1];
    assert_eq!((&limit["name"], &limit["required"]), (&"limit".into(), &false.into()));
}

/// Validates an answer against the schema of its response.
fn hold(document: &Value, response: &Value, answer: &Value) {
    let mut schema = response["content"]["application/json"]["schema"].clone();
    if let Value::Object(schema) = &mut schema {
        schema.insert("components".to_owned(), document["components"].clone());
    }
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> =
        validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // An empty schema would accept anything.
    let nothing = validator.is_valid(&serde_json::json!([7]));
    assert!(!nothing || schema.get("$ref").is_none(), "{schema}");
}

#[tokio::test]
async fn decisions() {
    let server = start(Loop::default()).await;
    let listed = server.get("/api/v1/decisions?service=shop/checkout&limit=1").await.json()["decisions"].take();
    let listed: Vec<DecisionSummary> = serde_json::from_value(listed).unwrap();
    assert_eq!(listed, [DecisionSummary::from(&decided()[0])]);
    assert_eq!(server.get("/api/v1/decisions").await.json()["decisions"].as_array().unwrap().len(), 2);

    let page = server.get("/api/v1/decisions?service=shop/checkout&before=1-2").await;
    let page: Decisions<DecisionSummary> = serde_json::from_str(&page.body).unwrap();
    assert_eq!(page, Decisions { decisions: vec![DecisionSummary::from(&decided()[1])], next: None });
    let page = server.get("/api/v1/records?limit=1").await;
    let page: Decisions<DecisionRecord> = serde_json::from_str(&page.body).unwrap();
    assert_eq!((&*page.decisions, &page.next), (&decided()[..1], &Some(decided()[0].id.clone())));
    let page = server.get("/api/v1/records?before=shop/checkout@1-2").await;
    let page: Decisions<DecisionRecord> = serde_json::from_str(&page.body).unwrap();
    assert_eq!(page, Decisions { decisions: vec![decided()[1].clone()], next: None });

    let path = "/api/v1/decisions/shop/checkout/1-1";
    let body = server.get(path).await.body;
    let record: DecisionRecord = serde_json::from_str(&body).unwrap();
    assert_eq!(record, decided()[1]);
    assert!(body.contains("\"lead_time_seconds\":45.0") && !body.contains("nanos"), "spans are seconds: {body}");
    let explained = server.get(&format!("{path}?format=text")).await;
    assert!(explained.head.contains("content-type: text/plain"), "{}", explained.head);
    assert_eq!(explained.body, text(&record));
}

#[tokio::test]
async fn what_is_refused_says_why_and_what_to_do() {
    let server = start(Loop { damaged: true, ..Loop::default() }).await;
    let long = format!("/api/v1/decisions?service={}", "x".repeat(3000));
    let cases = [
        ("GET", "/nothing", 404, "no such path", "/api/v1/openapi.json"),
        ("POST", "/api/v1/services", 405, "read-only", "flyball kill"),
        ("DELETE", "/api/v1/decisions/shop/checkout/1-1", 405, "read-only", "flyball kill"),
        ("GET", "/api/v1/services/shop/nobody", 404, "no such service as shop/nobody", "/api/v1/services"),
        ("GET", "/api/v1/services/Shop/x", 400, "service `Shop/x` is not of the form", "/api/v1/services"),
        ("GET", "/api/v1/decisions?limit=0", 400, "limit 0 is out of range", "1 to 500"),
        ("GET", "/api/v1/services?limit=501", 400, "limit 501 is out of range", "1 to 500"),
        ("GET", "/api/v1/services?after=nobody", 400, "service `nobody` is not of the form", "/api/v1/services"),
        ("GET", "/api/v1/services?page=2", 400, "unknown field `page`", "?after=namespace/name"),
        ("GET", "/api/v1/decisions?before=1-2", 400, "decision `1-2`", "`next`"),
        (
            "GET",
            "/api/v1/decisions?service=a/b&before=a/c@1-2",
            400,
            "is about a different service",
            "the same service",
        ),
        ("GET", "/api/v1/records?limit=101", 400, "limit 101 is out of range", "1 to 100"),
        ("GET", "/api/v1/decisions?limit=501", 400, "limit 501 is out of range", "1 to 500"),
        ("GET", "/api/v1/decisions?limit=all", 400, "limit", "limit=number"),
        ("GET", "/api/v1/decisions?since=1h", 400, "unknown field `since`", "?service=namespace/name"),
        ("GET", "/api/v1/decisions", 503, "journal j.redb is damaged: bad page", "/api/v1/status"),
        ("GET", "/api/v1/decisions/shop/checkout/1-9", 404, "no such decision", "/api/v1/decisions"),
        ("GET", "/api/v1/decisions/shop/checkout/nine", 400, "cycle `nine`", "/api/v1/decisions"),
        ("GET", "/api/v1/decisions/shop/checkout/1-1?format=xml", 400, "xml", "?format=json"),
        ("GET", "/api/v1/forecast", 400, "service", "?service=namespace/name"),
        ("GET", "/api/v1/forecast?service=shop/search", 503, "before its first cycle", "next tick"),
        ("GET", long.as_str(), 414, "expected at most 2048", "shorten"),
    ];
    for (method, path, status, error, remedy) in cases {
        let reply = server.send(method, path).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        let json = reply.json();
        let (found, advice) = (json["error"].as_str().unwrap(), json["remedy"].as_str().unwrap());
        assert!(found.contains(error), "{method} {path}: {found}");
        assert!(advice.contains(remedy), "{method} {path}: {advice}");
    }
}

/// Restart applies to a process whose loop is stalled, not to one that waits for something.
#[tokio::test]
async fn a_loop_that_stands_still_for_minutes_is_not_alive() {
    for (still, live) in [(None, 200), (Some(70), 200), (Some(301), 503)] {
        let server = start(Loop { still, ..Loop::default() }).await;
        let reply = server.get("/livez").await;
        assert_eq!(reply.status, live, "{still:?}: {}", reply.body);
        assert_eq!(server.get("/readyz").await.status, 503);
        server.stop().await;
    }
}

/// The loop's threads must not be used to visit ten thousand services.
#[tokio::test]
async fn what_looks_at_all_services_does_so_off_the_threads_of_the_loop_and_the_probe_of_life_does_not() {
    let control = Loop { ready: true, ..Loop::default() };
    let walked = control.walked.clone();
    let server = start(control).await;
    assert_eq!(server.get("/livez").await.status, 200);
    assert!(walked.lock().unwrap().is_empty());
    for path in ["/readyz", "/metrics", "/api/v1/status", "/api/v1/services"] {
        let reply = server.get(path).await;
        let threads = std::mem::take(&mut *walked.lock().unwrap());
        assert!(reply.status == 200 && !threads.is_empty(), "{path}: {}", reply.body);
        assert!(!threads.contains(&thread::current().id()), "{path}");
        assert_eq!(reply.body.contains("flyball_ready 1\n"), path == "/metrics", "{path}: {}", reply.body);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_ends_the_server_though_a_client_stays() {
    let server = start(Loop::default()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    assert_eq!(server.get("/livez").await.status, 200);
    tokio::time::pause();
    server.shutdown.cancel();
    server.serving.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    drop(idle);
}

/// If `ServiceLoop` objects declare the services, the running flyball knows them and the settings do not.
#[tokio::test(flavor = "multi_thread")]
async fn policies_are_tried_on_services_that_only_the_running_flyball_knows() {
    let server = start(Loop::default()).await;
    let place = tempfile::tempdir().unwrap();
    let example = include_str!("../../docs/flyball.example.yaml").replace("/var/lib/flyball", "state");
    let example = example.replacen("listen: 127.0.0.1:9464", &format!("listen: {}", server.address), 1);
    let settings = example.split("\nservices:").next().unwrap().to_owned() + "\nservices: serviceloops\n";
    std::fs::write(place.path().join("flyball.yaml"), settings).unwrap();
    let policy = "param(\"p99_max\", ms(200), #{ doc: \"late\" });\n\
        rule(\"many\", #{ priority: 2, goal: \"protect\" }, |s, p| [when(s.rps.current > rps(300)), scale_to(9)]);\n\
        rule(\"late\", #{ priority: 9, goal: \"protect\" }, |s, p| [when(s.p99.current < p.p99_max), scale_to(8)]);\n";
    std::fs::create_dir(place.path().join("set")).unwrap();
    std::fs::write(place.path().join("set/t.rhai"), policy).unwrap();
    std::fs::create_dir(place.path().join("broken")).unwrap();
    std::fs::write(place.path().join("broken/t.rhai"), "nonsense").unwrap();
    let place = Arc::new(place);
    let run = |line: &'static str| {
        let place = place.clone();
        tokio::task::spawn_blocking(move || {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_flyball"));
            command.current_dir(place.path()).env_remove("FLYBALL_CONFIG").env_remove("FLYBALL_LISTEN");
            let output = command.args(line.split(' ')).output().unwrap();
            let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
            (output.status.code(), said)
        })
    };
    for (line, code, parts) in [
        (
            "policy eval shop/checkout -p set --explain",
            0,
            &["then (", ")   scale to 9 (rule many)", "its value is masked"][..],
        ),
        ("policy whatif shop/checkout -p set --rule many", 0, &["many matches; any of these would end that:"]),
        ("policy bench shop/checkout -p set", 0, &["us per decision"]),
        ("policy eval shop/checkout -p set -o json", 0, &["\"choice\":\"act\",\"rule\":\"many\""]),
        ("policy whatif shop/checkout -p set -o json", 0, &["\"flips\":[{\"change\":", "\"matches\":true"]),
        ("policy bench shop/checkout -p set -o json", 0, &["\"operations\":4", "\"p50_us\":"]),
        (
            "policy signals --service shop/checkout",
            0,
            &[
                "rps ",
                "312.4/s",
                "\nemergency                    unknown: not declared by this service\n",
                "\nreplicas.current             4\n",
                "\nreplicas.ready               4\n",
                "\ncan_scale_up                 on\n",
                "\ncapacity.needed_now          ",
                "\ncapacity.floor               5\n",
            ],
        ),
        (
            "policy signals --service shop/checkout -o json",
            0,
            &["\"state\":\"fresh\"", "{\"name\":\"replicas.current\",\"value\":4.0}\n"],
        ),
        ("policy signals --service shop/nobody", 2, &["reports: no such service as shop/nobody"]),
        ("policy eval nonsense -p set", 2, &["no service `nonsense`", "kubectl get serviceloops -A"]),
        ("policy bench shop/checkout -p set --most 0.001", 1, &[" us is above --most 0.001 us"]),
        ("policy bench shop/checkout -p set --most 0", 2, &["0 us is out of range, expected more than 0"]),
        ("policy bench shop/checkout -p broken -o json", 2, &["{\"faults\":[{\"column\":1,\"file\":\"t.rhai\""]),
        ("policy bench nope/nope -p set", 2, &["no decision for nope/nope is recorded yet"]),
    ] {
        let (found, said) = run(line).await.unwrap();
        assert_eq!(found, Some(code), "{line}: {said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "{line}: no `{part}` in\n{said}"));
    }
}

/// Two flyballs with the usual address on one machine: the answers of one are not about the other, nor is its switch.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_another_flyball_is_not_taken_for_ones_own() {
    for is_own in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let (own, other) = (place.path().join("state"), place.path().join("other"));
        std::fs::create_dir(&own).unwrap();
        // As the running one reports it: without symbolic links.
        let state = if is_own { std::fs::canonicalize(&own).unwrap() } else { other };
        let server = start(Loop { ready: true, state: Some(state), ..Loop::default() }).await;
        let example = include_str!("../../docs/flyball.example.yaml").replace("/var/lib/flyball", "state");
        let example = example.replacen("listen: 127.0.0.1:9464", &format!("listen: {}", server.address), 1);
        std::fs::write(place.path().join("flyball.yaml"), example).unwrap();
        std::fs::create_dir(place.path().join("policies")).unwrap();
        let (order, place) = (own.join("policy-order.json"), Arc::new(place));
        for (line, code) in [
            ("resume --reason start", 1),
            ("status", 2),
            ("policy status", 2),
            ("policy diff", 2),
            ("policy signals --service shop/checkout", 2),
            ("policy rollback", 2),
            ("explain shop/checkout", 1),
            ("kill --reason drill", 1),
        ] {
            if is_own && line == "policy rollback" {
                // It would wait for five seconds.
                continue;
            }
            let place = place.clone();
            let (found, said) = tokio::task::spawn_blocking(move || {
                let mut command = crate::command_line::command(place.path());
                let output = command.args(line.split(' ')).output().unwrap();
                let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
                (output.status.code(), said)
            })
            .await
            .unwrap();
            let words = match line.split(' ').next() {
                Some("kill") => "KEEPS WRITING: it runs with different settings",
                // Releasing the writes of another flyball must not wait for them.
                Some("resume") => "IS UNAFFECTED: it runs with different settings",
                _ => " is a different one: ",
            };
            assert_eq!(said.contains(words), !is_own, "{line}: {said}");
            if !is_own {
                assert_eq!(found, Some(code), "{line}: {said}");
                assert!(said.contains("/other") && said.contains("--config"), "{line}: {said}");
            }
        }
        assert!(!order.exists(), "nobody was to find it");
        server.stop().await;
    }
}

/// Settings changed after a flyball was started with them: it still reads the switch they named then, and a command
/// that changes another one reports that.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_the_running_flyball_does_not_read_is_named_and_is_no_success() {
    let place = tempfile::tempdir().unwrap();
    let root = std::fs::canonicalize(place.path()).unwrap();
    for directory in ["state", "ks"] {
        std::fs::create_dir(root.join(directory)).unwrap();
    }
    let (state, own) = (root.join("state"), root.join("state/killswitch.yaml"));
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let example = include_str!("../../docs/flyball.example.yaml").replace("/var/lib/flyball", "state");
    let example = example.replacen("listen: 127.0.0.1:9464", &format!("listen: {free}"), 1);
    let settings = Some(Settings::parse(&example).unwrap().revision);
    let (own_name, example) = (own.display().to_string(), Arc::new(example));
    std::fs::create_dir(root.join("policies")).unwrap();
    std::fs::write(root.join("policies/capacity.rhai"), include_str!("../../deploy/policies/capacity.rhai")).unwrap();
    std::fs::write(root.join("policies/traffic.rhai"), include_str!("../../deploy/policies/traffic.rhai")).unwrap();
    let run = |line: &'static str, changed: bool| {
        let (root, example) = (root.clone(), example.clone());
        tokio::task::spawn_blocking(move || {
            let text = if changed {
                example.replacen("\nkill_switch: state/killswitch.yaml\n", "\nkill_switch: ks/new.yaml\n", 1)
            } else {
                format!("# as it was\n{example}")
            };
            std::fs::write(root.join("flyball.yaml"), text).unwrap();
            let mut command = crate::command_line::command(&root);
            let output = command.args(line.split(' ')).output().unwrap();
            let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
            (output.status.code(), said)
        })
    };
    // No flyball answers: the file is changed, and nothing more is claimed.
    let (code, said) = run("resume -r start", false).await.unwrap();
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run("kill -r drill", false).await.unwrap();
    assert!(
        code == Some(0)
            && said.contains(&format!(
                "\nno flyball answers at {free}; for any flyball that reads this switch, no such write will start"
            )),
        "{said}"
    );
    // The settings have an unrelated fault.
    std::fs::create_dir(root.join("faulty")).unwrap();
    let faulty = root.join("faulty/flyball.yaml");
    std::fs::write(&faulty, format!("listen: {free}\nkill_switch: ../ks/third.yaml\nservices: 7\n")).unwrap();
    let server =
        start_at(free, Loop { ready: true, state: Some(state), switch: Some(own), settings, ..Loop::default() }).await;
    let faulty = tokio::task::spawn_blocking({
        let root = root.clone();
        move || {
            let mut command = crate::command_line::command(&root);
            let output = command.args("kill -r incident -c faulty/flyball.yaml".split(' ')).output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        }
    });
    let (code, said) = faulty.await.unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(" KEEPS WRITING: it does not read this switch (") && said.contains(&own_name), "{said}");
    let goes_on = format!("THE FLYBALL AT {free} KEEPS WRITING: it does not read this switch (");
    let stays = format!("THE FLYBALL AT {free} IS UNAFFECTED: it does not read this switch (");
    let (its, restart) = (format!("; it reads {own_name}; "), "settings changed after it started; restart it");
    for (line, changed, expected, parts) in [
        ("resume -r over", false, 0, &["released for everything"][..]),
        ("kill -r drill", false, 0, &["has seen it: no such write will start after one second"]),
        ("resume -r over", false, 0, &["nothing is stopped"]),
        (
            "kill -r incident",
            true,
            1,
            &[&goes_on, "ks/new.yaml, of flyball.yaml)", &its, restart, "the file did not exist"],
        ),
        ("resume -r later", true, 1, &[&stays, &its, restart]),
        ("kill -r drill --file state/killswitch.yaml", true, 0, &["has seen it: "]),
        ("resume -r over --file state/killswitch.yaml", true, 0, &["nothing is stopped"]),
        (
            "kill -r drill --file ks/k1",
            false,
            1,
            &["the file did not exist", &goes_on, &its, "name its switch with --file"],
        ),
        (
            "kill -r drill --file nowhere/k1",
            false,
            1,
            &["NOTHING WAS STOPPED; THE FLYBALL AT", "KEEPS WRITING", &its, "name its switch with --file"],
        ),
        ("resume -r drill --file nowhere/k1", false, 1, &["NOTHING WAS RELEASED; THE FLYBALL AT", &its]),
        ("status", false, 0, &["health       healthy"]),
        ("status", true, 1, &["- flyball is running with older settings; restart it"]),
        ("check", true, 0, &["note: flyball is running with older settings; restart it"]),
        ("check", false, 0, &["flyball.yaml: valid"]),
        ("check -o json", true, 0, &["\"notes\":[\"flyball is running with older settings; restart it"]),
        ("check -o json", false, 0, &["\"notes\":[]"]),
    ] {
        let (code, said) = run(line, changed).await.unwrap();
        assert_eq!(code, Some(expected), "{line}, {changed}: {said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "{line}, {changed}: no `{part}` in\n{said}"));
        assert!(changed || !said.contains("older settings"), "{line}: {said}");
    }
    server.stop().await;
}

/// The upper bound comes from the owner and from the autoscaler; a need beyond it is reported to people.
#[test]
fn a_service_that_needs_more_than_its_max_says_so() {
    let mut snapshot = Loop::default().services(None, 1).remove(0);
    assert_eq!(ServiceSummary::from(snapshot.clone()).beyond_max, None);
    snapshot.bounds.max = 4;
    let told = ServiceSummary::from(snapshot).beyond_max;
    assert_eq!(told.as_deref(), Some("needs 5 replicas, but its max is 4"));
}

/// Two autoscalers leave no lever, and a rule that would raise lacks the capacity: both are for people to see.
#[test]
fn a_service_that_cannot_be_written_or_decided_says_so() {
    let snapshot = Loop::default().services(None, 1).remove(0);
    let calm = ServiceSummary::from(snapshot.clone());
    assert_eq!((calm.no_lever, calm.undecided, calm.policy_trouble), (None, None, None));
    let mut closed = snapshot.clone();
    let mut features = (*closed.features.clone().unwrap()).clone();
    if let TargetReading::Known { target } = &mut features.target {
        target.autoscaling = Autoscaling::Closed { why: "HPA a and HPA b scale it".to_owned() };
    }
    closed.features = Some(Arc::new(features));
    assert_eq!(ServiceSummary::from(closed).no_lever.as_deref(), Some("HPA a and HPA b scale it"));
    // Rules that contradict each other stop a service as surely, however much it needs.
    let conflict = Arc::new(records::conflict(records::id(SERVICE, 1)));
    let (why, says) = ("conflict: raise and lower want opposite actions at equal priority", headline(&conflict).why);
    let summary = ServiceSummary::from(ServiceSnapshot { last: Some(conflict), ..snapshot.clone() });
    assert_eq!(summary.policy_trouble.as_deref(), Some(why));
    assert!(says.starts_with(why) && says.contains(" needed, "), "{says}");
    // The latency of this record is above this objective, its rules are as they are.
    let mut unknown = records::unknown(records::id(SERVICE, 1));
    let latency = |label: &SignalLabel| {
        let role = (label.name.as_str() == "p99").then_some(Role::Latency);
        SignalLabel { role, ..label.clone() }
    };
    unknown.signals = Arc::new(unknown.signals.iter().map(latency).collect());
    let mut undecided = ServiceSnapshot { last: Some(Arc::new(unknown)), ..snapshot };
    undecided.slo.p99 = 0.001;
    let told = ServiceSummary::from(undecided.clone()).undecided.unwrap();
    assert!(told.starts_with("misses its objective and nothing is done: "), "{told}");
    assert!(told.contains(" could not be evaluated: "), "{told}");
    undecided.slo.p99 = 3600.0;
    assert_eq!(ServiceSummary::from(undecided).undecided, None, "inside the objective");
}

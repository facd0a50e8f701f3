//! The contract of the Services port, kept by `ServiceLoop` objects on an API server (here the double): declarations
//! become the roster, and events come back as status and Events. Judged by the objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flyball::adapters::alone::Alone;
use flyball::adapters::kubernetes::loops::{BOUND_NAME, ServiceLoops};
use flyball::adapters::kubernetes::{Access, Timeouts, connect, survey};
use flyball::config::{Declarations, Settings};
use flyball::demo::kubernetes::call::Verb;
use flyball::demo::kubernetes::objects::{Author, Objects};
use flyball::demo::kubernetes::resource::{Resource, Subresource};
use flyball::model::{
    Autoscaler, Autoscaling, DecisionId, DecisionRecord, Features, Missing, Mode, Reading, Role, ServiceId,
    ServiceSpec, SignalFeatures, TargetReading, TargetState, WriteOutcome, record::SignalLabel,
};
use flyball::ports::{Awaited, DeclaredServices, Leadership, News, PolicyFaults, Services, Stop};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::records;
use crate::scenarios::replicas::{Scripted, follows, holds};
use crate::scenarios::world::settings;
use crate::support::kubernetes::BreakableDouble;
use crate::support::kubernetes::faults::Fault;
use crate::support::wait::eventually;

const LOOPS: Resource = Resource::ServiceLoops;

/// An API server with loops, and the adapter that watches them.
pub struct Site {
    pub double: BreakableDouble,
    services: ServiceLoops,
    roster: watch::Receiver<Option<DeclaredServices>>,
}

fn declarations() -> Declarations {
    let list = settings(&[], "");
    Settings::parse(&list.replace("services:\n", "services: serviceloops\n")).unwrap().declarations().unwrap().clone()
}

fn bound(max_replicas: u32, max_mode: &str) -> Value {
    json!({ "metadata": { "name": BOUND_NAME }, "spec": { "maxReplicas": max_replicas, "maxMode": max_mode } })
}

fn person() -> Author {
    Author::named("kubectl")
}

/// Reads with the settings, and counts.
#[derive(Default)]
struct Counts {
    read: AtomicUsize,
    compared: AtomicUsize,
}

struct Counted(Declarations, Arc<Counts>);

impl flyball::ports::services::Declarations for Counted {
    fn read(&self, id: &ServiceId, spec: &Value) -> Result<ServiceSpec, Vec<String>> {
        self.1.read.fetch_add(1, Ordering::SeqCst);
        flyball::ports::services::Declarations::read(&self.0, id, spec)
    }

    fn collisions(&self, services: &[ServiceSpec]) -> Vec<Vec<String>> {
        self.1.compared.fetch_add(1, Ordering::SeqCst);
        self.0.collisions(services)
    }
}

impl Site {
    pub async fn open() -> Self {
        Self::open_with(Timeouts::default(), Arc::new(Alone::default())).await
    }

    async fn open_with(timeouts: Timeouts, leadership: Arc<dyn Leadership>) -> Self {
        Self::open_counted(timeouts, leadership, Arc::default()).await
    }

    async fn open_counted(timeouts: Timeouts, leadership: Arc<dyn Leadership>, counts: Arc<Counts>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let double = BreakableDouble::start(Objects::default()).await.unwrap();
        double.objects().create(Resource::PlatformBounds, "", bound(30, "auto"), &person()).unwrap();
        let server = connect(&Access::Url(double.url()), timeouts).await.unwrap();
        let services =
            ServiceLoops::start(&server, Arc::new(Counted(declarations(), counts)), leadership, "flyball-0".to_owned());
        let roster = services.watch();
        Self { double, services, roster }
    }

    /// Another process over the same objects.
    async fn restarted(self) -> Self {
        let Self { double, services, .. } = self;
        drop(services);
        let server = connect(&Access::Url(double.url()), Timeouts::default()).await.unwrap();
        let services =
            ServiceLoops::start(&server, Arc::new(declarations()), Arc::new(Alone::default()), "flyball-1".to_owned());
        let roster = services.watch();
        Self { double, services, roster }
    }

    pub fn apply(&self, name: &str, spec: &Value) {
        let objects = self.double.objects();
        let manifest = json!({ "metadata": { "namespace": "shop", "name": name }, "spec": spec });
        let changed = objects.update(LOOPS, "shop", name, &person(), |old| {
            let mut new = old.clone();
            new["spec"].clone_from(spec);
            Ok(new)
        });
        if changed.is_err() {
            objects.create(LOOPS, "shop", manifest, &person()).unwrap();
        }
    }

    fn bound(&self, max_replicas: u32, max_mode: &str) {
        let objects = self.double.objects();
        let change = |old: &Value| {
            let mut new = old.clone();
            new["spec"] = bound(max_replicas, max_mode)["spec"].clone();
            Ok(new)
        };
        objects.update(Resource::PlatformBounds, "", BOUND_NAME, &person(), change).unwrap();
    }

    fn delete(&self, name: &str) {
        self.double.objects().delete(LOOPS, "shop", name, &person()).unwrap();
    }

    pub fn status(&self, name: &str) -> Value {
        self.double.objects().get(LOOPS, "shop", name).unwrap()["status"].clone()
    }

    fn condition(&self, name: &str, kind: &str) -> Value {
        let status = self.status(name);
        let all = status["conditions"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
    }

    fn events(&self) -> Vec<Value> {
        let page = self.double.objects().list(Resource::Events, Some("shop"), None, usize::MAX);
        page.items.iter().map(|event| Value::clone(event)).collect()
    }

    /// Waits until the roster is as wanted.
    pub async fn roster(&mut self, wanted: impl Fn(&[&ServiceSpec]) -> bool) {
        let is_wanted = |roster: &Option<DeclaredServices>| {
            roster.as_ref().is_some_and(|roster| wanted(&roster.values().map(AsRef::as_ref).collect::<Vec<_>>()))
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), self.roster.wait_for(is_wanted)).await;
        drop(ended.expect("the roster is not as wanted").unwrap());
    }

    /// Waits until the objects are as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let mut newest = self.double.objects().newest();
        let waiting = async {
            while !wanted(self) {
                newest.changed().await.unwrap();
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        ended.unwrap_or_else(|_| panic!("{what}: {:#} {:#?}", self.status("checkout"), self.events()));
    }
}

fn names(specs: &[&ServiceSpec]) -> Vec<String> {
    specs.iter().map(|spec| spec.id.name().to_owned()).collect()
}

fn checkout() -> ServiceId {
    "shop/checkout".parse().unwrap()
}

fn id(seq: u32) -> DecisionId {
    records::id("shop/checkout", seq)
}

#[tokio::test]
async fn loops_come_change_pause_and_go() {
    let mut site = Site::open().await;
    site.roster(|specs| specs.is_empty()).await;
    site.apply("checkout", &json!({ "mode": "auto", "bounds": { "min": 3, "max": 20 } }));
    site.roster(|specs| specs.len() == 1 && specs[0].bounds.min == 3 && specs[0].mode == Mode::Auto).await;
    site.apply("checkout", &json!({ "mode": "auto", "bounds": { "min": 4, "max": 20 } }));
    site.roster(|specs| specs.len() == 1 && specs[0].bounds.min == 4).await;
    site.apply("checkout", &json!({ "mode": "auto", "paused": true }));
    site.roster(|specs| specs[0].mode == Mode::Observe).await;
    site.apply("search", &json!({}));
    site.roster(|specs| names(specs) == ["checkout", "search"]).await;
    site.delete("checkout");
    site.roster(|specs| names(specs) == ["search"]).await;
}

/// As a cluster may contain one from before the schema forbade it.
#[tokio::test]
async fn a_loop_whose_name_is_none_of_a_service_is_named_and_its_neighbours_go_on() {
    let mut site = Site::open().await;
    site.apply("shop.web", &json!({}));
    site.apply("checkout", &json!({}));
    site.roster(|specs| names(specs) == ["checkout"]).await;
    let ignored = site.services.ignored();
    assert!(ignored.len() == 1 && ignored[0].starts_with("ServiceLoop shop/shop.web is ignored"), "{ignored:?}");
    // As `flyball doctor` sees it.
    let server = connect(&Access::Url(site.double.url()), Timeouts::default()).await.unwrap();
    let listed = survey::loops(&server).await.unwrap();
    assert_eq!((listed.declared.len(), &listed.ignored), (1, &ignored));
    site.delete("shop.web");
    site.apply("search", &json!({}));
    site.roster(|specs| specs.len() == 2).await;
    assert!(site.services.ignored().is_empty());
}

#[tokio::test]
async fn k14_an_invalid_spec_lists_all_faults_and_the_last_good_one_stays() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "auto", "bounds": { "min": 3, "max": 20 } }));
    site.roster(|specs| specs.len() == 1).await;
    site.until("accepted", |site| site.condition("checkout", "Accepted")["status"] == "True").await;
    site.apply("checkout", &json!({ "mode": "atuo", "bounds": { "min": 30, "max": 20 } }));
    site.until("refused", |site| site.condition("checkout", "Accepted")["status"] == "False").await;
    let accepted = site.condition("checkout", "Accepted");
    let message = accepted["message"].as_str().unwrap();
    assert_eq!(accepted["reason"], "Invalid");
    for part in ["spec.mode: unknown value `atuo`", "spec.bounds.min: 30 is above max 20", "last good spec remains"] {
        assert!(message.contains(part), "{message}");
    }
    let status = site.status("checkout");
    assert_eq!((&status["observedGeneration"], &accepted["observedGeneration"]), (&json!(2), &json!(2)));
    site.roster(|specs| specs.len() == 1 && specs[0].bounds.min == 3).await;
    site.until("told", |site| site.events().iter().any(|event| event["reason"] == "SpecInvalid")).await;
    // One that never was valid is not supervised, and says so; its neighbour is unaffected.
    site.apply("search", &json!({ "target": { "kind": "Pod" } }));
    site.until("refused", |site| site.condition("search", "Ready")["reason"] == "NoSpec").await;
    site.roster(|specs| names(specs) == ["checkout"]).await;
}

#[tokio::test]
async fn x4_of_two_loops_on_one_target_the_older_one_stays() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({}));
    site.roster(|specs| specs.len() == 1).await;
    site.apply("another", &json!({ "target": { "name": "checkout" } }));
    site.until("told", |site| site.condition("another", "Accepted")["reason"] == "Collision").await;
    site.roster(|specs| specs.len() == 1).await;
    for (kind, reason) in [("Accepted", "Collision"), ("Ready", "Collision")] {
        let condition = site.condition("another", kind);
        assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!(reason)));
        let message = condition["message"].to_string();
        assert!(message.contains("already the target of shop/checkout"), "{message}");
    }
    site.delete("checkout");
    site.roster(|specs| names(specs) == ["another"]).await;
    site.until("free", |site| site.condition("another", "Ready")["reason"] == "Starting").await;
    assert_eq!(site.condition("another", "Accepted")["status"], "True");
}

/// A changed spec takes nothing from an active loop, however much older the changed one is; and of two that change at
/// once each falls back to what it had.
#[tokio::test]
async fn x4_a_changed_loop_takes_no_target_from_one_that_is_in_force() {
    let mut site = Site::open().await;
    site.apply("a-older", &json!({}));
    site.roster(|specs| specs.len() == 1).await;
    site.apply("b-newer", &json!({}));
    site.roster(|specs| specs.len() == 2).await;
    let targets = |specs: &[&ServiceSpec]| specs.iter().map(|spec| spec.target.name.clone()).collect::<Vec<_>>();
    site.apply("a-older", &json!({ "target": { "name": "b-newer" } }));
    // What the changed one leaves is not free either, since it falls back to that.
    site.apply("0-oldest-by-name", &json!({ "target": { "name": "a-older" } }));
    site.until("told", |site| site.condition("a-older", "Accepted")["reason"] == "Collision").await;
    site.until("told", |site| site.condition("0-oldest-by-name", "Ready")["reason"] == "Collision").await;
    let message = site.condition("a-older", "Accepted")["message"].to_string();
    assert!(message.contains("already the target of shop/b-newer") && message.contains("last good spec"), "{message}");
    site.roster(|specs| targets(specs) == ["a-older", "b-newer"]).await;
    // A restarted flyball knows from the statuses which one was active.
    site.until("told", |site| site.condition("b-newer", "Accepted")["status"] == "True").await;
    let mut site = site.restarted().await;
    // Refused declarations are not remembered.
    site.roster(|specs| names(specs) == ["0-oldest-by-name", "b-newer"]).await;
    site.delete("b-newer");
    site.roster(|specs| names(specs) == ["0-oldest-by-name", "a-older"]).await;
}

#[tokio::test]
async fn the_platform_bound_caps_every_loop_and_without_it_none_writes() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "auto", "bounds": { "min": 40, "max": 80 } }));
    site.roster(|specs| specs.len() == 1 && (specs[0].bounds.min, specs[0].bounds.max) == (30, 30)).await;
    site.until("told", |site| site.condition("checkout", "Capped")["status"] == "True").await;
    let objects = site.double.objects().clone();
    site.bound(50, "shadow");
    site.roster(|specs| specs[0].bounds.max == 50 && specs[0].mode == Mode::Shadow).await;
    assert_eq!(site.services.unbounded(), None);
    site.bound(50, "auto");
    site.roster(|specs| specs[0].bounds.max == 50 && specs[0].mode == Mode::Auto).await;
    objects.delete(Resource::PlatformBounds, "", BOUND_NAME, &person()).unwrap();
    let told = |site: &Site| site.condition("checkout", "Capped")["message"].to_string().contains("no PlatformBound");
    site.until("told", told).await;
    let why = site.services.unbounded().unwrap();
    assert_eq!(why, "no PlatformBound named flyball exists; apply one, such as deploy/base/bound.yaml");
    site.until("told", |site| site.condition("checkout", "Ready")["reason"] == "Unbounded").await;
    let ready = site.condition("checkout", "Ready");
    assert_eq!((&ready["status"], &ready["message"]), (&json!("False"), &json!(format!("nothing is written: {why}"))));
    site.roster(|specs| specs[0].bounds.max == 50 && specs[0].mode == Mode::Auto).await;
}

#[tokio::test]
async fn a_decision_shows_in_the_status_and_one_that_acts_in_events() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.roster(|specs| specs.len() == 1).await;
    let idle = Arc::new(records::nothing(id(1)));
    site.services.tell(&checkout(), News::Decided(idle));
    site.until("told", |site| site.status("checkout")["lastDecision"]["action"] == "no action").await;
    assert_eq!(site.events(), Vec::<Value>::new(), "that nothing was to be done is no event");
    assert_eq!(site.status("checkout")["forecastAuthority"], "reactive_only", "in the words of records and metrics");
    assert!(site.status("checkout")["replicas"].is_number());
    let mut gone = records::nothing(id(1));
    let unknown = TargetReading::Unknown { reason: "it does not exist".to_owned() };
    gone.features = Arc::new(Features { target: unknown, ..(*gone.features).clone() });
    site.services.tell(&checkout(), News::Decided(Arc::new(gone)));
    site.until("told", |site| site.condition("checkout", "Ready")["reason"] == "TargetUnknown").await;
    assert_eq!(site.status("checkout")["replicas"], Value::Null, "what nobody knows any more is not shown");
    let acted = records::acted(id(2));
    let change = acted.change.clone().unwrap();
    let planned = DecisionRecord { outcome: None, effect: None, ..acted };
    site.services.tell(&checkout(), News::Decided(Arc::new(planned)));
    site.services.tell(&checkout(), News::WriteEnded { change, outcome: WriteOutcome::Applied });
    site.until("events", |site| site.events().len() == 2).await;
    let events = site.events();
    let reasons: Vec<&str> = events.iter().map(|event| event["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["ActionPlanned", "ActionApplied"]);
    for event in &events {
        assert_eq!(
            (&event["regarding"]["kind"], &event["regarding"]["name"]),
            (&json!("ServiceLoop"), &json!("checkout"))
        );
        let uid = &site.double.objects().get(LOOPS, "shop", "checkout").unwrap()["metadata"]["uid"];
        assert_eq!(&event["regarding"]["uid"], uid);
        assert_eq!((&event["type"], &event["reportingInstance"]), (&json!("Normal"), &json!("flyball-0")));
    }
}

#[tokio::test]
async fn a_hold_is_told_once_and_again_only_after_it_ended() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.roster(|specs| specs.len() == 1).await;
    for seq in 1..20 {
        site.services.tell(&checkout(), News::Decided(Arc::new(records::held(id(seq)))));
        tokio::task::yield_now().await;
    }
    site.services.tell(&checkout(), News::Quarantined(Some("keeps failing".to_owned())));
    site.until("told", |site| site.events().iter().any(|event| event["reason"] == "Quarantined")).await;
    let reasons: Vec<String> = site.events().iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect();
    assert_eq!(reasons, ["ActionBlocked", "Quarantined"]);
}

/// The status follows decisions, not each of their numbers: a quiet service costs the API server nothing.
#[tokio::test]
async fn a_status_is_written_on_change_only() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({}));
    site.roster(|specs| specs.len() == 1).await;
    let written = |site: &Site| {
        let history = site.double.objects().history();
        history.iter().filter(|write| write.resource == LOOPS && write.who == "flyball").count()
    };
    site.services.tell(&checkout(), News::Decided(Arc::new(records::nothing(id(1)))));
    site.until("told", |site| site.status("checkout")["lastDecision"]["action"] == "no action").await;
    let before = written(&site);
    for seq in 100..200 {
        let mut record = records::nothing(id(1));
        record.id.cycle.seq = seq;
        site.services.tell(&checkout(), News::Decided(Arc::new(record)));
    }
    // What comes after them is written, so all of them were processed.
    site.services.tell(&checkout(), News::Quarantined(Some("keeps failing".to_owned())));
    site.until("told", |site| site.condition("checkout", "Ready")["reason"] == "Quarantined").await;
    assert_eq!(written(&site), before + 1);
}

/// The API counts bytes, and names and messages may be in any script.
#[tokio::test]
async fn an_event_with_a_long_note_is_written() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.roster(|specs| specs.len() == 1).await;
    site.services.tell(&checkout(), News::Quarantined(Some("ü".repeat(900))));
    site.until("told", |site| site.events().iter().any(|event| event["reason"] == "Quarantined")).await;
    let note = site.events()[0]["note"].as_str().unwrap().len();
    assert_eq!(note, 1000);
}

/// A namespace that denies writes affects only its own loops.
#[tokio::test]
async fn a_refused_status_or_event_holds_up_no_other_loop() {
    let mut site = Site::open().await;
    let names = ["cart", "checkout", "search"];
    site.double.faults().order_of(LOOPS, Verb::Patch, 2, Fault::status(403));
    for name in names {
        site.apply(name, &json!({ "mode": "auto" }));
    }
    site.roster(|specs| specs.len() == 3).await;
    let began = Instant::now();
    site.until("one has a status", |site| names.iter().any(|name| !site.status(name).is_null())).await;
    site.double.faults().order_of(Resource::Events, Verb::Create, 1, Fault::status(422));
    for service in ["shop/cart", "shop/checkout"] {
        site.services.tell(&service.parse().unwrap(), News::Quarantined(Some("it fails".to_owned())));
    }
    site.until("one has an Event", |site| !site.events().is_empty()).await;
    // A single pause after a server failure is longer.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(site.double.faults().requests_of(LOOPS, Verb::Patch), 3, "what was refused is not sent again at once");
}

#[tokio::test]
async fn a_bound_that_is_not_heard_of_for_too_long_permits_no_write_and_changes_no_declaration() {
    let mut site = Site::open_with(
        Timeouts { silence: Duration::from_millis(300), ..Timeouts::default() },
        Arc::new(Alone::default()),
    )
    .await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.roster(|specs| specs.iter().any(|spec| spec.mode == Mode::Auto)).await;
    let mut changes = site.roster.clone();
    changes.mark_unchanged();
    eventually("it is not heard of", || site.services.unbounded().is_some()).await;
    // Longer than the keeper waits before it checks on its own.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!changes.has_changed().unwrap(), "what is declared stays as it is");
    let why = site.services.unbounded().unwrap();
    assert!(why.starts_with("the PlatformBound cannot be read: silent for"), "{why}");
    let waits = site.services.waiting_for();
    let silent = |wait: &Awaited| matches!(wait, Awaited::Watch { of, why } if of == "PlatformBound" && why.silent_seconds.is_some());
    assert!(waits.iter().any(silent), "{waits:?}");
}

#[tokio::test]
async fn k1_loops_stay_while_the_server_is_away_and_news_are_told_afterwards() {
    // Watches end after a second, so that the next ones hit the missing server.
    let mut site =
        Site::open_with(Timeouts { watch: Duration::from_secs(1), ..Timeouts::default() }, Arc::new(Alone::default()))
            .await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.roster(|specs| specs.len() == 1).await;
    site.until("accepted", |site| site.condition("checkout", "Accepted")["status"] == "True").await;
    let before = site.double.faults().requests(Verb::Watch);
    site.double.faults().order(Verb::Watch, 2, Fault::status(503));
    site.double.faults().order(Verb::Patch, 1, Fault::status(503));
    site.double.faults().wait_for_requests(Verb::Watch, before + 2).await;
    assert_eq!(site.roster.borrow().as_ref().unwrap().len(), 1, "the server is away, and the loop is still declared");
    site.services.tell(&checkout(), News::Decided(Arc::new(records::nothing(id(1)))));
    site.until("told", |site| site.status("checkout")["lastDecision"]["action"] == "no action").await;
    assert_eq!(site.roster.borrow().as_ref().unwrap().len(), 1);
}

#[tokio::test]
async fn a_follower_knows_the_loops_and_tells_nothing_of_them_until_it_leads() {
    let leadership = Scripted::new(follows());
    let mut site = Site::open_with(Timeouts::default(), leadership.clone()).await;
    site.apply("checkout", &json!({ "mode": "auto", "bounds": { "min": 0, "max": 20 } }));
    site.apply("search", &json!({}));
    site.roster(|specs| names(specs) == ["search"]).await;
    site.services.tell(&checkout(), News::Quarantined(Some("it fails".to_owned())));
    // Longer than the writer rests between two checks.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(site.status("checkout").is_null() && site.events().is_empty(), "the leader tells it");
    leadership.set(holds(1, 15_000));
    site.until("both have a status", |site| !site.status("checkout").is_null() && !site.status("search").is_null())
        .await;
    assert_eq!(site.condition("checkout", "Accepted")["status"], "False");
    assert!(site.events().is_empty(), "what was news for the former leader is none now: {:?}", site.events());
}

/// A thousand statuses take a hundred seconds, a lease a few: a process that loses it stops in between.
#[tokio::test]
async fn who_leads_no_more_writes_no_status_more() {
    let leadership = Scripted::new(follows());
    let mut site = Site::open_with(Timeouts::default(), leadership.clone()).await;
    let all: Vec<String> = (0..30).map(|number| format!("loop-{number:02}")).collect();
    all.iter().for_each(|name| site.apply(name, &json!({})));
    site.roster(|specs| specs.len() == 30).await;
    let told = |site: &Site| all.iter().filter(|name| !site.status(name).is_null()).count();
    leadership.set(holds(1, 15_000));
    site.until("the first are told", |site| told(site) >= 3).await;
    leadership.set(follows());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(told(&site) <= 4, "one may have been on its way: {}", told(&site));
    leadership.set(holds(3, 15_000));
    site.until("the others are told", |site| told(site) == 30).await;
}

#[tokio::test]
async fn a_status_says_how_the_loop_stands_when_it_is_written() {
    let leadership = Scripted::new(follows());
    let mut site = Site::open_with(Timeouts::default(), leadership.clone()).await;
    (0..10).for_each(|number| site.apply(&format!("a-{number}"), &json!({})));
    site.apply("checkout", &json!({}));
    site.roster(|specs| specs.len() == 11).await;
    leadership.set(holds(1, 15_000));
    site.until("the first is told", |site| !site.status("a-0").is_null()).await;
    site.services.tell(&checkout(), News::Quarantined(Some("keeps failing".to_owned())));
    site.until("told", |site| !site.status("checkout").is_null()).await;
    assert_eq!(site.condition("checkout", "Ready")["reason"], "Quarantined");
}

#[tokio::test]
async fn a_status_that_somebody_else_overwrote_is_mended() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "shadow" }));
    site.roster(|specs| specs.len() == 1).await;
    site.until("told", |site| site.condition("checkout", "Ready")["reason"] == "Starting").await;
    let objects = site.double.objects().clone();
    let former = Author { part: Some(Subresource::Status), ..person() };
    objects
        .update(LOOPS, "shop", "checkout", &former, |old| {
            let mut new = old.clone();
            new["status"]["mode"] = json!("auto");
            Ok(new)
        })
        .unwrap();
    site.until("mended", |site| site.status("checkout")["mode"] == "shadow").await;
}

/// Every status comes back as a change: with thousands of loops, none is read again because of it.
#[tokio::test]
async fn a_spec_is_read_once_and_a_status_is_no_reason_to_compare_all() {
    let counts: Arc<Counts> = Arc::default();
    let mut site = Site::open_counted(Timeouts::default(), Arc::new(Alone::default()), counts.clone()).await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.apply("search", &json!({}));
    site.roster(|specs| specs.len() == 2).await;
    let counted = || (counts.read.load(Ordering::SeqCst), counts.compared.load(Ordering::SeqCst));
    let told = |site: &Site| ["checkout", "search"].iter().all(|name| !site.status(name).is_null());
    site.until("told", told).await;
    // Their statuses have come back as changes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (read, compared) = counted();
    assert_eq!(read, 2);
    let objects = site.double.objects().clone();
    let another = Author { part: Some(Subresource::Status), ..person() };
    for number in 0..3 {
        let with_note = |old: &Value| {
            let mut new = old.clone();
            new["status"]["observedGeneration"] = json!(100 + number);
            Ok(new)
        };
        objects.update(LOOPS, "shop", "search", &another, with_note).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(counted(), (read, compared), "only a status has changed");
    site.bound(30, "shadow");
    site.roster(|specs| specs.iter().all(|spec| spec.mode == Mode::Shadow)).await;
    assert_eq!(counted(), (read, compared), "what the platform permits is no matter of reading");
    site.apply("checkout", &json!({ "mode": "observe" }));
    site.roster(|specs| specs[0].mode == Mode::Observe).await;
    assert_eq!(counted().0, read + 1, "only what changed is read");
    site.delete("search");
    site.roster(|specs| names(specs) == ["checkout"]).await;
    site.apply("search", &json!({}));
    site.roster(|specs| specs.len() == 2).await;
    assert_eq!(counted().0, read + 2, "one that was made anew is another one");
}

#[tokio::test]
async fn c1_a_refused_policy_shows_in_the_loops_that_it_concerns_until_it_is_mended() {
    let site = Site::open().await;
    let objects = site.double.objects();
    site.apply("checkout", &json!({}));
    let elsewhere = json!({ "metadata": { "namespace": "bank", "name": "ledger" }, "spec": {} });
    objects.create(LOOPS, "bank", elsewhere, &person()).unwrap();
    let shows = |site: &Site, status: &str| site.condition("checkout", "PolicyAccepted")["status"] == status;
    let fault = "shop/own/a.rhai:3:5: unknown signal `rsp`".to_owned();
    let mut faults = PolicyFaults::default();
    site.services.policies(&faults);
    site.until("in force", |site| shows(site, "True")).await;
    assert!(site.events().is_empty(), "that the first set is in force is no news");
    faults.namespaces.insert("shop".to_owned(), vec![fault.clone()]);
    site.services.policies(&faults);
    site.until("refused", |site| shows(site, "False") && !site.events().is_empty()).await;
    let condition = site.condition("checkout", "PolicyAccepted");
    assert!(condition["message"].as_str().unwrap().starts_with(&fault), "{condition}");
    assert_eq!(site.events()[0]["reason"], "PolicyRefused");
    let other = objects.get(LOOPS, "bank", "ledger").unwrap()["status"].to_string();
    assert!(!other.contains("rsp"), "a fault in one namespace is nobody else's: {other}");
    site.services.policies(&PolicyFaults::default());
    site.until("mended", |site| shows(site, "True") && site.events().len() == 2).await;
    assert_eq!(site.events()[1]["reason"], "PolicyAccepted");
}

/// Nobody may take it for one at work: neither while the last good spec is in force, nor after a restart, when none is.
#[tokio::test]
async fn a_refused_loop_is_named_and_shows_no_decision_of_a_process_that_is_gone() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.roster(|specs| specs.len() == 1).await;
    assert!(site.services.ignored().is_empty());
    site.services.tell(&checkout(), News::Decided(Arc::new(records::nothing(id(1)))));
    site.until("told", |site| site.status("checkout")["lastDecision"]["action"] == "no action").await;
    site.apply("checkout", &json!({ "mode": "atuo" }));
    let named = |instead: &'static str| {
        move |site: &Site| {
            let ignored = site.services.ignored();
            let begin = "ServiceLoop shop/checkout is refused: spec.mode: unknown value `atuo`";
            ignored.len() == 1 && ignored[0].starts_with(begin) && ignored[0].ends_with(instead)
        }
    };
    site.until("named", named("the last good spec remains active")).await;
    let mut site = site.restarted().await;
    site.roster(|specs| specs.is_empty()).await;
    site.until("named", named("no spec is active")).await;
    site.until("told", |site| site.condition("checkout", "Ready")["reason"] == "NoSpec").await;
    let status = site.status("checkout");
    for field in ["mode", "lastDecision", "replicas", "readyReplicas", "forecastAuthority"] {
        assert_eq!(status[field], Value::Null, "{field} in {status:#}");
    }
}

/// A decision to do nothing, on fresh data: of the CPU, which is missing, nothing hangs.
fn calm(seq: u32) -> DecisionRecord {
    let record = records::nothing(id(seq));
    let with_role = |label: &SignalLabel| {
        let role = (label.name.as_str() == "cpu").then_some(Role::Cpu);
        SignalLabel { role, ..label.clone() }
    };
    let signals: Vec<SignalLabel> = record.signals.iter().map(with_role).collect();
    DecisionRecord { signals: signals.into(), ..record }
}

fn reasons(site: &Site) -> Vec<String> {
    site.events().iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
}

/// What a person has to see to is a condition, an Event, and makes the loop not ready.
#[tokio::test]
async fn writes_that_are_stopped_until_a_person_looks_show_in_status_and_events() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.roster(|specs| specs.len() == 1).await;
    let decides = |site: &Site, seq| site.services.tell(&checkout(), News::Decided(Arc::new(calm(seq))));
    decides(&site, 1);
    site.until("closed", |site| site.condition("checkout", "BreakerOpen")["reason"] == "Closed").await;
    site.services
        .tell(&checkout(), News::Edited("Deployment shop/checkout was changed from 8 to 4 by helm".to_owned()));
    let why = "two writes were reverted within an hour, last 8 to 4 by helm".to_owned();
    site.services.tell(&checkout(), News::Stopped(Some(Stop::StoodDown(why.clone()))));
    decides(&site, 2);
    site.until("open", |site| site.condition("checkout", "BreakerOpen")["status"] == "True").await;
    for kind in ["BreakerOpen", "Ready"] {
        let condition = site.condition("checkout", kind);
        assert_eq!((&condition["reason"], &condition["message"]), (&json!("StoodDown"), &json!(why)), "{kind}");
    }
    assert_eq!(site.condition("checkout", "Ready")["status"], "False");
    site.services.tell(&checkout(), News::Stopped(None));
    site.until("closed", |site| site.condition("checkout", "BreakerOpen")["status"] == "False").await;
    site.services.tell(&checkout(), News::Stopped(Some(Stop::Refused("not allowed".to_owned()))));
    let refused = |site: &Site| site.condition("checkout", "BreakerOpen")["reason"] == "WritesRefused";
    site.until("refused", refused).await;
    assert_eq!(site.condition("checkout", "Ready")["status"], "True", "it decides on fresh data");
    let mut told = reasons(&site);
    told.sort();
    assert_eq!(told, ["BreakerClosed", "BreakerOpen", "Conflict"], "one of each within a minute");
}

/// Of a rule that asks for nothing no guard holds anything: the state is told all the same.
#[tokio::test]
async fn data_that_is_missing_freezes_a_loop_and_says_so_where_nothing_is_wanted() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.roster(|specs| specs.len() == 1).await;
    let fresh = calm(1);
    let with = |features: Features| {
        let record = DecisionRecord { features: Arc::new(features), ..calm(2) };
        News::Decided(Arc::new(record))
    };
    let mut silent = (*fresh.features).clone();
    for signal in &mut silent.signals {
        *signal = SignalFeatures::of(Reading::Absent { missing: Missing::NoSeries });
    }
    // That it starts without data is no news.
    site.services.tell(&checkout(), with(silent.clone()));
    site.until("frozen", |site| site.condition("checkout", "Frozen")["reason"] == "SignalsMissing").await;
    site.services.tell(&checkout(), News::Decided(Arc::new(fresh.clone())));
    site.until("fresh", |site| site.condition("checkout", "Frozen")["status"] == "False").await;
    assert_eq!(reasons(&site), Vec::<String>::new());
    site.services.tell(&checkout(), with(silent));
    site.until("told", |site| reasons(site) == ["Frozen"]).await;
    let target = fresh.features.target.known().unwrap().clone();
    let outdated = TargetReading::Outdated { target, silence: Duration::from_secs(90) };
    site.services.tell(&checkout(), with(Features { target: outdated, ..(*fresh.features).clone() }));
    site.until("frozen", |site| site.condition("checkout", "Frozen")["reason"] == "TargetOutdated").await;
    let ready = site.condition("checkout", "Ready");
    assert_eq!(ready["message"], "Deployment shop/checkout was last seen too long ago");
}

/// Nothing is done until somebody ranks the two rules.
#[tokio::test]
async fn rules_that_contradict_each_other_are_told_and_the_loop_is_not_ready() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.roster(|specs| specs.len() == 1).await;
    site.services.tell(&checkout(), News::Decided(Arc::new(calm(1))));
    site.until("ready", |site| site.condition("checkout", "Ready")["status"] == "True").await;
    for seq in 2..4 {
        let record = DecisionRecord { proposal: records::conflict(id(seq)).proposal, ..calm(seq) };
        site.services.tell(&checkout(), News::Decided(Arc::new(record)));
    }
    site.until("told", |site| reasons(site) == ["PolicyTrouble"]).await;
    site.until("not ready", |site| site.condition("checkout", "Ready")["reason"] == "RulesConflict").await;
    let said = site.condition("checkout", "Ready");
    assert_eq!((&said["status"], &said["message"]), (&json!("False"), &site.events()[0]["note"]));
    site.services.tell(&checkout(), News::Decided(Arc::new(calm(4))));
    site.until("ready", |site| site.condition("checkout", "Ready")["status"] == "True").await;
}

#[tokio::test]
async fn a_status_names_the_baseline_the_pause_and_the_target_that_is_gone() {
    let mut site = Site::open().await;
    site.apply("checkout", &json!({ "mode": "auto" }));
    site.roster(|specs| specs.len() == 1).await;
    let fresh = calm(1);
    let with = |target: TargetReading| {
        let features = Arc::new(Features { target, ..(*fresh.features).clone() });
        News::Decided(Arc::new(DecisionRecord { features, ..fresh.clone() }))
    };
    let autoscaler = Autoscaler {
        name: "checkout".into(),
        uid: "h".to_owned(),
        floor: 6,
        baseline: 3,
        ceiling: 12,
        current: 6,
        desired: 6,
        owner: None,
        trouble: None,
    };
    let target = fresh.features.target.known().unwrap().clone();
    let floored = TargetState { autoscaling: Autoscaling::Autoscaler(autoscaler), ..target };
    site.services.tell(&checkout(), with(TargetReading::Known { target: floored }));
    site.until("told", |site| site.status("checkout")["baseline"] == 3).await;
    site.services.tell(&checkout(), with(TargetReading::Unknown { reason: "it does not exist".to_owned() }));
    site.until("told", |site| site.condition("checkout", "Ready")["reason"] == "TargetUnknown").await;
    assert_eq!(site.condition("checkout", "Ready")["message"], "Deployment shop/checkout: it does not exist");
    assert_eq!(site.status("checkout")["baseline"], Value::Null);
    site.apply("checkout", &json!({ "mode": "auto", "paused": true }));
    site.roster(|specs| specs[0].mode == Mode::Observe).await;
    let paused = DecisionRecord { mode: Mode::Observe, ..fresh.clone() };
    site.services.tell(&checkout(), News::Decided(Arc::new(paused)));
    site.until("paused", |site| site.condition("checkout", "Ready")["reason"] == "Paused").await;
    let acted = records::acted(id(2));
    let revision = acted.proposal.revision.clone().unwrap();
    let planned = DecisionRecord { signals: fresh.signals.clone(), outcome: None, effect: None, ..acted };
    site.services.tell(&checkout(), News::Decided(Arc::new(planned)));
    site.until("planned", |site| reasons(site) == ["ActionPlanned"]).await;
    let note = site.events()[0]["note"].as_str().unwrap().to_owned();
    assert!(note.ends_with(&format!("(shop/checkout@1-2, revision {revision})")), "{note}");
}

//! An in-memory world for the actor tree in paused time: a scripted source, an obedient cluster, a switch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use flyball::actors::write_gate::WriteGate;
use flyball::actors::{LoopControl, Tree};
use flyball::adapters::alone::Alone;
use flyball::adapters::clock::ScaledClock;
use flyball::adapters::store::MemoryJournal;
use flyball::app::{Ports, assemble};
use flyball::config::Settings;
use flyball::decide::Deadline;
use flyball::guard::FleetLimits;
use flyball::instrument::Metrics;
use flyball::model::{
    Arrival, Autoscaler, Autoscaling, ChangeSet, DecisionRecord, Finite, KillState, Minute, Missing, Sample, ServiceId,
    ServiceSpec, TargetReading, TargetRef, TargetState, Timestamp,
};
use flyball::ports::executor::{Job, Urgency};
use flyball::ports::policy_memory::{KeptPolicies, PolicyMemory, PolicyOperation, PolicyOrder};
use flyball::ports::{
    Answer, Awaited, Clock, Cluster, ClusterError, DeclaredServices, Executor, Journal, KillSwitch, Leadership, Live,
    News, PolicyFile, PolicyFiles, PolicyStore, Round, Services, SourceError, StaleWatch, TelemetrySource, Template,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Value of a signal of a service at a time; `None` is a source that does not answer.
pub type Script = Arc<dyn Fn(&str, &str, Timestamp) -> Option<f64> + Send + Sync>;

/// Monday noon: the wall-clock time at which every scenario starts.
pub fn origin() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

/// Everything a scenario can change or inspect.
pub struct World {
    pub clock: Arc<ScaledClock>,
    pub cluster: Arc<ObedientCluster>,
    pub journal: Arc<MemoryJournal>,
    pub switch: Arc<Switch>,
    pub settings: Settings,
    /// Extra age of samples when delivered, besides the pace of 15 s.
    pub lag: Duration,
    pub script: Script,
    pub policies: watch::Sender<Arc<PolicyFiles>>,
    pub policy_memory: Arc<Remembered>,
    pub executor: Arc<dyn Executor>,
    pub services: Arc<Declared>,
    pub leadership: Arc<dyn Leadership>,
}

impl World {
    /// Returns a world with these services (each with 4 replicas), none of them started.
    pub fn new(services: &[&str], script: Script) -> Self {
        Self::with_settings(&settings(services, ""), script)
    }

    pub fn with_settings(settings: &str, script: Script) -> Self {
        let settings = Settings::parse(settings).unwrap();
        let clock = Arc::new(ScaledClock::start(origin(), 1.0).unwrap());
        let cluster = Arc::new(ObedientCluster::new(clock.clone(), &settings));
        let (policies, _) = watch::channel(Arc::new(shipped_policies()));
        let (journal, switch) = (Arc::new(MemoryJournal::new()), Arc::new(Switch::default()));
        let services = Arc::new(Declared::new(settings.listed()));
        let leadership = Arc::new(Alone::default());
        let policy_memory = Arc::default();
        let executor = Arc::new(Inline);
        let lag = Duration::ZERO;
        Self {
            clock,
            cluster,
            journal,
            switch,
            settings,
            lag,
            script,
            policies,
            policy_memory,
            executor,
            services,
            leadership,
        }
    }

    pub fn ports(&self) -> Ports {
        let source = ScriptedSource { clock: self.clock.clone(), script: self.script.clone(), lag: self.lag };
        let source: Arc<dyn TelemetrySource> = Arc::new(source);
        Ports {
            clock: self.clock.clone(),
            cluster: self.cluster.clone(),
            journal: self.journal.clone(),
            kill: self.switch.clone(),
            leadership: self.leadership.clone(),
            services: self.services.clone(),
            policies: Arc::new(Announced(self.policies.subscribe())),
            policy_memory: self.policy_memory.clone(),
            executor: self.executor.clone(),
            deadline: no_deadline,
            budgets: FleetLimits::default(),
            sources: self.settings.sources.iter().map(|asked| (asked.name.to_string(), source.clone())).collect(),
        }
    }

    /// Returns a separate write gate over this world, with this `leadership`.
    pub fn gate(&self, leadership: Arc<dyn Leadership>) -> Arc<WriteGate> {
        let ports = Ports { leadership, ..self.ports() };
        Arc::new(WriteGate::new(Arc::new(ports), Metrics::new().process()).unwrap())
    }

    pub async fn start(&self) -> (Tree, Arc<LoopControl>) {
        assemble(&self.settings, self.ports(), Arc::new(Metrics::new())).await.unwrap()
    }

    /// Runs the tree for a while and stops it.
    pub async fn run_for(&self, span: Duration) {
        let (tree, _) = self.start().await;
        tokio::time::sleep(span).await;
        tree.stop().await;
    }

    /// Returns all records of a service, oldest first.
    pub fn records(&self, service: &str) -> Vec<DecisionRecord> {
        let service: ServiceId = service.parse().unwrap();
        let mut records = self.journal.decisions(Some(&service), None, 100_000).unwrap();
        records.reverse();
        records
    }
}

/// Settings with one source and the usual signals; `extra` is appended to each service.
pub fn settings(services: &[&str], extra: &str) -> String {
    let signal = |name: &str, unit: &str, role: &str, forecast: bool, top: f64| {
        format!(
            "  {name}: {{ source: main, query: 'sum by (namespace, service) ({name}{{$selector}})', \
             samples: '{name}{{$selector}}', labels: [namespace, service], unit: {unit}, role: {role}, \
             forecast: {forecast}, range: [0, {top:?}] }}\n"
        )
    };
    let mut text = String::from(
        "state: /nowhere\npolicies: /nowhere\n\
         sources:\n  main: { kind: prometheus, url: 'http://127.0.0.1:9', interval: 15s, history: 0s }\nsignals:\n",
    );
    text.push_str(&signal("rps", "per_second", "arrival_rate", true, 1e6));
    text.push_str(&signal("p99", "seconds", "latency", false, 60.0));
    text.push_str(&signal("cpu", "ratio", "cpu", false, 2.0));
    text.push_str(
        "defaults: { mode: auto, signals: [rps, p99, cpu], slo: { p99: 200ms, error_ratio: 0.01 }, \
         bounds: { min: 2, max: 40 }, allow_lowering: true, \
         capacity: { per_pod_rate: 100, utilisation: 0.75, start_time: 60s } }\nservices:\n",
    );
    for service in services {
        writeln!(text, "  - {{ name: {service}{extra} }}").unwrap();
    }
    text
}

/// A script in which each service has the load from `load` (`None`: no answer), and is healthy otherwise.
pub fn script(load: impl Fn(&str, Timestamp) -> Option<f64> + Send + Sync + 'static) -> Script {
    Arc::new(move |service, signal, at| {
        let load = load(service, at)?;
        Some(match signal {
            "rps" => load,
            "p99" => 0.1,
            _ => 0.5,
        })
    })
}

/// The same for a source that always answers.
pub fn steady(load: impl Fn(&str, Timestamp) -> f64 + Send + Sync + 'static) -> Script {
    script(move |service, at| Some(load(service, at)))
}

pub fn shipped_policies() -> PolicyFiles {
    policy_set(&[
        ("capacity.rhai", include_str!("../../../deploy/policies/capacity.rhai")),
        ("traffic.rhai", include_str!("../../../deploy/policies/traffic.rhai")),
    ])
}

pub fn policy_set(files: &[(&str, &str)]) -> PolicyFiles {
    let file = |(path, text): &(&str, &str)| PolicyFile { path: (*path).to_owned(), text: (*text).into() };
    PolicyFiles { origin: "test".to_owned(), files: Ok(files.iter().map(file).collect()), namespaces: BTreeMap::new() }
}

pub fn no_deadline() -> Deadline {
    Arc::new(|| None)
}

/// Policy state that outlives the process, and orders about it.
pub struct Remembered {
    pub kept: Mutex<KeptPolicies>,
    /// The copy shared by several processes.
    pub shared: Arc<Mutex<KeptPolicies>>,
    pub orders: watch::Sender<Option<PolicyOrder>>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { kept: Mutex::default(), shared: Arc::default(), orders: watch::channel(None).0 }
    }
}

impl Remembered {
    pub fn order(&self, id: &str, operation: PolicyOperation, service: Option<&str>) {
        let service = service.map(|service| service.parse().unwrap());
        let (by, reason) = ("test".to_owned(), "why".to_owned());
        let order = PolicyOrder { id: id.to_owned(), at: origin(), operation, service, by, reason };
        self.orders.send_replace(Some(order));
    }
}

impl PolicyMemory for Remembered {
    fn kept(&self) -> KeptPolicies {
        let kept = self.kept.lock().clone();
        if kept.in_force.is_some() { kept } else { self.shared.lock().clone() }
    }

    fn share(&self, policies: &KeptPolicies) {
        self.shared.lock().clone_from(policies);
    }

    fn keep(&self, policies: &KeptPolicies) -> Result<(), String> {
        self.kept.lock().clone_from(policies);
        Ok(())
    }

    fn orders(&self) -> watch::Receiver<Option<PolicyOrder>> {
        let mut orders = self.orders.subscribe();
        // An earlier order is still visible, as in the state directory.
        orders.mark_changed();
        orders
    }
}

/// Answers from the script, sampled every 15 s.
pub struct ScriptedSource {
    pub clock: Arc<ScaledClock>,
    pub script: Script,
    pub lag: Duration,
}

impl ScriptedSource {
    pub fn arrival(script: &Script, service: &str, signal: &str, now: Timestamp) -> Arrival {
        let at = Timestamp::from_second(now.as_second().div_euclid(15) * 15).unwrap();
        match script(service, signal, at) {
            Some(value) => match Finite::new(value) {
                Some(value) => Arrival::Value(Sample { at, value }),
                None => Arrival::Missing(Missing::NotFinite),
            },
            None => Arrival::Missing(Missing::SourceDown { error: "scripted".to_owned() }),
        }
    }
}

impl TelemetrySource for ScriptedSource {
    fn read<'a>(&'a self, round: &'a Round) -> BoxFuture<'a, Answer> {
        let now = self.clock.now().wall - self.lag;
        let row = |template: &Template| {
            let mut row = vec![Arrival::Missing(Missing::NoSeries); template.width];
            for (place, arrival) in row.iter_mut().enumerate() {
                if let Some(labels) = template.members.values(place) {
                    let service = labels.join("/");
                    *arrival = Self::arrival(&self.script, &service, template.signal.as_str(), now);
                }
            }
            row
        };
        let arrivals = round.templates.iter().map(row).collect();
        Box::pin(async { Answer { arrivals, queries: 1, ..Answer::default() } })
    }

    fn history<'a>(
        &'a self,
        template: &'a Template,
        places: &'a [usize],
        from: Timestamp,
        to: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Vec<Option<Finite>>>, SourceError>> {
        let minutes = Minute::of(from).0..Minute::of(to).0;
        let name_of = |place: &usize| template.members.values(*place).unwrap().join("/");
        let value = |service: &str, minute| {
            let at = Minute(minute).start();
            (self.script)(service, template.signal.as_str(), at).and_then(Finite::new)
        };
        let row = |place| {
            let service = name_of(place);
            minutes.clone().map(|minute| value(&service, minute)).collect()
        };
        let rows = places.iter().map(row).collect();
        Box::pin(async { Ok(rows) })
    }
}

/// Does what it is told; pods are ready a minute after they were requested.
pub struct ObedientCluster {
    clock: Arc<ScaledClock>,
    targets: Mutex<BTreeMap<TargetRef, Scaled>>,
    /// When a late write lands, and what it writes.
    late: Mutex<Option<(Duration, TargetRef, u32)>>,
    /// Targets that another client changes between each read and the following write.
    pub conflicts: Mutex<BTreeSet<String>>,
    /// The answer to every write, which then has no effect.
    pub refuses: Mutex<Option<ClusterError>>,
    /// The answer to every live read.
    pub unreadable: Mutex<Option<ClusterError>>,
    /// Writes that met a conflict, or were refused.
    pub declined: AtomicUsize,
    /// Targets whose reading panics.
    pub cursed: Mutex<BTreeSet<String>>,
    /// Names of targets whose watch went silent.
    pub silent: Mutex<BTreeSet<String>>,
    /// Whether the API server is away.
    pub away: AtomicBool,
    /// How long after it was done a write is answered.
    pub answers_after: Mutex<Duration>,
    /// How long after it was sent a write lands whose sender gave up after 5 s.
    pub lands_after: Mutex<Option<Duration>>,
    /// Targets whose reading takes a while of real time.
    pub slow: Mutex<BTreeSet<String>>,
    /// How often the watched targets were set.
    pub follows: AtomicUsize,
    /// Live reads so far.
    pub reads: AtomicUsize,
    /// How long a live read takes.
    pub read_takes: Mutex<Duration>,
    /// Whether requested pods never become ready.
    pub full: AtomicBool,
    /// Whether a write panics once it has landed.
    pub breaks: AtomicBool,
    /// Whether a live read panics.
    pub breaks_reading: AtomicBool,
    /// The manager that objects name for their replicas, if any.
    pub editor: Mutex<Option<Arc<str>>>,
    /// What a live read finds that displaces the lever.
    pub displaced: Mutex<Option<String>>,
    /// How long after a write the watch still shows what was before it.
    pub watch_lags: Mutex<Duration>,
    /// If an autoscaler scales every target: its original floor. It runs what its floor says.
    pub baseline: Mutex<Option<u32>>,
}

#[derive(Clone)]
struct Scaled {
    replicas: u32,
    ready: u32,
    ready_at: Duration,
    version: u64,
    /// The replicas before the last write, and when that was.
    former: (u32, Duration),
}

impl ObedientCluster {
    pub fn new(clock: Arc<ScaledClock>, settings: &Settings) -> Self {
        let four = Scaled { replicas: 4, ready: 4, ready_at: Duration::ZERO, version: 1, former: (4, Duration::ZERO) };
        let targets = settings.listed().iter().map(|service| (service.target.clone(), four.clone())).collect();
        Self {
            clock,
            targets: Mutex::new(targets),
            late: Mutex::default(),
            conflicts: Mutex::default(),
            refuses: Mutex::default(),
            unreadable: Mutex::default(),
            declined: AtomicUsize::default(),
            cursed: Mutex::default(),
            silent: Mutex::default(),
            away: AtomicBool::default(),
            answers_after: Mutex::default(),
            lands_after: Mutex::default(),
            slow: Mutex::default(),
            follows: AtomicUsize::default(),
            reads: AtomicUsize::default(),
            read_takes: Mutex::default(),
            full: AtomicBool::default(),
            breaks: AtomicBool::default(),
            breaks_reading: AtomicBool::default(),
            editor: Mutex::default(),
            displaced: Mutex::default(),
            watch_lags: Mutex::default(),
            baseline: Mutex::default(),
        }
    }

    pub fn replicas(&self, name: &str) -> u32 {
        let targets = self.targets.lock();
        targets.iter().find(|(target, _)| target.name == name).unwrap().1.replicas
    }

    pub fn write(&self, target: &TargetRef, to: u32) -> Live {
        let now = self.clock.now().mono;
        let mut targets = self.targets.lock();
        let scaled = targets.get_mut(target).unwrap();
        if to < scaled.ready {
            scaled.ready = to;
        }
        scaled.former = (scaled.replicas, now);
        (scaled.replicas, scaled.ready_at) = (to, now + Duration::from_secs(60));
        scaled.version += 1;
        Self::live(target, scaled)
    }

    pub fn known(name: &str, version: u64, replicas: u32, ready: u32) -> TargetReading {
        let (uid, resource_version) = (format!("uid-{name}"), version.to_string());
        let seen_to = Some(version);
        let state = TargetState { resource_version, ready, seen_to, ..TargetState::calm(&uid, replicas) };
        TargetReading::Known { target: state }
    }

    fn live(target: &TargetRef, scaled: &Scaled) -> Live {
        Live {
            uid: format!("uid-{}", target.name),
            resource_version: scaled.version.to_string(),
            value: scaled.replicas,
            displaced: None,
        }
    }
}

impl Cluster for ObedientCluster {
    fn observed(&self, target: &TargetRef) -> TargetReading {
        assert!(!self.cursed.lock().contains(&target.name), "this target is cursed");
        if self.slow.lock().contains(&target.name) {
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_millis(2) {}
        }
        let now = self.clock.now().mono;
        let mut targets = self.targets.lock();
        let scaled = targets.get_mut(target).unwrap();
        if now >= scaled.ready_at && !self.full.load(Ordering::Relaxed) {
            scaled.ready = scaled.replicas;
        }
        let (former, written) = scaled.former;
        let lags = now < written + *self.watch_lags.lock();
        let (replicas, version) = if lags { (former, scaled.version - 1) } else { (scaled.replicas, scaled.version) };
        let mut reading = Self::known(&target.name, version, replicas, scaled.ready);
        if let TargetReading::Known { target } = &mut reading {
            target.owner.clone_from(&self.editor.lock());
            if let Some(baseline) = *self.baseline.lock() {
                target.autoscaling = Autoscaling::Autoscaler(Autoscaler {
                    name: "front".into(),
                    uid: target.uid.clone(),
                    floor: target.replicas,
                    baseline: baseline.min(target.replicas),
                    ceiling: 40,
                    current: target.replicas,
                    desired: target.replicas,
                    owner: None,
                    trouble: None,
                });
            }
        }
        match reading {
            TargetReading::Known { target: state } if self.silent.lock().contains(&target.name) => {
                TargetReading::Outdated { target: state, silence: Duration::from_secs(121) }
            }
            reading => reading,
        }
    }

    fn follow(&self, _: &BTreeSet<TargetRef>) {
        self.follows.fetch_add(1, Ordering::Relaxed);
    }

    fn waiting_for(&self) -> Vec<Awaited> {
        let why = StaleWatch { silent_seconds: Some(121), trouble: None };
        let of = |name: &String| Awaited::Watch { of: format!("Deployment {name}"), why: why.clone() };
        self.silent.lock().iter().map(of).collect()
    }

    fn read<'a>(&'a self, change: &'a ChangeSet) -> BoxFuture<'a, Result<Live, ClusterError>> {
        Box::pin(async {
            let takes = *self.read_takes.lock();
            tokio::time::sleep(takes).await;
            self.reads.fetch_add(1, Ordering::Relaxed);
            assert!(!self.breaks_reading.load(Ordering::Relaxed), "the adapter breaks in a read");
            if self.away.load(Ordering::Relaxed) {
                return Err(ClusterError::Unavailable { reason: "scripted".to_owned() });
            }
            if let Some(error) = self.unreadable.lock().clone() {
                return Err(error);
            }
            let landed = self.late.lock().take_if(|(at, ..)| *at <= self.clock.now().mono);
            if let Some((_, target, to)) = landed {
                self.write(&target, to);
            }
            let live = Self::live(&change.target, &self.targets.lock()[&change.target]);
            Ok(Live { displaced: self.displaced.lock().clone(), ..live })
        })
    }

    fn apply<'a>(&'a self, change: &'a ChangeSet, live: &'a Live) -> BoxFuture<'a, Result<Live, ClusterError>> {
        Box::pin(async {
            let version = self.targets.lock()[&change.target].version.to_string();
            if version != live.resource_version || self.conflicts.lock().contains(&change.target.name) {
                self.declined.fetch_add(1, Ordering::Relaxed);
                return Err(ClusterError::Conflict { target: change.target.clone() });
            }
            if let Some(error) = self.refuses.lock().clone() {
                self.declined.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
            let lands_after = *self.lands_after.lock();
            if let Some(after) = lands_after {
                *self.late.lock() = Some((self.clock.now().mono + after, change.target.clone(), change.to));
                tokio::time::sleep(Duration::from_secs(5)).await;
                return Err(ClusterError::Unknown { reason: "no answer within 5s".to_owned() });
            }
            let written = self.write(&change.target, change.to);
            assert!(!self.breaks.load(Ordering::Relaxed), "the adapter breaks after the write");
            let after = *self.answers_after.lock();
            tokio::time::sleep(after).await;
            Ok(written)
        })
    }
}

/// A kill switch that a test turns, and how long a read of it takes.
pub struct Switch(pub Mutex<KillState>, pub Mutex<Duration>);

impl Default for Switch {
    fn default() -> Self {
        Self(Mutex::new(KillState::released()), Mutex::default())
    }
}

impl KillSwitch for Switch {
    fn seen(&self) -> KillState {
        self.0.lock().clone()
    }

    fn read(&self) -> BoxFuture<'_, KillState> {
        Box::pin(async {
            let takes = *self.1.lock();
            tokio::time::sleep(takes).await;
            self.0.lock().clone()
        })
    }
}

/// Declarations that a test changes; keeps the news.
pub struct Declared {
    roster: watch::Sender<Option<DeclaredServices>>,
    pub news: Mutex<Vec<(ServiceId, News)>>,
    /// Why the limits of services are unknown.
    pub unbounded: Mutex<Option<String>>,
    /// What happens during the next news of a planned write.
    pub meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Declared {
    pub fn new(services: &[ServiceSpec]) -> Self {
        let declared = Self {
            roster: watch::Sender::new(None),
            news: Mutex::default(),
            unbounded: Mutex::default(),
            meanwhile: Mutex::default(),
        };
        declared.are(services);
        declared
    }

    /// Declares exactly these services.
    pub fn are(&self, services: &[ServiceSpec]) {
        let roster = services.iter().map(|spec| (spec.id.clone(), Arc::new(spec.clone()))).collect();
        self.roster.send_replace(Some(Arc::new(roster)));
    }
}

impl Services for Declared {
    fn watch(&self) -> watch::Receiver<Option<DeclaredServices>> {
        self.roster.subscribe()
    }

    fn unbounded(&self) -> Option<String> {
        self.unbounded.lock().clone()
    }

    fn tell(&self, service: &ServiceId, news: News) {
        let plans = matches!(&news, News::Decided(record) if record.change.is_some());
        let meanwhile = self.meanwhile.lock().take_if(|_| plans);
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        self.news.lock().push((service.clone(), news));
    }
}

/// Runs jobs on submission: paused time does not wait for threads.
struct Inline;

impl Executor for Inline {
    fn run(&self, _: Urgency, job: Job) -> BoxFuture<'static, ()> {
        job();
        Box::pin(async {})
    }
}

/// Holds back jobs that all services wait for, on demand.
#[derive(Default)]
pub struct Hesitant {
    pub hesitates: AtomicBool,
    kept_back: Mutex<Vec<(Job, tokio::sync::oneshot::Sender<()>)>>,
}

impl Hesitant {
    /// Runs the held-back jobs, and returns how many.
    pub fn catches_up(&self) -> usize {
        let kept_back = std::mem::take(&mut *self.kept_back.lock());
        let count = kept_back.len();
        for (job, ended) in kept_back {
            job();
            drop(ended);
        }
        count
    }
}

impl Executor for Hesitant {
    fn run(&self, urgency: Urgency, job: Job) -> BoxFuture<'static, ()> {
        if urgency != Urgency::Fleet || !self.hesitates.load(Ordering::Relaxed) {
            return Inline.run(urgency, job);
        }
        let (ended, end) = tokio::sync::oneshot::channel();
        self.kept_back.lock().push((job, ended));
        Box::pin(async { drop(end.await) })
    }
}

struct Announced(watch::Receiver<Arc<PolicyFiles>>);

impl PolicyStore for Announced {
    fn watch(&self) -> watch::Receiver<Arc<PolicyFiles>> {
        self.0.clone()
    }
}

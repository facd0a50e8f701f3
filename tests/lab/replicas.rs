//! Two flyballs on one Lease, over an API server: an API double, or the real one. Leaders are asked to stop, killed and
//! paused, at random and at named steps of a write. Judged only by the server's objects: who holds the Lease, what was
//! written, how each intent ended. The program must be built with the feature `failpoints`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use flyball::demo::kubernetes::objects::Objects;
use flyball::demo::kubernetes::resource::Resource;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::support::flyball::{Flyball, Installation};
use crate::support::kills::{POLICY, Rates, Server, places, settings};
use crate::support::kubernetes::BreakableDouble;

/// Time limit for anything that is not measured.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than a lease.
const HELD: Duration = Duration::from_secs(20);
/// Steps of a write at which a leader is killed.
const STEPS: [&str; 3] = ["gate_prepared", "gate_sent", "gate_ended"];

/// The processes as seen from outside.
pub trait Outside: Server {
    /// Returns who holds the Lease.
    async fn holder(&self) -> Option<String>;
    /// Returns all `LoopAction`s.
    async fn actions(&self) -> Vec<Value>;
    /// Returns the environment with which one of the processes finds it.
    fn environment_of(&self, _process: &str) -> Vec<(&'static str, String)> {
        self.environment()
    }
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// From SIGTERM to the Lease being held by the other process, seconds.
    pub handover_s: f64,
    /// From SIGKILL to the first write of the other process, the longest, seconds.
    pub failover_s: f64,
    /// Services that were asked to grow by one.
    pub asked: usize,
    /// Services that were written to twice, or not at all.
    pub not_once: Vec<String>,
    /// Writes that the server accepted.
    pub writes: usize,
    /// Intents, by how they ended.
    pub intents: BTreeMap<String, usize>,
}

struct Site<'a, S> {
    server: &'a S,
    installations: [Installation; 2],
    telemetry: Rates,
    places: Vec<(String, String)>,
    asked: usize,
}

impl<S: Outside> Site<'_, S> {
    fn start(&self, which: usize, halt_at: Option<&str>) -> Flyball {
        self.installations[which].start(halt_at)
    }

    /// Waits until this process holds the Lease and returns how long that took.
    async fn held_by(&self, which: usize) -> Duration {
        let (begin, name) = (Instant::now(), format!("flyball-{which}_"));
        let held = async {
            while !self.server.holder().await.is_some_and(|holder| holder.starts_with(&name)) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let is_held = timeout(PATIENCE, held).await.is_ok();
        assert!(is_held, "{name} does not lead: {:?}", self.server.holder().await);
        begin.elapsed()
    }

    /// Asks `count` services to grow by one, each for the first time, and returns their places.
    fn ask(&mut self, count: usize) -> std::ops::Range<usize> {
        let asked = self.asked..self.asked + count;
        for (namespace, name) in &self.places[asked.clone()] {
            self.telemetry.set(namespace, name, 15.0);
        }
        self.asked = asked.end;
        asked
    }

    /// Waits until these services have grown and returns how long the first of them took.
    async fn grown(&self, asked: std::ops::Range<usize>) -> Duration {
        let begin = Instant::now();
        let mut first = None;
        for (namespace, name) in &self.places[asked] {
            let grown = async {
                while self.server.wanted(namespace, name).await == 1 {
                    sleep(Duration::from_millis(50)).await;
                }
            };
            assert!(timeout(PATIENCE, grown).await.is_ok(), "{namespace}/{name} is not written to");
            first.get_or_insert(begin.elapsed());
        }
        first.unwrap_or_default()
    }
}

/// Returns two installations of `program` that share a lease, and services to grow.
async fn site<'a, S: Outside>(program: &Path, server: &'a S, lease: &str) -> Site<'a, S> {
    site_of([program, program], server, lease).await
}

/// The same with two programs.
async fn site_of<'a, S: Outside>(programs: [&Path; 2], server: &'a S, lease: &str) -> Site<'a, S> {
    let telemetry = Rates::start().await;
    let cluster =
        format!("{}namespace: flyball-system\nleadership: {lease}\nintents: loopactions\n", server.settings());
    let text = settings(&telemetry.url, &cluster);
    let installation = |name: &str, program: &Path| {
        let mut environment = server.environment_of(name);
        environment.push(("HOSTNAME", name.to_owned()));
        Installation::new(program, &text, &[("capacity.rhai", POLICY)]).with_environment(environment)
    };
    // Alternating namespaces, so that no namespace budget is reached.
    let mut all: Vec<(String, String)> = places().collect();
    all.sort_by_key(|(namespace, name)| (name.clone(), namespace.clone()));
    let installations = [installation("flyball-0", programs[0]), installation("flyball-1", programs[1])];
    let site = Site { server, installations, telemetry, places: all, asked: 0 };
    for (namespace, name) in &site.places {
        server.add(namespace, name, 1).await;
        site.telemetry.set(namespace, name, 5.0);
    }
    site
}

/// Runs two instances of `program` against `server` and reports the result.
pub async fn replicas(program: &Path, server: &impl Outside) -> Report {
    let mut site = site(program, server, "flyball").await;
    let mut first = site.start(0, None);
    site.held_by(0).await;
    first.ready().await;
    let mut second = site.start(1, None);
    second.ready().await;
    let asked = site.ask(6);
    site.grown(asked).await;

    // Asked to stop in the middle of writes.
    let asked = site.ask(6);
    let stopping = tokio::task::spawn_blocking(move || first.stop());
    let handover = site.held_by(1).await;
    assert!(stopping.await.unwrap().success(), "flyball stops with an error");
    site.grown(asked).await;

    // Killed, with work to do right after.
    let mut first = site.start(0, None);
    first.ready().await;
    second.kill();
    let asked = site.ask(6);
    let mut failover = site.grown(asked).await;
    site.held_by(0).await;

    // Paused for longer than its lease, and resumed.
    let mut second = site.start(1, None);
    second.ready().await;
    first.signal("STOP");
    let asked = site.ask(6);
    failover = failover.max(site.grown(asked).await);
    site.held_by(1).await;
    sleep(HELD.saturating_sub(failover)).await;
    first.signal("CONT");
    let asked = site.ask(6);
    site.grown(asked).await;
    sleep(Duration::from_secs(3)).await;
    site.held_by(1).await;
    first.kill();

    // Killed at named steps: the process that halts is given the lease.
    for step in STEPS {
        let mut halting = site.start(0, Some(step));
        halting.ready().await;
        assert!(tokio::task::spawn_blocking(move || second.stop()).await.unwrap().success());
        site.held_by(0).await;
        second = site.start(1, None);
        second.ready().await;
        let asked = site.ask(2);
        halted(halting, step).await.kill();
        site.grown(asked).await;
        site.held_by(1).await;
    }
    settled(server).await;
    assert!(tokio::task::spawn_blocking(move || second.stop()).await.unwrap().success());
    report(&site, handover, failover).await
}

/// Runs two versions of the program side by side, each of which leads in turn: handed over in the middle of writes, and
/// killed.
#[cfg(feature = "lab")]
pub async fn mixed(old: &Path, new: &Path, server: &impl Outside) -> Report {
    let mut site = site_of([old, new], server, "flyball").await;
    let (mut handover, mut failover) = (Duration::ZERO, Duration::ZERO);
    let mut leads = site.start(0, None);
    site.held_by(0).await;
    leads.ready().await;
    let asked = site.ask(4);
    site.grown(asked).await;
    // From the older one to the newer and back, both by request and by kill.
    for (turn, next) in [1, 0, 1, 0].into_iter().enumerate() {
        let mut follows = site.start(next, None);
        follows.ready().await;
        let asked = site.ask(4);
        if turn < 2 {
            let stopping = tokio::task::spawn_blocking(move || leads.stop());
            handover = handover.max(site.held_by(next).await);
            assert!(stopping.await.unwrap().success(), "flyball stops with an error");
            site.grown(asked).await;
        } else {
            leads.kill();
            failover = failover.max(site.grown(asked).await);
            site.held_by(next).await;
        }
        leads = follows;
    }
    settled(server).await;
    assert!(tokio::task::spawn_blocking(move || leads.stop()).await.unwrap().success());
    report(&site, handover, failover).await
}

/// The shortest lease, and a time longer than that.
const SHORT_LEASE: &str = "{ lease: flyball, duration: 12s, renew_deadline: 6s }";
const STOPPED: Duration = Duration::from_secs(14);

/// Stops the leader of two (SIGSTOP) at each of these steps of a write, for longer than its lease, and resumes it once
/// the other one has continued with the same write.
pub async fn stops(program: &Path, server: &impl Outside, steps: &[&str]) -> Report {
    let mut site = site(program, server, SHORT_LEASE).await;
    let mut failover = Duration::ZERO;
    for step in steps {
        let mut stopping = site.start(0, Some(&format!("stop:{step}")));
        site.held_by(0).await;
        stopping.ready().await;
        let mut other = site.start(1, None);
        other.ready().await;
        let asked = site.ask(2);
        let stopped = halted(stopping, step).await;
        let begin = Instant::now();
        failover = failover.max(site.grown(asked).await);
        site.held_by(1).await;
        sleep(STOPPED.saturating_sub(begin.elapsed())).await;
        stopped.signal("CONT");
        // Whatever it still sends is sent now; and it learns who leads.
        sleep(Duration::from_secs(3)).await;
        site.held_by(1).await;
        settled(server).await;
        assert!(tokio::task::spawn_blocking(move || stopped.stop()).await.unwrap().success());
        assert!(tokio::task::spawn_blocking(move || other.stop()).await.unwrap().success());
    }
    report(&site, Duration::ZERO, failover).await
}

/// The outcome of a write that its process sent after another one had settled it.
#[derive(Debug, Clone, Serialize)]
pub struct Late {
    /// The service, by namespace and name.
    pub service: (String, String),
    /// Accepted writes to it.
    pub writes: usize,
    /// How its intents ended.
    pub intents: Vec<String>,
}

/// Stops the leader of two (SIGSTOP) between its last check and the request, until the load is gone again and the other
/// one has settled what it left; nothing else writes. Then resumes it, and it sends the request.
pub async fn late(program: &Path, server: &impl Outside) -> Late {
    const STEP: &str = "gate_checked";
    let mut site = site(program, server, SHORT_LEASE).await;
    let mut stopping = site.start(0, Some(&format!("stop:{STEP}")));
    site.held_by(0).await;
    stopping.ready().await;
    let mut other = site.start(1, None);
    other.ready().await;
    let asked = site.ask(1);
    let stopped = halted(stopping, STEP).await;
    let begin = Instant::now();
    let service = site.places[asked.start].clone();
    site.telemetry.set(&service.0, &service.1, 5.0);
    site.held_by(1).await;
    settled(server).await;
    sleep(STOPPED.saturating_sub(begin.elapsed())).await;
    stopped.signal("CONT");
    sleep(Duration::from_secs(3)).await;
    site.held_by(1).await;
    assert!(tokio::task::spawn_blocking(move || stopped.stop()).await.unwrap().success());
    assert!(tokio::task::spawn_blocking(move || other.stop()).await.unwrap().success());
    let writes = server.writes().await.into_iter().filter(|it| (&it.0, &it.1) == (&service.0, &service.1)).count();
    let outcome = |action: Value| action["status"]["outcome"].as_str().unwrap_or("open").to_owned();
    Late { service, writes, intents: server.actions().await.into_iter().map(outcome).collect() }
}

/// Waits until a process has halted at a step.
async fn halted(mut halting: Flyball, step: &str) -> Flyball {
    let line = format!("halted at {step}");
    let halted = tokio::task::spawn_blocking(move || {
        let reached = halting.line(&line, PATIENCE).is_some();
        assert!(reached, "{line} is not reached:\n{}", halting.log());
        halting
    });
    halted.await.unwrap()
}

/// Waits until every intent has ended.
async fn settled(server: &impl Outside) {
    let all_ended = async {
        while !server.actions().await.iter().all(|action| action["status"]["outcome"].is_string()) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(PATIENCE, all_ended).await.is_ok(), "not settled: {:?}", server.actions().await);
}

async fn report<S: Outside>(site: &Site<'_, S>, handover: Duration, failover: Duration) -> Report {
    let writes = site.server.writes().await;
    let mut not_once = Vec::new();
    for (namespace, name) in &site.places[..site.asked] {
        let ours: Vec<_> = writes.iter().filter(|it| it.0 == *namespace && it.1 == *name).collect();
        if !matches!(ours.as_slice(), [(_, _, 1, 2)]) {
            not_once.push(format!("{namespace}/{name}: {ours:?}"));
        }
    }
    let mut intents = BTreeMap::new();
    for action in site.server.actions().await {
        let outcome = action["status"]["outcome"].as_str().unwrap_or("open").to_owned();
        *intents.entry(outcome).or_default() += 1;
    }
    let (handover_s, failover_s) = (handover.as_secs_f64(), failover.as_secs_f64());
    Report { handover_s, failover_s, asked: site.asked, not_once, writes: writes.len(), intents }
}

/// Asserts the guarantees for several replicas.
pub fn assert_kept(report: &Report) {
    assert!(report.not_once.is_empty(), "{report:?}");
    assert_eq!(report.writes, report.asked, "{report:?}");
    assert_eq!(report.intents.get("applied"), Some(&report.asked), "each write has its intent: {report:?}");
    assert_eq!(report.intents.get("open"), None, "{report:?}");
    assert!(report.handover_s <= 2.0 && report.failover_s <= 20.0, "{report:?}");
}

impl Outside for BreakableDouble {
    async fn holder(&self) -> Option<String> {
        let lease = self.objects().get(Resource::Leases, "flyball-system", "flyball").ok()?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    async fn actions(&self) -> Vec<Value> {
        let page = self.objects().list(Resource::LoopActions, None, None, usize::MAX);
        page.items.into_iter().map(|object| Value::clone(&object)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_r10_l2_two_replicas_hand_over_and_fail_over_and_write_once() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let double = BreakableDouble::start(Objects::default()).await.unwrap();
    let report = replicas(Path::new(env!("CARGO_BIN_EXE_flyball")), &double).await;
    println!("{}", serde_json::to_string(&report).unwrap());
    assert_kept(&report);
}

//! The kill switch under load: the real file and the real write gate, a stream of writes to a cluster that answers
//! immediately, and 10,000 changes queued at all times.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use flyball::actors::write_gate::WriteGate;
use flyball::adapters::alone::Alone;
use flyball::adapters::clock::ScaledClock;
use flyball::adapters::executor::Pool;
use flyball::adapters::kill_file::{KillFile, Scope, engage, release};
use flyball::adapters::listed::Listed;
use flyball::adapters::policy_dir::PolicyDir;
use flyball::adapters::policy_memory::PolicyState;
use flyball::adapters::store::MemoryJournal;
use flyball::app::{Ports, deadline};
use flyball::guard::FleetLimits;
use flyball::instrument::Metrics;
use flyball::model::{
    ActionClass, ChangeId, ChangeSet, CycleId, DecisionId, Knob, Now, ServiceId, TargetKind, TargetReading, TargetRef,
    Timestamp, TraceId, WriteEnd,
};
use flyball::ports::journal::Entry;
use flyball::ports::{Awaited, Clock, Cluster, ClusterError, Journal, JournalError, Live};
use futures::future::BoxFuture;

use crate::Figures;
use crate::delegating::{Delegating, Differs};
use crate::measure::{ms, quantile};
use crate::process::scratch;

/// The figures.
pub const IDS: &[&str] = &["kill_switch_worst_ms"];

const MOMENTS: u64 = 1_000;
const QUEUED: u32 = 10_000;
/// The switch counts as effective once no write has started for this long while [`REFUSALS`] were refused.
const QUIET: Duration = Duration::from_millis(20);
const REFUSALS: u64 = 200;
/// If it is not effective for this long, that is the figure.
const LIMIT: Duration = Duration::from_secs(2);
/// Speed of the loop's clock: keeps the budgets' ten-minute memory short at thousands of writes per second.
const SPEED: f64 = 80_000.0;

/// Engages the switch at random times and measures the time from the end of `engage` to the start of the last write.
pub fn run() -> anyhow::Result<Figures> {
    let directory = scratch()?;
    let file = directory.path().join("killswitch.yaml");
    release(&file, &Scope::All, "score", "a benchmark begins")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stream = runtime.block_on(async { Stream::start(&file) })?;
    let mut chance = 1_u64;
    let mut worst = Vec::new();
    for _ in 0..MOMENTS {
        let started = stream.cluster.starts.load(Ordering::SeqCst);
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros(1_000 + (chance >> 40) % 9_000));
        stream.wait_for_writes(started)?;
        engage(&file, &Scope::All, "score", "a random moment")?;
        worst.push(ms(stream.last_start_after(Instant::now())));
        release(&file, &Scope::All, "score", "the next moment")?;
    }
    let (writes, refused) = (stream.cluster.starts.load(Ordering::SeqCst), stream.refused.load(Ordering::SeqCst));
    eprintln!("score:   {writes} writes, {refused} refused; median {:.3} ms", quantile(&mut worst, 0.5));
    stream.ended.store(true, Ordering::SeqCst);
    runtime.block_on(stream.gate.close());
    Ok(vec![("kill_switch_worst_ms", quantile(&mut worst, 1.0))])
}

/// Changes that are resubmitted as soon as they have ended, so that the queue before the gate keeps its length.
struct Stream {
    gate: Arc<WriteGate>,
    cluster: Arc<Instantly>,
    clock: Arc<ScaledClock>,
    refused: AtomicU64,
    ended: AtomicBool,
}

impl Stream {
    fn start(file: &Path) -> anyhow::Result<Arc<Self>> {
        let clock = Arc::new(ScaledClock::start("2026-03-02T12:00:00Z".parse()?, SPEED)?);
        let cluster =
            Arc::new(Instantly { origin: Instant::now(), starts: AtomicU64::new(0), last: AtomicU64::new(0) });
        let limits = FleetLimits { namespace_per_min: usize::MAX, fleet_per_min: usize::MAX, removal_share: 1.0 };
        let directory = file.parent().context("the switch is in a directory")?;
        let ports = Ports {
            clock: clock.clone(),
            cluster: cluster.clone(),
            journal: Arc::new(Delegating(Forgetful(MemoryJournal::new()))),
            kill: Arc::new(KillFile::open(file)),
            leadership: Arc::new(Alone::default()),
            // Nothing is decided here.
            services: Arc::new(Listed::new([])),
            policies: Arc::new(PolicyDir::open(directory)),
            policy_memory: Arc::new(PolicyState::open(directory)),
            executor: Arc::new(Pool::for_this_machine()),
            deadline,
            budgets: limits,
            sources: BTreeMap::new(),
        };
        let gate = WriteGate::new(Arc::new(ports), Metrics::new().process())?;
        let (refused, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        let stream = Arc::new(Self { gate: Arc::new(gate), cluster, clock, refused, ended });
        for index in 0..QUEUED {
            stream.clone().submit(change(index)?);
        }
        Ok(stream)
    }

    fn submit(self: Arc<Self>, mut change: ChangeSet) {
        change.decided = self.clock.now();
        let gate = self.gate.clone();
        gate.submit(change, flyball::model::Foreseen::default(), move |WriteEnd { change, outcome, .. }| {
            if matches!(outcome, flyball::model::WriteOutcome::Refused(_)) {
                self.refused.fetch_add(1, Ordering::SeqCst);
            }
            if !self.ended.load(Ordering::SeqCst) {
                self.submit(change);
            }
        });
    }

    fn wait_for_writes(&self, before: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.cluster.starts.load(Ordering::SeqCst) < before + 10 {
            ensure!(begun.elapsed() < Duration::from_secs(10), "no writes: the stream has ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until no more writes start although many are attempted, and returns how long after `engaged` the last one
    /// did.
    fn last_start_after(&self, engaged: Instant) -> Duration {
        loop {
            let refused = self.refused.load(Ordering::SeqCst);
            let last = self.cluster.last_start().max(engaged);
            std::thread::sleep(QUIET);
            while self.refused.load(Ordering::SeqCst) < refused + REFUSALS && engaged.elapsed() < LIMIT {
                std::thread::sleep(Duration::from_millis(1));
            }
            if self.cluster.last_start() <= last || engaged.elapsed() > LIMIT {
                return self.cluster.last_start().saturating_duration_since(engaged);
            }
        }
    }
}

fn change(index: u32) -> anyhow::Result<ChangeSet> {
    let name = format!("svc-{index:05}");
    let at: Timestamp = "2026-03-02T12:00:00Z".parse()?;
    let decision = DecisionId { service: ServiceId::new("bench", &name)?, cycle: CycleId { run: 1, seq: index } };
    Ok(ChangeSet {
        id: ChangeId::derive(&name, Knob::Replicas, &decision, 2, 3),
        trace: TraceId::derive(&decision.service, decision.cycle, at),
        decision,
        cause: "bench".into(),
        revision: None,
        target: TargetRef { kind: TargetKind::Deployment, namespace: "bench".to_owned(), name: name.clone() },
        uid: name,
        knob: Knob::Replicas,
        floor: None,
        class: ActionClass::Scale,
        from: 2,
        to: 3,
        backed_by_arrivals: true,
        decided: Now { wall: at, mono: Duration::ZERO },
        valid_for: Duration::MAX,
        fresh_for: Duration::MAX,
        epoch: flyball::model::Epoch::ALONE,
    })
}

/// A cluster that answers immediately and records when a write started.
struct Instantly {
    origin: Instant,
    starts: AtomicU64,
    /// Nanoseconds after `origin`.
    last: AtomicU64,
}

impl Instantly {
    fn last_start(&self) -> Instant {
        self.origin + Duration::from_nanos(self.last.load(Ordering::SeqCst))
    }
}

fn live(target: &TargetRef, value: u32) -> Live {
    Live { uid: target.name.clone(), resource_version: "1".to_owned(), value, displaced: None }
}

impl Cluster for Instantly {
    fn observed(&self, _: &TargetRef) -> TargetReading {
        TargetReading::Unknown { reason: "nobody looks".to_owned() }
    }

    fn waiting_for(&self) -> Vec<Awaited> {
        Vec::new()
    }

    fn read<'a>(&'a self, change: &'a ChangeSet) -> BoxFuture<'a, Result<Live, ClusterError>> {
        Box::pin(async { Ok(live(&change.target, 2)) })
    }

    fn apply<'a>(&'a self, change: &'a ChangeSet, _: &'a Live) -> BoxFuture<'a, Result<Live, ClusterError>> {
        self.last.fetch_max(self.origin.elapsed().as_nanos() as u64, Ordering::SeqCst);
        self.starts.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(live(&change.target, change.to)) })
    }
}

/// A journal that is instantly durable and keeps nothing: there are hundreds of thousands of writes.
struct Forgetful(MemoryJournal);

impl Differs for Forgetful {
    fn below(&self) -> &dyn Journal {
        &self.0
    }

    fn append(&self, _: Entry) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async { Ok(()) })
    }

    fn submit(&self, _: Entry) {}
}

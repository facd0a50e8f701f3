//! A service with its past, for the tables: tests set what is known, let time pass, and propose.

use std::sync::Arc;
use std::time::Duration;

use super::*;

pub(super) const TICK: Duration = Duration::from_secs(15);

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn signal(name: &str, unit: Unit, role: Role) -> SignalSpec {
    let name = SignalName::new(name).unwrap();
    SignalSpec {
        name,
        unit,
        role: Some(role),
        range: (0.0, 1e9),
        forecast: true,
        scrape_interval: TICK,
        window: Duration::ZERO,
    }
}

pub(super) fn spec() -> ServiceSpec {
    ServiceSpec {
        signals: vec![signal("rps", Unit::PerSecond, Role::ArrivalRate), signal("p99", Unit::Seconds, Role::Latency)],
        slo: Slo { p99: 0.3, error_ratio: 0.01 },
        mode: Mode::Auto,
        bounds: Bounds { min: 2, max: 40 },
        capacity: Some(CapacitySpec { per_pod_rate: 50.0, utilisation: 0.7, start_time: secs(60) }),
        allow_lowering: true,
        ..ServiceSpec::blank("shop/checkout".parse().unwrap())
    }
}

/// One service and its loop up to the guards. Every test starts from a cycle in which all guards pass.
pub(super) struct World {
    pub(super) spec: ServiceSpec,
    pub(super) memory: Memory,
    pub(super) kill: KillState,
    pub(super) limits: Vec<crate::model::RuleTrace>,
    pub(super) lead: crate::model::Lead,
    pub(super) unbounded: Option<String>,
    pub(super) now: Now,
    pub(super) target: TargetReading,
    pub(super) readings: Vec<Option<f64>>,
    pub(super) suspect: bool,
    pub(super) needed_now: Option<u32>,
    pub(super) floor: Option<u32>,
    pub(super) cycle: u32,
}

impl World {
    /// Returns ten replicas, running for ten minutes in which every cycle wanted to lower to seven.
    pub(super) fn lowering() -> Self {
        let mut world = Self::at(10);
        (world.needed_now, world.floor) = (Some(5), Some(3));
        for _ in 0..40 {
            world.propose(&Action::ScaleTo { replicas: 7 });
        }
        world
    }

    pub(super) fn at(replicas: u32) -> Self {
        let mono = secs(100);
        let wall = Timestamp::from_second(1_700_000_000).unwrap();
        let mut world = Self {
            spec: spec(),
            memory: Memory::default(),
            kill: KillState::released(),
            limits: Vec::new(),
            lead: crate::model::Lead::Alone,
            unbounded: None,
            now: Now { wall, mono },
            target: TargetReading::Unknown { reason: String::new() },
            readings: vec![Some(300.0), Some(0.1)],
            suspect: false,
            needed_now: None,
            floor: None,
            cycle: 0,
        };
        world.set_replicas(replicas);
        world
    }

    pub(super) fn set_replicas(&mut self, replicas: u32) {
        self.target = TargetReading::Known { target: state(replicas, false) };
    }

    pub(super) fn features(&self) -> Features {
        let signals = self.readings.iter().map(|value| match value {
            Some(value) => {
                Reading::Fresh { sample: Sample { at: self.now.wall, value: finite(*value) }, staleness: secs(0) }
            }
            None => Reading::Absent { missing: Missing::NoSeries },
        });
        let signals = signals.map(|reading| SignalFeatures {
            confirmed: reading.fresh(),
            rising: None,
            slope: None,
            mean_1m: reading.fresh(),
            suspect: self.suspect,
            ..SignalFeatures::of(reading)
        });
        Features { signals: signals.collect(), target: self.target.clone() }
    }

    /// Runs one cycle and advances by a tick.
    pub(super) fn propose(&mut self, action: &Action) -> Verdict {
        self.choose(Choice::Act { rule: "rule".into(), action: action.clone(), backed_by_arrivals: false })
    }

    pub(super) fn propose_backed(&mut self, replicas: u32) -> Verdict {
        let action = Action::ScaleTo { replicas };
        self.choose(Choice::Act { rule: "capacity".into(), action, backed_by_arrivals: true })
    }

    pub(super) fn choose(&mut self, choice: Choice) -> Verdict {
        let capacity = Capacity {
            per_pod: 35.0,
            lead_time: secs(60),
            lasts: secs(240),
            rate_now: None,
            needed_now: self.needed_now,
            rate_ahead: None,
            needed_ahead: None,
            floor: self.floor,
        };
        let outlook = Outlook { signals: vec![None, None], capacity: Some(capacity) };
        let proposal = Proposal { revision: None, rules: self.limits.clone(), choice };
        let (features, kill) = (self.features(), self.kill.clone());
        let ctx = Context {
            spec: &self.spec,
            features: &features,
            outlook: &outlook,
            proposal: &proposal,
            kill: &kill,
            lead: &self.lead,
            unbounded: self.unbounded.as_deref(),
            now: self.now,
        };
        let verdict = judge(&mut self.memory, &ctx);
        self.now = self.now.plus(TICK);
        self.cycle += 1;
        verdict
    }

    pub(super) fn change(&self, from: u32, to: u32) -> ChangeSet {
        let cycle = CycleId { run: 1, seq: self.cycle };
        let decision = DecisionId { service: self.spec.id.clone(), cycle };
        ChangeSet { target: self.spec.target.clone(), ..ChangeSet::of_replicas(decision, from, to, self.now) }
    }

    /// Writes, and has the watch show it.
    pub(super) fn write(&mut self, from: u32, to: u32) -> ChangeSet {
        let change = self.change(from, to);
        self.memory.write_started(&change, self.now);
        self.memory.write_ended(&ended(&change, &WriteOutcome::Applied, self.now));
        self.set_replicas(to);
        self.cycle += 1;
        change
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(secs(seconds));
    }
}

/// Returns the end of a write that created version 2 of its object.
pub(super) fn ended(change: &ChangeSet, outcome: &WriteOutcome, now: Now) -> Arc<WriteEnd> {
    Arc::new(WriteEnd { change: change.clone(), outcome: outcome.clone(), now, version: Some(2) })
}

pub(super) fn state(replicas: u32, rollout: bool) -> TargetState {
    TargetState { rollout, ..TargetState::calm("uid", replicas) }
}

pub(super) fn owned(replicas: u32, owner: &str) -> TargetState {
    TargetState { owner: Some(owner.into()), ..state(replicas, false) }
}

pub(super) fn finite(value: f64) -> Finite {
    Finite::new(value).unwrap()
}

pub(super) fn scale_to(replicas: u32) -> Action {
    Action::ScaleTo { replicas }
}

pub(super) fn nothing() -> Choice {
    Choice::Nothing("no rule matched".into())
}

pub(super) fn why(verdict: &Verdict, guard: GuardName) -> &str {
    verdict.findings.iter().find(|found| found.guard == guard).map_or("", |found| found.why.as_str())
}

/// The kind, the guard that decided, the replicas permitted.
pub(super) fn sum(verdict: &Verdict) -> (VerdictKind, Option<GuardName>, Option<u32>) {
    (verdict.kind, verdict.decided_by, verdict.permitted)
}

pub(super) fn intent(world: &World, from: u32, to: u32, ended: Option<(Timestamp, WriteOutcome)>) -> Intent {
    Intent { ended, ..Intent::open(world.change(from, to), world.now.wall, crate::model::Foreseen::default()) }
}

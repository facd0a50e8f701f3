//! Random histories of one service: what is seen, proposed, written, edited by others, restarted.
//!
//! A history is a list of regimes, each a run of equal cycles that starts with at most a few upsets; pure noise would
//! never fill a window. [`run`] drives judge and plan through it against a true clock, and logs what an independent
//! witness would have seen. The properties are asserted over that log, not over the guards' memory.

use std::sync::Arc;
use std::time::Duration;

use flyball::act::{Made, Plan, plan};
use flyball::guard::{Context, Memory, judge};
use flyball::model::kill::KillOrder;
use flyball::model::time::elapsed;
use flyball::model::{
    Action, ActionClass, Bounds, Capacity, CapacitySpec, ChangeSet, Choice, CycleId, DecisionId, Epoch, Features,
    Finite, Foreseen, Goal, Intent, KillState, Lead, Limit, Missing, Mode, Now, Outlook, Proposal, Reading, Role,
    RuleOutcome, RuleTrace, Sample, ServiceSpec, SignalFeatures, SignalName, SignalSpec, Slo, TargetReading,
    TargetState, Timestamp, TraceId, Unit, Verdict, Vetoed, WriteEnd, WriteOutcome, WriteTrace,
};
use proptest::prelude::*;

/// What happens to a write in this regime.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fate {
    Applied,
    /// Applied, but known only two cycles later.
    Late,
    Superseded,
    Rejected,
    /// Sent, and known not to have landed only two cycles later.
    Lost,
}

/// How the kill switch reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Switch {
    Released,
    Unreadable,
    Engaged,
}

/// A run of equal cycles.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent condition of the world")]
pub struct Regime {
    pub cycles: u32,
    pub tick: u64,
    /// Wanted replicas in percent of the present ones; `None` proposes nothing.
    pub wanted: Option<u32>,
    pub backed: bool,
    pub needed: Option<u32>,
    pub floor: Option<u32>,
    pub mode: Mode,
    pub allow_lowering: bool,
    pub switch: Switch,
    /// Whether this process holds the lease.
    pub leads: bool,
    pub arrivals_fresh: bool,
    pub target_known: bool,
    pub suspect: bool,
    pub rollout: bool,
    /// Replicas that are requested but not ready.
    pub missing: u32,
    /// What a policy forbids.
    pub limit: Option<Ban>,
    pub fate: Fate,
    pub upset: Upset,
}

/// An active policy limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ban {
    Raise,
    Lower,
    Cap(u32),
}

/// What happens at the start of a regime.
#[derive(Debug, Clone, Copy)]
pub struct Upset {
    /// Another client sets the replicas.
    pub foreign: Option<u32>,
    /// The process restarts.
    pub restart: bool,
    /// The wall clock jumps, seconds.
    pub jump: i64,
    /// Time without cycles, seconds.
    pub silence: u64,
}

/// One cycle as seen by a witness.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent observation")]
pub struct Cycle {
    /// True time, seconds.
    pub at: u64,
    pub run: u32,
    /// Total forward jumps of the wall clock so far.
    pub forward: i64,
    pub regime: Regime,
    pub replicas: u32,
    pub bounds: Bounds,
    /// The minimum allowed by what was proposed and measured.
    pub need: u32,
    /// The same if the count follows from the arrival rate: what that needed, or a raise requested.
    pub arrivals: Option<u32>,
    pub backed_now: bool,
    /// The replicas are neither what the last cycle saw nor what flyball wrote.
    pub foreign: bool,
    pub in_flight: bool,
    pub verdict: Verdict,
    pub change: Option<ChangeSet>,
    /// A write reached the object in this cycle: from, to.
    pub applied: Option<(u32, u32)>,
    /// A write of this cycle may have had an effect.
    pub sent: bool,
}

fn rarely<T: std::fmt::Debug + Clone + 'static>(usual: T, odd: impl Strategy<Value = T> + 'static) -> BoxedStrategy<T> {
    prop_oneof![8 => Just(usual), 1 => odd].boxed()
}

fn ban() -> BoxedStrategy<Option<Ban>> {
    rarely(None, prop_oneof![Just(Ban::Raise), Just(Ban::Lower), (1_u32..30).prop_map(Ban::Cap)].prop_map(Some))
}

fn upset() -> impl Strategy<Value = Upset> {
    let foreign = rarely(None, (0_u32..30).prop_map(Some));
    let jump = rarely(0, prop_oneof![Just(-7200_i64), Just(-300), Just(300), Just(7200)]);
    (foreign, rarely(false, Just(true)), jump, rarely(0, 1_u64..2000))
        .prop_map(|(foreign, restart, jump, silence)| Upset { foreign, restart, jump, silence })
}

fn regime() -> impl Strategy<Value = Regime> {
    let demand = (
        prop_oneof![3 => (10_u32..100).prop_map(Some), 3 => (100_u32..600).prop_map(Some), 1 => Just(None)],
        any::<bool>(),
        prop_oneof![1 => Just(None), 8 => (1_u32..40).prop_map(Some)],
        rarely(Some(1), prop_oneof![Just(None), (0_u32..20).prop_map(Some)]),
    );
    let owner = (
        rarely(Mode::Auto, prop_oneof![Just(Mode::Observe), Just(Mode::Shadow), Just(Mode::Approve)]),
        rarely(true, Just(false)),
        rarely(Switch::Released, prop_oneof![Just(Switch::Unreadable), Just(Switch::Engaged)]),
        rarely(true, Just(false)),
    );
    let sight = (
        rarely(true, Just(false)),
        rarely(true, Just(false)),
        rarely(false, Just(true)),
        rarely(false, Just(true)),
        prop_oneof![3 => Just(0_u32), 1 => 1_u32..4],
        rarely(
            Fate::Applied,
            prop_oneof![Just(Fate::Late), Just(Fate::Superseded), Just(Fate::Rejected), Just(Fate::Lost)],
        ),
        ban(),
    );
    (1_u32..40, prop_oneof![4 => Just(15_u64), 1 => 5_u64..60], demand, owner, sight, upset()).prop_map(
        |(cycles, tick, (wanted, backed, needed, floor), (mode, allow_lowering, switch, leads), sight, upset)| {
            let (arrivals_fresh, target_known, suspect, rollout, missing, fate, limit) = sight;
            Regime {
                cycles,
                tick,
                wanted,
                backed,
                needed,
                floor,
                mode,
                allow_lowering,
                switch,
                leads,
                arrivals_fresh,
                target_known,
                suspect,
                rollout,
                missing,
                limit,
                fate,
                upset,
            }
        },
    )
}

/// A regime in which nearly everything is in order and one thing is requested: what a lowering needs to pass, and how a
/// gap, a restart or a clock jump affects it.
fn calm() -> impl Strategy<Value = Regime> {
    let wanted = (prop_oneof![4 => Just(Some(90_u32)), 2 => Just(Some(120)), 1 => Just(None)], any::<bool>());
    let cycles = prop_oneof![1 => 1_u32..4, 3 => 20_u32..60];
    let jump = prop_oneof![2 => Just(0_i64), 1 => Just(7200), 1 => Just(-7200)];
    let restart = prop_oneof![2 => Just(false), 1 => Just(true)];
    let floor = rarely(Some(1), prop_oneof![Just(None), (1_u32..20).prop_map(Some)]);
    (cycles, wanted, floor, rarely(true, Just(false)), restart, jump, ban()).prop_map(
        |(cycles, (wanted, backed), floor, arrivals_fresh, restart, jump, limit)| Regime {
            // Longer, it would be a silence as well as a gap.
            cycles: if arrivals_fresh { cycles } else { 2 },
            tick: 15,
            wanted,
            backed,
            needed: Some(1),
            floor,
            mode: Mode::Auto,
            allow_lowering: true,
            switch: Switch::Released,
            leads: true,
            arrivals_fresh,
            target_known: true,
            suspect: false,
            rollout: false,
            missing: 0,
            limit,
            fate: Fate::Applied,
            upset: Upset { foreign: None, restart, jump, silence: 0 },
        },
    )
}

/// Bounds, replicas at the start, regimes.
pub fn histories() -> impl Strategy<Value = (Bounds, u32, Vec<Regime>)> {
    let bounds = (0_u32..5, 5_u32..60).prop_map(|(min, max)| Bounds { min, max });
    let regimes = prop_oneof![
        1 => prop::collection::vec(regime(), 1..10),
        1 => prop::collection::vec(calm(), 2..10),
    ];
    (bounds, 1_u32..30, regimes)
}

pub fn spec(bounds: Bounds) -> ServiceSpec {
    let signal = |name: &str, unit, role| SignalSpec {
        name: SignalName::new(name).unwrap(),
        unit,
        role: Some(role),
        range: (0.0, 1e9),
        forecast: true,
        scrape_interval: Duration::from_secs(15),
        window: Duration::ZERO,
    };
    ServiceSpec {
        signals: vec![signal("rps", Unit::PerSecond, Role::ArrivalRate), signal("p99", Unit::Seconds, Role::Latency)],
        slo: Slo { p99: 0.3, error_ratio: 0.01 },
        mode: Mode::Auto,
        bounds,
        capacity: Some(CapacitySpec { per_pod_rate: 50.0, utilisation: 0.7, start_time: Duration::from_mins(1) }),
        allow_lowering: true,
        ..ServiceSpec::blank("shop/checkout".parse().unwrap())
    }
}

/// The world around the guards.
struct World {
    spec: ServiceSpec,
    memory: Memory,
    journal: Vec<Intent>,
    /// A write whose end is not known yet, and the cycles until it is.
    late: Option<(ChangeSet, u32, WriteOutcome)>,
    replicas: u32,
    at: u64,
    run: u32,
    run_started: u64,
    seq: u32,
    wall_offset: i64,
    forward: i64,
    last_seen: Option<u32>,
    last_written: Option<u32>,
    log: Vec<Cycle>,
}

/// Drives judge and plan through a history and returns what a witness saw.
pub fn run((bounds, replicas, regimes): &(Bounds, u32, Vec<Regime>)) -> Vec<Cycle> {
    let mut world = World {
        spec: spec(*bounds),
        memory: Memory::default(),
        journal: Vec::new(),
        late: None,
        replicas: *replicas,
        at: 0,
        run: 1,
        run_started: 0,
        seq: 0,
        wall_offset: 0,
        forward: 0,
        last_seen: None,
        last_written: None,
        log: Vec::new(),
    };
    for regime in regimes {
        world.upset(regime.upset);
        for _ in 0..regime.cycles {
            world.cycle(regime);
        }
    }
    world.log
}

impl World {
    fn now(&self) -> Now {
        let wall = Timestamp::from_second(1_700_000_000 + self.at as i64 + self.wall_offset).unwrap();
        Now { wall, mono: Duration::from_secs(self.at - self.run_started) }
    }

    fn upset(&mut self, upset: Upset) {
        self.at += upset.silence;
        self.wall_offset += upset.jump;
        self.forward += upset.jump.max(0);
        if let Some(replicas) = upset.foreign {
            self.replicas = replicas;
        }
        if upset.restart {
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.run += 1;
        self.at += 20;
        self.run_started = self.at;
        self.seq = 0;
        (self.last_seen, self.last_written) = (None, None);
        let now = self.now();
        let span = self.spec.guards.memory_span();
        let kept = self.journal.iter().filter(|intent| match &intent.ended {
            Some((at, outcome)) => outcome.is_remembered() && elapsed(now.wall, *at) <= span,
            None => true,
        });
        self.memory = Memory::restore(&kept.cloned().collect::<Vec<_>>(), now);
    }

    fn cycle(&mut self, regime: &Regime) {
        self.at += regime.tick;
        self.seq += 1;
        self.end_late();
        (self.spec.mode, self.spec.allow_lowering) = (regime.mode, regime.allow_lowering);
        let (features, outlook) = (self.features(regime), outlook(regime.needed, regime.floor));
        let wanted = regime.wanted.map(|percent| self.replicas * percent / 100);
        let proposal = proposal(wanted, regime);
        let kill = kill(regime.switch);
        let lead = if regime.leads { Lead::Alone } else { Lead::Follows { holder: None } };
        let now = self.now();
        let ctx = Context {
            spec: &self.spec,
            features: &features,
            outlook: &outlook,
            proposal: &proposal,
            kill: &kill,
            lead: &lead,
            unbounded: None,
            now,
        };
        let verdict = judge(&mut self.memory, &ctx);
        let decision = DecisionId { service: self.spec.id.clone(), cycle: CycleId { run: self.run, seq: self.seq } };
        let trace = TraceId::derive(&decision.service, decision.cycle, now.wall);
        let made = Made { decision: &decision, trace, epoch: Epoch::ALONE, at: now };
        let change = match plan(made, &self.spec, &features, &proposal, &verdict) {
            Plan::Write(change) => Some(change),
            Plan::NothingToDo => None,
            Plan::NoLever => panic!("replicas have one"),
        };
        self.witness(regime, wanted, verdict, change.clone());
        if let Some(change) = change {
            self.write(change, regime.fate);
        }
    }

    fn witness(&mut self, regime: &Regime, wanted: Option<u32>, verdict: Verdict, change: Option<ChangeSet>) {
        let needed = regime.needed.unwrap_or(0);
        let seen = self.last_seen.unwrap_or(self.replicas);
        let foreign = self.replicas != seen && Some(self.replicas) != self.last_written;
        if regime.target_known {
            self.last_seen = Some(self.replicas);
        }
        self.log.push(Cycle {
            at: self.at,
            run: self.run,
            forward: self.forward,
            regime: regime.clone(),
            replicas: self.replicas,
            bounds: self.spec.bounds,
            need: wanted.unwrap_or(self.replicas).max(needed),
            arrivals: regime.needed.map(|needed| needed.max(wanted.filter(|it| *it > self.replicas).unwrap_or(0))),
            backed_now: regime.backed && needed > self.replicas,
            foreign,
            in_flight: self.late.is_some(),
            verdict,
            change,
            applied: None,
            sent: false,
        });
    }

    fn write(&mut self, change: ChangeSet, fate: Fate) {
        let now = self.now();
        self.memory.write_started(&change, now);
        self.journal.push(Intent::open(change.clone(), now.wall, Foreseen::default()));
        if matches!(fate, Fate::Applied | Fate::Late) {
            self.replicas = change.to;
            self.last_written = Some(change.to);
        }
        if let Some(cycle) = self.log.last_mut() {
            cycle.sent = !matches!(fate, Fate::Superseded | Fate::Lost);
            cycle.applied = matches!(fate, Fate::Applied | Fate::Late).then_some((change.from, change.to));
        }
        match fate {
            Fate::Applied => self.end(&change, WriteOutcome::Applied),
            Fate::Late => self.late = Some((change, 2, WriteOutcome::Applied)),
            Fate::Superseded => self.end(&change, WriteOutcome::Superseded { found: String::new() }),
            Fate::Rejected => self.end(&change, WriteOutcome::Rejected { reason: String::new(), did_nothing: false }),
            Fate::Lost => {
                let lost = WriteOutcome::Abandoned { reason: String::new(), trace: WriteTrace::Nothing };
                self.late = Some((change, 2, lost));
            }
        }
    }

    fn end_late(&mut self) {
        match self.late.take() {
            Some((change, 0, outcome)) => self.end(&change, outcome),
            Some((change, cycles, outcome)) => self.late = Some((change, cycles - 1, outcome)),
            None => {}
        }
    }

    fn end(&mut self, change: &ChangeSet, outcome: WriteOutcome) {
        let now = self.now();
        let end = WriteEnd { change: change.clone(), outcome: outcome.clone(), now, version: None };
        self.memory.write_ended(&Arc::new(end));
        let open = self.journal.iter_mut().find(|intent| intent.change.id == change.id && intent.ended.is_none());
        open.expect("each write has an open intent").ended = Some((now.wall, outcome));
    }

    fn features(&self, regime: &Regime) -> Features {
        let signals = [regime.arrivals_fresh, true].map(|fresh| seen(fresh, regime.suspect, self.now().wall));
        let target = target(self.replicas, regime.missing);
        let target = TargetState { rollout: regime.rollout, ..target };
        let target = if regime.target_known {
            TargetReading::Known { target }
        } else {
            TargetReading::Outdated { target, silence: Duration::from_mins(2) }
        };
        Features { signals: signals.into(), target }
    }
}

pub fn seen(fresh: bool, suspect: bool, at: Timestamp) -> SignalFeatures {
    let sample = Sample { at, value: Finite::new(1.0).unwrap() };
    let reading = if fresh {
        Reading::Fresh { sample, staleness: Duration::ZERO }
    } else {
        Reading::Gap { last: sample, missing: Missing::NoSeries }
    };
    SignalFeatures { suspect, ..SignalFeatures::of(reading) }
}

pub fn target(replicas: u32, missing: u32) -> TargetState {
    TargetState { ready: replicas.saturating_sub(missing), ..TargetState::calm("uid", replicas) }
}

pub fn outlook(needed_now: Option<u32>, floor: Option<u32>) -> Outlook {
    let capacity = Capacity {
        per_pod: 35.0,
        lead_time: Duration::from_mins(1),
        lasts: Duration::from_mins(4),
        rate_now: None,
        needed_now,
        rate_ahead: None,
        needed_ahead: None,
        floor,
    };
    Outlook { signals: vec![None, None], capacity: Some(capacity) }
}

fn proposal(wanted: Option<u32>, regime: &Regime) -> Proposal {
    let backed_by_arrivals = regime.backed;
    let choice = match wanted {
        Some(replicas) => Choice::Act { rule: "rule".into(), action: Action::ScaleTo { replicas }, backed_by_arrivals },
        None => Choice::Nothing("no rule matched".into()),
    };
    let veto = |what| Limit::Veto { what, why: "a freeze".into() };
    let limit = regime.limit.map(|ban| match ban {
        Ban::Raise => veto(Vetoed::Raise),
        Ban::Lower => veto(Vetoed::Lower),
        Ban::Cap(replicas) => Limit::Cap { replicas: Some(replicas) },
    });
    let limit = limit.map(|limit| RuleTrace {
        rule: "calm".into(),
        priority: 0,
        goal: Goal::Protect,
        outcome: RuleOutcome::Matched,
        conditions: Vec::new(),
        action: None,
        backed_by_arrivals: false,
        notes: Vec::new(),
        limit: Some(limit),
    });
    Proposal { revision: None, rules: limit.into_iter().collect(), choice }
}

fn kill(switch: Switch) -> KillState {
    match switch {
        Switch::Released => KillState::released(),
        Switch::Unreadable => KillState::Unreadable { error: "no such file".to_owned() },
        Switch::Engaged => {
            KillState::readable(KillOrder { classes: [ActionClass::Scale].into(), ..KillOrder::default() })
        }
    }
}

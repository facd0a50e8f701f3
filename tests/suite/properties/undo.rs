//! INV-12: a lowering that hurt is rolled back once, whatever the write gate answers on the way.

use std::sync::Arc;
use std::time::Duration;

use flyball::cycle::{Assessed, DeciderCore, Inputs, Observed};
use flyball::decide::{PolicySet, Vocabulary, compile};
use flyball::model::{
    Bounds, ChangeSet, Choice, Convergence, CycleId, DecisionRecord, Effect, Features, Finding, GuardName, Impact,
    KillState, Lead, Now, RecordMask, Refusal, ServiceSpec, TargetReading, Timestamp, TraceId, WriteEnd, WriteOutcome,
    WriteTrace,
};
use proptest::prelude::*;

use super::history::{outlook, seen, spec, target};

/// How long after its measurement a lowering may still be rolled back, seconds.
const OWED: u64 = 300;
const BEFORE: u32 = 10;
const LOWERED: u32 = 7;

/// The outcome of a write made in this cycle, and what else happens before the next one.
#[derive(Debug, Clone)]
struct Step {
    /// Seconds since the cycle before.
    tick: u64,
    outcome: WriteOutcome,
    /// Cycles until the outcome is known.
    late: u32,
    /// Another client sets the replicas.
    foreign: Option<u32>,
}

fn step() -> impl Strategy<Value = Step> {
    let reason = String::new;
    let outcome = prop_oneof![
        Just(WriteOutcome::Applied),
        Just(WriteOutcome::Expired),
        Just(WriteOutcome::Superseded { found: reason() }),
        Just(WriteOutcome::Rejected { reason: reason(), did_nothing: true }),
        Just(WriteOutcome::Abandoned { reason: reason(), trace: WriteTrace::MayHave }),
        Just(WriteOutcome::unsent("given up")),
        Just(WriteOutcome::Refused(Refusal::Busy)),
        Just(WriteOutcome::Refused(Refusal::KillSwitch { reason: reason() })),
        Just(WriteOutcome::unavailable(reason())),
    ];
    let foreign = prop_oneof![12 => Just(None), 1 => (1_u32..20).prop_map(Some)];
    (5_u64..40, outcome, prop_oneof![2 => Just(0_u32), 1 => 1_u32..4], foreign)
        .prop_map(|(tick, outcome, late, foreign)| Step { tick, outcome, late, foreign })
}

/// A decider whose policies request nothing, and a witness.
struct World {
    decider: DeciderCore,
    policy: PolicySet,
    spec: Arc<ServiceSpec>,
    at: u64,
    seq: u32,
    replicas: u32,
    /// A write whose end is not known yet, how it ends, and after how many cycles.
    under_way: Option<(ChangeSet, WriteOutcome, u32)>,
    /// The target is no longer as the lowering left it, or the lowering was rolled back.
    over: bool,
    written: u32,
}

impl World {
    fn new() -> Self {
        let calm =
            "rule(\"calm\", #{ priority: 1, goal: \"cost\" }, |s, p| [ when(s.rps.current < rps(0)), scale_to(1) ]);";
        let spec = Arc::new(spec(Bounds { min: 1, max: 40 }));
        let words = Vocabulary::of([&*spec]).unwrap();
        let never: flyball::decide::Deadline = Arc::new(|| None);
        Self {
            decider: DeciderCore::new(spec.clone(), &[], now(0)),
            policy: compile([("calm.rhai", calm)], &words, &never).unwrap(),
            spec,
            at: 0,
            seq: 0,
            replicas: LOWERED,
            under_way: None,
            over: false,
            written: 0,
        }
    }

    fn decide(&mut self) -> Arc<DecisionRecord> {
        self.seq += 1;
        let (now, cycle) = (now(self.at), CycleId { run: 1, seq: self.seq });
        let trace = TraceId::derive(&self.spec.id, cycle, now.wall);
        let features = Features {
            signals: [true, true].map(|fresh| seen(fresh, false, now.wall)).into(),
            target: TargetReading::Known { target: target(self.replicas, 0) },
        };
        let observed = Observed { cycle, trace, now, features: Arc::new(features) };
        let assessed = Assessed { observed, outlook: Arc::new(outlook(Some(1), Some(1))) };
        let inputs = Inputs {
            policy: Some(&self.policy),
            candidate: None,
            kill: &KillState::released(),
            lead: &Lead::Alone,
            mask: &RecordMask::default(),
            hold: None,
            unbounded: None,
            withdrawn: false,
        };
        self.decider.decide(&assessed, inputs).record
    }

    fn step(&mut self, step: Step) {
        self.at += step.tick;
        let under_way = self.under_way.is_some();
        let record = self.decide();
        let undoes = matches!(record.proposal.choice, Choice::Undo { .. });
        let owed = !self.over && self.at < OWED;
        assert_eq!(undoes, owed && !under_way, "after {} s: {record:?}", self.at);
        match &record.change {
            Some(change) => {
                assert_eq!((change.from, change.to), (LOWERED, BEFORE));
                self.write(change.clone(), step.outcome, step.late);
            }
            // What was sent is charged, whatever its outcome; nothing else stops it.
            None if undoes => assert_eq!(record.verdict.decided_by, Some(GuardName::Budget)),
            None => assert!(record.verdict.findings.iter().all(|found| found.finding == Finding::Pass)),
        }
        self.end_of_cycle();
        if let Some(foreign) = step.foreign {
            self.over |= foreign != self.replicas;
            self.replicas = foreign;
        }
    }

    fn write(&mut self, change: ChangeSet, outcome: WriteOutcome, late: u32) {
        if outcome == WriteOutcome::Applied {
            (self.replicas, self.over) = (change.to, true);
            self.written += 1;
        }
        self.under_way = Some((change, outcome, late));
    }

    fn end_of_cycle(&mut self) {
        match self.under_way.take() {
            Some((change, outcome, 0)) => {
                let end = WriteEnd { change, outcome, now: now(self.at), version: None };
                self.decider.write_ended(&Arc::new(end));
            }
            Some((change, outcome, late)) => self.under_way = Some((change, outcome, late - 1)),
            None => {}
        }
    }
}

fn now(second: u64) -> Now {
    let wall = Timestamp::from_second(1_700_000_000 + second as i64).unwrap();
    Now { wall, mono: Duration::from_secs(second) }
}

fn lowering() -> ChangeSet {
    ChangeSet { decided: now(0), ..super::change("shop", BEFORE, LOWERED) }
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn inv_12_what_hurt_is_asked_to_be_taken_back_until_it_is_and_once(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        let effect = Effect {
            convergence: Convergence::Converged { after: Duration::ZERO },
            impact: Impact::Hurt,
            expected_latency: None,
            measured_latency: None,
            why: "slow".to_owned(),
        };
        world.decider.measured(&lowering(), &effect, now(0));
        for step in steps {
            world.step(step);
        }
        assert!(world.written <= 1, "taken back {} times", world.written);
    }
}

//! Asks the policies, puts their proposal to the guards, plans the change, and writes the record.

use std::sync::Arc;
use std::time::Duration;

use crate::act::plan;
use crate::decide::{Decider, PolicySet, decide};
use crate::guard::{Context, GuardParams, Memory, judge};
use crate::model::record::SignalLabel;
use crate::model::{
    ChangeSet, Choice, DecisionId, DecisionRecord, GuardName, Intent, KillState, Mode, Now, Proposal, ServiceSpec,
    Verdict, VerdictKind, WriteOutcome,
};

use super::forecaster::Assessed;

/// An unchanged decision is recorded again after this time.
const HEARTBEAT: Duration = Duration::from_secs(3600);

/// Snapshots that a decision is made with; the same throughout one cycle.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The policy set in force.
    pub policy: Option<&'a PolicySet>,
    /// The kill switch.
    pub kill: &'a KillState,
    /// Why nothing may be proposed now (still warming up, an earlier write not settled, no journal).
    pub hold: Option<&'a str>,
}

/// What a decider hears.
#[derive(Debug, Clone)]
pub enum DeciderEvent {
    /// A cycle comes by.
    Assessed(Assessed),
    /// A change of this service ended.
    WriteEnded {
        /// Which.
        change: ChangeSet,
        /// How.
        outcome: WriteOutcome,
        /// When.
        now: Now,
    },
}

/// A cycle after decide and guard.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The cycle so far.
    pub assessed: Assessed,
    /// Its record.
    pub record: Arc<DecisionRecord>,
    /// Whether the record says something new and is to be kept.
    pub keep: bool,
}

/// What makes two decisions the same for the journal.
#[derive(Debug, Clone, PartialEq)]
struct Signature {
    choice: Choice,
    kind: VerdictKind,
    decided_by: Option<GuardName>,
    permitted: Option<u32>,
}

/// The decider of one service.
#[derive(Debug, Clone)]
pub struct DeciderCore {
    spec: Arc<ServiceSpec>,
    labels: Arc<Vec<SignalLabel>>,
    params: Arc<GuardParams>,
    policies: Decider,
    memory: Memory,
    last_kept: Option<(Signature, Now)>,
}

impl DeciderCore {
    /// Returns a decider that remembers the writes of the last hours (`intents`, oldest first).
    pub fn new(spec: Arc<ServiceSpec>, params: Arc<GuardParams>, intents: &[Intent], now: Now) -> Self {
        Self {
            labels: Arc::new(SignalLabel::of(&spec)),
            policies: Decider::new(),
            memory: Memory::restore(intents, now),
            spec,
            params,
            last_kept: None,
        }
    }

    /// Goes on by a declaration that was changed in anything but its signals, its target and its labels. The next
    /// decision counts as news.
    pub fn declared(&mut self, spec: &Arc<ServiceSpec>) {
        self.spec = spec.clone();
        self.last_kept = None;
    }

    /// Hears how a change ended.
    pub fn write_ended(&mut self, change: &ChangeSet, outcome: &WriteOutcome, now: Now) {
        self.memory.write_ended(change, outcome, now);
    }

    /// Decides one cycle.
    pub fn decide(&mut self, assessed: &Assessed, inputs: Inputs<'_>) -> Decided {
        let now = assessed.observed.now;
        let proposal = self.propose(assessed, inputs);
        let verdict = self.judge(assessed, &proposal, inputs.kill);
        let id = DecisionId { service: self.spec.id.clone(), cycle: assessed.observed.cycle };
        let change = self.plan(&id, assessed, &proposal, &verdict);
        if let Some(change) = &change {
            self.memory.write_started(change, now);
        }
        let keep = self.is_news(&proposal, &verdict, change.is_some(), now);
        let record = DecisionRecord {
            id,
            trace: assessed.observed.trace,
            at: now.wall,
            mode: self.spec.mode,
            signals: self.labels.to_vec(),
            features: (*assessed.observed.features).clone(),
            outlook: (*assessed.outlook).clone(),
            proposal,
            verdict,
            change,
            outcome: None,
            effect: None,
        };
        Decided { assessed: assessed.clone(), record: Arc::new(record), keep }
    }

    fn propose(&mut self, assessed: &Assessed, inputs: Inputs<'_>) -> Proposal {
        if self.spec.mode == Mode::Observe {
            return Proposal::nothing("mode is observe: policies are not asked");
        }
        if let Some(reason) = inputs.hold {
            return Proposal::nothing(reason);
        }
        let Some(policy) = inputs.policy else {
            return Proposal::nothing("no policy set is in force");
        };
        let observed = &assessed.observed;
        decide(&mut self.policies, policy, &self.spec, &observed.features, &assessed.outlook, observed.now)
    }

    fn judge(&mut self, assessed: &Assessed, proposal: &Proposal, kill: &KillState) -> Verdict {
        let context = Context {
            spec: &self.spec,
            features: &assessed.observed.features,
            outlook: &assessed.outlook,
            proposal,
            kill,
            now: assessed.observed.now,
        };
        judge(&mut self.memory, &self.params, &context)
    }

    fn plan(&self, id: &DecisionId, assessed: &Assessed, proposal: &Proposal, verdict: &Verdict) -> Option<ChangeSet> {
        let observed = &assessed.observed;
        plan(id, observed.trace, &self.spec, &observed.features, proposal, verdict, observed.now)
    }

    /// Decisions are kept when they differ from the last one kept, when they write, and hourly.
    fn is_news(&mut self, proposal: &Proposal, verdict: &Verdict, writes: bool, now: Now) -> bool {
        let signature = Signature {
            choice: proposal.choice.clone(),
            kind: verdict.kind,
            decided_by: verdict.decided_by,
            permitted: verdict.permitted,
        };
        let same =
            self.last_kept.as_ref().is_some_and(|(last, at)| *last == signature && now.since(at.mono) < HEARTBEAT);
        if same && !writes {
            return false;
        }
        self.last_kept = Some((signature, now));
        true
    }
}

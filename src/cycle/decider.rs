//! Evaluates the policies, passes their proposal to the guards, plans the change, and writes the record.

use std::sync::Arc;
use std::time::Duration;

use crate::act::{Made, Plan, plan};
use crate::decide::{Decider, PolicySet, decide};
use crate::guard::{Context, Denials, Memory, judge};
use crate::model::record::SignalLabel;
use crate::model::{
    CandidateDecision, ChangeId, ChangeSet, Choice, DecisionId, DecisionRecord, Effect, GuardName, Intent, KillState,
    Lead, Mode, Now, PolicyRevision, Proposal, RecordMask, Revert, ServiceSpec, Verdict, VerdictKind, WriteEnd,
    WriteOutcome,
};

use super::forecaster::Assessed;
use super::observer::Observed;
use super::undo::Undo;
use super::withdrawal;

/// An unchanged decision is recorded again after this time.
const HEARTBEAT: Duration = Duration::from_secs(3600);

/// Snapshots for one decision; constant throughout the cycle.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The active policy set.
    pub policy: Option<&'a PolicySet>,
    /// The candidate set, evaluated only for the record.
    pub candidate: Option<&'a PolicySet>,
    /// The kill switch.
    pub kill: &'a KillState,
    /// The lease state of this process.
    pub lead: &'a Lead,
    /// What the record hides.
    pub mask: &'a RecordMask,
    /// Why nothing may be proposed now (warming up, an earlier write unsettled, no journal).
    pub hold: Option<&'a str>,
    /// Why the limits of services are unknown, if they are: nothing is written meanwhile.
    pub unbounded: Option<&'a str>,
    /// Whether the declaration was removed: of the policies, only what they forbid counts.
    pub withdrawn: bool,
}

/// Events of a decider.
#[derive(Debug, Clone)]
pub enum DeciderEvent {
    /// A cycle to decide.
    Assessed(Assessed),
    /// A change of this service ended.
    WriteEnded(Arc<WriteEnd>),
    /// This process leads from now on; carries the writes of the last hours, by any process.
    TookOver {
        /// Ended ones, oldest first, then open ones.
        intents: Arc<Vec<Intent>>,
        /// When they were read.
        now: Now,
    },
    /// The effect of a change of this service is known.
    Measured {
        /// Which.
        change: ChangeSet,
        /// What it did.
        effect: Effect,
        /// When that was known.
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
    /// Whether the record is new information and is to be stored.
    pub keep: bool,
    /// A write of ours found to be reverted by another client.
    pub reverted: Option<(ChangeId, Revert)>,
    /// Who else set the target: a description.
    pub edited: Option<String>,
    /// Why the loop stands down, if it does.
    pub stood_down: Option<String>,
}

/// The properties by which two decisions are the same for the journal.
#[derive(Debug, Clone, PartialEq)]
struct Signature {
    choice: Choice,
    candidate: Option<CandidateDecision>,
    kind: VerdictKind,
    decided_by: Option<GuardName>,
    permitted: Option<u32>,
}

impl Signature {
    fn of(proposal: &Proposal, candidate: Option<&CandidateDecision>, verdict: &Verdict) -> Self {
        Self {
            choice: proposal.choice.clone(),
            candidate: candidate.cloned(),
            kind: verdict.kind,
            decided_by: verdict.decided_by,
            permitted: verdict.permitted,
        }
    }
}

/// The decider of one service.
#[derive(Debug, Clone)]
pub struct DeciderCore {
    spec: Arc<ServiceSpec>,
    labels: Arc<Vec<SignalLabel>>,
    policies: Decider,
    /// State and revision of the candidate set.
    candidate_policies: Option<(PolicyRevision, Decider)>,
    memory: Memory,
    undo: Option<Undo>,
    last_kept: Option<(Signature, Now)>,
}

impl DeciderCore {
    /// Returns a decider that remembers the writes of the last hours (`intents`: ended ones, oldest first, then open
    /// ones).
    pub fn new(spec: Arc<ServiceSpec>, intents: &[Intent], now: Now) -> Self {
        Self {
            labels: Arc::new(SignalLabel::of(&spec)),
            policies: Decider::new(),
            candidate_policies: None,
            memory: Memory::restore(intents, now),
            undo: Undo::left(intents, &spec.target, now),
            spec,
            last_kept: None,
        }
    }

    /// Switches to a declaration with the same signals, target and labels. The next decision counts as news.
    pub fn declared(&mut self, spec: &Arc<ServiceSpec>) {
        self.spec = spec.clone();
        self.last_kept = None;
    }

    /// Processes one event; a decision is made with `inputs`.
    pub fn step(&mut self, event: &DeciderEvent, inputs: Inputs<'_>) -> Option<Decided> {
        match event {
            DeciderEvent::Assessed(assessed) => return Some(self.decide(assessed, inputs)),
            DeciderEvent::WriteEnded(end) => self.write_ended(end),
            DeciderEvent::TookOver { intents, now } => self.took_over(intents, *now),
            DeciderEvent::Measured { change, effect, now } => self.measured(change, effect, *now),
        }
        None
    }

    /// Processes the end of a change.
    pub fn write_ended(&mut self, end: &Arc<WriteEnd>) {
        self.memory.write_ended(end);
        self.undo = self.undo.take().and_then(|undo| undo.after(&end.change, &end.outcome));
    }

    /// Returns the API server's last answer to the writes of the service, if it needs a person.
    pub fn denied(&self, now: Now) -> Option<String> {
        self.memory.denials(now).and_then(Denials::needs_a_person)
    }

    /// Returns the refusal behind [`Self::denied`], without what changes with each attempt.
    pub fn refusal(&self, now: Now) -> Option<String> {
        self.memory.denials(now).and_then(Denials::refusal)
    }

    /// Notes only that a change ended: for when [`DeciderCore::write_ended`] failed on it.
    pub fn let_go(&mut self, end: &WriteEnd) {
        self.memory.let_go(end);
        self.undo = None;
    }

    /// Processes the writes that others made while this process followed.
    fn took_over(&mut self, intents: &[Intent], now: Now) {
        self.memory.take_over(intents, now);
        self.undo = Undo::left(intents, &self.spec.target, now).or_else(|| self.undo.take());
    }

    /// Processes the effect of a change: one that hurt is rolled back, by the next decisions.
    pub fn measured(&mut self, change: &ChangeSet, effect: &Effect, now: Now) {
        self.undo = Undo::owed(change, effect, now).or_else(|| self.undo.take());
    }

    /// Decides one cycle.
    pub fn decide(&mut self, assessed: &Assessed, inputs: Inputs<'_>) -> Decided {
        let now = assessed.observed.now;
        let mut proposal = self.propose(assessed, inputs);
        let candidate = self.ask_candidate(assessed, inputs);
        let verdict = self.judge(assessed, &proposal, inputs);
        let id = DecisionId { service: self.spec.id.clone(), cycle: assessed.observed.cycle };
        let Observed { trace, features, .. } = &assessed.observed;
        // Without a term the verdict does not permit.
        let epoch = inputs.lead.epoch().unwrap_or_default();
        let made = Made { decision: &id, trace: *trace, epoch, at: now };
        let (change, outcome) = match plan(made, &self.spec, features, &proposal, &verdict) {
            Plan::Write(change) => (Some(change), None),
            Plan::NothingToDo => (None, None),
            Plan::NoLever => (None, Some(WriteOutcome::NoLever)),
        };
        if let Some(change) = &change {
            self.memory.write_started(change, now);
            self.undo = self.undo.take().map(|undo| undo.written_by(change));
        }
        let signature = Signature::of(&proposal, candidate.as_ref(), &verdict);
        if let Some(policy) = inputs.policy {
            policy.mask(&mut proposal, inputs.mask);
        }
        let keep = self.is_news(signature, change.is_some(), now);
        let record = DecisionRecord {
            id,
            trace: assessed.observed.trace,
            at: now.wall,
            mode: self.spec.mode,
            signals: self.labels.clone(),
            features: inputs.mask.features(&self.labels, &assessed.observed.features),
            outlook: inputs.mask.outlook(&self.labels, &assessed.outlook),
            provenance: inputs.policy.filter(|_| proposal.revision.is_some()).and_then(PolicySet::provenance).cloned(),
            proposal,
            candidate,
            verdict,
            change,
            outcome,
            effect: None,
        };
        Decided {
            assessed: assessed.clone(),
            record: Arc::new(record),
            keep,
            reverted: self.memory.reverted().cloned(),
            edited: self.memory.foreign_edit(&self.spec, &features.target),
            stood_down: self.memory.stood_down(&self.spec, &features.target, now),
        }
    }

    fn propose(&mut self, assessed: &Assessed, inputs: Inputs<'_>) -> Proposal {
        if self.spec.mode == Mode::Observe {
            return Proposal::nothing("mode is observe: policies are not evaluated");
        }
        if let Some(reason) = inputs.hold {
            return Proposal::nothing(reason);
        }
        let (features, now) = (&assessed.observed.features, assessed.observed.now);
        let asked = match inputs.policy {
            Some(policy) => decide(&mut self.policies, policy, &self.spec, features, &assessed.outlook, now),
            // What it would forbid is unknown: nothing is returned either.
            None => return Proposal::nothing("no policy set is active"),
        };
        let asked = if inputs.withdrawn { withdrawal::instead_of(asked, &features.target) } else { asked };
        self.undo = self.undo.take().filter(|undo| undo.stands(&features.target, now));
        match &self.undo {
            Some(undo) => undo.over(asked, &features.target),
            None => asked,
        }
    }

    /// Evaluates the candidate; its result passes no guard and has no effect.
    fn ask_candidate(&mut self, assessed: &Assessed, inputs: Inputs<'_>) -> Option<CandidateDecision> {
        let asked = self.spec.mode != Mode::Observe && inputs.hold.is_none() && !inputs.withdrawn;
        let Some(candidate) = inputs.candidate.filter(|_| asked) else {
            self.candidate_policies = None;
            return None;
        };
        let (features, now) = (&assessed.observed.features, assessed.observed.now);
        let revision = candidate.revision();
        let beside = self.candidate_policies.take().filter(|(of, _)| of == revision).map(|(_, beside)| beside);
        // A new candidate inherits the hold times of conditions that it shares with the active set, as if it were
        // loaded in its place: otherwise the two would differ until those conditions have held again.
        let mut beside = beside.unwrap_or_else(|| self.policies.clone());
        let asked = decide(&mut beside, candidate, &self.spec, features, &assessed.outlook, now);
        self.candidate_policies = Some((revision.clone(), beside));
        Some(CandidateDecision { revision: revision.clone(), choice: asked.choice })
    }

    fn judge(&mut self, assessed: &Assessed, proposal: &Proposal, inputs: Inputs<'_>) -> Verdict {
        let context = Context {
            spec: &self.spec,
            features: &assessed.observed.features,
            outlook: &assessed.outlook,
            proposal,
            kill: inputs.kill,
            lead: inputs.lead,
            unbounded: inputs.unbounded,
            now: assessed.observed.now,
        };
        judge(&mut self.memory, &context)
    }

    /// Decisions are stored when they differ from the last stored one, when they write, and hourly.
    fn is_news(&mut self, signature: Signature, writes: bool, now: Now) -> bool {
        let same =
            self.last_kept.as_ref().is_some_and(|(last, at)| *last == signature && now.since(at.mono) < HEARTBEAT);
        if same && !writes {
            return false;
        }
        self.last_kept = Some((signature, now));
        true
    }
}

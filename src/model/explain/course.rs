//! How a decision went, derived once from its record: the basis of its headline and sentence.

use crate::model::{
    Action, ChangeSet, Choice, DecisionRecord, Finding, GuardFinding, GuardName, Idle, Knob, Mode, UNDO, WriteOutcome,
};

/// How a decision went.
#[derive(Debug, Clone, Copy)]
pub(super) enum Course<'a> {
    /// A write was planned: it is in flight, it happened, or it failed.
    Written(&'a ChangeSet),
    /// A guard stopped what was wanted.
    Stopped(Wanted<'a>, &'a GuardFinding),
    /// Nothing but shadow kept it from being planned.
    Shown(Wanted<'a>),
    /// No write could be planned.
    Refused(Wanted<'a>, &'a WriteOutcome),
    /// What was wanted is already the case.
    Unneeded(Wanted<'a>),
    /// No rule won.
    Idle(&'a Idle),
}

/// What the winning rule requested.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) rule: &'a str,
    pub(super) action: &'a Action,
}

impl<'a> Course<'a> {
    /// Returns how the decision of a record went.
    pub(super) fn of(record: &'a DecisionRecord) -> Self {
        let (rule, action) = match (&record.proposal.choice, &record.change) {
            (_, Some(change)) => return Self::Written(change),
            (Choice::Nothing(why), None) => return Self::Idle(why),
            (Choice::Act { rule, action, .. }, None) => (&**rule, action),
            (Choice::Undo { action, .. }, None) => (UNDO, action),
        };
        let wanted = Wanted { rule, action };
        let shadow = record.mode == Mode::Shadow;
        let stop = stops(record).find(|stop| !shadow || stop.guard != GuardName::Mode);
        match (stop, &record.outcome) {
            (Some(stop), _) => Self::Stopped(wanted, stop),
            (None, _) if shadow => Self::Shown(wanted),
            (None, Some(outcome)) => Self::Refused(wanted, outcome),
            (None, None) => Self::Unneeded(wanted),
        }
    }
}

fn stops(record: &DecisionRecord) -> impl Iterator<Item = &GuardFinding> {
    record.verdict.findings.iter().filter(|found| matches!(found.finding, Finding::Hold | Finding::Reject))
}

/// Returns the verb for the state of a write: `scaling`, `scaled`, `did not scale`.
pub(super) fn verb(change: &ChangeSet, outcome: Option<&WriteOutcome>) -> &'static str {
    let (doing, done, tried) = match change.knob {
        Knob::Replicas => ("scaling", "scaled", "did not scale"),
        Knob::AutoscalerFloor => ("moving", "moved", "did not move"),
        _ => ("changing", "changed", "did not change"),
    };
    match outcome {
        None => doing,
        Some(WriteOutcome::Applied) => done,
        Some(_) => tried,
    }
}

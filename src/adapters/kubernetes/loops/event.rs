//! Which news become Events, and what they say. Pure. Reported are decisions that act, that hold after acting, or that
//! change a state; never that there was nothing to do.

use crate::model::explain::{policy_trouble, sentence};
use crate::model::{Cause, ChangeSet, DecisionRecord, GuardName, Impact, Mode, VerdictKind, WriteOutcome};
use crate::ports::{News, Stop};

use super::judge::Acceptance;
use super::status::{Freeze, freeze, no_value};

/// The content of an Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    /// What happened.
    pub(super) reason: EventReason,
    /// Whether somebody should look at it.
    pub(super) warning: bool,
    /// One sentence.
    pub(super) note: String,
    /// What it is about.
    pub(super) subject: Subject,
}

/// What happened, as the `reason` of an Event says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EventReason {
    /// A decision planned a write.
    ActionPlanned,
    /// A write took effect.
    ActionApplied,
    /// A write that reverts an earlier one took effect.
    ActionUndone,
    /// A guard holds, or a write ended without effect.
    ActionBlocked,
    /// The effect of a write was measured.
    ActionVerified,
    /// Another writer changed what flyball writes.
    Conflict,
    /// The actors of the service are stopped after repeated restarts.
    Quarantined,
    /// They run again.
    Recovered,
    /// Data needed for decisions is missing.
    Frozen,
    /// Writes are stopped until a person intervenes.
    BreakerOpen,
    /// Writes are no longer stopped.
    BreakerClosed,
    /// The spec is active again.
    SpecAccepted,
    /// The spec has faults.
    SpecInvalid,
    /// The spec collides with that of another loop.
    SpecCollision,
    /// The newest policies are active again.
    PolicyAccepted,
    /// The newest policies have faults.
    PolicyRefused,
    /// Rules fail, contradict each other or ask for what nothing can do.
    PolicyTrouble,
}

/// What an Event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A one-time occurrence.
    Occurrence,
    /// The guard that holds.
    Hold,
    /// Whether the spec is accepted.
    Spec,
    /// Whether the newest policies are active.
    Policies,
    /// What is wrong with how the active rules decide.
    Rules,
    /// Whether data is missing.
    Frozen,
    /// Whether writes are stopped until a person intervenes.
    Breaker,
}

/// What was reported of one loop so far, to the extent the next Event depends on it.
#[derive(Debug, Clone, Default)]
pub(super) struct Reported {
    /// The guard that holds, since its last change.
    holding: Option<GuardName>,
    accepted: Option<Acceptance>,
    /// The faults of the newest policies.
    policies: Option<Vec<String>>,
    /// What is wrong with how the active rules decide.
    rules: Option<String>,
    /// Whether data is missing.
    frozen: Option<bool>,
    /// Why writes are stopped.
    stopped: Option<String>,
}

impl EventReason {
    /// Returns the reason as the API shows it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ActionPlanned => "ActionPlanned",
            Self::ActionApplied => "ActionApplied",
            Self::ActionUndone => "ActionUndone",
            Self::ActionBlocked => "ActionBlocked",
            Self::ActionVerified => "ActionVerified",
            Self::Conflict => "Conflict",
            Self::Quarantined => "Quarantined",
            Self::Recovered => "Recovered",
            Self::Frozen => "Frozen",
            Self::BreakerOpen => "BreakerOpen",
            Self::BreakerClosed => "BreakerClosed",
            Self::SpecAccepted => "SpecAccepted",
            Self::SpecInvalid => "SpecInvalid",
            Self::SpecCollision => "SpecCollision",
            Self::PolicyAccepted => "PolicyAccepted",
            Self::PolicyRefused => "PolicyRefused",
            Self::PolicyTrouble => "PolicyTrouble",
        }
    }

    /// Returns whether budgets already bound how many such Events there are.
    pub(super) fn is_bounded_by_budgets(self) -> bool {
        matches!(self, Self::ActionPlanned | Self::ActionApplied | Self::ActionUndone)
    }
}

impl Draft {
    fn occurrence(reason: EventReason, warning: bool, note: String) -> Self {
        Self { reason, warning, note, subject: Subject::Occurrence }
    }
}

impl Reported {
    /// Returns the Event that follows from news, if any.
    pub(super) fn event(&mut self, news: &News) -> Option<Draft> {
        match news {
            News::Decided(record) => self.decided(record),
            News::WriteEnded { change, outcome } => Some(ended(change, outcome)),
            News::Measured { decision, effect } => {
                let note = format!("{decision}: {} ({})", effect.why, effect.impact.as_str());
                Some(Draft::occurrence(EventReason::ActionVerified, effect.impact == Impact::Hurt, note))
            }
            News::Quarantined(Some(reason)) => Some(Draft::occurrence(EventReason::Quarantined, true, reason.clone())),
            News::Quarantined(None) => {
                Some(Draft::occurrence(EventReason::Recovered, false, "its actors are running again".to_owned()))
            }
            News::Edited(edit) => Some(Draft::occurrence(EventReason::Conflict, true, edit.clone())),
            // A state: `stopped` reports it.
            News::Stopped(_) => None,
        }
    }

    /// Returns the Event for data that has gone missing. Data that is missing at the start is not news.
    pub(super) fn frozen(&mut self, record: &DecisionRecord) -> Option<Draft> {
        let frozen = freeze(record);
        let before = self.frozen.replace(frozen.is_some());
        let what = match frozen.filter(|_| before == Some(false) && record.mode != Mode::Observe)? {
            Freeze::Target => "the target was last seen too long ago".to_owned(),
            Freeze::Signals(silent) => no_value(&silent),
        };
        let note = format!("{what}: holds what it has");
        Some(Draft { reason: EventReason::Frozen, warning: true, note, subject: Subject::Frozen })
    }

    /// Returns the Event for rules that need a person.
    pub(super) fn rules(&mut self, record: &DecisionRecord) -> Option<Draft> {
        let trouble = policy_trouble(record);
        let before = std::mem::replace(&mut self.rules, trouble.clone());
        let note = trouble.filter(|trouble| before.as_ref() != Some(trouble))?;
        Some(Draft { reason: EventReason::PolicyTrouble, warning: true, note, subject: Subject::Rules })
    }

    /// Returns the Event for writes that are stopped until a person intervenes, or that resume.
    pub(super) fn stopped(&mut self, stop: Option<&Stop>) -> Option<Draft> {
        let why = stop.map(|(Stop::StoodDown(why) | Stop::Refused(why))| why.clone());
        let before = std::mem::replace(&mut self.stopped, why.clone());
        let (reason, note) = match (before, why) {
            (before, now) if before == now => return None,
            (_, Some(why)) => (EventReason::BreakerOpen, why),
            (_, None) => (EventReason::BreakerClosed, "writes are not stopped any longer".to_owned()),
        };
        Some(Draft { reason, warning: stop.is_some(), note, subject: Subject::Breaker })
    }

    /// Returns the Event for a change in what is accepted. That a first spec is valid is not news.
    pub(super) fn accepted(&mut self, accepted: &Acceptance) -> Option<Draft> {
        let before = self.accepted.replace(accepted.clone());
        let subject = Subject::Spec;
        let (reason, note) = match accepted {
            _ if before.as_ref() == Some(accepted) => return None,
            Acceptance::Valid => {
                let note = "the spec is active again".to_owned();
                return before.map(|_| Draft { reason: EventReason::SpecAccepted, warning: false, note, subject });
            }
            Acceptance::Invalid(faults) => (EventReason::SpecInvalid, faults.join("; ")),
            Acceptance::Collision(faults) => (EventReason::SpecCollision, faults.join("; ")),
        };
        Some(Draft { reason, warning: true, note, subject })
    }

    /// Returns the Event for a change in whether the newest policies are active. That the first ones are is not news.
    pub(super) fn policies(&mut self, faults: &[String]) -> Option<Draft> {
        let before = self.policies.replace(faults.to_vec());
        if before.as_deref() == Some(faults) {
            return None;
        }
        let subject = Subject::Policies;
        if faults.is_empty() {
            let note = "the newest policies are active again".to_owned();
            return before.map(|_| Draft { reason: EventReason::PolicyAccepted, warning: false, note, subject });
        }
        let note = format!("{}; the last good policies remain active", faults.join("; "));
        Some(Draft { reason: EventReason::PolicyRefused, warning: true, note, subject })
    }

    /// Retracts the report of a state, last reported as in `former`: while the state lasts, it is reported again.
    pub(super) fn retract(&mut self, subject: Subject, former: &Self) {
        match subject {
            Subject::Occurrence => {}
            Subject::Hold => self.holding = None,
            Subject::Spec => self.accepted.clone_from(&former.accepted),
            Subject::Policies => self.policies.clone_from(&former.policies),
            Subject::Rules => self.rules.clone_from(&former.rules),
            Subject::Frozen => self.frozen = former.frozen,
            Subject::Breaker => self.stopped.clone_from(&former.stopped),
        }
    }

    fn decided(&mut self, record: &DecisionRecord) -> Option<Draft> {
        let holding = match record.verdict.kind {
            VerdictKind::Hold | VerdictKind::Reject => record.verdict.decided_by,
            VerdictKind::Pass | VerdictKind::Clamp | VerdictKind::Idle => None,
        };
        let before = std::mem::replace(&mut self.holding, holding);
        if record.change.is_some() {
            let revision = record.proposal.revision.as_ref().map_or_else(String::new, |of| format!(", revision {of}"));
            let note = format!("{} ({}{revision})", sentence(record), record.id);
            return Some(Draft::occurrence(EventReason::ActionPlanned, false, note));
        }
        let draft = |reason, warning| Some(Draft { reason, warning, note: sentence(record), subject: Subject::Hold });
        match holding.filter(|guard| before != Some(*guard))? {
            // Holding back is the purpose of the mode, and waiting for a second sample is not a state.
            GuardName::Mode | GuardName::Confirmation => None,
            // Reported as a state.
            GuardName::Freshness if self.frozen == Some(true) => None,
            GuardName::Ownership if self.stopped.is_some() => None,
            GuardName::Ownership => draft(EventReason::Conflict, true),
            _ => draft(EventReason::ActionBlocked, false),
        }
    }
}

fn ended(change: &ChangeSet, outcome: &WriteOutcome) -> Draft {
    let (from, to, rule) = (change.from, change.to, &change.cause);
    let of = change.floor.as_ref().map_or_else(String::new, |floor| format!(" of HPA {}", floor.autoscaler));
    let knob = change.knob.as_str();
    let note = format!("{knob}{of} {from} -> {to} by rule {rule}: {outcome} ({})", change.decision);
    let undone = *rule == Cause::Undo;
    let (reason, warning) = match outcome {
        WriteOutcome::Applied | WriteOutcome::AlreadyThere if undone => (EventReason::ActionUndone, true),
        WriteOutcome::Applied | WriteOutcome::AlreadyThere => (EventReason::ActionApplied, false),
        WriteOutcome::Superseded { .. } => (EventReason::Conflict, true),
        WriteOutcome::Rejected { .. }
        | WriteOutcome::Expired
        | WriteOutcome::Stale { .. }
        | WriteOutcome::Refused(_)
        | WriteOutcome::Abandoned { .. }
        | WriteOutcome::NoLever => (EventReason::ActionBlocked, true),
    };
    Draft::occurrence(reason, warning, note)
}

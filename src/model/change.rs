//! The write that follows from a verdict: its plan, and its durable intent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::action::{ActionClass, Direction, Knob};
use super::autoscaling::FloorOf;
use super::effect::Measured;
use super::foreseen::Foreseen;
use super::ids::{DecisionId, PolicyRevision, ServiceId, TraceId, hex};
use super::leadership::Epoch;
use super::proposal::{RETURN_FLOOR, UNDO};
use super::target::TargetRef;
use super::time::{Now, Timestamp, elapsed};
use super::write_outcome::WriteOutcome;

/// Idempotency id of a change: the same decision always gives the same id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ChangeId(String);

impl ChangeId {
    /// Returns the id of a move of `knob` of an object (`uid`) from one value to another by one decision.
    pub fn derive(uid: &str, knob: Knob, decision: &DecisionId, from: u32, to: u32) -> Self {
        let text = format!("{uid}\n{}\n{decision}\n{from}\n{to}", knob.as_str());
        let digest = Sha256::digest(text);
        Self(hex(&digest[..13]))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What requests a write. Shown and stored as one name: no rule may use a name reserved for the other causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Arc<str>", into = "Arc<str>")]
#[schemars(with = "String")]
pub enum Cause {
    /// A rule.
    Rule(Arc<str>),
    /// No rule: a lowering that hurt is rolled back.
    Undo,
    /// No rule: a floor returns to its original value once its declaration is gone.
    ReturnFloor,
}

impl Cause {
    /// Returns its name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Rule(name) => name,
            Self::Undo => UNDO,
            Self::ReturnFloor => RETURN_FLOOR,
        }
    }
}

impl From<&str> for Cause {
    fn from(name: &str) -> Self {
        match name {
            UNDO => Self::Undo,
            RETURN_FLOOR => Self::ReturnFloor,
            rule => Self::Rule(rule.into()),
        }
    }
}

impl From<Arc<str>> for Cause {
    fn from(name: Arc<str>) -> Self {
        Self::from(&*name)
    }
}

impl From<Cause> for Arc<str> {
    fn from(cause: Cause) -> Self {
        cause.as_str().into()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One planned write: absolute, conditional, expiring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeSet {
    /// Idempotency id.
    pub id: ChangeId,
    /// The decision it follows from.
    pub decision: DecisionId,
    /// Trace of that decision.
    pub trace: TraceId,
    /// What requested it.
    #[serde(rename = "rule")]
    pub cause: Cause,
    /// The active policy set.
    pub revision: Option<PolicyRevision>,
    /// The target whose replicas it is about.
    pub target: TargetRef,
    /// Identity that the object written to must still have: the target, or its autoscaler.
    pub uid: String,
    /// What is changed.
    pub knob: Knob,
    /// The autoscaler whose floor is changed, if the knob is a floor; then `uid` is the autoscaler's.
    #[serde(default)]
    pub floor: Option<FloorOf>,
    /// Class, for the kill switch.
    pub class: ActionClass,
    /// Value that the object must still have.
    pub from: u32,
    /// Value written.
    pub to: u32,
    /// Whether the arrival rate backs it.
    pub backed_by_arrivals: bool,
    /// When it was decided.
    pub decided: Now,
    /// How long after that it may still be sent.
    #[serde(alias = "valid_for_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub valid_for: Duration,
    /// How long after that the data it was decided on counts as fresh. A write without it is not sent.
    #[serde(default)]
    #[serde(alias = "fresh_for_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub fresh_for: Duration,
    /// The leadership term in which it was decided; it is not sent in any other term.
    #[serde(default)]
    pub epoch: Epoch,
}

#[cfg(test)]
impl ChangeSet {
    /// Returns a change of the replicas of the Deployment named like its service, for tests without special needs. It
    /// has no revision, and is fresh and valid for half a minute.
    pub(crate) fn of_replicas(decision: DecisionId, from: u32, to: u32, decided: Now) -> Self {
        let (knob, uid) = (Knob::Replicas, "uid".to_owned());
        let kind = super::target::TargetKind::Deployment;
        let (namespace, name) = (decision.service.namespace().to_owned(), decision.service.name().to_owned());
        Self {
            id: ChangeId::derive(&uid, knob, &decision, from, to),
            trace: TraceId::derive(&decision.service, decision.cycle, decided.wall),
            decision,
            cause: "rule".into(),
            revision: None,
            target: TargetRef { kind, namespace, name },
            uid,
            knob,
            floor: None,
            class: ActionClass::Scale,
            from,
            to,
            backed_by_arrivals: false,
            decided,
            valid_for: Duration::from_secs(30),
            fresh_for: Duration::from_secs(30),
            epoch: Epoch::ALONE,
        }
    }
}

impl ChangeSet {
    /// Returns the service it is for.
    pub fn service(&self) -> &ServiceId {
        &self.decision.service
    }

    /// Returns whether it raises or lowers; a move on a knob without an order is lateral.
    pub fn direction(&self) -> Direction {
        match self.knob {
            Knob::Replicas | Knob::AutoscalerFloor | Knob::Rate | Knob::Resources => {
                Direction::of(self.from, self.to).unwrap_or(Direction::Lateral)
            }
            Knob::Route | Knob::Rollout | Knob::Pods | Knob::External => Direction::Lateral,
        }
    }

    /// Returns how long ago it was decided.
    pub fn age(&self, now: Now) -> Duration {
        now.since_reading(self.decided)
    }

    /// Returns whether it is too old to be sent.
    pub fn expired(&self, now: Now) -> bool {
        self.age(now) > self.valid_for
    }
}

/// A change of a service ended.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteEnd {
    /// Which.
    pub change: ChangeSet,
    /// How.
    pub outcome: WriteOutcome,
    /// When.
    pub now: Now,
    /// The version of the object that the write made, or that was read after it; `None` if none was seen.
    pub version: Option<u64>,
}

/// What the journal knows of a write: durable before the write, ended exactly once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The planned write.
    pub change: ChangeSet,
    /// When the intent became durable.
    pub prepared: Timestamp,
    /// How it ended, and when; `None` while it is open.
    pub ended: Option<(Timestamp, WriteOutcome)>,
    /// The client that reverted it, if any.
    #[serde(default)]
    pub reverted: Option<Revert>,
    /// What was expected without it. Empty in what older versions wrote: then nothing is measured against a forecast.
    #[serde(default)]
    pub foreseen: Foreseen,
    /// What it did; `None` while that is measured, or if it was never known.
    #[serde(default)]
    pub measured: Option<Measured>,
}

impl Intent {
    /// Returns the open intent of a change.
    pub fn open(change: ChangeSet, prepared: Timestamp, foreseen: Foreseen) -> Self {
        Self { change, prepared, ended: None, reverted: None, foreseen, measured: None }
    }

    /// Returns the last of `intents` (oldest first) that was applied to `target`.
    pub fn last_applied<'a>(intents: &'a [Self], target: &TargetRef) -> Option<&'a Self> {
        intents.iter().rev().find(|intent| intent.change.target == *target && intent.applied_at().is_some())
    }

    /// Returns when it ended as applied; `None` if it did not.
    pub fn applied_at(&self) -> Option<Timestamp> {
        match &self.ended {
            Some((at, WriteOutcome::Applied)) => Some(*at),
            _ => None,
        }
    }

    /// Returns whether it ended within `span` before `now` and guards consider it. An end in the future counts: after a
    /// clock jump the longer memory is the safer one (INV-23).
    pub fn remembered_within(&self, now: Timestamp, span: Duration) -> bool {
        self.ended.as_ref().is_some_and(|(at, outcome)| outcome.is_remembered() && elapsed(now, *at) <= span)
    }
}

/// Another client reverted an applied write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revert {
    /// When it was noticed.
    pub at: Timestamp,
    /// What was written.
    pub from: u32,
    /// What was found instead.
    pub to: u32,
    /// The field manager that set it, if the object names one.
    pub by: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asked_for_a_write_is_kept_by_one_name() {
        for (cause, name) in [
            (Cause::Rule("capacity".into()), "\"capacity\""),
            (Cause::Undo, "\"undo\""),
            (Cause::ReturnFloor, "\"return_floor\""),
        ] {
            assert_eq!(serde_json::to_string(&cause).unwrap(), name);
            assert_eq!(serde_json::from_str::<Cause>(name).unwrap(), cause);
        }
    }
}

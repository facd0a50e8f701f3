//! One cycle of the loop for one service, complete enough to explain it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::ChangeSet;
use super::comparison::CandidateDecision;
use super::effect::Effect;
use super::features::Features;
use super::ids::{DecisionId, TraceId};
use super::outlook::Outlook;
use super::proposal::Proposal;
use super::provenance::Provenance;
use super::spec::{Mode, ServiceSpec};
use super::time::Timestamp;
use super::verdict::Verdict;
use super::write_outcome::WriteOutcome;

/// Everything that one cycle observed, proposed, was allowed, did and achieved. Observations and forecasts are shared
/// with the recorded cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionRecord {
    /// Which decision.
    pub id: DecisionId,
    /// Trace from sample to effect.
    pub trace: TraceId,
    /// When it was made.
    pub at: Timestamp,
    /// Mode of the service.
    pub mode: Mode,
    /// Names and units of the signals, in the order of `features` and `outlook`.
    pub signals: Arc<Vec<SignalLabel>>,
    /// What was seen.
    pub features: Arc<Features>,
    /// What was expected.
    pub outlook: Arc<Outlook>,
    /// What the policies wanted.
    pub proposal: Proposal,
    /// Origin of the active policy set, if known; `proposal` names its revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Arc<Provenance>>,
    /// What the candidate policy set wanted; `None` without a candidate.
    #[serde(default, alias = "instead", skip_serializing_if = "Option::is_none")]
    pub candidate: Option<CandidateDecision>,
    /// What the guards allowed.
    pub verdict: Verdict,
    /// The write that followed.
    pub change: Option<ChangeSet>,
    /// How the write ended; `None` without one or while it is in flight.
    pub outcome: Option<WriteOutcome>,
    /// What the write did; `None` without one or while it is measured.
    pub effect: Option<Effect>,
}

impl DecisionRecord {
    /// Returns whether `spec` declares the signals of this record, so that its inputs can be decided again.
    pub fn fits(&self, spec: &ServiceSpec) -> bool {
        let then = self.signals.iter().map(|label| (&label.name, label.unit));
        then.eq(spec.signals.iter().map(|signal| (&signal.name, signal.unit)))
    }

    /// Returns it with only the outcomes of its rules: for a record that would be too long to be read back. The acting
    /// rule keeps its conditions; where others had some, [`CUT`] says so.
    #[must_use]
    pub fn shortened(&self) -> Self {
        let mut short = self.clone();
        let chosen = self.proposal.choice.rule();
        for rule in &mut short.proposal.rules {
            let keeps = chosen == Some(&*rule.rule);
            if !rule.notes.is_empty() || !(keeps || rule.conditions.is_empty()) {
                rule.notes = vec![CUT.into()];
            }
            if !keeps {
                rule.conditions = Vec::new();
            }
        }
        short
    }
}

/// Note of a rule whose details a record leaves out.
pub const CUT: &str = "(cut: the record was too long)";

/// What is needed to show the value of a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignalLabel {
    /// Name in policies.
    pub name: super::signal::SignalName,
    /// Unit.
    pub unit: super::signal::Unit,
    /// What the loop takes it for.
    pub role: Option<super::signal::Role>,
}

impl SignalLabel {
    /// Returns the labels of all signals of a service.
    pub fn of(spec: &ServiceSpec) -> Vec<Self> {
        spec.signals
            .iter()
            .map(|signal| Self { name: signal.name.clone(), unit: signal.unit, role: signal.role })
            .collect()
    }
}

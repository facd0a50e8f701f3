//! What the console and the CLI ask of a running loop.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    Bounds, DecisionId, DecisionRecord, Features, KillState, Lead, Mode, Outlook, PolicyRevision, ServiceId, Slo,
    record::SignalLabel,
};

use super::journal::JournalError;
use super::policy_memory::PolicyStatus;

/// How one service stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSnapshot {
    /// Which service.
    pub service: ServiceId,
    /// Its mode.
    pub mode: Mode,
    /// The revision of the policies in force for it; `None` while there is none.
    pub revision: Option<PolicyRevision>,
    /// Its objective.
    pub slo: Slo,
    /// Its replica bounds.
    pub bounds: Bounds,
    /// Names and units of its signals.
    pub signals: Vec<SignalLabel>,
    /// What was last seen; `None` before the first cycle.
    pub features: Option<Arc<Features>>,
    /// What was last expected.
    pub outlook: Option<Arc<Outlook>>,
    /// The last decision.
    pub last: Option<Arc<DecisionRecord>>,
    /// Restarts of its actors so far.
    pub restarts: u64,
    /// Why it is quarantined, if it is.
    pub quarantined: Option<String>,
}

/// How the process stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Whether the loop can decide: sources warm and answering, policy loaded, open intents settled, journal writable.
    pub ready: bool,
    /// What is still missing, or wrong.
    pub waiting_for: Vec<String>,
    /// The policy set in force.
    pub revision: Option<PolicyRevision>,
    /// Faults of the newest set, if it was refused.
    pub policy_faults: Vec<String>,
    /// The kill switch.
    pub kill: KillState,
    /// How the process stands to the lease.
    pub lead: Lead,
    /// Time since the start.
    pub uptime: Duration,
}

/// A running loop, seen from outside.
pub trait Control: Send + Sync + 'static {
    /// Returns how the process stands.
    fn status(&self) -> Status;

    /// Returns which policies are in force, and what stands beside them.
    fn policies(&self) -> PolicyStatus;

    /// Returns how the services stand, in name order.
    fn services(&self) -> Vec<ServiceSnapshot>;

    /// Returns how one service stands.
    fn service(&self, id: &ServiceId) -> Option<ServiceSnapshot>;

    /// Returns the newest decision records, newest first.
    fn decisions(&self, service: Option<&ServiceId>, limit: usize) -> Result<Vec<DecisionRecord>, JournalError>;

    /// Returns the decision records of one service from before a decision of it, newest first.
    fn decisions_before(&self, id: &DecisionId, limit: usize) -> Result<Vec<DecisionRecord>, JournalError>;

    /// Returns one decision record.
    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError>;
}

//! What the console and the CLI request from a running loop.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    Bounds, DecisionId, DecisionRecord, Features, KillState, Lead, Mode, Outlook, PolicyRevision, RecordMask,
    ServiceId, ServiceSpec, Slo, Timestamp, record::SignalLabel,
};

use super::awaited::Awaited;
use super::journal::JournalError;
use super::policy_memory::PolicyStatus;

/// The state of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSnapshot {
    /// Which service.
    pub service: ServiceId,
    /// Its mode.
    pub mode: Mode,
    /// The policy revision active for it; `None` while there is none.
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
    /// The API server's last error for its writes, if they failed.
    pub denied: Option<String>,
    /// Why it stands down, if it does: somebody else sets its target back.
    pub stood_down: Option<String>,
}

/// The declaration of one service, except masked values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Declaration {
    /// The active declaration.
    pub spec: ServiceSpec,
    /// Parameters that it sets and whose values are not shown.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub masked_parameters: BTreeSet<Arc<str>>,
}

impl Declaration {
    /// Returns a declaration as `mask` allows it to be shown.
    pub fn shown(mut spec: ServiceSpec, mask: &RecordMask) -> Self {
        let masked_parameters: BTreeSet<_> =
            spec.parameters.keys().filter(|name| mask.parameters.contains(*name)).cloned().collect();
        spec.parameters.retain(|name, _| !masked_parameters.contains(name));
        Self { spec, masked_parameters }
    }

    /// Returns the service for deciding: masked values are known to be set, but not to what.
    pub fn service(self) -> ServiceSpec {
        let Self { mut spec, masked_parameters } = self;
        spec.parameters.extend(masked_parameters.into_iter().map(|name| (name, None)));
        spec
    }
}

/// The state of the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Whether the process is able to work: what is declared is known, watches are current, a policy is in force, the
    /// journal is writable, who leads is known; and at its start, each service was asked for once and its history read,
    /// or two minutes have passed. Problems of single services are not included.
    pub ready: bool,
    /// What is still missing or wrong.
    pub waiting_for: Vec<Awaited>,
    /// What some services are waiting for, while the process and all others work: telemetry, history, a write to be
    /// settled.
    #[serde(default)]
    pub services_wait_for: Vec<Awaited>,
    /// The active policy set.
    pub revision: Option<PolicyRevision>,
    /// Faults of the newest set, if it was refused.
    pub policy_faults: Vec<String>,
    /// The kill switch.
    pub kill: KillState,
    /// The lease state of the process.
    pub lead: Lead,
    /// The clock of the loop.
    pub now: Timestamp,
    /// Time since the start.
    #[serde(rename = "uptime_seconds", with = "crate::model::time::seconds")]
    #[schemars(with = "f64")]
    pub uptime: Duration,
    /// Its version and commit.
    #[serde(default)]
    pub version: String,
    /// Its state directory: it distinguishes this flyball from another one answering at the same address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// Hash of the settings it was started with, to detect later edits of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// Location of the kill switch that it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_switch: Option<String>,
    /// State of the telemetry sources, by name.
    #[serde(default)]
    pub sources: Vec<SourceStatus>,
}

/// The state of a telemetry source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceStatus {
    /// Its name in the settings.
    pub name: String,
    /// Services that it covers.
    pub services: usize,
    /// Services with fresh samples from it.
    pub fresh: usize,
    /// How old its newest sample is; `None` before the first.
    pub staleness_seconds: Option<f64>,
    /// Why the last round failed, if it did.
    pub error: Option<String>,
}

/// A running loop, seen from outside.
pub trait Control: Send + Sync + 'static {
    /// Returns the state of the process. Checks every service.
    fn status(&self) -> Status;

    /// Returns what has been stalled for so long that the process is to be restarted, if anything. Fast, however many
    /// services there are.
    fn standstill(&self) -> Option<Awaited>;

    /// Returns the active policies and their candidate.
    fn policies(&self) -> PolicyStatus;

    /// Returns the state of the services, in name order: the first `limit` of those after a name, or of all.
    fn services(&self, after: Option<&ServiceId>, limit: usize) -> Vec<ServiceSnapshot>;

    /// Returns the state of one service.
    fn service(&self, id: &ServiceId) -> Option<ServiceSnapshot>;

    /// Returns the declaration of one service.
    fn declaration(&self, id: &ServiceId) -> Option<Declaration>;

    /// Returns decision records, newest first: the newest, or those from before a decision; of one service or of all.
    fn decisions(
        &self,
        service: Option<&ServiceId>,
        before: Option<&DecisionId>,
        limit: usize,
    ) -> Result<Vec<DecisionRecord>, JournalError>;

    /// Returns one decision record.
    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError>;
}

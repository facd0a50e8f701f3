//! Policy state that outlives the process, and operators' orders about it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::policy_store::PolicyFile;
use crate::model::policy_path::is_for_tests;
use crate::model::{PolicyComparison, PolicyRevision, Provenance, ServiceId, Timestamp};

/// The files of a valid set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoodFiles {
    /// Where they came from.
    pub origin: String,
    /// Those for all services.
    pub files: Vec<PolicyFile>,
    /// Those that extend them in one namespace.
    pub namespaces: BTreeMap<String, Vec<PolicyFile>>,
    /// Earlier versions of those for all services, for namespaces that still use them while their own wait.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bases: BTreeMap<String, Vec<PolicyFile>>,
}

/// What a process knows about its policies when it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPolicies {
    /// The active set.
    pub in_force: Option<GoodFiles>,
    /// The one before it.
    #[serde(alias = "before")]
    pub previous: Option<GoodFiles>,
    /// Those before that, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<GoodFiles>,
    /// What was rolled back.
    pub rolled_back: Option<PolicyRevision>,
    /// Its sets that are not activated again, with the namespace each binds (empty for all others).
    #[serde(default)]
    pub rolled_back_sets: BTreeSet<(String, PolicyRevision)>,
    /// Services that use the previous set.
    pub behind: BTreeSet<ServiceId>,
    /// The candidate.
    #[serde(default)]
    pub candidate: Option<KeptCandidate>,
    /// Services that already use the candidate.
    #[serde(default)]
    pub ahead: BTreeSet<ServiceId>,
    /// The last order processed, successfully or not: it is not processed again after a restart.
    #[serde(default)]
    pub last_order: Option<PolicyOrderEnd>,
}

impl KeptPolicies {
    /// Returns the part shared by all processes, which is small: a process that starts from it can go one step back,
    /// and files that do not count towards revisions, tests and recorded inputs, are omitted.
    #[must_use]
    pub fn brief(mut self) -> Self {
        self.earlier = Vec::new();
        let sets = [self.in_force.as_mut(), self.previous.as_mut(), self.candidate.as_mut().map(|one| &mut one.files)];
        for set in sets.into_iter().flatten() {
            let own = set.namespaces.values_mut().chain(set.bases.values_mut());
            std::iter::once(&mut set.files).chain(own).for_each(|files| {
                files.retain(|file| !is_for_tests(&file.path));
            });
        }
        self
    }
}

/// A candidate set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCandidate {
    /// What it is made of.
    pub files: GoodFiles,
    /// Soak start of its newest set, not counting time without a running process.
    pub since: Timestamp,
    /// Soak start of each set that is not active yet, by namespace.
    #[serde(default)]
    pub sets: BTreeMap<String, Timestamp>,
    /// How it compared on recorded inputs when it was loaded.
    pub replay: PolicyComparison,
}

/// The operation on policy sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyOperation {
    /// Activate the candidate.
    Promote,
    /// Roll back to the previously active policy set.
    Rollback,
}

/// An operator's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyOrder {
    /// Distinguishes it from every other.
    pub id: String,
    /// When it was given; an old one is not executed.
    pub at: Timestamp,
    /// The remedy.
    pub operation: PolicyOperation,
    /// Only for this service.
    pub service: Option<ServiceId>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// The result of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyOrderEnd {
    /// Which.
    pub id: String,
    /// Whether it was done.
    pub done: bool,
    /// The resulting state, or why it was not done.
    pub words: String,
}

/// The active revision, and the candidate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyStatus {
    /// The hash of all active policy sets, if namespaces have their own sets: it names the previous, the candidate and
    /// the rolled back state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<PolicyRevision>,
    /// The active revision for all services without an entry below.
    pub in_force: Option<PolicyRevision>,
    /// The active revisions for services in namespaces with their own policies.
    pub namespaces: BTreeMap<String, PolicyRevision>,
    /// Services that use a different revision than their namespace, and that revision.
    pub apart: BTreeMap<ServiceId, PolicyRevision>,
    /// The leader's active release, if this process is a follower and has not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<PolicyRevision>,
    /// The previously active one: the target of a rollback.
    pub previous: Option<PolicyRevision>,
    /// The targets of further rollbacks, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<PolicyRevision>,
    /// The candidate.
    pub candidate: Option<CandidateStatus>,
    /// The one rolled back by an operator: not activated again until it is promoted or edited.
    pub rolled_back: Option<PolicyRevision>,
    /// Faults of the last loaded set, if it was refused.
    pub faults: Vec<String>,
    /// Warnings about the active policy sets: valid, but probably a mistake.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The last order of an operator.
    pub last_order: Option<PolicyOrderEnd>,
    /// Origins of the revisions named here, if known.
    #[serde(default)]
    pub provenance: BTreeMap<PolicyRevision, Provenance>,
    /// How the active policy set compared with its predecessor on recorded inputs, when it was loaded.
    pub replay: Option<PolicyComparison>,
}

/// A candidate policy set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateStatus {
    /// Which.
    pub revision: PolicyRevision,
    /// Seconds until all of it is active.
    #[serde(rename = "in_force_in_seconds", alias = "in_force_in")]
    pub in_force_in: u64,
    /// The same for each of its sets that is not active yet, by namespace; the empty name stands for all others.
    #[serde(default)]
    pub sets_in_force_in_seconds: BTreeMap<String, u64>,
    /// Warnings: valid, but probably a mistake.
    pub warnings: Vec<String>,
    /// How it compares on the inputs recorded before it was loaded.
    pub replay: PolicyComparison,
    /// How it compares on those since.
    pub live: PolicyComparison,
}

/// Storage for all that.
pub trait PolicyMemory: Send + Sync + 'static {
    /// Returns what was stored; nothing at the first start, or if it cannot be read.
    fn kept(&self) -> KeptPolicies;

    /// Stores it durably.
    ///
    /// # Errors
    /// Why it could not.
    fn keep(&self, policies: &KeptPolicies) -> Result<(), String>;

    /// Shares a copy with other processes, if any: for one that starts without stored state. Does not wait.
    fn share(&self, _policies: &KeptPolicies) {}

    /// Returns the newest order, and every later one.
    fn orders(&self) -> watch::Receiver<Option<PolicyOrder>>;
}

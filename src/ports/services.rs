//! Which services are supervised, and what their owners are notified of.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::awaited::Awaited;
use crate::model::{ChangeSet, DecisionId, DecisionRecord, Effect, ServiceId, ServiceSpec, WriteOutcome};

/// All services declared at one moment.
pub type DeclaredServices = Arc<BTreeMap<ServiceId, Arc<ServiceSpec>>>;

/// What happened to a service.
#[derive(Debug, Clone)]
pub enum News {
    /// A cycle ended, with or without a write.
    Decided(Arc<DecisionRecord>),
    /// A write ended.
    WriteEnded {
        /// Which.
        change: ChangeSet,
        /// How.
        outcome: WriteOutcome,
    },
    /// A write was measured.
    Measured {
        /// The decision it followed from.
        decision: DecisionId,
        /// What it did.
        effect: Effect,
    },
    /// Its actors keep failing (why), or work again (`None`).
    Quarantined(Option<String>),
    /// Its writes are stopped until a person intervenes (why), or resume (`None`).
    Stopped(Option<Stop>),
    /// Somebody else set its target: what, and who.
    Edited(String),
}

/// Why the writes of a service are stopped until a person intervenes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Somebody else keeps reverting its target: a description.
    StoodDown(String),
    /// The API server refuses its writes: a description.
    Refused(String),
}

/// What was wrong with the newest policies, if they were refused; empty if they are active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyFaults {
    /// Faults of the set that applies to every service.
    pub all: Vec<String>,
    /// Faults of the files that extend it for one namespace.
    pub namespaces: BTreeMap<String, Vec<String>>,
}

impl PolicyFaults {
    /// Returns the faults that concern the services of `namespace`.
    pub fn of(&self, namespace: &str) -> Vec<String> {
        self.all.iter().chain(self.namespaces.get(namespace).into_iter().flatten()).cloned().collect()
    }
}

/// Validates declarations as owners write them, against the settings.
pub trait Declarations: Send + Sync + 'static {
    /// Returns the service `id` that the `spec` of an object declares.
    ///
    /// # Errors
    /// All faults, each with its place and its remedy.
    fn read(&self, id: &ServiceId, spec: &Value) -> Result<ServiceSpec, Vec<String>>;

    /// Returns for each service why it conflicts with those before it; empty for most.
    fn collisions(&self, services: &[ServiceSpec]) -> Vec<Vec<String>>;
}

/// Which services are supervised, wherever that is declared.
pub trait Services: Send + Sync + 'static {
    /// Returns the services declared now and every later set. `None` until they are known for the first time: a
    /// declaration that cannot be read yet, or no longer, does not count as removed.
    fn watch(&self) -> watch::Receiver<Option<DeclaredServices>>;

    /// Returns why a change of the declarations may go unseen now, if it may. No I/O.
    fn waiting_for(&self) -> Vec<Awaited> {
        Vec::new()
    }

    /// Returns which declarations are not active, each with the reason: refused, or ignored. No I/O.
    fn ignored(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns why the limits of the services are unknown now, if they are: nothing is written meanwhile, and
    /// declarations stay as they are. No I/O.
    fn unbounded(&self) -> Option<String> {
        None
    }

    /// Notifies the owner of a service of what happened. No I/O here: an adapter passes on what its medium can carry.
    fn tell(&self, service: &ServiceId, news: News);

    /// Notifies the owners of all services whether the newest policies are active; after each load. No I/O here.
    fn policies(&self, _faults: &PolicyFaults) {}
}

//! Who is supervised, and what the owners of services hear of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::awaited::Awaited;
use crate::model::{ChangeSet, DecisionId, DecisionRecord, Effect, ServiceId, ServiceSpec, WriteOutcome};

/// The services declared at one moment, whole.
pub type Roster = Arc<BTreeMap<ServiceId, Arc<ServiceSpec>>>;

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
    /// Its writes are stopped until a person looks, or go on (`None`).
    Stopped(Option<Stop>),
    /// Somebody else set its target: what, and who.
    Edited(String),
}

/// Why the writes of a service are stopped until a person looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Somebody else sets its target back: in words.
    StoodDown(String),
    /// The API server does not take its writes: in words.
    Refused(String),
}

/// What was wrong with the newest policies, where they were refused; nothing where they are in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyFaults {
    /// Faults of the set that binds every service.
    pub all: Vec<String>,
    /// Faults of what joins it for one namespace.
    pub namespaces: BTreeMap<String, Vec<String>>,
}

impl PolicyFaults {
    /// Returns what concerns the services of `namespace`.
    pub fn of(&self, namespace: &str) -> Vec<String> {
        self.all.iter().chain(self.namespaces.get(namespace).into_iter().flatten()).cloned().collect()
    }
}

/// Judges declarations as owners write them, against what the settings know.
pub trait Declarations: Send + Sync + 'static {
    /// Returns the service `id` that the `spec` of an object declares.
    ///
    /// # Errors
    /// All faults, each with its place and its remedy.
    fn read(&self, id: &ServiceId, spec: &Value) -> Result<ServiceSpec, Vec<String>>;

    /// Returns for each service what keeps it from standing beside those before it; nothing for most.
    fn collisions(&self, services: &[ServiceSpec]) -> Vec<Vec<String>>;
}

/// Who is supervised, from wherever that is declared.
pub trait Services: Send + Sync + 'static {
    /// Returns the services declared now and every later set. `None` until they are known for the first time: a
    /// declaration that cannot be read yet, or any more, is not one that was taken back.
    fn watch(&self) -> watch::Receiver<Option<Roster>>;

    /// Returns why a change of the declarations may go unseen now, if it may. No I/O.
    fn waiting_for(&self) -> Vec<Awaited> {
        Vec::new()
    }

    /// Returns what is declared and not in force, each with the reason: refused, or ignored. No I/O.
    fn ignored(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns why it is not known now how far the services may go, if it is not: nothing is written meanwhile, and
    /// what is declared stays as it is. No I/O.
    fn unbounded(&self) -> Option<String> {
        None
    }

    /// Tells the owner of a service what happened. No I/O here: an adapter passes on what its place can carry.
    fn tell(&self, service: &ServiceId, news: News);

    /// Tells the owners of all services whether the newest policies are in force; after each load. No I/O here.
    fn policies(&self, _faults: &PolicyFaults) {}
}

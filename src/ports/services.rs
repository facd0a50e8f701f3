//! Who is supervised, and what the owners of services hear of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

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
}

/// The declarations of services.
pub trait Services: Send + Sync + 'static {
    /// Returns the services declared now and every later set. `None` until they are known for the first time: a
    /// declaration that cannot be read yet, or any more, is not one that was taken back.
    fn watch(&self) -> watch::Receiver<Option<Roster>>;

    /// Tells the owner of a service what happened. No I/O here: an adapter passes on what its place can carry.
    fn tell(&self, service: &ServiceId, news: News);
}

//! Targets: what the loop sees of them, and the only way to change them.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;

use super::awaited::Awaited;
use crate::model::{ChangeSet, Knob, TargetReading, TargetRef};

/// A live read of the knob of a change, made right before it is written or to settle it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Identity, across re-creation, of the object that carries the knob.
    pub uid: String,
    /// Precondition of a write based on this read.
    pub resource_version: String,
    /// Value of the knob: replicas, or the floor of an autoscaler.
    pub value: u32,
    /// Why this knob is no longer the one to turn: an autoscaler appeared, disappeared, or there are several.
    pub displaced: Option<String>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The object does not exist.
    #[error("{target} does not exist")]
    NotFound {
        /// Which object.
        target: TargetRef,
    },
    /// The object changed since it was read.
    #[error("{target} changed since it was read")]
    Conflict {
        /// Which object.
        target: TargetRef,
    },
    /// flyball lacks a permission.
    #[error("not allowed: {reason}")]
    Forbidden {
        /// The server's message.
        reason: String,
    },
    /// The server refused the content (validation, admission).
    #[error("refused by the API server: {reason}")]
    Denied {
        /// The server's message.
        reason: String,
    },
    /// No answer, or the connection broke: the write may or may not have happened.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// What happened.
        reason: String,
    },
    /// The server answered that it did not act because it is too busy (429, 503).
    #[error("API server unavailable: {reason}")]
    Busy {
        /// Its message.
        reason: String,
        /// The retry delay it requests; zero if none.
        retry_after: Duration,
    },
    /// The server could not be reached at all.
    #[error("API server unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// This adapter cannot turn this knob. No such change is planned; an intent from another process may name one.
    #[error("no adapter can change {knob:?}")]
    NoLever {
        /// Which knob.
        knob: Knob,
    },
}

/// Reads and writes of targets. `read` and `apply` are only for the write gate.
pub trait Cluster: Send + Sync + 'static {
    /// Returns the target as last seen by a watch; no I/O.
    fn observed(&self, target: &TargetRef) -> TargetReading;

    /// Sets the targets to watch from now on. An adapter that sees all of them may ignore this.
    fn follow(&self, _targets: &BTreeSet<TargetRef>) {}

    /// Returns each watch that is not current enough to be trusted; empty when all are. The affected targets read as
    /// unknown or outdated (INV-18).
    fn waiting_for(&self) -> Vec<Awaited>;

    /// Returns the same for watches that were started once all others had been current, and have not been current yet:
    /// they affect only the targets that came with them.
    fn newly_waiting_for(&self) -> Vec<Awaited> {
        Vec::new()
    }

    /// Reads the knob that `change` is to turn, or has turned, from the API server, not from a cache.
    fn read<'a>(&'a self, change: &'a ChangeSet) -> BoxFuture<'a, Result<Live, ClusterError>>;

    /// Sends one conditional write and returns what the server then holds. Never retries.
    fn apply<'a>(&'a self, change: &'a ChangeSet, live: &'a Live) -> BoxFuture<'a, Result<Live, ClusterError>>;
}

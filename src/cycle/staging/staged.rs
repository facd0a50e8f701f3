//! Releases by their revisions: one, one that waits, and what is kept out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::PolicyRevision;

/// Everything that was announced at one time and stands: loaded, and through its own tests.
#[derive(Debug, Clone)]
pub struct Staged<R> {
    /// By which it is known.
    pub revision: PolicyRevision,
    /// Revisions of its sets, by namespace; that of all the others has no name.
    pub sets: BTreeMap<String, PolicyRevision>,
    /// What it is.
    pub release: Arc<R>,
}

impl<R> Staged<R> {
    /// Returns the revision that binds the services of a namespace.
    fn set(&self, namespace: &str) -> Option<&PolicyRevision> {
        self.sets.get(namespace).or_else(|| self.sets.get(""))
    }

    /// Returns the sets that bind anybody here otherwise than in `other`.
    pub(super) fn beyond(&self, other: &Self) -> BTreeSet<(String, PolicyRevision)> {
        let namespaces: BTreeSet<&String> = self.sets.keys().chain(other.sets.keys()).collect();
        let differing = namespaces.into_iter().filter(|namespace| self.set(namespace) != other.set(namespace));
        differing.filter_map(|namespace| Some((namespace.clone(), self.set(namespace)?.clone()))).collect()
    }
}

/// What people took back.
#[derive(Debug, Clone)]
pub struct RolledBack<R> {
    /// The newest release of it.
    pub revision: PolicyRevision,
    /// Its sets that were not in what was gone back to, with whom they bind: a release with one of them is kept out.
    pub sets: BTreeSet<(String, PolicyRevision)>,
    /// The release, if it was announced since the start.
    pub staged: Option<Staged<R>>,
}

impl<R> RolledBack<R> {
    /// Returns what stays out when a release of it is promoted; `None` where nothing is left.
    pub(super) fn without(self, promoted: &Staged<R>) -> Option<Self> {
        let sets: BTreeSet<_> =
            self.sets.into_iter().filter(|(namespace, set)| promoted.set(namespace) != Some(set)).collect();
        let revision = sets.last()?.1.clone();
        Some(Self { revision, sets, staged: None })
    }

    /// Tells whether it keeps a release out.
    pub(super) fn bars(&self, staged: &Staged<R>) -> bool {
        self.revision == staged.revision || self.sets.iter().any(|(namespace, set)| staged.set(namespace) == Some(set))
    }
}

/// A release that stands beside the one in force.
#[derive(Debug, Clone)]
pub struct Candidate<R> {
    /// Which.
    pub staged: Staged<R>,
    /// When it takes its place, by the monotonic clock.
    pub due: Duration,
}

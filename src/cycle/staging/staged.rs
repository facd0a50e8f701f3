//! Releases by their revisions: one, one that soaks, and what is kept out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::KEPT;
use crate::model::PolicyRevision;

/// Everything that was announced at one time and is valid: loaded, with its own tests passed.
#[derive(Debug, Clone)]
pub struct Staged<R> {
    /// Its identity.
    pub revision: PolicyRevision,
    /// Revisions of its sets, by namespace; the set of all others has the empty name.
    pub sets: BTreeMap<String, PolicyRevision>,
    /// The release itself.
    pub release: Arc<R>,
}

/// A release that can be adopted in parts, by namespace.
pub trait Parts: Clone {
    /// Returns a release with the sets of `newer` in these namespaces (the empty name is all others), and its own
    /// elsewhere.
    #[must_use]
    fn with(&self, newer: &Self, namespaces: &BTreeSet<String>) -> Self;
}

/// Returns the revision of a release of these sets: that of its only one, or a hash of all.
pub fn revision_of(sets: &BTreeMap<String, PolicyRevision>) -> PolicyRevision {
    match sets.get("") {
        Some(all) if sets.len() == 1 => all.clone(),
        _ => PolicyRevision::of(sets.iter().map(|(namespace, set)| (namespace.as_str(), set.as_str()))),
    }
}

impl<R> Staged<R> {
    /// Returns a release of these sets.
    pub fn new(sets: BTreeMap<String, PolicyRevision>, release: R) -> Self {
        Self { revision: revision_of(&sets), sets, release: Arc::new(release) }
    }

    /// Returns the revision that binds the services of a namespace.
    pub fn set(&self, namespace: &str) -> Option<&PolicyRevision> {
        self.sets.get(namespace).or_else(|| self.sets.get(""))
    }

    /// Returns the namespaces bound differently here than in `other`; the empty name is all others.
    pub(super) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a String> {
        let namespaces: BTreeSet<&String> = self.sets.keys().chain(other.sets.keys()).collect();
        namespaces.into_iter().filter(|namespace| self.set(namespace) != other.set(namespace))
    }

    /// Returns a release with the sets of `newer` in these namespaces.
    pub(super) fn with(&self, newer: &Self, namespaces: &BTreeSet<String>) -> Self
    where
        R: Parts,
    {
        let sets = self.sets.keys().chain(newer.sets.keys()).filter_map(|namespace| {
            let from = if namespaces.contains(namespace) { newer } else { self };
            Some((namespace.clone(), from.set(namespace)?.clone()))
        });
        Self::new(sets.collect(), self.release.with(&newer.release, namespaces))
    }

    /// Returns the sets that bind any service differently here than in `other`.
    pub(super) fn beyond(&self, other: &Self) -> BTreeSet<(String, PolicyRevision)> {
        self.differing(other).filter_map(|namespace| Some((namespace.clone(), self.set(namespace)?.clone()))).collect()
    }
}

/// What was rolled back.
#[derive(Debug, Clone)]
pub struct RolledBack<R> {
    /// Its newest release.
    pub revision: PolicyRevision,
    /// Its sets that were not in the release rolled back to, with the namespaces they bind: a release with one of them
    /// is kept out.
    pub sets: BTreeSet<(String, PolicyRevision)>,
    /// Its releases announced since the start, the next to promote last; at most [`KEPT`].
    pub staged: Vec<Staged<R>>,
}

impl<R> RolledBack<R> {
    /// Keeps one more release out, to be promoted before the others.
    pub(super) fn push(&mut self, staged: Staged<R>) {
        self.revision = staged.revision.clone();
        self.staged.retain(|other| other.revision != staged.revision);
        self.staged.push(staged);
        self.staged.drain(..self.staged.len().saturating_sub(KEPT));
    }

    /// Processes another release that it keeps out: it replaces those with no other bad set.
    pub(super) fn again(&mut self, staged: Staged<R>) {
        let Self { sets, staged: kept, .. } = self;
        let has = |one: &Staged<R>, (namespace, set): &(String, PolicyRevision)| one.set(namespace) == Some(set);
        kept.retain(|other| sets.iter().any(|set| has(other, set) && !has(&staged, set)));
        self.push(staged);
    }

    /// Returns what stays out when one of its releases is promoted; `None` if nothing is left.
    pub(super) fn without(self, promoted: &Staged<R>) -> Option<Self> {
        let Self { mut sets, mut staged, .. } = self;
        sets.retain(|(namespace, set)| promoted.set(namespace) != Some(set));
        staged.retain(|other| sets.iter().any(|(namespace, set)| other.set(namespace) == Some(set)));
        let revision = staged.last().map_or(&sets.last()?.1, |next| &next.revision).clone();
        Some(Self { revision, sets, staged })
    }

    /// Returns whether it keeps a release out.
    pub(super) fn bars(&self, staged: &Staged<R>) -> bool {
        self.revision == staged.revision || self.sets.iter().any(|(namespace, set)| staged.set(namespace) == Some(set))
    }
}

/// A release that soaks while another is active.
#[derive(Debug, Clone)]
pub struct Candidate<R> {
    /// Which.
    pub staged: Staged<R>,
    /// When each of its sets that is not active yet will be, by the monotonic clock and by namespace; never empty.
    pub due: BTreeMap<String, Duration>,
}

impl<R> Candidate<R> {
    /// Returns a release as candidate to another, with the due time of each of its sets.
    pub(super) fn beside(in_force: &Staged<R>, staged: Staged<R>, due: impl Fn(&str) -> Duration) -> Self {
        let mut dues: BTreeMap<_, _> =
            staged.differing(in_force).map(|namespace| (namespace.clone(), due(namespace))).collect();
        if dues.is_empty() {
            // The same sets under different names: it waits as any other.
            dues.insert(String::new(), due(""));
        }
        Self { staged, due: dues }
    }

    /// Returns when the set of a namespace is due.
    pub(super) fn due_in(&self, namespace: &str) -> Option<Duration> {
        self.due.get(namespace).or_else(|| self.due.get("")).copied()
    }

    /// Returns when the first of its sets is due.
    pub fn first(&self) -> Duration {
        self.due.values().min().copied().unwrap_or_default()
    }

    /// Returns when all of them are due.
    pub fn last(&self) -> Duration {
        self.due.values().max().copied().unwrap_or_default()
    }

    /// Returns the namespaces whose sets are due by then.
    pub(super) fn due_by(&self, now: Duration) -> BTreeSet<String> {
        self.due.iter().filter(|(_, due)| **due <= now).map(|(namespace, _)| namespace.clone()).collect()
    }
}

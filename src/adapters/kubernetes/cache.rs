//! What one watch has seen: the newest state of each object, and how current that is. No I/O; time is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::ports::StaleWatch;

use super::annotations::Annotations;
use super::workload::ManagedField;
use crate::model::Timestamp;
use crate::model::time::elapsed;

/// One reading of both clocks: the monotonic one stops while the machine sleeps, the wall clock may jump back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    mono: Instant,
    wall: Timestamp,
}

impl Tick {
    /// Reads both clocks.
    pub(super) fn now() -> Self {
        Self { mono: Instant::now(), wall: Timestamp::now() }
    }

    /// Returns the time since `earlier`, by the clock that shows more.
    fn since(self, earlier: Self) -> Duration {
        self.mono.saturating_duration_since(earlier.mono).max(elapsed(self.wall, earlier.wall))
    }
}

#[cfg(test)]
impl Tick {
    /// Returns the reading after the machine was awake and then asleep for these durations.
    pub(super) fn later(self, awake: Duration, asleep: Duration) -> Self {
        Self { mono: self.mono + awake, wall: self.wall + awake + asleep }
    }
}

#[cfg(test)]
impl std::ops::Add<Duration> for Tick {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        self.later(span, Duration::ZERO)
    }
}

/// Metadata of every object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    /// Its namespace; empty for a cluster-scoped object.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    /// Identity across re-creation.
    pub(super) uid: String,
    /// Version of the object.
    pub(super) resource_version: String,
    /// Counts the changes of `spec`.
    pub(super) generation: i64,
    /// When it was created, as the API writes it: the texts sort by time.
    pub(super) creation_timestamp: String,
    /// When its deletion was requested, if something still holds it.
    pub(super) deletion_timestamp: Option<String>,
    /// Who owns which fields.
    pub(super) managed_fields: Vec<ManagedField>,
    /// The annotations that are read.
    pub(super) annotations: Annotations,
    /// Its owners.
    pub(super) owner_references: Vec<OwnerReference>,
}

/// A reference to an owner.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct OwnerReference {
    /// Its kind.
    pub(super) kind: String,
    /// Its name.
    pub(super) name: String,
    /// Whether it is the managing controller.
    pub(super) controller: bool,
}

impl Metadata {
    /// Returns the version as a number; `None` if it is not one.
    pub(super) fn version(&self) -> Option<u64> {
        self.resource_version.parse().ok()
    }
}

/// An object, to the extent it is read.
pub(super) trait Object: for<'de> Deserialize<'de> + Clone + Send + 'static {
    /// Returns its metadata.
    fn metadata(&self) -> &Metadata;

    /// Drops data of a namespace's objects that is of no use. Drops nothing by default.
    fn shed<'a>(_all: impl Iterator<Item = &'a mut Self>) {}

    /// Returns whether dropped data is needed again, such as when other objects are gone.
    fn is_missed<'a>(_all: impl Iterator<Item = &'a Self>) -> bool {
        false
    }
}

/// The objects of one collection.
///
/// The view only ever gets newer: an object or a list older than one seen before (a lagging server) is ignored, and is
/// not a sign of life. A missing object is unknown, never an empty one.
#[derive(Debug)]
pub(super) struct Cache<T> {
    objects: BTreeMap<(String, String), T>,
    /// Newest version up to which nothing was missed; `None` before the first list.
    version: Option<u64>,
    /// Whether nothing was missed since the last list.
    synced: bool,
    /// Whether dropped data has to be listed again. Everything else stays current.
    is_short: bool,
    /// Silence after which nothing in the cache is current.
    silence_limit: Duration,
    last_sign: Tick,
    trouble: Option<String>,
}

/// A list older than what was seen before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the API server sent a list at version {found}, older than version {seen} seen before; retrying (if it was \
     restored from a backup, restart flyball to accept older versions)"
)]
pub(super) struct OlderList {
    found: u64,
    seen: u64,
}

impl<T: Object> Cache<T> {
    /// Returns the cache before the first list.
    pub(super) fn new(silence_limit: Duration, now: Tick) -> Self {
        Self {
            objects: BTreeMap::new(),
            version: None,
            synced: false,
            is_short: false,
            silence_limit,
            last_sign: now,
            trouble: None,
        }
    }

    /// Returns the newest version up to which nothing was missed; `None` before the first list.
    pub(super) fn version(&self) -> Option<u64> {
        self.version
    }

    /// Applies a whole list. Objects missing from it no longer exist.
    pub(super) fn listed(&mut self, version: u64, objects: Vec<T>, now: Tick) -> Result<(), OlderList> {
        let held = self.objects.values().filter_map(|object| object.metadata().version());
        if let Some(seen) = held.chain(self.version).max().filter(|seen| version < *seen) {
            return Err(OlderList { found: version, seen });
        }
        self.objects = objects.into_iter().map(|object| (key(&object), object)).collect();
        self.version = Some(version);
        self.synced = true;
        self.shed();
        self.sign(now);
        Ok(())
    }

    /// Applies an added or changed object.
    pub(super) fn changed(&mut self, object: T, now: Tick) {
        if self.is_news(&object) {
            self.sign(now);
            self.advance(object.metadata().version());
            self.objects.insert(key(&object), object);
            self.shed();
        }
    }

    /// Applies a deletion.
    pub(super) fn deleted(&mut self, object: &T, now: Tick) {
        if self.is_news(object) {
            self.sign(now);
            self.advance(object.metadata().version());
            self.objects.remove(&key(object));
            self.shed();
        }
    }

    /// Notes that nothing else happened up to `version`. A version older than what was seen means that the server has
    /// gone back, such as after a restore from backup: the cache no longer shows what exists.
    pub(super) fn bookmarked(&mut self, version: Option<u64>, now: Tick) {
        if let Some((version, seen)) = version.zip(self.version).filter(|(version, seen)| version < seen) {
            self.failed(OlderList { found: version, seen }.to_string());
            return self.lost();
        }
        self.advance(version);
        self.sign(now);
    }

    /// Notes that changes were missed: nothing is current until the next list.
    pub(super) fn lost(&mut self) {
        self.synced = false;
    }

    /// Notes why the watch makes no progress.
    pub(super) fn failed(&mut self, reason: String) {
        self.trouble = Some(reason);
    }

    /// Returns the version to resume a watch from; `None` if a list is needed first.
    pub(super) fn resume(&self) -> Option<u64> {
        self.version.filter(|_| self.synced && !self.is_short)
    }

    /// Returns whether dropped data has to be listed again.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }

    /// Returns the objects, in order of namespace and name; `None` before the first list.
    pub(super) fn objects(&self) -> Option<impl Iterator<Item = &T>> {
        self.version.map(|_| self.objects.values())
    }

    /// Returns one object, `None` if it does not exist.
    ///
    /// # Errors
    /// Before the first list: why there is none yet.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Result<Option<&T>, String> {
        self.listed_once()?;
        Ok(self.objects.get(&(namespace.to_owned(), name.to_owned())))
    }

    /// Returns the objects, in order of namespace and name.
    ///
    /// # Errors
    /// Before the first list: why there are none yet.
    pub(super) fn all(&self) -> Result<impl Iterator<Item = &T>, String> {
        self.listed_once()?;
        Ok(self.objects.values())
    }

    fn listed_once(&self) -> Result<(), String> {
        let trouble = || self.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
        self.version.map(drop).ok_or_else(|| format!("not synced yet{}", trouble()))
    }

    /// Returns one object as it is now; `None` if it does not exist.
    ///
    /// # Errors
    /// Why that is not known: before the first list, or after too long a silence.
    pub(super) fn current(&self, namespace: &str, name: &str, now: Tick) -> Result<Option<&T>, String> {
        let object = self.get(namespace, name)?;
        self.waiting_for(now).map_or(Ok(object), |stale| Err(stale.to_string()))
    }

    /// Returns whether the first list is still in progress and nothing has failed yet.
    pub(super) fn is_pending(&self) -> bool {
        self.version.is_none() && self.trouble.is_none()
    }

    /// Returns the duration of the silence, if that or a missed change makes the cache outdated.
    pub(super) fn outdated(&self, now: Tick) -> Option<Duration> {
        let silence = now.since(self.last_sign);
        (!self.synced || silence > self.silence_limit).then_some(silence)
    }

    /// Returns why the cache is not current; `None` if it is.
    pub(super) fn waiting_for(&self, now: Tick) -> Option<StaleWatch> {
        let silence = self.outdated(now)?;
        Some(StaleWatch { silent_seconds: self.synced.then_some(silence.as_secs()), trouble: self.trouble.clone() })
    }

    /// Returns whether an event is newer than everything seen so far.
    fn is_news(&self, object: &T) -> bool {
        let Some((version, seen)) = object.metadata().version().zip(self.version) else { return false };
        let held = self.objects.get(&key(object)).and_then(|held| held.metadata().version());
        version > seen && held.is_none_or(|held| version > held)
    }

    fn shed(&mut self) {
        T::shed(self.objects.values_mut());
        self.is_short = T::is_missed(self.objects.values());
    }

    fn advance(&mut self, version: Option<u64>) {
        if self.version.is_some() {
            self.version = self.version.max(version);
        }
    }

    fn sign(&mut self, now: Tick) {
        self.last_sign = now;
        self.trouble = None;
    }
}

fn key<T: Object>(object: &T) -> (String, String) {
    let metadata = object.metadata();
    (metadata.namespace.clone(), metadata.name.clone())
}

//! The task behind a cache: list, then watch from there; list again when changes were missed; pause between failures.
//!
//! kube's own `watcher` hides bookmarks, the only sign of life of a quiet cluster. This is the same state machine with
//! them.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::ports::Awaited;

use super::api_server::ApiServer;
use super::cache::{Cache, Object, Tick};
use super::failure::Failure;
use super::pages::{self, Listed};

/// First and longest pause after a failure. Raises wait for fresh state once a server is back, and a handful of watches
/// is negligible load.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How long a watch has to run until earlier misses no longer count: as long as the longest pause.
const HEALTHY: Duration = PAUSES.1;
/// Pause after the server denied access.
const FORBIDDEN_PAUSE: Duration = Duration::from_mins(1);
/// Least duration of a watch before everything is listed again for dropped data: edits by tenants decide neither how
/// often the server is queried nor how soon other edits are seen.
const LIST_AGAIN: Duration = Duration::from_secs(5);
/// Least time a watch may exceed its own end before its connection counts as dead.
const LEAST_GRACE: Duration = Duration::from_secs(1);

/// A cache and the task that feeds it, which ends with it.
pub(super) struct Informer<T> {
    /// The cache.
    pub(super) cache: Arc<Mutex<Cache<T>>>,
    _task: AbortOnDropHandle<()>,
}

impl<T: Object> Informer<T> {
    /// Starts to watch the `selected` objects of the collection at `path`; `changes` counts what arrives. Needs a
    /// running tokio.
    pub(super) fn start(server: &ApiServer, path: String, selected: Selected, changes: watch::Sender<u64>) -> Self {
        let cache = Arc::new(Mutex::new(Cache::new(server.timeouts.silence, Tick::now())));
        let watcher = Watcher { server: server.clone(), path, selected, cache: cache.clone(), changes };
        Self { cache, _task: AbortOnDropHandle::new(tokio::spawn(watcher.run())) }
    }

    /// Returns why the cache of `what` is not current; `None` if it is.
    pub(super) fn waiting_for(&self, what: &str) -> Option<Awaited> {
        let why = self.cache.lock().waiting_for(Tick::now())?;
        Some(Awaited::Watch { of: what.to_owned(), why })
    }

    /// Returns whether its first list has arrived.
    pub(super) fn has_listed(&self) -> bool {
        self.cache.lock().objects().is_some()
    }
}

/// One watch, and the cache it feeds.
struct Watcher<T> {
    server: ApiServer,
    path: String,
    selected: Selected,
    cache: Arc<Mutex<Cache<T>>>,
    changes: watch::Sender<u64>,
}

/// Which objects of a collection are watched.
#[derive(Debug, Clone, Default)]
pub(super) struct Selected {
    /// Label selector, as for `kubectl -l`.
    pub(super) labels: Option<String>,
    /// Field selector.
    pub(super) fields: Option<String>,
    /// Objects per page of a list, if they may be large.
    pub(super) page: Option<u32>,
}

/// Why a list or a watch ended.
enum Stop {
    /// The server ended it on time.
    Over,
    /// Changes were missed.
    Lost,
    /// It failed.
    Failed(String),
    /// The server denied access.
    Forbidden(String),
}

impl<T: Object> Watcher<T> {
    /// Runs until dropped.
    async fn run(self) {
        let (mut failures, mut is_lost) = (0_u32, false);
        loop {
            let began = Instant::now();
            let resume = self.cache.lock().resume();
            let stop = match resume {
                None => self.list().await.err(),
                Some(version) => Some(self.follow(version).await),
            };
            is_lost &= resume.is_none() || began.elapsed() < HEALTHY;
            let pause = match stop {
                None => {
                    info!(path = self.path, "listed");
                    continue;
                }
                // A server that ends watches at once would otherwise be queried in a hot loop.
                Some(Stop::Over) if began.elapsed() >= PAUSES.0 => {
                    (failures, is_lost) = (0, false);
                    continue;
                }
                Some(Stop::Over) => self.pause(&mut failures, "the watch ended immediately".to_owned()),
                Some(Stop::Lost) => {
                    // The server answers again: how long it was away is not a reason to wait. Changes missed again and
                    // again are one.
                    if !std::mem::replace(&mut is_lost, true) {
                        failures = 0;
                    }
                    self.cache.lock().lost();
                    self.notify();
                    self.pause(&mut failures, "changes were missed; listing again".to_owned())
                }
                Some(Stop::Failed(reason)) => self.pause(&mut failures, reason),
                Some(Stop::Forbidden(reason)) => self.pause(&mut failures, reason).max(FORBIDDEN_PAUSE),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Notes a failure and returns how long to wait after it.
    fn pause(&self, failures: &mut u32, reason: String) -> Duration {
        warn!(path = self.path, reason, failures, "cannot be watched");
        self.cache.lock().failed(reason);
        self.notify();
        let pause = pause_after(*failures, RandomState::new().hash_one(*failures));
        *failures = failures.saturating_add(1);
        pause
    }

    /// Reads the whole collection from the server of record.
    async fn list(&self) -> Result<(), Stop> {
        let selected = ListParams {
            label_selector: self.selected.labels.clone(),
            field_selector: self.selected.fields.clone(),
            limit: self.selected.page,
            ..ListParams::default()
        };
        let listed = pages::list(&self.server, &self.path, &selected, |objects| T::shed(objects.iter_mut())).await;
        let Listed { objects, version } = listed.map_err(|failure| stop(&failure))?;
        let version = version.ok_or_else(|| Stop::Failed("malformed list: it has no version".to_owned()))?;
        let believed = self.cache.lock().listed(version, objects, Tick::now());
        self.notify();
        believed.map_err(|older| Stop::Failed(older.to_string()))
    }

    /// Follows changes after `version` until the watch ends.
    async fn follow(&self, version: u64) -> Stop {
        let (began, length) = (Instant::now(), self.server.timeouts.watch);
        let ends = began + length + (length / 10).max(LEAST_GRACE);
        let dead = || Stop::Failed("the watch went silent; treating its connection as dead".to_owned());
        let seconds = u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
        let parameters = WatchParams {
            timeout: Some(seconds),
            label_selector: self.selected.labels.clone(),
            field_selector: self.selected.fields.clone(),
            ..WatchParams::default()
        };
        let opened = self.server.events::<T>(&self.path, &parameters, version);
        let events = match tokio::time::timeout_at(ends, opened).await {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => return stop(&error.into()),
            Err(_) => return dead(),
        };
        let mut events = pin!(events);
        loop {
            match tokio::time::timeout_at(ends, events.try_next()).await {
                Ok(Ok(Some(event))) => {
                    if let Err(stop) = self.take(event) {
                        return stop;
                    }
                    if began.elapsed() >= LIST_AGAIN && self.cache.lock().is_short() {
                        return Stop::Over;
                    }
                }
                Ok(Ok(None)) => return Stop::Over,
                // An event that cannot be read counts as missed.
                Ok(Err(kube::Error::SerdeError(_))) => return Stop::Lost,
                Ok(Err(error)) => return stop(&error.into()),
                Err(_) => return dead(),
            }
        }
    }

    fn take(&self, event: WatchEvent<T>) -> Result<(), Stop> {
        let now = Tick::now();
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => self.cache.lock().changed(object, now),
            WatchEvent::Deleted(object) => self.cache.lock().deleted(&object, now),
            WatchEvent::Bookmark(bookmark) => {
                self.cache.lock().bookmarked(bookmark.metadata.resource_version.parse().ok(), now);
            }
            WatchEvent::Error(status) => return Err(stop(&kube::Error::Api(status).into())),
        }
        self.notify();
        Ok(())
    }

    fn notify(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Returns the pause after this many previous failures: by `chance` between half and all of the nominal pause, so that
/// many watches do not return at once.
fn pause_after(failures: u32, chance: u64) -> Duration {
    let due = PAUSES.0.saturating_mul(2_u32.saturating_pow(failures)).min(PAUSES.1);
    due.mul_f64(0.5 + 0.5 * (chance as f64 / u64::MAX as f64))
}

fn stop(failure: &Failure) -> Stop {
    match failure {
        Failure::Status { code: 410, .. } => Stop::Lost,
        Failure::Status { code: 401 | 403, .. } => Stop::Forbidden(failure.to_string()),
        _ => Stop::Failed(failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_a_server_that_was_away_for_long_is_seen_ten_seconds_after_its_return() {
        let longest: Vec<u64> = (0..8).map(|failures| pause_after(failures, u64::MAX).as_millis() as u64).collect();
        assert_eq!(longest, [500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
        assert_eq!(pause_after(u32::MAX, 0), Duration::from_secs(5), "half of it at least");
    }
}

//! The kill switch as the loop sees it: a file that is polled ten times a second.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use crate::model::{KillState, Timestamp};
use crate::ports::KillSwitch;

use super::order::read_state;

/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Longest time for a read: a hung volume must not delay the switch from counting as engaged.
const READ_WITHIN: Duration = Duration::from_millis(500);
/// Age from which a reading is stale.
const AGE_LIMIT: Duration = Duration::from_secs(1);

/// A kill switch in a file, polled ten times a second. Dropping it stops the polling.
#[derive(Debug)]
pub struct KillFile {
    path: PathBuf,
    seen: Arc<Seen>,
    _poll: AbortOnDropHandle<()>,
}

/// The newest reading and when it started: it may miss changes made since then.
#[derive(Debug)]
struct Seen(Mutex<(Instant, KillState)>);

impl Seen {
    /// Stores a reading, unless one that started later is known.
    fn note(&self, began: Instant, state: KillState) {
        let mut seen = self.0.lock();
        if seen.0 <= began {
            *seen = (began, state);
        }
    }
}

impl KillFile {
    /// Reads the file at `path` and keeps polling it. Needs a running tokio.
    pub fn open(path: &Path) -> Self {
        let seen = Arc::new(Seen(Mutex::new((Instant::now(), look(path)))));
        let poll = AbortOnDropHandle::new(tokio::spawn(poll(path.to_owned(), Arc::clone(&seen))));
        Self { path: path.to_owned(), seen, _poll: poll }
    }
}

impl KillSwitch for KillFile {
    fn seen(&self) -> KillState {
        let (began, state) = &*self.seen.0.lock();
        let age = began.elapsed();
        if age > AGE_LIMIT {
            let error = format!("{} was last read {} ms ago", self.path.display(), age.as_millis());
            return KillState::Unreadable { error };
        }
        state.clone()
    }

    fn read(&self) -> BoxFuture<'_, KillState> {
        Box::pin(async {
            let (path, began) = (self.path.clone(), Instant::now());
            let read = tokio::task::spawn_blocking(move || look(&path));
            let unreadable = |error: &str| KillState::Unreadable { error: format!("{} {error}", self.path.display()) };
            let state = match tokio::time::timeout(READ_WITHIN, read).await {
                Ok(Ok(state)) => state,
                Ok(Err(_)) => unreadable("could not be read"),
                Err(_) => unreadable("did not answer in time"),
            };
            self.seen.note(began, state.clone());
            state
        })
    }
}

/// Reads the switch and when it was last changed: each change replaces the whole file.
fn look(path: &Path) -> KillState {
    let mut state = read_state(path);
    if let KillState::Readable { turned, .. } = &mut state {
        let modified = std::fs::metadata(path).and_then(|file| file.modified()).ok();
        *turned = modified.and_then(|at| Timestamp::try_from(at).ok());
    }
    state
}

async fn poll(path: PathBuf, seen: Arc<Seen>) {
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (path, began) = (path.clone(), Instant::now());
        // On its own thread: a hung file system must not block the loop, only make the reading stale.
        match tokio::task::spawn_blocking(move || look(&path)).await {
            Ok(state) => seen.note(began, state),
            Err(error) => tracing::warn!(%error, "the kill switch could not be read, reading it again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::adapters::kill_file::{Scope, engage, place, release};

    #[tokio::test(start_paused = true)]
    async fn a_change_is_seen_at_the_next_look_and_read_at_once() {
        let (_directory, path) = place();
        release(&path, &Scope::All, "me", "first start").unwrap();
        let switch = KillFile::open(&path);
        assert!(!switch.seen().stops_all());
        engage(&path, &Scope::All, "me", "test").unwrap();
        assert!(switch.read().await.stops_all());
        release(&path, &Scope::All, "me", "over").unwrap();
        assert!(switch.seen().stops_all());
        tokio::time::sleep(POLL_INTERVAL * 2).await;
        assert!(!switch.seen().stops_all());
        fs::remove_file(&path).unwrap();
        tokio::time::sleep(POLL_INTERVAL * 2).await;
        assert!(switch.seen().stops_all());
    }

    /// One thread reads, in order: a slow read happened before the order and is delivered after it.
    #[test]
    fn a_slow_read_that_began_before_an_order_does_not_hide_it() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let (_directory, path) = place();
            release(&path, &Scope::All, "me", "first start").unwrap();
            let switch = KillFile::open(&path);
            let mut slow = switch.read();
            assert!(futures::poll!(&mut slow).is_pending());
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            engage(&path, &Scope::All, "me", "test").unwrap();
            tokio::time::sleep(POLL_INTERVAL * 2).await;
            assert!(switch.seen().stops_all());
            assert!(!slow.await.stops_all(), "it was read before");
            assert!(switch.seen().stops_all());
        });
    }

    #[expect(clippy::used_underscore_binding, reason = "the task is held for its end, which this test brings about")]
    #[tokio::test(start_paused = true)]
    async fn what_was_seen_too_long_ago_counts_as_engaged() {
        let (_directory, path) = place();
        release(&path, &Scope::All, "me", "first start").unwrap();
        let switch = KillFile::open(&path);
        tokio::time::sleep(AGE_LIMIT * 5).await;
        assert!(!switch.seen().stops_all());
        switch._poll.abort();
        tokio::time::sleep(AGE_LIMIT * 2).await;
        let KillState::Unreadable { error } = switch.seen() else { panic!("still readable") };
        assert!(error.contains("was last read 2"), "{error}");
        assert!(!switch.read().await.stops_all());
        assert!(!switch.seen().stops_all());
    }
}

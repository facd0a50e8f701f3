//! The one writer: a thread that takes what is queued, commits it as one group, and answers all waiting callers.
//!
//! After a failure no entries are accepted, and reads continue. From time to time the file is reopened and checked
//! completely. The first commit after that holds the results of the writes that were in flight; once it is durable,
//! normal operation resumes.
//!
//! An awaited commit syncs the disk once. The next commit that is not awaited, of records or of none, has two phases
//! and seals it (see [`Phases`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex, RwLock};
use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::oneshot;

use crate::instrument::JournalMetrics;
use crate::model::{Refusal, WriteOutcome};
use crate::ports::JournalError;
use crate::ports::journal::Entry;

use super::place::Place;
use super::queue::{CAPACITY, GATHER, Item, Queue};
use super::rules::{self, Refused};
use super::settings::StoreSettings;
use super::tables::{self, Fault, Phases, RedbTables};
use super::{overlay, retention};

/// Entries committed between two steps of retention.
const PRUNE_EVERY: usize = 128;
/// Entries committed after which a retention step runs even if more are waiting.
const PRUNE_AT_LAST: usize = 1024;

/// How the file is reopened after a failure.
pub(super) struct Reopen {
    /// Opens it and checks all of it.
    pub(super) open: Box<dyn Fn() -> Result<Database, JournalError> + Send + Sync>,
    /// Time between two attempts.
    pub(super) pause: Duration,
    /// Where the file must stay; `None` if it is not a file.
    pub(super) place: Option<Place>,
}

/// The file, as it is open.
#[derive(Default)]
struct Opened {
    /// For writes, and for reads while they succeed. Holds the lock of the file.
    db: Option<Database>,
    /// For reads after a failure, when the engine refuses everything.
    rescue: Option<Database>,
}

/// What the writer thread, the readers and the callers share.
pub(super) struct Shared {
    /// The file, for messages.
    pub(super) path: String,
    opened: RwLock<Opened>,
    reopen: Reopen,
    queue: Mutex<Queue>,
    arrived: Condvar,
    /// The first failure, until normal operation resumes.
    failed: ArcSwapOption<JournalError>,
    /// The queue overflowed and has not been empty since.
    behind: AtomicBool,
    metrics: JournalMetrics,
    settings: StoreSettings,
}

impl Shared {
    pub(super) fn new(
        path: String,
        db: Database,
        reopen: Reopen,
        settings: StoreSettings,
        metrics: JournalMetrics,
    ) -> Self {
        Self {
            path,
            opened: RwLock::new(Opened { db: Some(db), rescue: None }),
            reopen,
            queue: Mutex::default(),
            arrived: Condvar::new(),
            failed: ArcSwapOption::empty(),
            behind: AtomicBool::new(false),
            metrics,
            settings,
        }
    }

    /// Returns why nothing can be written, if so.
    pub(super) fn health(&self) -> Result<(), JournalError> {
        if let Some(error) = self.failed() {
            return Err(error);
        }
        if self.behind.load(Ordering::Acquire) { Err(self.overloaded()) } else { Ok(()) }
    }

    fn failed(&self) -> Option<JournalError> {
        self.failed.load().as_deref().cloned()
    }

    /// Queues an entry; the answer comes when it is durable.
    pub(super) fn append(&self, entry: Entry) -> Result<oneshot::Receiver<Result<(), JournalError>>, JournalError> {
        if is_kept(&entry) {
            // The failure state and the queue are checked under one lock, here and in recovery: a caller told that an
            // end is not durable relies on it being durable once the journal is healthy.
            let mut queue = self.queue.lock();
            if let Some(error) = self.failed() {
                if self.put(&mut queue, Item { entry, answer: None }).is_err() {
                    self.metrics.lost.inc();
                }
                return Err(error);
            }
        }
        if !entry.ends_intent() {
            self.health()?;
        }
        let (answer, answered) = oneshot::channel();
        self.push(Item { entry, answer: Some(answer) })?;
        Ok(answered)
    }

    /// Queues an entry that is not awaited.
    pub(super) fn submit(&self, entry: Entry) {
        if self.push(Item { entry, answer: None }).is_err() {
            self.metrics.lost.inc();
        }
    }

    fn push(&self, item: Item) -> Result<(), JournalError> {
        self.put(&mut self.queue.lock(), item)
    }

    fn put(&self, queue: &mut Queue, item: Item) -> Result<(), JournalError> {
        if queue.closed {
            return Err(JournalError::Closed);
        }
        // The ends of writes are accepted however much is waiting: there are no more of them than accepted intents.
        if queue.len() >= CAPACITY && !item.entry.ends_intent() {
            if !self.behind.swap(true, Ordering::AcqRel) {
                self.metrics.healthy.set(0);
                tracing::error!(path = %self.path, waiting = CAPACITY, "journal cannot keep up");
            }
            return Err(self.overloaded());
        }
        if queue.push(item, Instant::now()) {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Lets the writer exit when the queue is empty.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Runs a read on the newest committed state.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, Fault>) -> Result<T, JournalError> {
        let opened = self.opened.read();
        let Some(db) = opened.rescue.as_ref().or(opened.db.as_ref()) else {
            return Err(self.failed().unwrap_or(JournalError::Closed));
        };
        tables::guarded(|| read(&db.begin_read()?)).map_err(|fault| fault.reading(&self.path))
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn write(&self) {
        let (mut sealed, mut since_pruned) = (true, PRUNE_EVERY);
        // Results of writes that are not durable yet, and when they are retried.
        let (mut kept, mut again) = (Vec::new(), None);
        while let Some(group) = self.next_group(sealed, again) {
            since_pruned = since_pruned.saturating_add(group.len());
            let phases = if group.iter().any(|item| item.answer.is_some()) { Phases::One } else { Phases::Two };
            self.settle(group, phases, &mut kept);
            if again.is_some_and(|again| again <= Instant::now()) {
                again = None;
                self.recover(&mut kept);
            }
            let failed = self.failed.load().is_some();
            sealed = failed || phases == Phases::Two;
            let idle = self.queue.lock().is_empty();
            if idle && self.behind.swap(false, Ordering::AcqRel) && !failed {
                self.metrics.healthy.set(1);
            }
            let quiet = idle && sealed;
            if !failed && since_pruned >= PRUNE_EVERY && (quiet || since_pruned >= PRUNE_AT_LAST) {
                since_pruned = if self.prune() { PRUNE_EVERY } else { 0 };
            }
            if again.is_none() && self.failed.load().is_some() {
                again = Some(Instant::now() + self.reopen.pause);
            }
        }
        if !kept.is_empty() {
            self.recover(&mut kept);
        }
    }

    /// Waits for entries and returns those of the next commit: none if it only seals or if it is time to retry at
    /// `again`; `None` when the journal is closed.
    fn next_group(&self, sealed: bool, again: Option<Instant>) -> Option<Vec<Item>> {
        let mut queue = self.queue.lock();
        let seal = (!sealed).then(|| Instant::now() + GATHER);
        loop {
            let now = Instant::now();
            if queue.closed {
                return (!sealed || !queue.is_empty()).then(|| queue.take(now));
            }
            match queue.due().into_iter().chain(seal).chain(again).min() {
                Some(due) if due <= now => return Some(queue.take(now)),
                Some(due) => drop(self.arrived.wait_until(&mut queue, due)),
                None => self.arrived.wait(&mut queue),
            }
        }
    }

    /// Commits a group and answers all waiting callers. Of failed entries, `kept` holds those that must not be lost.
    fn settle(&self, group: Vec<Item>, phases: Phases, kept: &mut Vec<Item>) {
        if let Some(error) = self.failed() {
            return self.answer_all(group, &error, kept);
        }
        let started = Instant::now();
        match self.commit_in_place(&group, phases) {
            Ok(results) => {
                self.metrics.committed(group.len(), started.elapsed());
                group.into_iter().zip(results).for_each(|(item, result)| self.answer(item, result));
            }
            Err(error) => {
                self.fail(&error);
                self.answer_all(group, &error, kept);
            }
        }
    }

    /// Reopens the file and commits what was kept; then normal operation resumes. Meanwhile reads continue from the
    /// last commit, of which one more commit overwrites nothing. The lock of the file is free for a moment: a process
    /// that takes it then keeps it.
    fn recover(&self, kept: &mut Vec<Item>) {
        if let Err(error) = self.in_place() {
            // It stays open and locked, for reads and until it is put back.
            return tracing::warn!(%error, "journal cannot be written yet");
        }
        let broken = self.opened.write().db.take();
        // What the engine says about its failed writes is known.
        let _ = tables::guarded(|| {
            drop(broken);
            Ok(())
        });
        let commit = (self.reopen.open)().and_then(|db| {
            self.opened.write().db = Some(db);
            self.commit_in_place(kept, Phases::Two)
        });
        match commit {
            Ok(_) => {
                kept.clear();
                self.opened.write().rescue = None;
                let queue = self.queue.lock();
                if queue.any(is_kept) {
                    // Arrived during the reopen: included in the next attempt.
                    return;
                }
                self.failed.store(None);
                self.metrics.healthy.set(1);
                tracing::info!(path = %self.path, "journal can be written again");
            }
            Err(error) => {
                tracing::warn!(%error, "journal cannot be written yet");
                self.rescue();
            }
        }
    }

    /// Commits to the file that the next start opens: what only a moved-away file holds is lost to it.
    fn commit_in_place(&self, group: &[Item], phases: Phases) -> Result<Vec<Result<(), JournalError>>, JournalError> {
        let results = tables::guarded(|| self.commit(group, phases));
        let results = results.map_err(|fault| self.unwritable(fault.to_string()))?;
        self.in_place()?;
        Ok(results)
    }

    fn in_place(&self) -> Result<(), JournalError> {
        let place = self.reopen.place.as_ref().map_or(Ok(()), Place::check);
        place.map_err(|reason| self.unwritable(reason))
    }

    fn commit(&self, group: &[Item], phases: Phases) -> Result<Vec<Result<(), JournalError>>, Fault> {
        let opened = self.opened.read();
        let db = opened
            .db
            .as_ref()
            .ok_or_else(|| Fault::Record { what: "the file".to_owned(), reason: "it is closed".to_owned() })?;
        let txn = tables::begin(db, phases)?;
        let mut tables = RedbTables::open(&txn)?;
        let mut results = Vec::with_capacity(group.len());
        for item in group {
            results.push(match rules::apply(&mut tables, &item.entry) {
                Ok(()) => Ok(()),
                Err(Refused::Contradiction(text)) => Err(JournalError::Contradiction(text)),
                Err(Refused::Storage(fault)) => return Err(fault),
            });
        }
        tables.finish()?;
        txn.commit()?;
        Ok(results)
    }

    fn answer_all(&self, group: Vec<Item>, error: &JournalError, kept: &mut Vec<Item>) {
        for item in group {
            let keep = match &item.entry {
                // It may still be durable: the caller is told that it is not, and writes nothing.
                Entry::Prepared(intent) => Some(Entry::Ended {
                    change: intent.change.id.clone(),
                    at: intent.prepared,
                    outcome: WriteOutcome::Refused(Refusal::Journal { error: error.to_string() }),
                }),
                entry => is_kept(entry).then(|| entry.clone()),
            };
            let is_lost = keep.is_none();
            kept.extend(keep.map(|entry| Item { entry, answer: None }));
            if is_lost || item.answer.is_some() {
                self.answer(item, Err(error.clone()));
            }
        }
    }

    fn answer(&self, item: Item, result: Result<(), JournalError>) {
        match (item.answer, result) {
            // The caller may be gone; that does not affect durability.
            (Some(answer), result) => drop(answer.send(result)),
            (None, Ok(())) => {}
            (None, Err(error)) => {
                self.metrics.lost.inc();
                tracing::error!(path = %self.path, %error, "journal entry lost");
            }
        }
    }

    /// Records the first failed write; nothing is written after it until the file was reopened.
    fn fail(&self, error: &JournalError) {
        self.failed.store(Some(Arc::new(error.clone())));
        self.metrics.healthy.set(0);
        tracing::error!(%error, "journal failed");
        // A file that replaced the moved one is not this process's to show.
        if self.in_place().is_ok() {
            self.rescue();
        }
    }

    /// Lets reads continue from the file as the last commit left it.
    fn rescue(&self) {
        match overlay::open_unlocked(&self.path) {
            Ok(db) => self.opened.write().rescue = Some(db),
            Err(fault) => tracing::error!(path = %self.path, error = %fault, "journal cannot be read either"),
        }
    }

    fn overloaded(&self) -> JournalError {
        self.unwritable(format!("the disk is too slow: {CAPACITY} entries queued, later ones dropped"))
    }

    fn unwritable(&self, reason: String) -> JournalError {
        JournalError::Unwritable { path: self.path.clone(), reason }
    }

    fn prune(&self) -> bool {
        let step = tables::guarded(|| match &self.opened.read().db {
            Some(db) => retention::step(db, &self.settings),
            None => Ok(false),
        });
        step.unwrap_or_else(|fault| {
            self.fail(&self.unwritable(fault.to_string()));
            false
        })
    }
}

/// Returns whether an entry must not be lost: it holds the result of a write, which nothing else records.
fn is_kept(entry: &Entry) -> bool {
    match entry {
        Entry::Ended { .. } | Entry::Reverted { .. } | Entry::Measured { .. } => true,
        Entry::Decision(_) | Entry::Prepared(_) | Entry::Outcome { .. } | Entry::Fitted(_) => false,
    }
}

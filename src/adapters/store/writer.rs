//! The one writer: a thread that takes what is queued, commits it as one, and answers all who wait. After the
//! first failure nothing is written any more; reads go on.
//!
//! A commit that somebody waits for syncs the disk once. The next one for which nobody waits, of records or of none,
//! has two phases and seals it (see [`Phases`]).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::oneshot;

use crate::instrument::JournalMetrics;
use crate::ports::JournalError;
use crate::ports::journal::Entry;

use super::queue::{CAPACITY, GATHER, Item, Queue};
use super::rules::{self, Refused};
use super::settings::StoreSettings;
use super::tables::{self, Fault, Phases, RedbTables};
use super::{overlay, retention};

/// Entries committed between two steps of retention.
const PRUNE_EVERY: usize = 128;
/// Entries committed after which a step of retention is made even though more wait.
const PRUNE_AT_LAST: usize = 1024;

/// What the writer thread, the readers and the callers share.
pub(super) struct Shared {
    /// The file, for messages.
    pub(super) path: String,
    db: Database,
    /// For reads after a failure: the engine refuses everything then.
    rescue: OnceLock<Database>,
    queue: Mutex<Queue>,
    arrived: Condvar,
    /// The first failure; the last word.
    failed: OnceLock<JournalError>,
    /// The queue overflowed and has not been empty since.
    behind: AtomicBool,
    metrics: JournalMetrics,
    settings: StoreSettings,
}

impl Shared {
    pub(super) fn new(path: String, db: Database, settings: StoreSettings, metrics: JournalMetrics) -> Self {
        Self {
            path,
            db,
            rescue: OnceLock::new(),
            queue: Mutex::default(),
            arrived: Condvar::new(),
            failed: OnceLock::new(),
            behind: AtomicBool::new(false),
            metrics,
            settings,
        }
    }

    /// Returns why nothing can be written, if so.
    pub(super) fn health(&self) -> Result<(), JournalError> {
        if let Some(error) = self.failed.get() {
            return Err(error.clone());
        }
        if self.behind.load(Ordering::Acquire) { Err(self.overloaded()) } else { Ok(()) }
    }

    /// Queues an entry; the answer comes when it is durable.
    pub(super) fn append(&self, entry: Entry) -> Result<oneshot::Receiver<Result<(), JournalError>>, JournalError> {
        match self.failed.get() {
            Some(error) => return Err(error.clone()),
            None if !entry.ends_intent() => self.health()?,
            None => {}
        }
        let (answer, answered) = oneshot::channel();
        self.push(Item { entry, answer: Some(answer) })?;
        Ok(answered)
    }

    /// Queues an entry that nobody waits for.
    pub(super) fn submit(&self, entry: Entry) {
        if self.push(Item { entry, answer: None }).is_err() {
            self.metrics.lost.inc();
        }
    }

    fn push(&self, item: Item) -> Result<(), JournalError> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(JournalError::Closed);
        }
        // The ends of writes are taken however much waits: there are no more of them than intents that were taken.
        if queue.len() >= CAPACITY && !item.entry.ends_intent() {
            if !self.behind.swap(true, Ordering::AcqRel) {
                self.metrics.healthy.set(0);
                tracing::error!(path = %self.path, waiting = CAPACITY, "journal does not keep up");
            }
            return Err(self.overloaded());
        }
        let news = queue.push(item, Instant::now());
        drop(queue);
        if news {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Lets the writer end when the queue is empty.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Runs a read on the newest committed state.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, Fault>) -> Result<T, JournalError> {
        let db = self.rescue.get().unwrap_or(&self.db);
        tables::guarded(|| read(&db.begin_read()?)).map_err(|fault| fault.reading(&self.path))
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn write(&self) {
        let (mut sealed, mut since_pruned) = (true, PRUNE_EVERY);
        while let Some(group) = self.next_group(sealed) {
            since_pruned = since_pruned.saturating_add(group.len());
            let phases = if group.iter().any(|item| item.answer.is_some()) { Phases::One } else { Phases::Two };
            self.settle(group, phases);
            let failed = self.failed.get().is_some();
            sealed = failed || phases == Phases::Two;
            let idle = self.queue.lock().is_empty();
            if idle && self.behind.swap(false, Ordering::AcqRel) && !failed {
                self.metrics.healthy.set(1);
            }
            let quiet = idle && sealed;
            if !failed && since_pruned >= PRUNE_EVERY && (quiet || since_pruned >= PRUNE_AT_LAST) {
                since_pruned = if self.prune() { PRUNE_EVERY } else { 0 };
            }
        }
    }

    /// Waits for entries and returns those of the next commit, none if it only seals; `None` when the journal is
    /// closed.
    fn next_group(&self, sealed: bool) -> Option<Vec<Item>> {
        let mut queue = self.queue.lock();
        let seal = (!sealed).then(|| Instant::now() + GATHER);
        loop {
            let now = Instant::now();
            if queue.closed {
                return (!sealed || !queue.is_empty()).then(|| queue.take(now));
            }
            match queue.due().into_iter().chain(seal).min() {
                Some(due) if due <= now => return Some(queue.take(now)),
                Some(due) => drop(self.arrived.wait_until(&mut queue, due)),
                None => self.arrived.wait(&mut queue),
            }
        }
    }

    /// Commits a group and answers all who wait for it.
    fn settle(&self, group: Vec<Item>, phases: Phases) {
        if let Some(error) = self.failed.get() {
            return self.answer_all(group, error);
        }
        let started = Instant::now();
        match tables::guarded(|| self.commit(&group, phases)) {
            Ok(results) => {
                self.metrics.committed(group.len(), started.elapsed());
                group.into_iter().zip(results).for_each(|(item, result)| self.answer(item, result));
            }
            Err(fault) => {
                let error = self.fail(&fault);
                self.answer_all(group, &error);
            }
        }
    }

    fn commit(&self, group: &[Item], phases: Phases) -> Result<Vec<Result<(), JournalError>>, Fault> {
        let txn = tables::begin(&self.db, phases)?;
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

    fn answer_all(&self, group: Vec<Item>, error: &JournalError) {
        for item in group {
            self.answer(item, Err(error.clone()));
        }
    }

    fn answer(&self, item: Item, result: Result<(), JournalError>) {
        match (item.answer, result) {
            // The caller may have gone; what is durable is durable all the same.
            (Some(answer), result) => drop(answer.send(result)),
            (None, Ok(())) => {}
            (None, Err(error)) => {
                self.metrics.lost.inc();
                tracing::error!(path = %self.path, %error, "journal entry lost");
            }
        }
    }

    /// Notes the first failure of a write; nothing is written after it.
    fn fail(&self, fault: &Fault) -> JournalError {
        let error = self.failed.get_or_init(|| self.unwritable(fault.to_string())).clone();
        self.metrics.healthy.set(0);
        tracing::error!(%error, "journal failed");
        match overlay::open_unlocked(&self.path) {
            Ok(db) => drop(self.rescue.set(db)),
            Err(fault) => tracing::error!(path = %self.path, error = %fault, "journal cannot be read either"),
        }
        error
    }

    fn overloaded(&self) -> JournalError {
        self.unwritable(format!("the disk is too slow: {CAPACITY} entries wait, further ones were lost"))
    }

    fn unwritable(&self, reason: String) -> JournalError {
        JournalError::Unwritable { path: self.path.clone(), reason }
    }

    fn prune(&self) -> bool {
        let step = tables::guarded(|| retention::step(&self.db, &self.settings));
        step.unwrap_or_else(|fault| {
            self.fail(&fault);
            false
        })
    }
}

//! The journal on disk: opening it, and the port over queue and reads.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{self, BoxFuture};
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageBackend, StorageError};

use crate::instrument::JournalMetrics;
use crate::model::{DecisionId, DecisionRecord, Fitted, Intent, ServiceId, Timestamp};
use crate::ports::journal::{Entry, Journal, JournalError};

use super::fits;
use super::holder::holder;
use super::place::Place;
use super::settings::StoreSettings;
use super::tables::{self, Fault};
use super::writer::{Reopen, Shared};

/// Memory for pages of the file; the engine's default is a gigabyte.
pub(super) const CACHE: usize = 16 << 20;
/// Time between two attempts to recover after a failure: each reads the whole file.
const REOPEN_PAUSE: Duration = Duration::from_secs(10);
/// Why a journal is not resumed after a failure, though it can be written.
const OVERTAKEN: &str = "another process has written to it; restart this one";

/// The journal in one file with a single writing process. Dropping it writes what is queued and closes the file.
pub struct RedbJournal {
    shared: Arc<Shared>,
    run: u32,
    writer: Option<JoinHandle<()>>,
}

impl RedbJournal {
    /// Opens the journal at `path`, creating it if it does not exist, checks all of it, and counts this start.
    ///
    /// # Errors
    /// `InUse` while another process has it, `WrongVersion`, `Damaged`; `Unwritable` when the file or its directory
    /// cannot be written.
    pub fn open(path: &Path, settings: StoreSettings, metrics: JournalMetrics) -> Result<Self, JournalError> {
        Self::open_as_run(path, settings, metrics, 1)
    }

    /// Opens the journal, and numbers this start `least` or higher. If several processes have their own journals, that
    /// keeps their decisions apart unless they started with the same number.
    ///
    /// # Errors
    /// As [`RedbJournal::open`].
    pub fn open_as_run(
        path: &Path,
        settings: StoreSettings,
        metrics: JournalMetrics,
        least: u32,
    ) -> Result<Self, JournalError> {
        if std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0) {
            tracing::warn!(path = %path.display(), "journal is empty; starting from scratch");
        }
        let at = path.to_owned();
        let backend = move |is_first: bool| {
            let mut options = std::fs::OpenOptions::new();
            // A file that has disappeared is not created again: its intents would be forgotten.
            let file = options.read(true).write(true).create(is_first).truncate(false).open(&at);
            FileBackend::new(file.map_err(StorageError::Io)?)
        };
        Self::open_backend(path.display().to_string(), backend, settings, metrics, least, REOPEN_PAUSE)
    }

    /// Opens a journal on the result of `backend`; again, with `false`, every `pause` after a failure.
    pub(super) fn open_backend<B: StorageBackend>(
        path: String,
        backend: impl Fn(bool) -> Result<B, DatabaseError> + Send + Sync + 'static,
        settings: StoreSettings,
        metrics: JournalMetrics,
        least: u32,
        pause: Duration,
    ) -> Result<Self, JournalError> {
        let db = open_database(&path, || backend(true))?;
        let place = Place::of(Path::new(&path));
        let run = tables::guarded(|| tables::start(&db, least)).map_err(|fault| unstarted(&path, fault))?;
        metrics.healthy.set(1);
        let again = path.clone();
        let reopen = Reopen {
            open: Box::new(move || {
                let db = open_database(&again, || backend(false))?;
                match tables::guarded(|| tables::run(&db)) {
                    Ok(found) if found == run => Ok(db),
                    Ok(_) => Err(JournalError::Unwritable { path: again.clone(), reason: OVERTAKEN.to_owned() }),
                    Err(fault) => Err(fault.reading(&again)),
                }
            }),
            pause,
            place,
        };
        let shared = Arc::new(Shared::new(path, db, reopen, settings, metrics));
        let writing = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || writing.write());
        match thread {
            Ok(writer) => Ok(Self { shared, run, writer: Some(writer) }),
            Err(error) => Err(JournalError::Unwritable {
                path: shared.path.clone(),
                reason: format!("cannot start its thread: {error}"),
            }),
        }
    }
}

/// Opens the file and checks all of it.
fn open_database<B: StorageBackend>(
    path: &str,
    backend: impl FnOnce() -> Result<B, DatabaseError>,
) -> Result<Database, JournalError> {
    let backend = backend().map_err(|error| unopened(path, error))?;
    let opened = tables::guarded(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        Ok(builder.create_with_backend(backend))
    });
    opened.map_err(|fault| fault.reading(path))?.map_err(|error| unopened(path, error))
}

/// Returns why the file could not be opened.
fn unopened(path: &str, error: DatabaseError) -> JournalError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            let holder = holder(Path::new(&path));
            JournalError::InUse { path, holder }
        }
        DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData => {
                JournalError::Damaged { path, reason: error.to_string() }
            }
            ErrorKind::PermissionDenied => {
                let reason =
                    format!("{error} (run as the owner of the state directory, or set `state` or FLYBALL_STATE)");
                JournalError::Unwritable { path, reason }
            }
            _ => JournalError::Unwritable { path, reason: error.to_string() },
        },
        error => JournalError::Damaged { path, reason: error.to_string() },
    }
}

/// Returns why the start could not be counted.
fn unstarted(path: &str, fault: Fault) -> JournalError {
    match fault {
        Fault::Engine(error) if matches!(*error, redb::Error::Io(_) | redb::Error::PreviousIo) => {
            JournalError::Unwritable { path: path.to_owned(), reason: error.to_string() }
        }
        fault => fault.reading(path),
    }
}

impl Drop for RedbJournal {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write; the file is as its last commit left it.
            drop(writer.join());
        }
    }
}

impl Journal for RedbJournal {
    fn append(&self, entry: Entry) -> BoxFuture<'_, Result<(), JournalError>> {
        match self.shared.append(entry) {
            Ok(answer) => async move { answer.await.unwrap_or(Err(JournalError::Closed)) }.boxed(),
            Err(error) => future::ready(Err(error)).boxed(),
        }
    }

    fn submit(&self, entry: Entry) {
        self.shared.submit(entry);
    }

    fn health(&self) -> Result<(), JournalError> {
        self.shared.health()
    }

    fn run(&self) -> u32 {
        self.run
    }

    fn open_intents(&self) -> Result<Vec<Intent>, JournalError> {
        self.shared.read(tables::open_intents)
    }

    fn remembered_since(&self, now: Timestamp, span: Duration) -> Result<Vec<Intent>, JournalError> {
        self.shared.read(|txn| tables::remembered_since(txn, now, span))
    }

    fn decisions(
        &self,
        service: Option<&ServiceId>,
        before: Option<&DecisionId>,
        limit: usize,
    ) -> Result<Vec<DecisionRecord>, JournalError> {
        self.shared.read(|txn| tables::recorded(txn, service, before, limit))
    }

    fn fits(&self, service: &ServiceId) -> Result<Vec<Fitted>, JournalError> {
        self.shared.read(|txn| fits::of(txn, service))
    }

    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError> {
        self.shared.read(|txn| tables::decision(txn, id))
    }
}

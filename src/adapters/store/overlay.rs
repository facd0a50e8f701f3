//! Reads a journal without changing a byte of it. A file whose writer was killed needs repair before it can be read;
//! here the repair goes into memory, on top of the file. So `flyball explain` works on a read-only copy, and a process
//! whose disk failed can still report what it did.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, StorageBackend};

use crate::adapters::whole_file::open_regular;
use crate::model::{DecisionId, DecisionRecord, Intent, ServiceId};
use crate::ports::JournalError;

use super::holder::holder;
use super::tables::{self, Fault};

/// A journal that no process writes, opened read-only.
pub struct JournalReader {
    path: String,
    db: Database,
    /// Holds the shared lock: no process starts to write while this one reads.
    _lock: File,
}

impl JournalReader {
    /// Opens the journal at `path` and checks all of it.
    ///
    /// # Errors
    /// `Missing`, `InUse` while a process writes it, `WrongVersion`, `Damaged`.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let name = path.display().to_string();
        let lock = open_regular(path).map_err(|error| unopened(&name, &error))?;
        if lock.metadata().is_ok_and(|file| file.len() == 0) {
            let reason = "it is empty, so its content is lost; `flyball run` starts from scratch".to_owned();
            return Err(JournalError::Damaged { path: name, reason });
        }
        match lock.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { path: name, holder: holder(path) }),
            Err(TryLockError::Error(error)) => return Err(unopened(&name, &error)),
        }
        let db = open_unlocked(&name).map_err(|fault| fault.reading(&name))?;
        Ok(Self { path: name, db, _lock: lock })
    }

    /// Returns records as a journal does.
    pub fn decisions(
        &self,
        service: Option<&ServiceId>,
        before: Option<&DecisionId>,
        limit: usize,
    ) -> Result<Vec<DecisionRecord>, JournalError> {
        self.read(|txn| tables::recorded(txn, service, before, limit))
    }

    /// Returns one record.
    pub fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError> {
        self.read(|txn| tables::decision(txn, id))
    }

    /// Returns intents without an end, oldest first.
    pub fn open_intents(&self) -> Result<Vec<Intent>, JournalError> {
        self.read(tables::open_intents)
    }

    fn read<T>(&self, read: impl FnOnce(&redb::ReadTransaction) -> Result<T, Fault>) -> Result<T, JournalError> {
        tables::guarded(|| read(&self.db.begin_read()?)).map_err(|fault| fault.reading(&self.path))
    }
}

fn unopened(path: &str, error: &io::Error) -> JournalError {
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::NotFound => JournalError::Missing { path },
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData => JournalError::Damaged { path, reason: error.to_string() },
        _ => JournalError::Unreadable { path, reason: error.to_string() },
    }
}

/// Opens the file at `path` for reading regardless of its lock: for the process that holds the lock itself.
pub(super) fn open_unlocked(path: &str) -> Result<Database, Fault> {
    tables::guarded(|| {
        let overlay =
            Overlay::new(File::open(path).map_err(redb::StorageError::Io)?).map_err(redb::StorageError::Io)?;
        let mut builder = Database::builder();
        builder.set_cache_size(super::journal::CACHE).set_check_integrity_on_open(true);
        let db = builder.create_with_backend(overlay)?;
        if tables::check_format(&db)? { Ok(db) } else { Err(Fault::Foreign("it is empty".to_owned())) }
    })
}

/// Bytes per block of the overlay: a page of the engine, of which every file length is a multiple.
const BLOCK: usize = 4096;

type Block = Box<[u8; BLOCK]>;

/// A file below, changed blocks in memory above.
#[derive(Debug)]
struct Overlay {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// Bytes of the file that are still visible.
    shown: u64,
    /// Changed blocks by number.
    blocks: BTreeMap<u64, Block>,
}

impl Overlay {
    fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, state: Mutex::new(State { len, shown: len, blocks: BTreeMap::new() }) })
    }

    /// Returns the current block: changed, from the file, or zero beyond its end.
    fn block(&self, state: &State, number: u64) -> io::Result<Block> {
        if let Some(block) = state.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = Box::new([0; BLOCK]);
        let start = number.saturating_mul(BLOCK as u64);
        let known = state.shown.saturating_sub(start).min(BLOCK as u64) as usize;
        self.file.read_exact_at(&mut block[..known], start)?;
        Ok(block)
    }
}

/// Splits `len` bytes from `offset` into blocks: number, range within the block, range within the bytes.
fn blocks(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset.saturating_add(done as u64);
        let within = (at % BLOCK as u64) as usize;
        let count = (BLOCK - within).min(len - done);
        let part = (at / BLOCK as u64, within..within + count, done..done + count);
        done += count;
        (count > 0).then_some(part)
    })
}

fn within(state: &State, offset: u64, len: usize) -> io::Result<()> {
    let end = offset.saturating_add(len as u64);
    if end <= state.len {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::UnexpectedEof, format!("byte {end} of a file of {}", state.len)))
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.lock();
        within(&state, offset, out.len())?;
        for (number, inner, outer) in blocks(offset, out.len()) {
            out[outer].copy_from_slice(&self.block(&state, number)?[inner]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.len = len;
        state.shown = state.shown.min(len);
        state.blocks.retain(|number, _| number.saturating_mul(BLOCK as u64) < len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        within(&state, offset, data.len())?;
        for (number, inner, outer) in blocks(offset, data.len()) {
            let mut block = self.block(&state, number)?;
            block[inner].copy_from_slice(&data[outer]);
            state.blocks.insert(number, block);
        }
        Ok(())
    }
}

//! What a disk can do to the journal. The rules themselves are in the contract suite of the port.

mod damage;
mod long;
mod moved;
mod power_loss;
mod retained;

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use futures::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageBackend, TableDefinition};

use super::journal::RedbJournal;
use super::retention::FLOOR;
use super::settings::{LEAST_RECORDS, StoreSettings};
use super::{JournalReader, retention, tables};
use crate::instrument::JournalMetrics;
use crate::model::record::DecisionRecord;
use crate::model::{
    ChangeSet, Choice, CycleId, DecisionId, Features, Foreseen, Intent, Mode, Now, Proposal, TargetReading, Timestamp,
    TraceId, Verdict, WriteOutcome,
};
use crate::ports::journal::{Entry, Journal, JournalError};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn id(seq: u32) -> DecisionId {
    id_of("shop/checkout", seq)
}

fn id_of(service: &str, seq: u32) -> DecisionId {
    DecisionId { service: service.parse().unwrap(), cycle: CycleId { run: 1, seq } }
}

pub(super) fn decision(seq: u32) -> Entry {
    decision_of("shop/checkout", seq)
}

/// A decision of a service.
pub(super) fn decision_of(service: &str, seq: u32) -> Entry {
    let id = id_of(service, seq);
    let target = TargetReading::Unknown { reason: "x".repeat(500) };
    let record = DecisionRecord {
        trace: TraceId::derive(&id.service, id.cycle, at(0)),
        id,
        at: at(i64::from(seq)),
        mode: Mode::Auto,
        signals: Arc::default(),
        features: Arc::new(Features { signals: Vec::new(), target }),
        outlook: Arc::default(),
        proposal: Proposal { revision: None, rules: Vec::new(), choice: Choice::Nothing("calm".into()) },
        provenance: None,
        candidate: None,
        verdict: Verdict::idle(),
        change: None,
        outcome: None,
        effect: None,
    };
    Entry::Decision(Arc::new(record))
}

pub(super) fn intent(seq: u32) -> Intent {
    intent_of("shop/checkout", seq)
}

/// An intent that follows from that decision.
pub(super) fn intent_of(service: &str, seq: u32) -> Intent {
    let decision = id_of(service, seq);
    let decided = Now { wall: at(i64::from(seq)), mono: Duration::ZERO };
    let change = ChangeSet::of_replicas(decision, 4, 7, decided);
    Intent::open(change, at(i64::from(seq)), Foreseen::default())
}

/// The end of the intent of `shop/checkout`.
pub(super) fn ended(seq: u32) -> Entry {
    Entry::Ended { change: intent(seq).change.id, at: at(i64::from(seq)), outcome: WriteOutcome::Applied }
}

fn open(path: &Path) -> Result<RedbJournal, JournalError> {
    RedbJournal::open(path, StoreSettings::default(), JournalMetrics::default())
}

pub(super) fn append(journal: &RedbJournal, entry: Entry) -> Result<(), JournalError> {
    block_on(journal.append(entry))
}

pub(super) fn seqs(journal: &RedbJournal) -> Vec<u32> {
    journal.decisions(None, None, usize::MAX).unwrap().iter().map(|record| record.id.cycle.seq).collect()
}

/// A directory with a path for a journal in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.redb");
    (dir, path)
}

/// A disk that fails from some write or sync on: the last write before that is torn in the middle.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    /// Writes and syncs that still succeed.
    left: Arc<AtomicUsize>,
    kind: io::ErrorKind,
    gate: Arc<Mutex<()>>,
    syncs: Arc<AtomicUsize>,
}

impl Disk {
    fn open(path: &Path, left: usize) -> Self {
        let left = Arc::new(AtomicUsize::new(left));
        let file = Self::file(path).unwrap();
        Self { file, left, kind: io::ErrorKind::StorageFull, gate: Arc::default(), syncs: Arc::default() }
    }

    fn file(path: &Path) -> Result<FileBackend, DatabaseError> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        FileBackend::new(file)
    }

    /// Opens a journal on this disk, which stays in place across reopens.
    fn journal(self, path: &Path, metrics: JournalMetrics) -> Result<RedbJournal, JournalError> {
        let (left, gate, syncs, kind) = (self.left.clone(), self.gate.clone(), self.syncs.clone(), self.kind);
        let (first, at) = (Mutex::new(Some(self)), path.to_owned());
        let backend = move |_| {
            if let Some(first) = first.lock().take() {
                return Ok(first);
            }
            let (left, gate, syncs) = (left.clone(), gate.clone(), syncs.clone());
            Ok(Self { file: Self::file(&at)?, left, kind, gate, syncs })
        };
        RedbJournal::open_backend(path.display().to_string(), backend, StoreSettings::default(), metrics, 1, PAUSE)
    }

    /// Uses up one of the remaining steps; returns whether there was one.
    fn step(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn error(&self) -> io::Error {
        io::Error::from(self.kind)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.step() { self.file.set_len(len) } else { Err(self.error()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.lock());
        if self.step() { self.file.sync_data() } else { Err(self.error()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.step() {
            return self.file.write(offset, data);
        }
        self.file.write(offset, &data[..data.len() / 2])?;
        Err(self.error())
    }
}

/// Time between two recovery attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until the journal can be written again.
fn recovered(journal: &RedbJournal) {
    let latest = Instant::now() + Duration::from_secs(20);
    while let Err(error) = journal.health() {
        assert!(Instant::now() < latest, "{error}");
        std::thread::sleep(PAUSE / 4);
    }
}

#[test]
fn a_full_disk_stops_writes_until_there_is_room_and_reads_go_on() {
    let (_dir, path) = place();
    let disk = Disk::open(&path, usize::MAX);
    let left = Arc::clone(&disk.left);
    let metrics = JournalMetrics::default();
    let journal = disk.journal(&path, metrics.clone()).unwrap();
    append(&journal, decision(1)).unwrap();
    append(&journal, Entry::Prepared(intent(1))).unwrap();
    assert_eq!((journal.health(), metrics.healthy.get()), (Ok(()), 1));

    left.store(0, Ordering::SeqCst);
    let error = append(&journal, decision(2)).unwrap_err();
    assert!(matches!(&error, JournalError::Unwritable { reason, .. } if reason.contains("storage space")), "{error}");
    for _ in 0..5 {
        assert_eq!(append(&journal, decision(3)).unwrap_err(), error, "as long as nothing can be written");
        assert_eq!((journal.health().unwrap_err(), metrics.healthy.get()), (error.clone(), 0));
        assert_eq!(seqs(&journal), [1]);
        assert_eq!(journal.open_intents().unwrap(), [intent(1)]);
        std::thread::sleep(PAUSE);
    }
    append(&journal, ended(1)).unwrap_err();

    left.store(usize::MAX, Ordering::SeqCst);
    recovered(&journal);
    assert_eq!((metrics.healthy.get(), seqs(&journal)), (1, vec![1]));
    assert_eq!(journal.open_intents().unwrap(), [], "what became of a write is not lost");
    append(&journal, decision(4)).unwrap();
    append(&journal, Entry::Prepared(intent(4))).unwrap();
    drop(journal);

    let journal = open(&path).unwrap();
    assert_eq!((seqs(&journal), journal.open_intents().unwrap(), journal.run()), (vec![4, 1], vec![intent(4)], 2));
}

/// At each moment of a recovery: a caller told that an end is not durable waits until the journal is healthy.
#[test]
fn a_journal_that_is_well_again_has_every_end_that_it_was_told_meanwhile() {
    for delay in 0..60 {
        let (_dir, path) = place();
        let disk = Disk::open(&path, usize::MAX);
        let left = Arc::clone(&disk.left);
        let journal = disk.journal(&path, JournalMetrics::default()).unwrap();
        append(&journal, decision(1)).unwrap();
        append(&journal, Entry::Prepared(intent(1))).unwrap();
        left.store(0, Ordering::SeqCst);
        append(&journal, decision(2)).unwrap_err();
        left.store(usize::MAX, Ordering::SeqCst);
        std::thread::sleep(PAUSE / 2 + PAUSE * delay / 40);
        if append(&journal, ended(1)).is_err() {
            recovered(&journal);
        }
        assert_eq!(journal.open_intents().unwrap(), [], "told after {delay}");
    }
}

/// Its end may have failed on its own, after the sync that made it durable.
#[test]
fn an_intent_that_was_refused_is_not_open_afterwards_wherever_the_disk_failed() {
    for survived in 0.. {
        let (_dir, path) = place();
        let disk = Disk::open(&path, usize::MAX);
        let left = Arc::clone(&disk.left);
        let journal = disk.journal(&path, JournalMetrics::default()).unwrap();
        append(&journal, decision(1)).unwrap();
        left.store(survived, Ordering::SeqCst);
        if append(&journal, Entry::Prepared(intent(1))).is_ok() {
            assert!(survived > 2, "one commit takes more than {survived} writes");
            return;
        }
        left.store(usize::MAX, Ordering::SeqCst);
        recovered(&journal);
        assert_eq!(journal.open_intents().unwrap(), [], "{survived} writes");
    }
}

/// Its lock is free while it cannot be opened: what another process wrote meanwhile is unknown here.
#[test]
fn a_journal_that_another_process_wrote_meanwhile_is_not_gone_on_with() {
    let (_dir, path) = place();
    let disk = Disk::open(&path, usize::MAX);
    let left = Arc::clone(&disk.left);
    let journal = disk.journal(&path, JournalMetrics::default()).unwrap();
    append(&journal, decision(1)).unwrap();
    left.store(0, Ordering::SeqCst);
    append(&journal, decision(2)).unwrap_err();
    let latest = Instant::now() + Duration::from_secs(20);
    let other = loop {
        match open(&path) {
            Ok(other) => break other,
            Err(error) => assert!(Instant::now() < latest, "{error}"),
        }
    };
    drop(other);
    left.store(usize::MAX, Ordering::SeqCst);
    std::thread::sleep(5 * PAUSE);
    assert!(journal.health().is_err() && append(&journal, decision(3)).is_err());
    assert_eq!(seqs(&journal), [1]);
}

#[test]
fn whatever_was_acknowledged_survives_a_crash_at_every_write() {
    let script = [decision(1), Entry::Prepared(intent(1)), decision(2), ended(1), Entry::Prepared(intent(2))];
    for survived in 0.. {
        let (_dir, path) = place();
        drop(open(&path).unwrap());
        let Ok(journal) = Disk::open(&path, survived).journal(&path, JournalMetrics::default()) else {
            open(&path).unwrap();
            continue;
        };
        let done = script.iter().take_while(|entry| append(&journal, (*entry).clone()).is_ok()).count();
        drop(journal);
        let again = open(&path).unwrap();
        let (decisions, open_intents) = (seqs(&again), again.open_intents().unwrap());
        // An unacknowledged entry may still be durable, if the failure came after the last sync.
        let states = [
            (vec![], vec![]),
            (vec![1], vec![]),
            (vec![1], vec![1]),
            (vec![2, 1], vec![1]),
            (vec![2, 1], vec![]),
            (vec![2, 1], vec![2]),
        ];
        let found = (decisions, open_intents.iter().map(|intent| intent.change.decision.cycle.seq).collect());
        assert!(
            states[done..].iter().take(2).any(|state| *state == found),
            "{survived} writes, {done} entries: {found:?}"
        );
        if done == script.len() {
            assert!(survived > 20, "the script has too few writes to prove anything");
            return;
        }
    }
}

#[test]
fn what_cannot_be_read_now_is_not_called_damaged() {
    let (dir, _) = place();
    let error = JournalReader::open(dir.path()).err();
    assert!(matches!(&error, Some(JournalError::Unreadable { .. })), "{error:?}");
}

#[test]
fn one_process_writes_and_nobody_reads_beside_it() {
    let (_dir, path) = place();
    let journal = open(&path).unwrap();
    let in_use = JournalError::InUse { path: path.display().to_string(), holder: super::holder::holder(&path) };
    assert!(in_use.to_string().contains("is in use by "), "{in_use}");
    assert_eq!(open(&path).err(), Some(in_use.clone()));
    assert_eq!(JournalReader::open(&path).err(), Some(in_use.clone()));
    drop(journal);
    let reader = JournalReader::open(&path).unwrap();
    assert_eq!(open(&path).err(), Some(in_use));
    assert!(reader.decisions(None, None, 10).unwrap().is_empty());
}

#[test]
fn a_reader_reads_what_a_killed_writer_left_and_changes_nothing() {
    let (_dir, path) = killed(5);
    let before = fs::read(&path).unwrap();
    let reader = JournalReader::open(&path).unwrap();
    assert_eq!(reader.decisions(Some(&id(1).service), None, 2).unwrap().len(), 2);
    assert_eq!(reader.decision(&id(3)).unwrap().map(|record| record.id), Some(id(3)));
    assert_eq!(reader.open_intents().unwrap().len(), 5);
    drop(reader);
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn starts_are_counted() {
    let (_dir, path) = place();
    for run in 1..4 {
        assert_eq!(open(&path).unwrap().run(), run);
    }
}

/// Returns whether the newest commit of a file is sealed: an engine flag in the byte that says which commit is newest.
fn sealed(file: &[u8]) -> bool {
    file[9] & 4 != 0
}

/// A journal whose writer was killed while idle: a copy of the open file.
fn killed(entries: u32) -> (tempfile::TempDir, PathBuf) {
    let (dir, path) = place();
    let journal = open(&path).unwrap();
    for seq in 1..=entries {
        append(&journal, decision(seq)).unwrap();
        append(&journal, Entry::Prepared(intent(seq))).unwrap();
    }
    while !sealed(&fs::read(&path).unwrap()) {
        std::thread::yield_now();
    }
    let copy = dir.path().join("killed.redb");
    fs::copy(&path, &copy).unwrap();
    (dir, copy)
}

/// A journal on a disk whose syncs wait for the guard, with the writer already blocked in one.
fn stalled<'a>(path: &Path, gate: &'a Arc<Mutex<()>>, metrics: &JournalMetrics) -> (RedbJournal, MutexGuard<'a, ()>) {
    let disk = Disk { gate: Arc::clone(gate), ..Disk::open(path, usize::MAX) };
    let syncs = Arc::clone(&disk.syncs);
    let journal = disk.journal(path, metrics.clone()).unwrap();
    let guard = gate.lock();
    let before = syncs.load(Ordering::SeqCst);
    journal.submit(decision(1));
    while syncs.load(Ordering::SeqCst) == before {
        std::thread::yield_now();
    }
    (journal, guard)
}

#[test]
fn what_waits_while_a_commit_is_under_way_goes_into_one_commit() {
    let (_dir, path) = place();
    let (gate, metrics) = (Arc::default(), JournalMetrics::default());
    let (journal, guard) = stalled(&path, &gate, &metrics);
    let mut entries: Vec<Entry> = (2..=200).map(decision).collect();
    entries.push(decision(7));
    let waiting: Vec<_> = entries.into_iter().map(|entry| journal.append(entry)).collect();
    drop(guard);
    let refused = block_on(join_all(waiting)).into_iter().filter(Result::is_err).count();
    assert_eq!((metrics.commits.get(), metrics.entries.get(), refused), (2, 201, 1));
    assert_eq!(seqs(&journal).len(), 200);
}

#[test]
fn a_disk_that_does_not_keep_up_shows_until_it_has() {
    let (_dir, path) = place();
    let (gate, metrics) = (Arc::default(), JournalMetrics::default());
    let before = open(&path).unwrap();
    append(&before, decision(3)).unwrap();
    append(&before, Entry::Prepared(intent(3))).unwrap();
    drop(before);
    let (journal, guard) = stalled(&path, &gate, &metrics);
    let nothing = Entry::Outcome { decision: id(9999), outcome: WriteOutcome::Expired };
    for _ in 0..super::queue::CAPACITY + 3 {
        journal.submit(nothing.clone());
    }
    assert!(matches!(journal.health(), Err(JournalError::Unwritable { reason, .. }) if reason.contains("too slow")));
    assert!(append(&journal, decision(2)).is_err(), "no write is allowed while records are lost");
    assert_eq!(metrics.healthy.get(), 0);
    let ended = journal.append(ended(3));
    drop(guard);
    block_on(ended).expect("what became of a write is not lost because the disk is slow");
    while journal.health().is_err() {
        std::thread::yield_now();
    }
    append(&journal, decision(2)).unwrap();
    assert_eq!((metrics.healthy.get(), journal.open_intents().unwrap().len()), (1, 0));
    assert_eq!(metrics.lost.get(), super::queue::CAPACITY as u64 + 3);
}

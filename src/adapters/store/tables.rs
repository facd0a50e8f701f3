//! The layout of the file, reads, and the rules over one write transaction. Decision records are packed, everything
//! else is JSON; `serde` keeps old ones readable.

use std::any::Any;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, TableHandle, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{ChangeId, CycleId, DecisionId, DecisionRecord, Fitted, Intent, ServiceId, Timestamp};
use crate::ports::JournalError;

use super::fits::{self, FITS};
use super::packed::{self, PackError};
use super::rules::{Fate, Tables};

/// The layout that this version writes and reads.
pub(super) const FORMAT: u64 = 2;

/// A decision: service, run, sequence number.
pub(super) type DecisionKey = (&'static str, u32, u32);

/// Format, number of the run, next positions in the orders below.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Decision records in order of arrival, which a clock jump does not change: key, milliseconds, the record as created.
/// New ones are always appended, so a commit touches few pages.
pub(super) const DECISIONS: TableDefinition<u64, (&str, u32, u32, i64, &[u8])> = TableDefinition::new("decisions");
/// Position of each decision in that order.
pub(super) const PLACES: TableDefinition<DecisionKey, u64> = TableDefinition::new("places");
/// The fates of decisions that planned or did something, by position.
pub(super) const FATES: TableDefinition<u64, &[u8]> = TableDefinition::new("fates");
/// Intents.
pub(super) const INTENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("intents");
/// Intents without an end, and their position in the order.
pub(super) const OPEN: TableDefinition<&str, u64> = TableDefinition::new("open_intents");
/// Intents in the order of their ends: id, milliseconds, whether sent (older versions: whether applied).
pub(super) const ENDED: TableDefinition<u64, (&str, i64, bool)> = TableDefinition::new("ended_intents");

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The storage engine failed.
    #[error("{0}")]
    Engine(Box<redb::Error>),
    /// The storage engine panicked over what it read.
    #[error("storage engine panicked: {0}")]
    Panicked(String),
    /// A record is not what was written.
    #[error("{what} cannot be read: {reason}")]
    Record { what: String, reason: String },
    /// A record cannot be written in a form that can be read back.
    #[error("{what} cannot be written: {error}")]
    Unpackable { what: String, error: PackError },
    /// The file belongs to something else.
    #[error("not a flyball journal: {0}")]
    Foreign(String),
    /// Written by another version.
    #[error("format {0}")]
    Version(u64),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Engine(Box::new(error.into()))
    }
}

impl Fault {
    /// Returns the port's error for a failed read.
    pub(super) fn reading(self, path: &str) -> JournalError {
        match self {
            Self::Version(found) => JournalError::WrongVersion { path: path.to_owned(), found, expected: FORMAT },
            Self::Engine(error) if is_of_the_disk(&error) => {
                JournalError::Unreadable { path: path.to_owned(), reason: error.to_string() }
            }
            fault => JournalError::Damaged { path: path.to_owned(), reason: fault.to_string() },
        }
    }
}

/// Distinguishes an error of the disk or of permissions from a truncated or damaged file.
fn is_of_the_disk(error: &redb::Error) -> bool {
    match error {
        redb::Error::Io(error) => !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData),
        redb::Error::PreviousIo => true,
        _ => false,
    }
}

/// Runs `work` on the storage engine; a panic in it, which damage not covered by a checksum can cause, is a fault like
/// any other.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Fault::Panicked(panic_text(panic.as_ref()))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text").to_owned()
}

/// Checks the format, creates the tables of a new file and counts this start, at least as `least`; durable when it
/// returns.
pub(super) fn start(db: &redb::Database, least: u32) -> Result<u32, Fault> {
    check_format(db)?;
    let txn = begin(db, Phases::Two)?;
    let run = {
        let mut tables = RedbTables::open(&txn)?;
        let run = u32::try_from(number(&tables.meta, "run")?.saturating_add(1)).unwrap_or(u32::MAX).max(least);
        tables.meta.insert("format", FORMAT)?;
        tables.meta.insert("run", u64::from(run))?;
        fits::forget(&mut tables)?;
        tables.finish()?;
        run
    };
    txn.commit()?;
    Ok(run)
}

/// Returns the number of the last start.
pub(super) fn run(db: &redb::Database) -> Result<u32, Fault> {
    if !check_format(db)? {
        return Err(Fault::Foreign("it is empty".to_owned()));
    }
    let number = number(&db.begin_read()?.open_table(META)?, "run")?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Checks that the file is empty or a journal of this format.
pub(super) fn check_format(db: &redb::Database) -> Result<bool, Fault> {
    let txn = db.begin_read()?;
    let names: Vec<String> = txn.list_tables()?.map(|table| table.name().to_owned()).collect();
    if names.is_empty() {
        return Ok(false);
    }
    if !names.iter().any(|name| name == META.name()) {
        return Err(Fault::Foreign(format!("it has tables {}", names.join(", "))));
    }
    match txn.open_table(META)?.get("format")?.map(|value| value.value()) {
        Some(FORMAT) => Ok(true),
        Some(found) => Err(Fault::Version(found)),
        None => Err(Fault::Foreign("it has no format version".to_owned())),
    }
}

/// The number of commit phases of a transaction, each with a sync of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phases {
    /// Survives a crash entirely or not at all: checksums reveal a torn commit. While it is the newest one, damage
    /// after the crash is also taken for a torn commit.
    One,
    /// The same, but damage after the crash is detected as such, in this commit and in all before it.
    Two,
}

/// Starts a write.
pub(super) fn begin(db: &redb::Database, phases: Phases) -> Result<WriteTransaction, Fault> {
    let mut txn = db.begin_write()?;
    txn.set_two_phase_commit(phases == Phases::Two);
    Ok(txn)
}

fn number(meta: &impl ReadableTable<&'static str, u64>, key: &str) -> Result<u64, Fault> {
    Ok(meta.get(key)?.map_or(0, |value| value.value()))
}

fn key(id: &DecisionId) -> (&str, u32, u32) {
    (id.service.as_str(), id.cycle.run, id.cycle.seq)
}

fn encode(what: &dyn std::fmt::Display, record: &impl Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(record).map_err(|error| Fault::Record { what: what.to_string(), reason: error.to_string() })
}

fn decode<T: DeserializeOwned>(what: &dyn std::fmt::Display, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| Fault::Record { what: what.to_string(), reason: error.to_string() })
}

fn milliseconds(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// The tables of one write transaction.
pub(super) struct RedbTables<'txn> {
    meta: Table<'txn, &'static str, u64>,
    pub(super) decisions: Table<'txn, u64, (&'static str, u32, u32, i64, &'static [u8])>,
    pub(super) places: Table<'txn, DecisionKey, u64>,
    pub(super) fates: Table<'txn, u64, &'static [u8]>,
    pub(super) intents: Table<'txn, &'static str, &'static [u8]>,
    pub(super) open: Table<'txn, &'static str, u64>,
    pub(super) ended: Table<'txn, u64, (&'static str, i64, bool)>,
    pub(super) fits: Table<'txn, (&'static str, &'static str), &'static [u8]>,
    next: u64,
}

impl<'txn> RedbTables<'txn> {
    /// Returns the tables, creating missing ones.
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, Fault> {
        let meta = txn.open_table(META)?;
        let next = number(&meta, "next")?;
        Ok(Self {
            meta,
            decisions: txn.open_table(DECISIONS)?,
            places: txn.open_table(PLACES)?,
            fates: txn.open_table(FATES)?,
            intents: txn.open_table(INTENTS)?,
            open: txn.open_table(OPEN)?,
            ended: txn.open_table(ENDED)?,
            fits: txn.open_table(FITS)?,
            next,
        })
    }

    /// Stores the next positions of the orders; the last step before the commit.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        self.meta.insert("next", self.next)?;
        Ok(())
    }

    /// Returns the keys of the decisions whose intents are open.
    pub(super) fn decisions_of_open_intents(&self) -> Result<BTreeSet<(String, u32, u32)>, Fault> {
        let mut held = BTreeSet::new();
        for row in self.open.iter()? {
            let (id, _) = row?;
            let decision = intent(&self.intents, id.value())?.change.decision;
            held.insert((decision.service.to_string(), decision.cycle.run, decision.cycle.seq));
        }
        Ok(held)
    }

    fn place(&mut self) -> u64 {
        let place = self.next;
        self.next = self.next.saturating_add(1);
        place
    }
}

impl Tables for RedbTables<'_> {
    type Error = Fault;

    fn fate(&self, id: &DecisionId) -> Result<Option<Fate>, Fault> {
        let Some(place) = self.places.get(key(id))? else { return Ok(None) };
        let found = self.fates.get(place.value())?;
        found.map_or(Ok(Some(Fate::default())), |bytes| decode(id, bytes.value()).map(Some))
    }

    fn put_decision(&mut self, record: &DecisionRecord) -> Result<(), Fault> {
        let bytes = packed::pack(record).or_else(|error| match error {
            // A record without its rule texts can still be read; one that is too long cannot.
            PackError::TooLong { length } => {
                tracing::warn!(decision = %record.id, length, "decision record too long; rule texts omitted");
                packed::pack(&record.shortened())
            }
            error @ PackError::Unserialisable(_) => Err(error),
        });
        let bytes = bytes.map_err(|error| Fault::Unpackable { what: record.id.to_string(), error })?;
        let (service, run, seq) = key(&record.id);
        let place = self.place();
        self.decisions.insert(place, (service, run, seq, milliseconds(record.at), bytes.as_slice()))?;
        self.places.insert((service, run, seq), place)?;
        let fate = Fate::of(record);
        if fate == Fate::default() { Ok(()) } else { self.put_fate(&record.id, &fate) }
    }

    fn put_fate(&mut self, id: &DecisionId, fate: &Fate) -> Result<(), Fault> {
        if let Some(place) = self.places.get(key(id))?.map(|place| place.value()) {
            self.fates.insert(place, encode(id, fate)?.as_slice())?;
        }
        Ok(())
    }

    fn intent(&self, id: &ChangeId) -> Result<Option<Intent>, Fault> {
        let found = self.intents.get(id.as_str())?;
        found.map(|bytes| decode(id, bytes.value())).transpose()
    }

    fn put_intent(&mut self, intent: &Intent) -> Result<(), Fault> {
        let id = intent.change.id.as_str();
        self.intents.insert(id, encode(&id, intent)?.as_slice())?;
        match &intent.ended {
            None => {
                let place = self.place();
                self.open.insert(id, place)?;
            }
            Some((at, outcome)) => {
                // An intent that had ended keeps its place.
                if self.open.remove(id)?.is_some() {
                    let place = self.place();
                    self.ended.insert(place, (id, milliseconds(*at), outcome.is_remembered()))?;
                }
            }
        }
        Ok(())
    }

    fn put_fit(&mut self, fit: &Fitted) -> Result<(), Fault> {
        let what = format!("fit of {} {}", fit.service, fit.signal);
        self.fits.insert((fit.service.as_str(), fit.signal.as_str()), encode(&what, fit)?.as_slice())?;
        Ok(())
    }
}

/// Returns the intents without an end, oldest first.
pub(super) fn open_intents(txn: &ReadTransaction) -> Result<Vec<Intent>, Fault> {
    let (open, intents) = (txn.open_table(OPEN)?, txn.open_table(INTENTS)?);
    let mut found = Vec::new();
    for row in open.iter()? {
        let (id, place) = row?;
        found.push((place.value(), intent(&intents, id.value())?));
    }
    found.sort_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, intent)| intent).collect())
}

/// Returns the intents that guards use and that ended within `span` before `now`, in the order of their ends.
pub(super) fn remembered_since(txn: &ReadTransaction, now: Timestamp, span: Duration) -> Result<Vec<Intent>, Fault> {
    let (ended, intents) = (txn.open_table(ENDED)?, txn.open_table(INTENTS)?);
    let mut found = Vec::new();
    for row in ended.iter()? {
        let (_, value) = row?;
        let (id, _, sent) = value.value();
        if sent {
            let intent = intent(&intents, id)?;
            found.extend(intent.remembered_within(now, span).then_some(intent));
        }
    }
    Ok(found)
}

fn intent(intents: &impl ReadableTable<&'static str, &'static [u8]>, id: &str) -> Result<Intent, Fault> {
    let missing = || Fault::Record { what: format!("intent {id}"), reason: "listed, but missing".to_owned() };
    decode(&id, intents.get(id)?.ok_or_else(missing)?.value())
}

/// Returns records, newest first: the newest, or those before a decision. An unreadable record is left out and logged:
/// it must not hide the others.
pub(super) fn recorded(
    txn: &ReadTransaction,
    service: Option<&ServiceId>,
    before: Option<&DecisionId>,
    limit: usize,
) -> Result<Vec<DecisionRecord>, Fault> {
    match (service, before) {
        (Some(service), before) => of_one(txn, service, before.map(|id| id.cycle), limit),
        (None, None) => of_all(txn, u64::MAX, limit),
        (None, Some(id)) => {
            let place = txn.open_table(PLACES)?.get(key(id))?.map_or(0, |place| place.value());
            of_all(txn, place, limit)
        }
    }
}

/// Returns the records of one service, by cycle.
fn of_one(
    txn: &ReadTransaction,
    service: &ServiceId,
    before: Option<CycleId>,
    limit: usize,
) -> Result<Vec<DecisionRecord>, Fault> {
    let (decisions, fates) = (txn.open_table(DECISIONS)?, txn.open_table(FATES)?);
    let name = service.as_str();
    let end = before
        .map_or(Bound::Included((name, u32::MAX, u32::MAX)), |cycle| Bound::Excluded((name, cycle.run, cycle.seq)));
    let places = txn.open_table(PLACES)?.range((Bound::Included((name, 0, 0)), end))?;
    let mut found = Vec::new();
    for row in places.rev() {
        let place = row?.1.value();
        if let Some(row) = decisions.get(place)? {
            found.extend(readable(&fates, place, row.value())?);
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// Returns the records of all services, in order of arrival.
fn of_all(txn: &ReadTransaction, before: u64, limit: usize) -> Result<Vec<DecisionRecord>, Fault> {
    let (decisions, fates) = (txn.open_table(DECISIONS)?, txn.open_table(FATES)?);
    let mut found = Vec::new();
    for row in decisions.range(..before)?.rev() {
        let (place, row) = row?;
        found.extend(readable(&fates, place.value(), row.value())?);
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

type Row<'a> = (&'a str, u32, u32, i64, &'a [u8]);

fn readable(
    fates: &impl ReadableTable<u64, &'static [u8]>,
    place: u64,
    row: Row<'_>,
) -> Result<Option<DecisionRecord>, Fault> {
    let (service, run, seq, ..) = row;
    match complete(fates, place, row) {
        Err(error @ Fault::Record { .. }) => {
            tracing::error!(service, run, seq, %error, "decision record cannot be read");
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Returns one record.
pub(super) fn decision(txn: &ReadTransaction, id: &DecisionId) -> Result<Option<DecisionRecord>, Fault> {
    let Some(place) = txn.open_table(PLACES)?.get(key(id))?.map(|place| place.value()) else { return Ok(None) };
    let found = txn.open_table(DECISIONS)?.get(place)?;
    found.map(|row| complete(&txn.open_table(FATES)?, place, row.value())).transpose()
}

/// Returns the record of a row, completed with its fate.
fn complete(
    fates: &impl ReadableTable<u64, &'static [u8]>,
    place: u64,
    (service, run, seq, _, bytes): Row<'_>,
) -> Result<DecisionRecord, Fault> {
    let what = format!("decision {service}@{run}-{seq}");
    let unpacked = packed::unpack(bytes);
    let mut record: DecisionRecord = unpacked.map_err(|reason| Fault::Record { what: what.clone(), reason })?;
    if let Some(bytes) = fates.get(place)? {
        decode::<Fate>(&what, bytes.value())?.complete(&mut record);
    }
    Ok(record)
}

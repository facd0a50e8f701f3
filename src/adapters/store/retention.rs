//! Removes the oldest ended entries, in steps small enough that none delays a commit by more than a few milliseconds.

use std::time::Duration;

use redb::{Database, ReadableTable, ReadableTableMetadata};

use super::settings::{LEAST_RECORDS, StoreSettings};
use super::tables::{self, Fault, Phases, RedbTables};

/// Number of newest records, and of newest ended intents, that are never removed for their age.
pub(super) const FLOOR: u64 = LEAST_RECORDS as u64;

/// Removals per step.
const STEP: usize = 256;

/// How long an ended intent is kept: longer than any budget or cooldown looks back. Its decision record, which holds
/// the change and the outcome, is kept as long as other records.
const ENDED_FOR: Duration = Duration::from_hours(24);

/// Removes up to [`STEP`] records and as many ended intents. Returns whether there may be more to remove.
///
/// Age is measured against the newest record, not against a clock: time in the journal is what the records say,
/// including in a simulation. The newest [`FLOOR`] stay, whatever their age. Open intents and their decisions stay
/// forever (J4).
pub(super) fn step(db: &Database, settings: &StoreSettings) -> Result<bool, Fault> {
    let txn = tables::begin(db, Phases::Two)?;
    let removed = {
        let mut tables = RedbTables::open(&txn)?;
        let removed = [prune_decisions(&mut tables, settings)?, prune_intents(&mut tables)?];
        tables.finish()?;
        removed
    };
    if removed == [0, 0] {
        txn.abort()?;
        return Ok(false);
    }
    txn.commit()?;
    Ok(removed.contains(&STEP))
}

fn prune_decisions(tables: &mut RedbTables<'_>, settings: &StoreSettings) -> Result<usize, Fault> {
    let Some(newest) = tables.decisions.last()?.map(|(_, row)| row.value().3) else { return Ok(0) };
    let held = tables.decisions_of_open_intents()?;
    let mut left = tables.decisions.len()?;
    let mut victims = Vec::new();
    for row in tables.decisions.iter()? {
        let (place, row) = row?;
        let (service, run, seq, at, _) = row.value();
        let too_many = left > u64::from(settings.max_records());
        let too_old = left > FLOOR && older(newest, at, settings.max_age());
        if victims.len() == STEP || !(too_many || too_old) {
            break;
        }
        if !held.contains(&(service.to_owned(), run, seq)) {
            victims.push((place.value(), service.to_owned(), run, seq));
            left -= 1;
        }
    }
    for (place, service, run, seq) in &victims {
        tables.decisions.remove(place)?;
        tables.fates.remove(place)?;
        tables.places.remove((service.as_str(), *run, *seq))?;
    }
    Ok(victims.len())
}

fn prune_intents(tables: &mut RedbTables<'_>) -> Result<usize, Fault> {
    let Some(newest) = tables.ended.last()?.map(|(_, row)| row.value().1) else { return Ok(0) };
    let spare = usize::try_from(tables.ended.len()?.saturating_sub(FLOOR)).unwrap_or(usize::MAX);
    let mut victims = Vec::new();
    for row in tables.ended.iter()?.take(spare.min(STEP)) {
        let (place, row) = row?;
        let (id, at, _) = row.value();
        if !older(newest, at, ENDED_FOR) {
            break;
        }
        victims.push((place.value(), id.to_owned()));
    }
    for (place, id) in &victims {
        tables.ended.remove(place)?;
        tables.intents.remove(id.as_str())?;
    }
    Ok(victims.len())
}

/// Returns whether `at` is more than `span` before `newest`, both in milliseconds.
fn older(newest: i64, at: i64, span: Duration) -> bool {
    i128::from(newest) - i128::from(at) > i128::try_from(span.as_millis()).unwrap_or(i128::MAX)
}

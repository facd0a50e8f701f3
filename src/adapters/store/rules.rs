//! What every journal refuses, whatever it is stored in. One entry is checked whole before anything of it
//! is changed, so a refused entry leaves no trace and costs the others of its group nothing.

use std::time::Duration;

use crate::model::{ChangeId, DecisionId, DecisionRecord, Effect, Intent, Revert, Timestamp, WriteOutcome, time};
use crate::ports::journal::Entry;

/// What the rules read and change.
pub(super) trait Tables {
    /// How storage fails.
    type Error;

    /// Returns a decision record.
    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, Self::Error>;

    /// Stores a new or a completed decision record.
    fn put_decision(&mut self, record: &DecisionRecord) -> Result<(), Self::Error>;

    /// Returns an intent.
    fn intent(&self, id: &ChangeId) -> Result<Option<Intent>, Self::Error>;

    /// Stores a new intent, one that ends, or one that had ended and was reverted.
    fn put_intent(&mut self, intent: &Intent) -> Result<(), Self::Error>;
}

/// Why an entry was not taken.
#[derive(Debug)]
pub(super) enum Refused<E> {
    /// It contradicts what is recorded.
    Contradiction(String),
    /// Storage failed.
    Storage(E),
}

impl<E> From<E> for Refused<E> {
    fn from(error: E) -> Self {
        Self::Storage(error)
    }
}

type Applied<T> = Result<(), Refused<<T as Tables>::Error>>;

fn contradiction<E>(text: String) -> Result<(), Refused<E>> {
    Err(Refused::Contradiction(text))
}

/// Takes one entry.
///
/// **Invariants**: INV-10 (an intent is prepared once and ends once), INV-11 (no intent without its
/// decision record).
pub(super) fn apply<T: Tables>(tables: &mut T, entry: &Entry) -> Applied<T> {
    match entry {
        Entry::Decision(record) => decided(tables, record),
        Entry::Prepared(intent) => prepared(tables, intent),
        Entry::Ended { change, at, outcome } => ended(tables, change, *at, outcome),
        Entry::Reverted { change, revert } => reverted(tables, change, revert),
        Entry::Outcome { decision, outcome } => concluded(tables, decision, outcome),
        Entry::Measured { decision, effect } => measured(tables, decision, effect),
    }
}

fn decided<T: Tables>(tables: &mut T, record: &DecisionRecord) -> Applied<T> {
    if tables.decision(&record.id)?.is_some() {
        return contradiction(format!("decision {} is recorded already", record.id));
    }
    Ok(tables.put_decision(record)?)
}

fn prepared<T: Tables>(tables: &mut T, intent: &Intent) -> Applied<T> {
    let (id, decision) = (&intent.change.id, &intent.change.decision);
    if intent.ended.is_some() {
        return contradiction(format!("intent {id} had ended before it was prepared"));
    }
    if tables.intent(id)?.is_some() {
        return contradiction(format!("intent {id} is prepared already"));
    }
    let Some(record) = tables.decision(decision)? else {
        return contradiction(format!("intent {id} follows from decision {decision}, which is not recorded"));
    };
    if let Some(outcome) = &record.outcome {
        return contradiction(format!("decision {decision} of intent {id} has ended already: {outcome}"));
    }
    Ok(tables.put_intent(intent)?)
}

fn ended<T: Tables>(tables: &mut T, id: &ChangeId, at: Timestamp, outcome: &WriteOutcome) -> Applied<T> {
    let Some(mut intent) = tables.intent(id)? else {
        return contradiction(format!("intent {id} ends ({outcome}) but was never prepared"));
    };
    if let Some((_, before)) = &intent.ended {
        return contradiction(format!("intent {id} ends ({outcome}) but has ended already: {before}"));
    }
    intent.ended = Some((at, outcome.clone()));
    tables.put_intent(&intent)?;
    if let Some(mut record) = tables.decision(&intent.change.decision)? {
        record.outcome = Some(outcome.clone());
        tables.put_decision(&record)?;
    }
    Ok(())
}

fn reverted<T: Tables>(tables: &mut T, id: &ChangeId, revert: &Revert) -> Applied<T> {
    let Some(mut intent) = tables.intent(id)? else {
        return contradiction(format!("intent {id} was reverted but was never prepared"));
    };
    if !matches!(intent.ended, Some((_, WriteOutcome::Applied))) {
        return contradiction(format!("intent {id} was reverted but was not applied"));
    }
    if intent.reverted.is_some() {
        return contradiction(format!("intent {id} was reverted already"));
    }
    intent.reverted = Some(revert.clone());
    Ok(tables.put_intent(&intent)?)
}

fn concluded<T: Tables>(tables: &mut T, decision: &DecisionId, outcome: &WriteOutcome) -> Applied<T> {
    let Some(mut record) = tables.decision(decision)? else {
        return contradiction(format!("decision {decision} ends ({outcome}) but is not recorded"));
    };
    if let Some(before) = &record.outcome {
        return contradiction(format!("decision {decision} ends ({outcome}) but has ended already: {before}"));
    }
    if let Some(change) = &record.change
        && tables.intent(&change.id)?.is_some()
    {
        return contradiction(format!("decision {decision} has intent {}; it ends when that does", change.id));
    }
    record.outcome = Some(outcome.clone());
    Ok(tables.put_decision(&record)?)
}

fn measured<T: Tables>(tables: &mut T, decision: &DecisionId, effect: &Effect) -> Applied<T> {
    let Some(mut record) = tables.decision(decision)? else {
        return contradiction(format!("decision {decision} was measured but is not recorded"));
    };
    if record.effect.is_some() {
        return contradiction(format!("decision {decision} was measured already"));
    }
    record.effect = Some(effect.clone());
    Ok(tables.put_decision(&record)?)
}

/// Tells whether `intent` ended as applied within `span` before `now`. An end that lies in the future
/// counts: after a jump of the clock the longer memory is the safer one (INV-23).
pub(super) fn applied_within(intent: &Intent, now: Timestamp, span: Duration) -> bool {
    matches!(&intent.ended, Some((at, WriteOutcome::Applied)) if time::elapsed(now, *at) <= span)
}

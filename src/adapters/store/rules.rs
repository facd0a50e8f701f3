//! What every journal refuses, whatever the storage. An entry is checked completely before any change, so a refused
//! entry leaves no trace and costs the others of its group nothing.

use serde::{Deserialize, Serialize};

use crate::model::{
    ChangeId, DecisionId, DecisionRecord, Effect, Fitted, Intent, Measured, Revert, Timestamp, WriteOutcome,
};
use crate::ports::journal::Entry;

/// The part of a decision record that is added after the decision, and the planned write. This is all that the rules
/// need to know of a record: the rest is written once and not read again to complete it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Fate {
    /// The planned write.
    change: Option<ChangeId>,
    /// How it ended.
    outcome: Option<WriteOutcome>,
    /// Its effect.
    effect: Option<Effect>,
}

impl Fate {
    /// Returns the fate in a record.
    pub(super) fn of(record: &DecisionRecord) -> Self {
        let change = record.change.as_ref().map(|change| change.id.clone());
        Self { change, outcome: record.outcome.clone(), effect: record.effect.clone() }
    }

    /// Completes a record with it.
    pub(super) fn complete(self, record: &mut DecisionRecord) {
        record.outcome = self.outcome;
        record.effect = self.effect;
    }
}

/// What the rules read and change.
pub(super) trait Tables {
    /// The error of the storage.
    type Error;

    /// Returns the fate of a decision; `None` when it is not recorded.
    fn fate(&self, id: &DecisionId) -> Result<Option<Fate>, Self::Error>;

    /// Stores a new decision record.
    fn put_decision(&mut self, record: &DecisionRecord) -> Result<(), Self::Error>;

    /// Stores the fate of a recorded decision.
    fn put_fate(&mut self, id: &DecisionId, fate: &Fate) -> Result<(), Self::Error>;

    /// Returns an intent.
    fn intent(&self, id: &ChangeId) -> Result<Option<Intent>, Self::Error>;

    /// Stores an intent that is new, has just ended, or had ended and was reverted or measured.
    fn put_intent(&mut self, intent: &Intent) -> Result<(), Self::Error>;

    /// Stores a fit in place of the previous one of the same signal, whatever its time.
    fn put_fit(&mut self, fit: &Fitted) -> Result<(), Self::Error>;
}

/// Why an entry was refused.
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

/// Applies one entry.
///
/// **Invariants**: INV-10 (an intent is prepared once and ends once), INV-11 (no intent without its decision record).
pub(super) fn apply<T: Tables>(tables: &mut T, entry: &Entry) -> Applied<T> {
    match entry {
        Entry::Decision(record) => decided(tables, record),
        Entry::Prepared(intent) => prepared(tables, intent),
        Entry::Ended { change, at, outcome } => ended(tables, change, *at, outcome),
        Entry::Reverted { change, revert } => reverted(tables, change, revert),
        Entry::Outcome { decision, outcome } => concluded(tables, decision, outcome),
        Entry::Measured { change, measured } => self::measured(tables, change, measured),
        Entry::Fitted(fit) => Ok(tables.put_fit(fit)?),
    }
}

fn decided<T: Tables>(tables: &mut T, record: &DecisionRecord) -> Applied<T> {
    if tables.fate(&record.id)?.is_some() {
        return contradiction(format!("decision {} is already recorded", record.id));
    }
    Ok(tables.put_decision(record)?)
}

fn prepared<T: Tables>(tables: &mut T, intent: &Intent) -> Applied<T> {
    let (id, decision) = (&intent.change.id, &intent.change.decision);
    if intent.ended.is_some() {
        return contradiction(format!("intent {id} ended before it was prepared"));
    }
    if tables.intent(id)?.is_some() {
        return contradiction(format!("intent {id} is already prepared"));
    }
    let Some(fate) = tables.fate(decision)? else {
        return contradiction(format!("intent {id} follows from decision {decision}, which is not recorded"));
    };
    if let Some(outcome) = &fate.outcome {
        return contradiction(format!("decision {decision} of intent {id} has already ended: {outcome}"));
    }
    Ok(tables.put_intent(intent)?)
}

fn ended<T: Tables>(tables: &mut T, id: &ChangeId, at: Timestamp, outcome: &WriteOutcome) -> Applied<T> {
    let Some(mut intent) = tables.intent(id)? else {
        return contradiction(format!("intent {id} ends ({outcome}) but was never prepared"));
    };
    if let Some((_, before)) = &intent.ended {
        return contradiction(format!("intent {id} ends ({outcome}) but has already ended: {before}"));
    }
    intent.ended = Some((at, outcome.clone()));
    tables.put_intent(&intent)?;
    let decision = &intent.change.decision;
    if let Some(fate) = tables.fate(decision)? {
        tables.put_fate(decision, &Fate { outcome: Some(outcome.clone()), ..fate })?;
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
        return contradiction(format!("intent {id} was already reverted"));
    }
    intent.reverted = Some(revert.clone());
    Ok(tables.put_intent(&intent)?)
}

fn concluded<T: Tables>(tables: &mut T, decision: &DecisionId, outcome: &WriteOutcome) -> Applied<T> {
    let Some(fate) = tables.fate(decision)? else {
        return contradiction(format!("decision {decision} ends ({outcome}) but is not recorded"));
    };
    if let Some(before) = &fate.outcome {
        return contradiction(format!("decision {decision} ends ({outcome}) but has already ended: {before}"));
    }
    if let Some(change) = &fate.change
        && tables.intent(change)?.is_some()
    {
        return contradiction(format!("decision {decision} has intent {change} and ends together with it"));
    }
    Ok(tables.put_fate(decision, &Fate { outcome: Some(outcome.clone()), ..fate })?)
}

fn measured<T: Tables>(tables: &mut T, id: &ChangeId, measured: &Measured) -> Applied<T> {
    let Some(mut intent) = tables.intent(id)? else {
        return contradiction(format!("intent {id} was measured but was never prepared"));
    };
    if intent.applied_at().is_none() {
        return contradiction(format!("intent {id} was measured but was not applied"));
    }
    if intent.measured.is_some() {
        return contradiction(format!("intent {id} was already measured"));
    }
    intent.measured = Some(measured.clone());
    tables.put_intent(&intent)?;
    let decision = &intent.change.decision;
    if let Some(fate) = tables.fate(decision)? {
        tables.put_fate(decision, &Fate { effect: Some(measured.effect.clone()), ..fate })?;
    }
    Ok(())
}

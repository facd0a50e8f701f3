//! A journal in memory: the same rules over plain maps, for the simulator and for tests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{self, BoxFuture};
use parking_lot::Mutex;

use crate::model::{ChangeId, DecisionId, DecisionRecord, Fitted, Intent, ServiceId, SignalName, Timestamp};
use crate::ports::journal::{Entry, Journal, JournalError};

use super::rules::{self, Fate, Refused, Tables};

/// A journal that is lost with the process.
#[derive(Debug)]
pub struct MemoryJournal {
    state: Arc<Mutex<State>>,
    run: u32,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug, Default)]
struct State {
    decisions: BTreeMap<DecisionId, Arc<DecisionRecord>>,
    /// In order of arrival.
    order: Vec<DecisionId>,
    intents: BTreeMap<ChangeId, Intent>,
    prepared: Vec<ChangeId>,
    ended: Vec<ChangeId>,
    fits: BTreeMap<(ServiceId, SignalName), Fitted>,
}

impl MemoryJournal {
    /// Returns an empty journal, in its first run.
    pub fn new() -> Self {
        Self { state: Arc::default(), run: 1 }
    }

    /// Returns the same journal as seen by another run of the process.
    #[must_use]
    pub fn as_run(&self, run: u32) -> Self {
        Self { state: self.state.clone(), run }
    }

    fn take(&self, entry: &Entry) -> Result<(), JournalError> {
        match rules::apply(&mut *self.state.lock(), entry) {
            Ok(()) => Ok(()),
            Err(Refused::Contradiction(text)) => Err(JournalError::Contradiction(text)),
            Err(Refused::Storage(never)) => match never {},
        }
    }
}

impl Tables for State {
    type Error = Infallible;

    fn fate(&self, id: &DecisionId) -> Result<Option<Fate>, Infallible> {
        Ok(self.decisions.get(id).map(|record| Fate::of(record)))
    }

    fn put_decision(&mut self, record: &DecisionRecord) -> Result<(), Infallible> {
        self.order.push(record.id.clone());
        self.decisions.insert(record.id.clone(), Arc::new(record.clone()));
        Ok(())
    }

    fn put_fate(&mut self, id: &DecisionId, fate: &Fate) -> Result<(), Infallible> {
        if let Some(record) = self.decisions.get_mut(id) {
            fate.clone().complete(Arc::make_mut(record));
        }
        Ok(())
    }

    fn intent(&self, id: &ChangeId) -> Result<Option<Intent>, Infallible> {
        Ok(self.intents.get(id).cloned())
    }

    fn put_intent(&mut self, intent: &Intent) -> Result<(), Infallible> {
        let id = &intent.change.id;
        let before = self.intents.insert(id.clone(), intent.clone());
        // An intent that had ended keeps its place.
        if before.is_none_or(|before| before.ended.is_none()) {
            let list = if intent.ended.is_some() { &mut self.ended } else { &mut self.prepared };
            list.push(id.clone());
        }
        Ok(())
    }

    fn put_fit(&mut self, fit: &Fitted) -> Result<(), Infallible> {
        self.fits.insert((fit.service.clone(), fit.signal.clone()), fit.clone());
        Ok(())
    }
}

impl State {
    fn listed<'a>(&'a self, list: &'a [ChangeId]) -> impl Iterator<Item = &'a Intent> {
        list.iter().filter_map(|id| self.intents.get(id))
    }
}

impl Journal for MemoryJournal {
    fn append(&self, entry: Entry) -> BoxFuture<'_, Result<(), JournalError>> {
        future::ready(self.take(&entry)).boxed()
    }

    fn submit(&self, entry: Entry) {
        if let Err(error) = self.take(&entry) {
            tracing::error!(%error, "journal refused an entry");
        }
    }

    fn health(&self) -> Result<(), JournalError> {
        Ok(())
    }

    fn run(&self) -> u32 {
        self.run
    }

    fn open_intents(&self) -> Result<Vec<Intent>, JournalError> {
        let state = self.state.lock();
        Ok(state.listed(&state.prepared).filter(|intent| intent.ended.is_none()).cloned().collect())
    }

    fn remembered_since(&self, now: Timestamp, span: Duration) -> Result<Vec<Intent>, JournalError> {
        let state = self.state.lock();
        Ok(state.listed(&state.ended).filter(|intent| intent.remembered_within(now, span)).cloned().collect())
    }

    fn decisions(
        &self,
        service: Option<&ServiceId>,
        before: Option<&DecisionId>,
        limit: usize,
    ) -> Result<Vec<DecisionRecord>, JournalError> {
        let state = self.state.lock();
        let newest_first = state.order.iter().rev();
        let found: Vec<&DecisionId> = match (service, before) {
            (None, None) => newest_first.collect(),
            (None, Some(before)) => newest_first.skip_while(|found| *found != before).skip(1).collect(),
            (Some(service), before) => {
                let wanted = |found: &&DecisionId| {
                    found.service == *service && before.is_none_or(|before| found.cycle < before.cycle)
                };
                let mut found: Vec<_> = newest_first.filter(wanted).collect();
                found.sort_by_key(|found| std::cmp::Reverse(found.cycle));
                found
            }
        };
        let records = found.into_iter().take(limit).filter_map(|id| state.decisions.get(id));
        Ok(records.map(|record| DecisionRecord::clone(record)).collect())
    }

    fn fits(&self, service: &ServiceId) -> Result<Vec<Fitted>, JournalError> {
        Ok(self.state.lock().fits.values().filter(|fit| fit.service == *service).cloned().collect())
    }

    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError> {
        Ok(self.state.lock().decisions.get(id).map(|record| DecisionRecord::clone(record)))
    }
}

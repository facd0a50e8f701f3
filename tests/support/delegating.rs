//! A journal over another: a test states what differs, the rest is passed on.

use std::time::Duration;

use flyball::model::{DecisionId, DecisionRecord, Fitted, Intent, ServiceId, Timestamp};
use flyball::ports::journal::{Entry, Unreadable};
use flyball::ports::{Journal, JournalError};
use futures::future::BoxFuture;

/// What differs from the journal below. [`Delegating`] makes a [`Journal`] of it.
pub trait Differs: Send + Sync + 'static {
    /// Returns the journal below.
    fn below(&self) -> &dyn Journal;

    /// See [`Journal::append`].
    fn append(&self, entry: Entry) -> BoxFuture<'_, Result<(), JournalError>> {
        self.below().append(entry)
    }

    /// See [`Journal::submit`].
    fn submit(&self, entry: Entry) {
        self.below().submit(entry);
    }

    /// See [`Journal::is_shared`].
    fn is_shared(&self) -> bool {
        self.below().is_shared()
    }

    /// See [`Journal::unreadable`].
    fn unreadable(&self) -> Vec<Unreadable> {
        self.below().unreadable()
    }

    /// See [`Journal::remembered_since`].
    fn remembered_since(&self, now: Timestamp, span: Duration) -> Result<Vec<Intent>, JournalError> {
        self.below().remembered_since(now, span)
    }
}

/// The journal of something that [`Differs`].
pub struct Delegating<T>(pub T);

impl<T: Differs> Journal for Delegating<T> {
    fn append(&self, entry: Entry) -> BoxFuture<'_, Result<(), JournalError>> {
        self.0.append(entry)
    }

    fn submit(&self, entry: Entry) {
        self.0.submit(entry);
    }

    fn health(&self) -> Result<(), JournalError> {
        self.0.below().health()
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    fn refresh(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        self.0.below().refresh()
    }

    fn run(&self) -> u32 {
        self.0.below().run()
    }

    fn open_intents(&self) -> Result<Vec<Intent>, JournalError> {
        self.0.below().open_intents()
    }

    fn unreadable(&self) -> Vec<Unreadable> {
        self.0.unreadable()
    }

    fn remembered_since(&self, now: Timestamp, span: Duration) -> Result<Vec<Intent>, JournalError> {
        self.0.remembered_since(now, span)
    }

    fn decisions(
        &self,
        service: Option<&ServiceId>,
        before: Option<&DecisionId>,
        limit: usize,
    ) -> Result<Vec<DecisionRecord>, JournalError> {
        self.0.below().decisions(service, before, limit)
    }

    fn fits(&self, service: &ServiceId) -> Result<Vec<Fitted>, JournalError> {
        self.0.below().fits(service)
    }

    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError> {
        self.0.below().decision(id)
    }
}

//! Decisions as recorded, page by page: from the journal, or from the flyball that has it in use.

use serde::de::DeserializeOwned;

use crate::adapters::store::JournalReader;
use crate::cli::running::{Running, Unanswered};
use crate::config::Settings;
use crate::console::{DecisionSummary, Decisions, MOST, MOST_RECORDS};
use crate::model::{DecisionId, DecisionRecord, ServiceId, Timestamp};
use crate::ports::JournalError;

/// A decision in the requested form.
pub(super) trait Told: DeserializeOwned + From<DecisionRecord> {
    /// The API path that lists them.
    const PATH: &'static str;
    /// Page size limit.
    const PAGE: usize;

    fn id(&self) -> &DecisionId;
    fn at(&self) -> Timestamp;
}

impl Told for DecisionRecord {
    const PATH: &'static str = "records";
    const PAGE: usize = MOST_RECORDS;

    fn id(&self) -> &DecisionId {
        &self.id
    }

    fn at(&self) -> Timestamp {
        self.at
    }
}

impl Told for DecisionSummary {
    const PATH: &'static str = "decisions";
    const PAGE: usize = MOST;

    fn id(&self) -> &DecisionId {
        &self.id
    }

    fn at(&self) -> Timestamp {
        self.at
    }
}

/// The source of decisions.
pub(super) struct Past<'a> {
    settings: &'a Settings,
    running: Running<'a>,
}

impl<'a> Past<'a> {
    pub(super) fn of(settings: &'a Settings) -> anyhow::Result<Self> {
        Ok(Self { settings, running: Running::of(settings)? })
    }

    pub(super) fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// Returns the running flyball.
    pub(super) fn running(&self) -> &Running<'a> {
        &self.running
    }

    /// Returns one decision; `None` if it is not recorded.
    pub(super) async fn one(&self, id: &DecisionId) -> anyhow::Result<Option<DecisionRecord>> {
        let unread = match self.read(|journal| journal.decision(id))? {
            Found::Here(record) => return Ok(record),
            Found::Elsewhere(unread) => unread,
        };
        match self.running.ask(&format!("decisions/{}/{}", id.service, id.cycle)).await {
            Ok(record) => Ok(Some(record)),
            Err(Unanswered::NotFound(_)) => Ok(None),
            Err(Unanswered::Nobody(_) | Unanswered::NoFlyball(_)) => Err(unread.into()),
            Err(failed) => Err(failed.into()),
        }
    }

    /// Returns at most `limit` decisions before `before`, newest first; of one service or of all.
    async fn page<T: Told>(
        &self,
        service: Option<&ServiceId>,
        before: Option<&DecisionId>,
        limit: usize,
    ) -> anyhow::Result<Vec<T>> {
        let page = self.read(|journal| journal.decisions(service, before, limit))?;
        let unread = match page {
            Found::Here(records) => return Ok(records.into_iter().map(T::from).collect()),
            Found::Elsewhere(unread) => unread,
        };
        match self.running.ask::<Decisions<T>>(&query(T::PATH, service, before, limit)).await {
            Ok(page) => Ok(page.decisions),
            Err(Unanswered::Nobody(_) | Unanswered::NoFlyball(_)) => Err(unread.into()),
            Err(failed) => Err(failed.into()),
        }
    }

    /// Reads the journal, unless another process has it. It is open only for one read: no flyball can start with it
    /// meanwhile, and a user may take their time with a page.
    fn read<T>(&self, read: impl FnOnce(&JournalReader) -> Result<T, JournalError>) -> Result<Found<T>, JournalError> {
        match JournalReader::open(&self.settings.journal_file()).and_then(|journal| read(&journal)) {
            Err(unread @ (JournalError::InUse { .. } | JournalError::Missing { .. })) => Ok(Found::Elsewhere(unread)),
            read => read.map(Found::Here),
        }
    }
}

/// Where the requested history is.
enum Found<T> {
    /// In the journal, with this result.
    Here(T),
    /// At the running flyball, if any: why the journal was not read.
    Elsewhere(JournalError),
}

/// Returns the API query for a page.
pub(super) fn query(path: &str, service: Option<&ServiceId>, before: Option<&DecisionId>, limit: usize) -> String {
    let service = service.map_or_else(String::new, |service| format!("&service={service}"));
    let before = before.map_or_else(String::new, |before| format!("&before={before}"));
    format!("{path}?limit={limit}{service}{before}")
}

/// The newest decisions, page by page.
pub(super) struct Pages<'a> {
    past: &'a Past<'a>,
    service: Option<&'a ServiceId>,
    /// Only decisions from then on.
    from: Option<Timestamp>,
    /// Number of decisions still wanted.
    left: usize,
    before: Option<DecisionId>,
}

impl<'a> Pages<'a> {
    /// Returns the pages of the newest `count` decisions from `from` on.
    pub(super) fn new(
        past: &'a Past<'a>,
        service: Option<&'a ServiceId>,
        from: Option<Timestamp>,
        count: usize,
    ) -> Self {
        Self { past, service, from, left: count, before: None }
    }

    /// Returns the next page, newest first; `None` after the last.
    pub(super) async fn next<T: Told>(&mut self) -> anyhow::Result<Option<Vec<T>>> {
        let limit = self.left.min(T::PAGE);
        if limit == 0 {
            return Ok(None);
        }
        let mut page: Vec<T> = self.past.page(self.service, self.before.as_ref(), limit).await?;
        let Some(last) = page.last() else { return Ok(None) };
        let is_last = page.len() < limit || self.from.is_some_and(|from| last.at() < from);
        self.before = Some(last.id().clone());
        self.left = if is_last { 0 } else { self.left - page.len().min(self.left) };
        page.retain(|told| self.from.is_none_or(|from| told.at() >= from));
        Ok(Some(page))
    }
}

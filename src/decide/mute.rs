//! Rules that fail repeatedly are skipped for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Now, PolicyRevision};

/// Failures in a row after which a rule is muted.
const FAILURES: u32 = 3;
/// How long it stays muted.
const MUTED_FOR: Duration = Duration::from_mins(10);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Record {
    /// Number of failures in a row.
    Failing(u32),
    /// Skipped until this monotonic time, for this reason.
    Muted(Duration, Arc<str>),
}

/// Failures of the rules of one service. A new revision starts clean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mutes {
    revision: Option<PolicyRevision>,
    rules: BTreeMap<Arc<str>, Record>,
}

impl Mutes {
    /// Forgets everything if the set is another one.
    pub(super) fn begin(&mut self, revision: &PolicyRevision) {
        if self.revision.as_ref() != Some(revision) {
            self.rules.clear();
            self.revision = Some(revision.clone());
        }
    }

    /// Returns the failure of a rule that is currently muted.
    pub(super) fn muted(&self, rule: &str, now: Now) -> Option<&Arc<str>> {
        match self.rules.get(rule)? {
            Record::Muted(until, failure) if now.mono < *until => Some(failure),
            Record::Muted(..) | Record::Failing(_) => None,
        }
    }

    /// Counts a failure.
    pub(super) fn failed(&mut self, rule: &Arc<str>, failure: &str, now: Now) {
        let before = match self.rules.get(rule) {
            Some(Record::Failing(times)) => *times,
            Some(Record::Muted(..)) | None => 0,
        };
        let times = before.saturating_add(1);
        let record = if times < FAILURES {
            Record::Failing(times)
        } else {
            Record::Muted(now.mono.saturating_add(MUTED_FOR), failure.into())
        };
        self.rules.insert(Arc::clone(rule), record);
    }

    /// Records that a rule ran without failure.
    pub(super) fn worked(&mut self, rule: &str) {
        self.rules.remove(rule);
    }
}

//! Rules that fail again and again are left out for a while.

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
    /// Failed so many times in a row.
    Failing(u32),
    /// Left out until then (monotonic), for this.
    Muted(Duration, Arc<str>),
}

/// Failures of the rules of one service. A new revision starts with a clean sheet.
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

    /// Returns how a rule failed that is left out now.
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

    /// Notes that a rule came to an end.
    pub(super) fn worked(&mut self, rule: &str) {
        self.rules.remove(rule);
    }
}

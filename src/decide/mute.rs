//! Rules that fail again and again are left out for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Now, PolicyRevision};

/// Failures in a row after which a rule is muted.
const FAILURES: u32 = 3;
/// How long it stays muted.
const MUTED_FOR: Duration = Duration::from_mins(10);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Record {
    in_a_row: u32,
    /// Monotonic time.
    muted_until: Option<Duration>,
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

    /// Tells whether a rule is left out now.
    pub(super) fn is_muted(&self, rule: &str, now: Now) -> bool {
        self.rules.get(rule).and_then(|record| record.muted_until).is_some_and(|until| now.mono < until)
    }

    /// Counts a failure.
    pub(super) fn failed(&mut self, rule: &Arc<str>, now: Now) {
        let record = self.rules.entry(Arc::clone(rule)).or_default();
        record.in_a_row = record.in_a_row.saturating_add(1);
        if record.in_a_row >= FAILURES {
            *record = Record { in_a_row: 0, muted_until: Some(now.mono.saturating_add(MUTED_FOR)) };
        }
    }

    /// Notes that a rule came to an end.
    pub(super) fn worked(&mut self, rule: &str) {
        self.rules.remove(rule);
    }
}

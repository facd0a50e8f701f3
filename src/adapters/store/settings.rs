//! How much the journal keeps.

use std::time::Duration;

/// Fewest records that may be kept: this many of the newest records and ended intents are never removed for their age,
/// so that a clock jump cannot empty the journal.
pub const LEAST_RECORDS: u32 = 1000;
/// Shortest maximum age: write budgets look back an hour.
pub const LEAST_AGE: Duration = Duration::from_hours(1);
/// Longest maximum age.
pub const MOST_AGE: Duration = Duration::from_hours(24 * 3650);

/// How much the journal keeps. Open intents and their decisions are always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSettings {
    max_records: u32,
    max_age: Duration,
}

impl StoreSettings {
    /// Returns settings that keep at most `max_records` decision records, none older than `max_age`; `None`
    /// below [`LEAST_RECORDS`] or outside [`LEAST_AGE`] to [`MOST_AGE`].
    pub fn new(max_records: u32, max_age: Duration) -> Option<Self> {
        let enough = max_records >= LEAST_RECORDS && (LEAST_AGE..=MOST_AGE).contains(&max_age);
        enough.then_some(Self { max_records, max_age })
    }

    /// Returns how many decision records are kept.
    pub fn max_records(&self) -> u32 {
        self.max_records
    }

    /// Returns how long decision records are kept.
    pub fn max_age(&self) -> Duration {
        self.max_age
    }
}

impl Default for StoreSettings {
    /// As many as keep the check of a full journal, about 150 ms of CPU time, within a start of well below 300 ms.
    fn default() -> Self {
        Self { max_records: 10_000, max_age: Duration::from_hours(24 * 14) }
    }
}

//! How much the journal keeps.

use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

/// How much the journal keeps. Open intents and their decisions stay whatever is set here, and so do the
/// newest records and intents (`FLOOR`), so that a jump of the clock cannot empty it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSettings {
    max_records: u64,
    max_age: Duration,
}

/// Why settings of the journal are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreSettingsError {
    /// Fewer records than always stay.
    #[error("max_records {found} is too few, expected at least {FLOOR}")]
    TooFew {
        /// What was asked for.
        found: u64,
    },
    /// Shorter than the longest write budget looks back.
    #[error("max_age {} s is too short, expected at least 3600 s: write budgets look back an hour", .found.as_secs())]
    TooShort {
        /// What was asked for.
        found: Duration,
    },
}

/// Newest records, and newest ended intents, that are never removed for their age.
pub(super) const FLOOR: u64 = 1000;

impl StoreSettings {
    /// Returns settings that keep at most `max_records` decision records, none older than `max_age`. A
    /// record takes about 10 kB, and the check of the file at each start about 1.5 ms for each megabyte.
    pub fn new(max_records: u64, max_age: Duration) -> Result<Self, StoreSettingsError> {
        if max_records < FLOOR {
            return Err(StoreSettingsError::TooFew { found: max_records });
        }
        if max_age < HOUR {
            return Err(StoreSettingsError::TooShort { found: max_age });
        }
        Ok(Self { max_records, max_age })
    }

    /// Returns how many decision records are kept.
    pub fn max_records(&self) -> u64 {
        self.max_records
    }

    /// Returns how long decision records are kept.
    pub fn max_age(&self) -> Duration {
        self.max_age
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { max_records: 20_000, max_age: HOUR * 24 * 14 }
    }
}

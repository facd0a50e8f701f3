//! Points in time that may precede the start of the process.

use std::time::Duration;

use super::time::{Now, Timestamp, elapsed};

/// A point in time that may precede the start of the process, where the monotonic clock does not reach.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    mono: Duration,
    /// How much earlier than `mono` it was, according to the wall clock.
    before: Duration,
}

impl Moment {
    /// Returns the present moment.
    pub fn now(now: Now) -> Self {
        Self { mono: now.mono, before: Duration::ZERO }
    }

    /// Returns the moment of a persisted wall time. One in the future counts as just now.
    pub fn persisted(at: Timestamp, now: Now) -> Self {
        Self { mono: now.mono, before: elapsed(now.wall, at) }
    }

    /// Returns how long ago it was, trusting the wall clock for the time before this run.
    pub fn age(self, now: Now) -> Duration {
        now.since(self.mono).saturating_add(self.before)
    }

    /// Returns how long ago it was at least, whatever the wall clock did (INV-23).
    pub fn certain_age(self, now: Now) -> Duration {
        now.since(self.mono)
    }
}

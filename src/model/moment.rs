//! Moments that may lie before the start of the process.

use std::time::Duration;

use super::time::{Now, Timestamp, elapsed};

/// A moment that may lie before the start of the process, where the monotonic clock does not reach.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    mono: Duration,
    /// How much earlier than `mono` it was, by the wall clock.
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

    /// Returns how long ago it was, trusting the wall clock for what lies before this run.
    pub fn age(self, now: Now) -> Duration {
        now.since(self.mono).saturating_add(self.before)
    }

    /// Returns how long ago it was at least, whatever happened to the wall clock (INV-23).
    pub fn certain_age(self, now: Now) -> Duration {
        now.since(self.mono)
    }
}

//! Writes that the API server answered with no, and the pause after them: a service asks again soon, then ever more slowly,
//! and leaves its namespace's share of writes to others.

use std::time::Duration;

use super::TEN_MINUTES;
use crate::model::explain::counted;
use crate::model::{Moment, Now, WriteOutcome};

/// Pause after the first no, doubled with each one in a row, and the longest: what an API server that recovers, or a right
/// that is granted, is waited for. No `Retry-After` makes it longer.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));
/// So many in a row that another writer was quicker, or the server too busy, are more than chance.
const TOLD_FROM: u32 = 3;

/// The writes in a row that the API server answered with no.
#[derive(Debug, Clone)]
pub struct Denials {
    /// When the last one ended.
    at: Moment,
    in_a_row: u32,
    pause: Duration,
    why: String,
    /// Whether it passes by itself.
    passes: bool,
}

impl Denials {
    /// Returns what is known after a write that ended at `at` with `outcome`. One that was not sent changes nothing.
    pub(super) fn after(before: Option<Self>, outcome: &WriteOutcome, at: Moment, now: Now) -> Option<Self> {
        let (asked, passes) = match (outcome, outcome.declined()) {
            (_, Some(retry_after)) => (retry_after, true),
            (WriteOutcome::Rejected { .. }, None) => (Duration::ZERO, false),
            (WriteOutcome::Applied | WriteOutcome::AlreadyThere, None) => return None,
            (_, None) => return before,
        };
        let before = before.filter(|before| before.count(now)).map_or(0, |before| before.in_a_row);
        let pause = PAUSES.0.saturating_mul(2_u32.saturating_pow(before)).max(asked).min(PAUSES.1);
        Some(Self { at, in_a_row: before.saturating_add(1), pause, why: outcome.to_string(), passes })
    }

    /// Tells whether they are recent enough to say something.
    pub(super) fn count(&self, now: Now) -> bool {
        self.at.age(now) < TEN_MINUTES
    }

    /// Returns why nothing is sent yet; `None` once the pause is over.
    pub(super) fn holds(&self, now: Now) -> Option<String> {
        let age = self.at.age(now);
        (age < self.pause)
            .then(|| format!("{}, {} s ago; asked again after {} s", self.said(), age.as_secs(), self.pause.as_secs()))
    }

    /// Returns what the API server said.
    pub(super) fn said(&self) -> String {
        match self.in_a_row {
            1 => format!("the last write came to nothing: {}", self.why),
            more => format!("the last {} came to nothing: {}", counted(more as usize, "write"), self.why),
        }
    }

    /// Returns what a person has to know of; `None` while it may pass by itself.
    pub fn needs_a_person(&self) -> Option<String> {
        (!self.passes || self.in_a_row >= TOLD_FROM).then(|| self.said())
    }
}

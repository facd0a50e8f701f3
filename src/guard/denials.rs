//! Writes that failed at the API server, and the pause after them: a service retries soon, then with growing pauses,
//! and leaves its namespace's share of writes to others.

use std::time::Duration;

use super::TEN_MINUTES;
use crate::model::explain::counted;
use crate::model::{LANDS_WITHIN, Moment, Now, WriteOutcome};

/// Pause after the first failure, doubled with each one in a row, and its maximum: long enough for an API server to
/// recover or a right to be granted. No `Retry-After` makes it longer.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));
/// The longest pause if no connection succeeds: an absent server needs no sparing, and its return should be noticed.
const LONGEST_AWAY: Duration = Duration::from_secs(15);
/// So many conflicts or busy answers in a row are more than chance.
const TOLD_FROM: u32 = 3;

/// Consecutive writes to one object that failed at the API server, or at the live read before them.
#[derive(Debug, Clone)]
pub struct Denials {
    /// When the last one ended.
    at: Moment,
    /// Identity of the object.
    uid: String,
    in_a_row: u32,
    pause: Duration,
    why: String,
    /// Whether it may pass without a person.
    passes: bool,
}

impl Denials {
    /// Returns the state after a write to the object `uid` that ended at `at` with `outcome`. A write abandoned for
    /// another reason changes nothing.
    pub(super) fn after(before: Option<Self>, uid: &str, outcome: &WriteOutcome, at: Moment, now: Now) -> Option<Self> {
        let Some(asked) = outcome.denied() else {
            return before.filter(|_| !matches!(outcome, WriteOutcome::Applied | WriteOutcome::AlreadyThere));
        };
        let before =
            before.filter(|before| before.is_of(uid) && before.is_recent(now)).map_or(0, |before| before.in_a_row);
        let longest = if outcome.is_away() { LONGEST_AWAY } else { PAUSES.1 };
        let pause = PAUSES.0.saturating_mul(2_u32.saturating_pow(before)).max(asked).min(longest);
        // The time in which it may still have landed has passed already; a new leader must not wait again for what its
        // predecessor sent.
        let waited = if matches!(outcome, WriteOutcome::Abandoned { .. }) { LANDS_WITHIN } else { Duration::ZERO };
        Some(Self {
            at,
            uid: uid.to_owned(),
            in_a_row: before.saturating_add(1),
            pause: pause.saturating_sub(waited),
            why: outcome.to_string().trim_end_matches('.').to_owned(),
            passes: !matches!(outcome, WriteOutcome::Rejected { .. }),
        })
    }

    /// Returns whether these were writes to the object `uid`, and not to a predecessor of it.
    pub(super) fn is_of(&self, uid: &str) -> bool {
        self.uid == uid
    }

    /// Returns whether they are recent enough to matter.
    pub(super) fn is_recent(&self, now: Now) -> bool {
        self.at.age(now) < TEN_MINUTES
    }

    /// Returns why nothing is sent yet; `None` once the pause is over.
    pub(super) fn holds(&self, now: Now) -> Option<String> {
        let age = self.at.age(now);
        (age < self.pause).then(|| {
            let failed = self.failed(&format!(" {} s ago", age.as_secs()));
            format!("{failed}; retry {} s after it", self.pause.as_secs())
        })
    }

    /// Returns what the API server said.
    pub(super) fn said(&self) -> String {
        self.failed("")
    }

    fn failed(&self, ago: &str) -> String {
        match self.in_a_row {
            1 => format!("the last write failed{ago}: {}", self.why),
            more => format!("the last {} failed{ago}: {}", counted(more as usize, "write"), self.why),
        }
    }

    /// Returns the server's last answer if a person has to know it; `None` while it may pass without one.
    pub fn refusal(&self) -> Option<String> {
        self.needs_a_person().map(|_| format!("writes fail at the API server: {}", self.why))
    }

    /// Returns what a person has to know; `None` while it may pass without one.
    pub fn needs_a_person(&self) -> Option<String> {
        (!self.passes || self.in_a_row >= TOLD_FROM).then(|| self.said())
    }
}

//! How long conditions have held: the state behind `held_for`.
//!
//! Time is counted between samples, not between evaluations. A sample for which the condition is false resets it; while
//! the condition is unknown, the count pauses, and after two scrape intervals it resets.
//!
//! That a condition has not held for long is known only once it was seen not to hold: after a start or a gap it may
//! have held forever, so until then it is unknown. Otherwise an `unless` would act on an unobserved past.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::decide::plan::condition::{Evaluated, Held};
use crate::decide::plan::inputs::{Inputs, Stamp};
use crate::model::condition::{ConditionId, HeldFor};
use crate::model::time::elapsed;
use crate::model::{Now, Timestamp, Truth};

/// A gap this long only pauses, however often the source is scraped: two ticks of the loop.
const MIN_GAP: Duration = Duration::from_secs(30);

/// Identifies a condition: its rule and what it states. Its place among the clauses does not matter; the same one twice
/// in a rule has held for the same time in both.
pub(super) type Key = (Arc<str>, ConditionId);

/// What is known of one condition.
#[derive(Debug, Clone, PartialEq)]
struct State {
    so_far: Duration,
    /// Whether it was seen not to hold: otherwise it may have held for longer than `so_far`.
    begun: bool,
    /// Newest sample for which it was known; `None` if it was recalled from a record, or no sample decided it.
    last: Option<Timestamp>,
    /// Whether it held for that sample.
    held: bool,
    /// Longest gap that only pauses.
    max_gap: Duration,
    /// Monotonic time at which it was last known or first unknown.
    seen: Duration,
    /// Whether it has been unknown since `seen`.
    paused: bool,
}

/// All `held_for` conditions of one service.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct HeldStates(BTreeMap<Key, State>);

impl HeldStates {
    /// Returns the truth of a condition of `rule` under its `held_for`, and the progress to show. One that holds for an
    /// unknown time is neither true nor false.
    pub(super) fn apply(
        &mut self,
        rule: &Arc<str>,
        held: &Held,
        condition: &Evaluated,
        inputs: &Inputs<'_>,
        now: Now,
    ) -> (Truth, HeldFor) {
        let id = held.id(inputs);
        let key = (Arc::clone(rule), id);
        let holds = condition.trace.holds;
        let (so_far, begun) = match (holds, condition.stamp) {
            (Truth::True, Some(stamp)) => self.extend(key, stamp, now),
            (Truth::Unknown, _) => self.pause(&key, now),
            (Truth::False, stamp) => self.begin(key, stamp, now),
            (Truth::True, None) => {
                self.0.remove(&key);
                (Duration::ZERO, false)
            }
        };
        let holds = match holds {
            Truth::True if so_far > held.needed => Truth::True,
            Truth::True if begun => Truth::False,
            Truth::True => Truth::Unknown,
            other => other,
        };
        (holds, HeldFor { needed: held.needed, so_far, condition: Some(id) })
    }

    /// Restores what a record says about a condition of `rule`, as of the next sample; `begun` if it was known not to
    /// hold, or not for long enough.
    pub(super) fn recall(&mut self, rule: &Arc<str>, then: HeldFor, begun: bool, now: Now) {
        let Some(condition) = then.condition else { return };
        let state = State { so_far: then.so_far, begun, ..State::new(now) };
        self.0.insert((Arc::clone(rule), condition), state);
    }

    /// Forgets conditions that were not seen for longer than the allowed pause.
    pub(super) fn prune(&mut self, now: Now) {
        self.0.retain(|_, state| now.since(state.seen) <= state.max_gap);
    }

    fn extend(&mut self, key: Key, stamp: Stamp, now: Now) -> (Duration, bool) {
        let max_gap = longest_gap(stamp);
        let state = self.0.entry(key).or_insert(State { max_gap, ..State::new(now) });
        let last = state.last.unwrap_or(stamp.at);
        let hole = elapsed(stamp.at, last);
        if stamp.at < last || hole > max_gap {
            (state.so_far, state.begun) = (Duration::ZERO, false);
        } else if state.held && !state.paused {
            state.so_far = state.so_far.saturating_add(hole);
        }
        let (so_far, begun) = (state.so_far, state.begun);
        *state = State { so_far, begun, last: Some(stamp.at), max_gap, ..State::new(now) };
        (so_far, begun)
    }

    /// Records that a condition does not hold: from here on the start of its next hold is known.
    fn begin(&mut self, key: Key, stamp: Option<Stamp>, now: Now) -> (Duration, bool) {
        let (last, max_gap) = (stamp.map(|stamp| stamp.at), stamp.map_or(MIN_GAP, longest_gap));
        self.0.insert(key, State { begun: true, held: false, last, max_gap, ..State::new(now) });
        (Duration::ZERO, true)
    }

    fn pause(&mut self, key: &Key, now: Now) -> (Duration, bool) {
        let Some(state) = self.0.get_mut(key) else { return (Duration::ZERO, false) };
        if !state.paused {
            state.paused = true;
            state.seen = now.mono;
        }
        (state.so_far, state.begun)
    }
}

impl State {
    /// Returns the state of a condition that holds from now on, without earlier observations.
    fn new(now: Now) -> Self {
        Self {
            so_far: Duration::ZERO,
            begun: false,
            last: None,
            held: true,
            max_gap: MIN_GAP,
            seen: now.mono,
            paused: false,
        }
    }
}

fn longest_gap(stamp: Stamp) -> Duration {
    stamp.interval.saturating_mul(2).max(MIN_GAP)
}

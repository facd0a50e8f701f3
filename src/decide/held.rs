//! How long conditions have held: the state behind `held_for`.
//!
//! Time is counted between samples, not between evaluations. A sample for which the condition is false starts
//! it anew; while the condition is unknown, time stands still, and after two scrape intervals it starts anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::decide::plan::condition::{Evaluated, Held};
use crate::decide::plan::inputs::{Inputs, Stamp};
use crate::model::proposal::{ConditionId, HeldFor};
use crate::model::time::elapsed;
use crate::model::{Now, Timestamp, Truth};

/// A hole this long only pauses, however often the source is scraped: two ticks of the loop.
const MIN_GAP: Duration = Duration::from_secs(30);

/// Where a condition stands: rule and position among its conditions.
pub(super) type Place = (Arc<str>, usize);

/// What is known of one condition.
#[derive(Debug, Clone, PartialEq)]
struct State {
    condition: ConditionId,
    so_far: Duration,
    /// Newest sample for which it was true; `None` where it was recalled from a record, of whose sample it is.
    last: Option<Timestamp>,
    /// Longest hole that only pauses.
    max_gap: Duration,
    /// Monotonic time at which it was last true or first unknown.
    seen: Duration,
    /// Whether it is unknown since `seen`.
    paused: bool,
}

/// All `held_for` conditions of one service.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct HeldStates(BTreeMap<Place, State>);

impl HeldStates {
    /// Returns the truth of a condition under its `held_for`, and the progress to show.
    pub(super) fn apply(
        &mut self,
        place: Place,
        held: &Held,
        condition: &Evaluated,
        inputs: &Inputs<'_>,
        now: Now,
    ) -> (Truth, Option<HeldFor>) {
        let id = held.id(inputs);
        if self.0.get(&place).is_some_and(|state| state.condition != id) {
            self.0.remove(&place);
        }
        let holds = condition.trace.holds;
        let so_far = match (holds, condition.stamp) {
            (Truth::True, Some(stamp)) => self.extend(place, id, stamp, now),
            (Truth::Unknown, _) => self.pause(&place, now),
            (Truth::True, None) | (Truth::False, _) => {
                self.0.remove(&place);
                Duration::ZERO
            }
        };
        let holds = if holds == Truth::True { Truth::of(so_far > held.needed) } else { holds };
        (holds, Some(HeldFor { needed: held.needed, so_far, condition: Some(id) }))
    }

    /// Takes over what a record says of a condition, as of the sample that is seen next. What is remembered of another
    /// condition at that place stays: then the record is of another set.
    pub(super) fn recall(&mut self, place: Place, then: HeldFor, now: Now) {
        let Some(condition) = then.condition else { return };
        if self.0.get(&place).is_none_or(|own| own.condition == condition) {
            let (so_far, seen) = (then.so_far, now.mono);
            self.0.insert(place, State { condition, so_far, last: None, max_gap: MIN_GAP, seen, paused: false });
        }
    }

    /// Forgets what was not seen for longer than it may pause.
    pub(super) fn prune(&mut self, now: Now) {
        self.0.retain(|_, state| now.since(state.seen) <= state.max_gap);
    }

    fn extend(&mut self, place: Place, condition: ConditionId, stamp: Stamp, now: Now) -> Duration {
        let max_gap = stamp.interval.saturating_mul(2).max(MIN_GAP);
        let (so_far, seen) = (Duration::ZERO, now.mono);
        let start = State { condition, so_far, last: None, max_gap, seen, paused: false };
        let state = self.0.entry(place).or_insert(start);
        let last = state.last.unwrap_or(stamp.at);
        let hole = elapsed(stamp.at, last);
        if stamp.at < last || hole > max_gap {
            state.so_far = Duration::ZERO;
        } else if !state.paused {
            state.so_far = state.so_far.saturating_add(hole);
        }
        state.last = Some(stamp.at);
        state.seen = seen;
        state.max_gap = max_gap;
        state.paused = false;
        state.so_far
    }

    fn pause(&mut self, place: &Place, now: Now) -> Duration {
        let Some(state) = self.0.get_mut(place) else { return Duration::ZERO };
        if !state.paused {
            state.paused = true;
            state.seen = now.mono;
        }
        state.so_far
    }
}

//! How long conditions have held: the state behind `held_for`.
//!
//! Time is counted between samples, not between evaluations. A sample for which the condition is false starts
//! it anew; while the condition is unknown, time stands still, and after two scrape intervals it starts anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::decide::plan::condition::{Evaluated, Held};
use crate::decide::plan::inputs::{Inputs, Stamp};
use crate::model::proposal::HeldFor;
use crate::model::time::elapsed;
use crate::model::{Now, Timestamp, Truth};

/// A hole this long only pauses, however often the source is scraped: two ticks of the loop.
const MIN_GAP: Duration = Duration::from_secs(30);

/// Which condition it is: exactly as written, and with which parameters. Another one in its place starts anew.
#[derive(Debug, Clone, PartialEq)]
struct Identity {
    fingerprint: Arc<str>,
    parameters: Vec<Option<f64>>,
}

impl Identity {
    fn of(held: &Held, inputs: &Inputs<'_>) -> Self {
        let parameters = held.parameters.iter().map(|name| inputs.parameter(name).number.ok());
        Self { fingerprint: Arc::clone(&held.fingerprint), parameters: parameters.collect() }
    }
}

/// Where a condition stands: rule and position among its conditions.
pub(super) type Place = (Arc<str>, usize);

/// What is known of one condition.
#[derive(Debug, Clone, PartialEq)]
struct State {
    identity: Identity,
    so_far: Duration,
    /// Newest sample for which it was true.
    last: Timestamp,
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
        let identity = Identity::of(held, inputs);
        if self.0.get(&place).is_some_and(|state| state.identity != identity) {
            self.0.remove(&place);
        }
        let holds = condition.trace.holds;
        let so_far = match (holds, condition.stamp) {
            (Truth::True, Some(stamp)) => self.extend(place, identity, stamp, now),
            (Truth::Unknown, _) => self.pause(&place, now),
            (Truth::True, None) | (Truth::False, _) => {
                self.0.remove(&place);
                Duration::ZERO
            }
        };
        let holds = if holds == Truth::True { Truth::of(so_far > held.needed) } else { holds };
        (holds, Some(HeldFor { needed: held.needed, so_far }))
    }

    /// Forgets what was not seen for longer than it may pause.
    pub(super) fn prune(&mut self, now: Now) {
        self.0.retain(|_, state| now.since(state.seen) <= state.max_gap);
    }

    fn extend(&mut self, place: Place, identity: Identity, stamp: Stamp, now: Now) -> Duration {
        let max_gap = stamp.interval.saturating_mul(2).max(MIN_GAP);
        let (so_far, last, seen) = (Duration::ZERO, stamp.at, now.mono);
        let start = State { identity, so_far, last, max_gap, seen, paused: false };
        let state = self.0.entry(place).or_insert(start);
        let hole = elapsed(stamp.at, state.last);
        if stamp.at < state.last || hole > max_gap {
            state.so_far = Duration::ZERO;
        } else if !state.paused {
            state.so_far = state.so_far.saturating_add(hole);
        }
        state.last = last;
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

//! How long conditions have held: the state behind `held_for`.
//!
//! Time is counted between samples, not between evaluations. A sample for which the condition is false starts
//! it anew; while the condition is unknown, time stands still, and after two scrape intervals it starts anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::decide::api::condition::Condition;
use crate::decide::api::quantity::Stamp;
use crate::model::proposal::HeldFor;
use crate::model::time::elapsed;
use crate::model::{Now, Timestamp, Truth};

/// A hole this long only pauses, however often the source is scraped: two ticks of the loop.
const MIN_GAP: Duration = Duration::from_secs(30);

/// What is known of one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    /// The condition in words, bound included; another condition in its place starts anew.
    phrase: String,
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

/// All `held_for` conditions of one service, by rule and position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HeldStates(BTreeMap<(Arc<str>, usize), Held>);

impl HeldStates {
    /// Returns the truth of `condition` under its `held_for`, and the progress to show. Without `held_for`
    /// its truth is returned as it is.
    pub(super) fn apply(
        &mut self,
        rule: &Arc<str>,
        position: usize,
        condition: &Condition,
        now: Now,
    ) -> (Truth, Option<HeldFor>) {
        let holds = condition.trace.holds;
        let Some(needed) = condition.held else { return (holds, None) };
        let key = (Arc::clone(rule), position);
        let phrase = condition.phrase();
        if self.0.get(&key).is_some_and(|held| held.phrase != phrase && holds != Truth::Unknown) {
            self.0.remove(&key);
        }
        let so_far = match (holds, condition.stamp) {
            (Truth::True, Some(stamp)) => self.extend(key, phrase, stamp, now),
            (Truth::True, None) => Duration::ZERO,
            (Truth::Unknown, _) => self.pause(&key, now),
            (Truth::False, _) => {
                self.0.remove(&key);
                Duration::ZERO
            }
        };
        let holds = if holds == Truth::True { Truth::of(so_far > needed) } else { holds };
        (holds, Some(HeldFor { needed, so_far }))
    }

    /// Forgets what was not seen for longer than it may pause.
    pub(super) fn prune(&mut self, now: Now) {
        self.0.retain(|_, held| now.since(held.seen) <= held.max_gap);
    }

    fn extend(&mut self, key: (Arc<str>, usize), phrase: String, stamp: Stamp, now: Now) -> Duration {
        let max_gap = stamp.interval.saturating_mul(2).max(MIN_GAP);
        let start = Held { phrase, so_far: Duration::ZERO, last: stamp.at, max_gap, seen: now.mono, paused: false };
        let held = self.0.entry(key).or_insert(start);
        let hole = elapsed(stamp.at, held.last);
        if stamp.at < held.last || hole > max_gap {
            held.so_far = Duration::ZERO;
        } else if !held.paused {
            held.so_far = held.so_far.saturating_add(hole);
        }
        held.last = stamp.at;
        held.seen = now.mono;
        held.max_gap = max_gap;
        held.paused = false;
        held.so_far
    }

    fn pause(&mut self, key: &(Arc<str>, usize), now: Now) -> Duration {
        let Some(held) = self.0.get_mut(key) else { return Duration::ZERO };
        if !held.paused {
            held.paused = true;
            held.seen = now.mono;
        }
        held.so_far
    }
}

//! Which queries of a source are sent in a round: one that its server does not finish is sent less and less often, so
//! that it takes no time from the others. Pure: depends on the round, its outcome and the time.

use std::time::Duration;

use crate::model::hash::more;
use crate::model::{Arrival, Missing};
use crate::ports::{Answer, Round, SourceError};

use super::back_off::BackOff;

/// The queries of a source that did not finish when last sent.
#[derive(Debug)]
pub struct SlowQueries {
    /// Seed of their source.
    seed: u64,
    slow: Vec<Option<Slow>>,
}

/// One of them.
#[derive(Debug)]
struct Slow {
    error: SourceError,
    back_off: BackOff,
    /// Not sent until then (monotonic).
    until: Duration,
}

impl SlowQueries {
    /// Returns the state without slow queries.
    pub fn new(seed: u64) -> Self {
        Self { seed, slow: Vec::new() }
    }

    /// Returns the positions of the templates of `round` that are due at `now` (monotonic).
    pub fn due(&self, round: &Round, now: Duration) -> Vec<usize> {
        (0..round.templates.len()).filter(|at| self.slow(*at).is_none_or(|slow| slow.until <= now)).collect()
    }

    /// Records at `now` the results of the templates at `asked`, in order.
    pub fn note(&mut self, asked: &[usize], faults: &[Option<SourceError>], now: Duration) {
        self.slow.resize_with(self.slow.len().max(asked.last().map_or(0, |last| last + 1)), || None);
        for (position, at) in asked.iter().enumerate() {
            let Some(slot) = self.slow.get_mut(*at) else { continue };
            match faults.get(position).and_then(Option::as_ref) {
                Some(error) if error.is_unfinished() => {
                    // Seeded by position too, so that several do not return in the same round.
                    let seed = more(self.seed, &at.to_le_bytes());
                    let mut back_off = slot.take().map_or_else(|| BackOff::new(seed), |slow| slow.back_off);
                    let until = now.saturating_add(back_off.failed(None));
                    *slot = Some(Slow { error: error.clone(), back_off, until });
                }
                // Nothing was learned about it.
                Some(SourceError::NotReached(_)) => {}
                Some(_) | None => *slot = None,
            }
        }
    }

    /// Returns an answer to the templates at `asked`, in ascending order, expanded to the whole round.
    pub fn complete(&self, mut answer: Answer, round: &Round, asked: &[usize]) -> Answer {
        answer.faults.resize(asked.len(), None);
        for (at, template) in round.templates.iter().enumerate() {
            let Some(slow) = self.slow(at).filter(|_| !asked.contains(&at)) else { continue };
            let missing = Missing::SourceDown { error: format!("{}; querying it less often for a while", slow.error) };
            // Those before it are already present.
            answer.arrivals.insert(at, vec![Arrival::Missing(missing); template.width]);
            answer.faults.insert(at, Some(slow.error.clone()));
        }
        answer
    }

    fn slow(&self, at: usize) -> Option<&Slow> {
        self.slow.get(at).and_then(Option::as_ref)
    }
}

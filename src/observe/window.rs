//! The last minutes of one signal in time order, and which of its samples are believed.
//!
//! A value more than ten times smaller or larger than the last accepted one opens a run. The third distinct sample in a
//! row that agrees confirms the run: all three are accepted and become the new level. A run that ends earlier is never
//! accepted. This keeps a changed unit, an empty sum or a single odd sample out of the forecast (fault row P14).

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{Finite, MinuteValue, Sample, SignalSpec, Timestamp, Unit};

use super::before;

/// Samples that must agree before a tenfold change is believed.
const CONFIRMATIONS: u32 = 3;
/// How many times larger or smaller a value may be without confirmation.
const JUMP: f64 = 10.0;
/// Most samples kept, whatever the interval of the source.
const CAPACITY: usize = 512;

/// The jump filter's verdict on a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Within ten times the previous level, or confirmed.
    Accepted,
    /// Part of an unconfirmed drop.
    Dropped,
    /// Part of an unconfirmed rise.
    Risen,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sample: Sample,
    mark: Mark,
}

/// Distinct samples, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    /// The newest accepted value that has left the window: the level against which its oldest sample is judged.
    level: Option<Finite>,
}

impl Window {
    /// Inserts a sample; returns whether it is now the newest. Samples with a known timestamp, and samples older than
    /// `span` before the newest, change nothing.
    pub(super) fn insert(&mut self, sample: Sample, span: Duration, unit: Unit) -> bool {
        let newest = self.newest().map(|newest| newest.at);
        if newest.is_some_and(|newest| sample.at <= before(newest, span)) {
            return false;
        }
        let place = self.entries.partition_point(|entry| entry.sample.at < sample.at);
        if self.entries.get(place).is_some_and(|entry| entry.sample.at == sample.at) {
            return false;
        }
        self.entries.insert(place, Entry { sample, mark: Mark::Accepted });
        self.judge(unit);
        newest.is_none_or(|newest| newest < sample.at)
    }

    /// Drops the samples older than `span` before the newest.
    pub(super) fn evict(&mut self, span: Duration) {
        let limit = self.newest().map_or(Timestamp::MIN, |newest| before(newest.at, span));
        while self.entries.len() > CAPACITY || self.entries.front().is_some_and(|entry| entry.sample.at <= limit) {
            if let Some(Entry { sample, mark: Mark::Accepted }) = self.entries.pop_front() {
                self.level = Some(sample.value);
            }
        }
    }

    /// Drops the samples after `limit`: the wall clock was set back to before them.
    pub(super) fn forget_after(&mut self, limit: Timestamp, unit: Unit) {
        if self.newest().is_none_or(|newest| newest.at <= limit) {
            return;
        }
        let accepted = self.accepted().next_back().map(|sample| sample.value);
        self.entries.retain(|entry| entry.sample.at <= limit);
        if self.entries.is_empty() {
            self.level = accepted.or(self.level);
        }
        self.judge(unit);
    }

    /// Returns the newest sample, believed or not.
    pub(super) fn newest(&self) -> Option<Sample> {
        self.entries.back().map(|entry| entry.sample)
    }

    /// Returns the accepted samples, oldest first.
    pub(super) fn accepted(&self) -> impl DoubleEndedIterator<Item = Sample> + Clone {
        self.entries.iter().filter(|entry| entry.mark == Mark::Accepted).map(|entry| entry.sample)
    }

    /// Returns the readable samples, newest first: accepted ones, and rises whether confirmed or not.
    pub(super) fn readable(&self) -> impl Iterator<Item = Sample> + Clone {
        self.entries.iter().rev().filter(|entry| entry.mark != Mark::Dropped).map(|entry| entry.sample)
    }

    /// Returns the unconfirmed change that the newest sample belongs to, and how many samples the change has.
    pub(super) fn unconfirmed(&self) -> Option<(Mark, u32)> {
        let mark = self.entries.back()?.mark;
        let seen = self.entries.iter().rev().take_while(|entry| entry.mark == mark).count();
        (mark != Mark::Accepted).then_some((mark, seen as u32))
    }

    /// Judges all samples again, in time order.
    fn judge(&mut self, unit: Unit) {
        let mut filter = Filter { level: self.level, ..Filter::default() };
        for place in 0..self.entries.len() {
            let Some(entry) = self.entries.get_mut(place) else { break };
            let (mark, confirms) = filter.judge(entry.sample.value, unit);
            entry.mark = mark;
            if confirms {
                let agreeing = place.saturating_sub(CONFIRMATIONS as usize - 1)..=place;
                self.entries.range_mut(agreeing).for_each(|entry| entry.mark = Mark::Accepted);
            }
        }
    }
}

/// The jump filter, from one value to the next.
#[derive(Debug, Clone, Copy)]
struct Filter {
    level: Option<Finite>,
    /// The mark of the last values, and how many share it.
    run: (Mark, u32),
}

impl Default for Filter {
    fn default() -> Self {
        Self { level: None, run: (Mark::Accepted, 0) }
    }
}

impl Filter {
    /// Judges the next value; also returns whether it confirms a run, which is then accepted as a whole.
    fn judge(&mut self, value: Finite, unit: Unit) -> (Mark, bool) {
        let mark = self.level.map_or(Mark::Accepted, |level| compare(level.get(), value.get(), unit));
        self.run = if self.run.0 == mark { (mark, self.run.1 + 1) } else { (mark, 1) };
        let confirms = mark != Mark::Accepted && self.run.1 == CONFIRMATIONS;
        if confirms {
            self.run = (Mark::Accepted, 0);
        }
        if confirms || mark == Mark::Accepted {
            self.level = Some(value);
        }
        (mark, confirms)
    }
}

/// Removes from a history (oldest first) what would not have been believed live: values outside the signal's range, and
/// those that the jump filter rejects. Their minutes become gaps.
pub fn believe(signal: &SignalSpec, minutes: &mut [MinuteValue]) {
    let mut filter = Filter::default();
    // The newest values of an unconfirmed run, oldest first.
    let mut doubted = VecDeque::with_capacity(CONFIRMATIONS as usize);
    for place in 0..minutes.len() {
        let Some(value) = minutes.get_mut(place).and_then(|minute| minute.value.take()) else { continue };
        if !(signal.range.0..=signal.range.1).contains(&value.get()) {
            continue;
        }
        doubted.push_back((place, value));
        if doubted.len() > CONFIRMATIONS as usize {
            doubted.pop_front();
        }
        match filter.judge(value, signal.unit) {
            (Mark::Accepted, _) => doubted.drain(..doubted.len() - 1).for_each(drop),
            (_, true) => {}
            (_, false) => continue,
        }
        for (place, value) in doubted.drain(..) {
            minutes.get_mut(place).into_iter().for_each(|minute| minute.value = Some(value));
        }
    }
}

/// Returns whether `value` is more than ten times off `level`. Both count as at least the smallest magnitude that
/// matters in their unit, so that noise around zero is not a jump but zero after a real value is.
fn compare(level: f64, value: f64, unit: Unit) -> Mark {
    let least = match unit {
        Unit::Ratio | Unit::Seconds => 0.001,
        Unit::PerSecond => 0.1,
        Unit::Count => 1.0,
        Unit::UsdPerHour => 0.01,
        Unit::Flag => return Mark::Accepted,
    };
    let (level, value) = (level.max(least), value.max(least));
    if value < level / JUMP {
        Mark::Dropped
    } else if level < value / JUMP {
        Mark::Risen
    } else {
        Mark::Accepted
    }
}

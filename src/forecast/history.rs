//! The last days of a signal on the minute grid, compact: what the seasonal naive forecast repeats, from which
//! a season is first drawn, and to which smoothing parameters are fitted.
//!
//! The running hour lies beside the shared ring and is written into it when it ends, so that a copy of the
//! state costs a copy of the ring at most once an hour.

use std::sync::Arc;

use crate::model::Minute;

/// Minutes in a day.
pub const DAY: i64 = 1440;
const HOUR: usize = 60;
/// Stands for a missing minute inside the ring; it never leaves this file.
const MISSING: f32 = f32::NAN;

/// The values of the last days by minute.
#[derive(Debug, Clone)]
pub struct History {
    /// Ended hours, at their minute modulo the length; empty before the first hour has ended.
    ended: Arc<Vec<f32>>,
    running: [f32; HOUR],
    hour: Option<i64>,
    hours: i64,
}

impl History {
    /// Returns an empty history that keeps `days`.
    pub fn new(days: u32) -> Self {
        Self { ended: Arc::default(), running: [MISSING; HOUR], hour: None, hours: i64::from(days.max(1)) * 24 }
    }

    /// Returns how many minutes it can hold.
    pub fn capacity(&self) -> i64 {
        self.hours * 60
    }

    /// Writes the value of `minute`, which must not lie before an hour already ended (it is ignored then).
    pub fn push(&mut self, minute: Minute, value: Option<f64>) {
        let hour = minute.0.div_euclid(60);
        match self.hour {
            Some(running) if hour < running => return,
            Some(running) if hour > running => self.end_hour(running, hour),
            Some(_) => {}
            None => self.hour = Some(hour),
        }
        if let Some(cell) = self.running.get_mut(minute.0.rem_euclid(60) as usize) {
            *cell = value.map_or(MISSING, |value| value as f32);
        }
    }

    fn end_hour(&mut self, running: i64, next: i64) {
        let length = self.capacity() as usize;
        let ended = Arc::make_mut(&mut self.ended);
        if ended.is_empty() {
            ended.resize(length, MISSING);
        }
        let mut write = |hour: i64, cells: &[f32; HOUR]| {
            let start = hour.rem_euclid(self.hours) as usize * HOUR;
            if let Some(slot) = ended.get_mut(start..start + HOUR) {
                slot.copy_from_slice(cells);
            }
        };
        write(running, &self.running);
        self.running = [MISSING; HOUR];
        let skipped = (next.saturating_sub(running) - 1).min(self.hours);
        for hour in next - skipped..next {
            write(hour, &self.running);
        }
        self.hour = Some(next);
    }

    /// Returns the value of `minute`; `None` for a gap, for the future and for what is no longer kept.
    pub fn get(&self, minute: Minute) -> Option<f64> {
        let running = self.hour?;
        let hour = minute.0.div_euclid(60);
        let value = if hour == running {
            *self.running.get(minute.0.rem_euclid(60) as usize)?
        } else if hour < running && hour >= running - self.hours {
            *self.ended.get(minute.0.rem_euclid(self.capacity()) as usize)?
        } else {
            return None;
        };
        value.is_finite().then_some(f64::from(value))
    }

    /// Returns the share of the `minutes` up to and including `last` that have a value.
    pub fn share_seen(&self, last: Minute, minutes: i64) -> f64 {
        let seen = (0..minutes).filter(|back| self.get(last.plus(-back)).is_some()).count();
        seen as f64 / minutes.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_days_back_are_kept_and_no_more() {
        let mut history = History::new(2);
        for minute in 0..10_000 {
            history.push(Minute(minute), Some(minute as f64));
        }
        for back in [0, 1, 59, 60, 1440, 2879] {
            assert_eq!(history.get(Minute(9_999 - back)), Some((9_999 - back) as f64), "{back}");
        }
        assert_eq!(history.get(Minute(10_000)), None);
        assert_eq!(history.get(Minute(9_999 - 3_000)), None);
    }

    #[test]
    fn skipped_time_reads_as_gap_however_long() {
        for skipped in [1, 59, 60, 61, 1_441, 2_880, 5_000, i64::from(u32::MAX)] {
            let mut history = History::new(2);
            for minute in 0..4_000 {
                history.push(Minute(minute), Some(1.0));
            }
            let next = 4_000 + skipped;
            history.push(Minute(next), Some(2.0));
            assert_eq!(history.get(Minute(next)), Some(2.0));
            for back in 1..=skipped.min(2_880) {
                assert_eq!(history.get(Minute(next - back)), None, "skipped {skipped}, back {back}");
            }
        }
    }

    #[test]
    fn a_copy_keeps_its_own_past() {
        let mut history = History::new(2);
        for minute in 0..120 {
            history.push(Minute(minute), Some(1.0));
        }
        let copy = history.clone();
        for minute in 120..3_000 {
            history.push(Minute(minute), Some(2.0));
        }
        assert_eq!(copy.get(Minute(30)), Some(1.0));
        assert_eq!(copy.get(Minute(200)), None);
    }

    #[test]
    fn the_past_is_not_rewritten() {
        let mut history = History::new(2);
        history.push(Minute(600), Some(1.0));
        history.push(Minute(100), Some(9.0));
        assert_eq!(history.get(Minute(100)), None);
        assert_eq!(history.get(Minute(600)), Some(1.0));
    }
}

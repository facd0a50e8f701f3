//! The last day or days of a signal on the minute grid, compact: the source of the seasonal naive forecast, of the
//! first season and of the fits of smoothing parameters.
//!
//! An ended hour is kept in 8 bits a minute, scaled between its least and largest value, except for one outlier kept
//! apart: the error is at most 1/506 of that range, far less than a minute differs from the same minute of the next
//! day. The running hour is kept next to the shared ring and written into it when it ends, so that a copy of the state
//! copies the ring at most once an hour.

use std::sync::Arc;

pub use super::three::ROUNDING;
use super::three::Three;
use crate::model::Minute;

/// Minutes in a day.
pub const DAY: i64 = 1440;
const HOUR: usize = 60;
/// How many minutes away the replacement of a missing minute may be.
const REACH: i64 = 30;
/// Marks a missing minute in the ring; never leaves this file.
const MISSING: u8 = u8::MAX;
/// Marks the one outlier of an hour.
const APART: u8 = MISSING - 1;
/// Steps between the least and the largest value of an hour, without the outlier.
const STEPS: f32 = 253.0;

/// An ended hour. Its numbers are byte arrays so that hours are stored without padding.
#[derive(Debug, Clone, Copy)]
struct Hour {
    /// The least value without the outlier, and the size of one step.
    least: [u8; 4],
    step: [u8; 4],
    /// Distance of the outlier from the least value, to 1/256: an outlier is further from all others than they are from
    /// each other.
    apart: [u8; 2],
    cells: [u8; HOUR],
}

impl Hour {
    const NOTHING: Self = Self { least: [0; 4], step: [0; 4], apart: [0; 2], cells: [MISSING; HOUR] };

    fn of(values: &[f32; HOUR]) -> Self {
        let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for value in values.iter().copied().filter(|value| value.is_finite()) {
            low = if value < low[0] { [value, low[0]] } else { [low[0], low[1].min(value)] };
            high = if value > high[0] { [value, high[0]] } else { [high[0], high[1].max(value)] };
        }
        let (above, below) = (high[0] - high[1] > high[1] - low[0], low[1] - low[0] > high[0] - low[1]);
        let (least, most, apart) = match (above, below) {
            // With two values, neither is the outlier.
            (true, true) | (false, false) => (low[0], high[0], None),
            (true, false) => (low[0], high[1], Some(high[0])),
            (false, true) => (low[1], high[0], Some(low[0])),
        };
        if !least.is_finite() {
            return Self::NOTHING;
        }
        let step = (most - least) / STEPS;
        let cell = |value: f32| match apart {
            _ if !value.is_finite() => MISSING,
            Some(apart) if value == apart => APART,
            // If all values are equal the step is zero; the cast turns NaN into zero.
            _ => ((value - least) / step).round() as u8,
        };
        Self::with(least, step, apart.map_or(0.0, |apart| apart - least), values.map(cell))
    }

    fn with(least: f32, step: f32, apart: f32, cells: [u8; HOUR]) -> Self {
        // The upper half of an `f32`, rounded.
        let [.., second, first] = apart.to_bits().saturating_add(0x8000).to_le_bytes();
        Self { least: least.to_ne_bytes(), step: step.to_ne_bytes(), apart: [second, first], cells }
    }

    fn least(&self) -> f32 {
        f32::from_ne_bytes(self.least)
    }

    fn step(&self) -> f32 {
        f32::from_ne_bytes(self.step)
    }

    fn apart(&self) -> f32 {
        let [second, first] = self.apart;
        f32::from_le_bytes([0, 0, second, first])
    }

    fn scaled(&self, factor: f32) -> Self {
        Self::with(factor * self.least(), factor * self.step(), factor * self.apart(), self.cells)
    }

    /// Returns the values that these cells are, NaN if missing.
    fn values<const N: usize>(&self, cells: [u8; N]) -> [f32; N] {
        let (least, step, apart) = (self.least(), self.step(), self.apart());
        let mut values = cells.map(f32::from);
        for value in &mut values {
            let above = if *value == f32::from(APART) { apart } else { *value * step };
            *value = if *value == f32::from(MISSING) { f32::NAN } else { least + above };
        }
        values
    }
}

/// The values of one hour.
#[derive(Clone, Copy)]
enum Page<'a> {
    Ended(&'a Hour),
    Running(&'a [Three; HOUR]),
    Unknown,
}

impl Page<'_> {
    /// Returns the values of some minutes, NaN if missing.
    #[inline]
    fn values<const N: usize>(&self, minutes: [usize; N]) -> [f32; N] {
        match self {
            Self::Ended(hour) => hour.values(minutes.map(|minute| hour.cells[minute])),
            Self::Running(values) => minutes.map(|minute| values[minute].get()),
            Self::Unknown => [f32::NAN; N],
        }
    }

    /// Returns the value of a minute, NaN if missing.
    fn value(&self, minute: usize) -> f32 {
        let [value] = self.values([minute]);
        value
    }
}

/// The values of the last days by minute.
#[derive(Debug, Clone)]
pub struct History {
    /// Ended hours, at the hour number modulo the length; empty before the first hour has ended.
    ended: Arc<[Hour]>,
    /// NaN for a gap.
    running: [Three; HOUR],
    hour: Option<i64>,
    hours: i64,
    /// How many minutes away the replacement of a missing minute may be.
    reach: i64,
}

impl History {
    /// Returns an empty history that keeps `days` plus one hour.
    pub fn new(days: u32) -> Self {
        Self::of(i64::from(days.max(1)) * DAY, REACH)
    }

    /// Returns an empty history of at least `minutes` minutes, in which a missing one may be replaced from up to
    /// `reach` minutes away.
    pub fn of(minutes: i64, reach: i64) -> Self {
        // While an hour runs, the one it will replace is still complete.
        let hours = minutes.div_euclid(HOUR as i64) + 1;
        Self { ended: Arc::default(), running: [Three::NAN; HOUR], hour: None, hours, reach }
    }

    /// Writes the value of `minute`; ignored if the minute is before an hour that has already ended.
    pub fn push(&mut self, minute: Minute, value: Option<f64>) {
        let hour = minute.0.div_euclid(60);
        match self.hour {
            Some(running) if hour < running => return,
            Some(running) if hour > running => self.end_hour(running, hour),
            Some(_) => {}
            None => self.hour = Some(hour),
        }
        if let Some(cell) = self.running.get_mut(minute.0.rem_euclid(60) as usize) {
            *cell = Three::of(value.map_or(f32::NAN, |value| value as f32));
        }
    }

    fn end_hour(&mut self, running: i64, next: i64) {
        let hours = self.hours;
        if self.ended.is_empty() {
            self.ended = vec![Hour::NOTHING; hours as usize].into();
        }
        let ended = Arc::make_mut(&mut self.ended);
        let mut write = |hour: i64, values: Hour| {
            if let Some(slot) = ended.get_mut(hour.rem_euclid(hours) as usize) {
                *slot = values;
            }
        };
        write(running, Hour::of(&self.running.map(Three::get)));
        self.running = [Three::NAN; HOUR];
        let skipped = (next.saturating_sub(running) - 1).min(hours);
        for hour in next - skipped..next {
            write(hour, Hour::NOTHING);
        }
        self.hour = Some(next);
    }

    /// Returns the value of `minute`; `None` for a gap, the future and anything no longer kept.
    pub fn get(&self, minute: Minute) -> Option<f64> {
        let value = self.page(minute.0.div_euclid(60)).value(minute.0.rem_euclid(60) as usize);
        value.is_finite().then_some(value.into())
    }

    fn page(&self, hour: i64) -> Page<'_> {
        let Some(running) = self.hour.filter(|running| hour <= *running) else { return Page::Unknown };
        if hour == running {
            return Page::Running(&self.running);
        }
        let kept = hour >= running - self.hours;
        let ended = self.ended.get(hour.rem_euclid(self.hours) as usize).filter(|_| kept);
        ended.map_or(Page::Unknown, Page::Ended)
    }

    /// Returns the value of `minute`; if missing, interpolates linearly between the nearest values within reach on both
    /// sides, or takes the only one.
    pub fn near(&self, minute: Minute) -> Option<f64> {
        // Avoids a search minute by minute for anything older than the history.
        self.hour.filter(|running| minute.0.div_euclid(60) >= running - self.hours)?;
        if let Some(value) = self.get(minute) {
            return Some(value);
        }
        let nearest = |side: i64| {
            (1..=self.reach).find_map(|off| self.get(minute.plus(side * off)).map(|value| (off as f64, value)))
        };
        match (nearest(-1), nearest(1)) {
            (Some((back, before)), Some((on, after))) => Some(before + (after - before) * back / (back + on)),
            (one, other) => one.or(other).map(|(_, value)| value),
        }
    }

    /// Returns [`near`](Self::near) of the minutes `ahead` (at most 60) of `from`, NaN if unknown.
    #[inline]
    pub fn near_each<const N: usize>(&self, from: Minute, ahead: &[u16; N]) -> [f32; N] {
        let (hour, begin) = (from.0.div_euclid(60), from.0.rem_euclid(60) as usize);
        if self.hour.is_none_or(|running| hour.saturating_add(1) < running - self.hours) {
            return [f32::NAN; N];
        }
        let (page, minutes) = (self.page(hour), ahead.map(|ahead| begin + usize::from(ahead)));
        // One check instead of one per minute: most are within an hour.
        let mut values = if minutes.iter().all(|minute| *minute < HOUR) {
            page.values(minutes)
        } else {
            let next = self.page(hour.saturating_add(1));
            minutes.map(|minute| if minute < HOUR { page.value(minute) } else { next.value(minute - HOUR) })
        };
        // Likewise: most are known.
        if values.iter().fold(false, |unknown, value| unknown | value.is_nan()) {
            for (value, minutes) in values.iter_mut().zip(ahead).filter(|(value, _)| value.is_nan()) {
                *value = self.near(from.plus(i64::from(*minutes))).map_or(f32::NAN, |value| value as f32);
            }
        }
        values
    }

    /// Multiplies all values before `before`.
    pub fn scale(&mut self, before: Minute, factor: f64) {
        let Some(running) = self.hour else { return };
        let times = |minute: i64, value: f64| if minute < before.0 { factor * value } else { value };
        for (minute, value) in (60 * running..).zip(&mut self.running) {
            *value = Three::of(times(minute, f64::from(value.get())) as f32);
        }
        if self.ended.is_empty() {
            return;
        }
        let ended = Arc::make_mut(&mut self.ended);
        for hour in running - self.hours..running {
            let Some(slot) = ended.get_mut(hour.rem_euclid(self.hours) as usize) else { continue };
            if 60 * hour + 60 <= before.0 {
                *slot = slot.scaled(factor as f32);
            } else if 60 * hour < before.0 {
                let mut values = slot.values(slot.cells);
                for (minute, value) in (60 * hour..).zip(&mut values) {
                    *value = times(minute, f64::from(*value)) as f32;
                }
                *slot = Hour::of(&values);
            }
        }
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
    fn the_days_are_kept_and_an_hour_and_no_more() {
        let mut history = History::new(2);
        for minute in 0..10_000 {
            history.push(Minute(minute), Some(minute as f64));
        }
        for back in [0, 1, 59, 60, 1440, 2879] {
            let got = history.get(Minute(9_999 - back)).unwrap();
            assert!((got - (9_999 - back) as f64).abs() <= 59.0 / 508.0 + 1e-3, "{back}: {got}");
        }
        assert_eq!(history.get(Minute(10_000)), None);
        assert_eq!(history.get(Minute(9_999 - 3_000)), None);
    }

    #[test]
    fn skipped_time_reads_as_gap_however_long() {
        // An hour of zeros is not a gap.
        let mut idle = History::new(2);
        (0..61).for_each(|minute| idle.push(Minute(minute), (minute != 7).then_some(0.0)));
        assert_eq!((idle.get(Minute(6)), idle.get(Minute(7))), (Some(0.0), None));
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
    fn a_minute_that_lies_apart_does_not_blur_the_others_of_its_hour() {
        for far in [15_000.0, -15_000.0, 1e12] {
            let mut history = History::new(2);
            let value = |minute: i64| if minute == 30 { far } else { 150.0 + (minute % 7) as f64 };
            (0..61).for_each(|minute| history.push(Minute(minute), Some(value(minute))));
            history.scale(Minute(60), 2.0);
            for minute in 0..60 {
                let (got, expected) = (history.get(Minute(minute)).unwrap(), 2.0 * value(minute));
                let most = if minute == 30 { far.abs() / 100.0 } else { 0.1 };
                assert!((got - expected).abs() < most, "{minute}: {got} and not {expected}");
            }
        }
    }

    #[test]
    fn several_minutes_are_read_as_one_by_one() {
        const AHEAD: [u16; 4] = [0, 1, 29, 30];
        let known = |value: f32| value.is_finite().then_some(value);
        let mut history = History::new(2);
        let values = (0..4_000).map(|minute| (minute % 7 != 3 && !(2_000..2_050).contains(&minute)).then_some(minute));
        values.enumerate().for_each(|(at, value)| history.push(Minute(at as i64), value.map(f64::from)));
        for from in (-100..4_200).chain([i64::MIN, i64::MAX]) {
            let expected =
                AHEAD.map(|minutes| history.near(Minute(from).plus(i64::from(minutes))).map(|value| value as f32));
            assert_eq!(history.near_each(Minute(from), &AHEAD).map(known), expected, "{from}");
        }
        assert_eq!(History::new(2).near_each(Minute(0), &AHEAD).map(known), [None; 4]);
    }

    #[test]
    fn a_missing_minute_lies_between_its_neighbours() {
        let mut history = History::new(2);
        let seen = |minute: i64| minute < 200 || [210, 250].contains(&minute);
        (0..260).for_each(|minute| history.push(Minute(minute), seen(minute).then_some(minute as f64)));
        // Halfway, near one end, with only one side in reach, with none.
        for (minute, expected) in [(205, Some(205.0)), (209, Some(209.0)), (216, Some(210.0)), (300, None)] {
            let got = history.near(Minute(minute));
            let near = got.zip(expected).is_some_and(|(got, expected)| (got - expected).abs() < 0.1);
            assert!(near || got == expected, "{minute}: {got:?}");
        }
    }

    #[test]
    fn all_before_a_minute_is_multiplied() {
        for before in [0, 1200, 3_590, 3_600, 3_610, 5_000] {
            let mut history = History::new(2);
            (0..3_625).for_each(|minute| history.push(Minute(minute), (minute % 9 != 0).then_some(minute as f64)));
            history.scale(Minute(before), 2.0);
            for minute in 3_625 - 2_880..3_625 {
                let expected = if minute < before { 2.0 } else { 1.0 } * minute as f64;
                let got = history.get(Minute(minute));
                assert_eq!(got.is_none(), minute % 9 == 0, "{before} {minute}");
                // An hour multiplied only in part spans the whole signal once more, so its steps are coarser.
                let off = if minute / 60 == before / 60 { 3_700.0 } else { 120.0 } / 500.0;
                assert!(got.is_none_or(|got| (got - expected).abs() < off), "{before} {minute}: {got:?}");
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
        assert!((copy.get(Minute(30)).unwrap() - 1.0).abs() < 1e-6);
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

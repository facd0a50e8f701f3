//! The usual level of a signal, and its peak within a week.

use super::bands::Limits;
use super::history::DAY;
use super::intervals::Standing;
use crate::model::Minute;

/// No value is learned as more than this multiple of the largest absolute value of a week.
const LEARNED: f64 = 10.0;
/// Forecasts and the ends of their intervals stay within this multiple of that peak (INV-26). The peak includes the
/// newest value. More than twice that within half an hour, and more than twice anything in a week, has no precedent: it
/// is one surge multiplied by another.
const FORESEEN: f64 = 2.0;
/// Weight of a new value in the usual height (half-life half a day); the first `1 / GAIN` values count equally.
const GAIN: f64 = 0.001;
/// Minutes without a change after which a signal is at rest, and the share of the usual height within which a forecast
/// then counts as exact.
const RESTS: f32 = 30.0;
const EXACT: f64 = 1e-3;
/// Days of a week, plus the same day a week ago: its surges are forecast.
const DAYS: i32 = 8;

/// Usual and largest absolute value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Height {
    mean: f64,
    seen: u32,
    /// Largest absolute value of each of the last days, at the day number modulo the length.
    peaks: [f32; DAYS as usize],
    /// Number of the newest day; `i32` lasts for millions of years.
    day: i32,
}

impl Height {
    /// Returns a value limited for learning: a single value a thousand times as high as all others would otherwise set
    /// the scale for days. A signal that stays at a new level gets there after one value per additional digit.
    pub fn plausible(&self, value: f64) -> f64 {
        let most = LEARNED * self.peak();
        if most > 0.0 { value.clamp(-most, most) } else { value }
    }

    /// Learns the value of `minute`.
    pub fn learn(&mut self, minute: Minute, value: f64) {
        self.seen = self.seen.saturating_add(1);
        self.mean += GAIN.max(1.0 / f64::from(self.seen)) * (value.abs() - self.mean);
        let day = i32::try_from(minute.0.div_euclid(DAY)).unwrap_or(i32::MAX);
        if self.seen == 1 {
            self.day = day;
        }
        let passed = day.saturating_sub(self.day).clamp(0, DAYS);
        for back in 0..passed {
            self.peaks[slot(day - back)] = 0.0;
        }
        self.day = day;
        let peak = &mut self.peaks[slot(day)];
        *peak = peak.max(value.abs() as f32);
    }

    /// Multiplies the usual value; the peaks remain as measured.
    pub fn scale(&mut self, factor: f64) {
        self.mean *= factor;
    }

    /// Returns the usual absolute value.
    pub fn usual(&self) -> f64 {
        self.mean
    }

    fn peak(&self) -> f64 {
        f64::from(self.peaks.iter().copied().fold(0.0, f32::max))
    }

    /// Returns the standing of a signal that has not changed for `still` minutes and is never below `least`.
    pub fn standing(&self, still: f32, least: f64) -> Standing {
        Standing { least: least as f32, exact: (still >= RESTS).then_some((EXACT * self.mean) as f32) }
    }

    /// Returns the limits of a forecast, given the declared range (`min`, `max`) of the signal.
    pub fn limits(&self, range: (f64, f64)) -> Limits {
        let most = FORESEEN * self.peak();
        let low = range.0.max(if range.0 >= 0.0 { 0.0 } else { -most });
        Limits::within(low, most.min(range.1).max(low))
    }
}

fn slot(day: i32) -> usize {
    day.rem_euclid(DAYS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forecasts_stay_within_the_range_and_twice_the_peak_of_a_week() {
        let mut height = Height::default();
        height.learn(Minute(0), 50.0);
        for day in 1..20 {
            height.learn(Minute(day * DAY), 2.0);
            let high = if day <= 7 { 100.0 } else { 4.0 };
            assert_eq!(height.limits((0.0, 1e9)), Limits { low: 0.0, high }, "day {day}");
        }
        assert_eq!(height.limits((0.0, 1.0)), Limits { low: 0.0, high: 1.0 });
        assert_eq!(height.limits((-1e9, 1e9)), Limits { low: -4.0, high: 4.0 });
        height.learn(Minute(400 * DAY), 1.0);
        assert_eq!(height.limits((0.0, 1e9)), Limits { low: 0.0, high: 2.0 });
    }
}

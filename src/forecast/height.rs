//! How high a signal usually stands, and how high it stood at most in a week.

use super::bands::Limits;
use super::history::DAY;
use super::intervals::Standing;
use crate::model::Minute;

/// No value is learned as more than this multiple of the largest absolute value of a week.
const LEARNED: f64 = 10.0;
/// Forecasts, and the ends of their intervals, stay within this multiple of it (INV-26). It holds the newest value, and
/// what would be more than twice that within half an hour, and more than twice all of a week, no past tells of: it is
/// one surge multiplied with another.
const FORESEEN: f64 = 2.0;
/// Share of a new value in the usual height (half-life half a day), once there were as many.
const GAIN: f64 = 0.001;
/// Minutes without a change after which a signal rests, and the share of the usual height within which what was foreseen
/// of it then is exact.
const RESTS: f32 = 30.0;
const EXACT: f64 = 1e-3;
/// Days of a week, and the one a week ago: its surges are foreseen.
const DAYS: i32 = 8;

/// Usual and largest absolute value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Height {
    mean: f64,
    seen: u32,
    /// Largest absolute value of each of the last days, at the day modulo their number.
    peaks: [f32; DAYS as usize],
    /// Its number, which four bytes hold for millions of years.
    day: i32,
}

impl Height {
    /// Returns a value as it is learned: a single one that is a thousand times as high as all others would be what the
    /// next days are measured by. A signal that stays there is there after as many values as it has more digits.
    pub fn plausible(&self, value: f64) -> f64 {
        let most = LEARNED * self.peak();
        if most > 0.0 { value.clamp(-most, most) } else { value }
    }

    /// Takes in the value of `minute`.
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

    /// Multiplies the usual value; what was seen was seen.
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

    /// Returns where a signal stands that has not changed for so many minutes and is never below `least`.
    pub fn standing(&self, still: f32, least: f64) -> Standing {
        let exact = if still >= RESTS { (EXACT * self.mean) as f32 } else { -1.0 };
        Standing { least: least as f32, exact }
    }

    /// Returns what a forecast may be, given the declared range (`min`, `max`) of the signal.
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

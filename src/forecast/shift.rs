//! A level that is another one from one minute to the next: all of the signal is so many times what it was.
//!
//! The models find a new level within minutes, but what they remember of the day and the week is that of the old one: its
//! waves and surges are as many times too low. Where the last values all lie beyond what was said of them before the first of them
//! came, on one side and by about the same factor, the past is put on the new level as a whole, so that what follows is
//! what it would be had the level never been another one. A surge that nobody knew of looks the same while it
//! lasts; when the signal is back where it was, the past is put back.

use super::history::DAY;
use super::pending::Issued;
use crate::model::Minute;
use crate::model::outlook::HORIZONS;

/// Values in a row that make a rise.
const VALUES: usize = 5;
/// Values in a row that make a fall: where a part of the telemetry is lost it looks like one, and a memory that is halved
/// foresees half of the next surge.
const FALL: u32 = 20;
/// How far off each of them lies at least, in distances of the end of the 95 % interval: what wanders is often beyond it for
/// a while.
const BEYOND: f32 = 3.0;
/// Logarithms of the least and the largest factor.
const LEAST: f32 = 0.5;
const LARGEST: f32 = 1.4;
/// Share of the mean logarithm by which those of the values may differ.
const ALIKE: f32 = 0.5;

/// A change of the level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// By what all of the past is multiplied.
    pub factor: f64,
    /// What lies before this minute is the past.
    pub past: Minute,
    /// The first minute of the new level; what was said before it is multiplied as well.
    pub since: Minute,
    /// Where the signal stands.
    pub level: f64,
}

/// Values in a row that lie beyond what was expected.
#[derive(Debug, Clone, Copy)]
struct Streak {
    since: Minute,
    seen: u32,
    /// Logarithms of the ratios of the last values, at their number modulo the length.
    ratios: [f32; VALUES],
}

/// A shift that may be found to be none.
#[derive(Debug, Clone, Copy)]
struct Shifted {
    since: Minute,
    /// Logarithms of the factor, and of the signal over its mean day since.
    factor: f32,
    of_day: f32,
    /// Values in a row that lie where the signal was before.
    back: u8,
}

/// What is known of shifts of one signal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shift {
    streak: Option<Streak>,
    shifted: Option<Shifted>,
}

impl Shift {
    /// Takes in the value of `minute`, of which `said` was said, and which is `day` on the mean of the days. Returns what
    /// has changed.
    pub fn notice(
        &mut self,
        minute: Minute,
        value: f64,
        said: &Issued<{ HORIZONS.len() }>,
        day: f64,
    ) -> Option<Change> {
        if let Some(change) = self.undone(minute, value, day) {
            return Some(change);
        }
        let since = self.streak.map_or(minute, |streak| streak.since);
        // What was said before the first of them came.
        let age = minute.0.saturating_sub(since.0);
        let lane = HORIZONS.iter().position(|minutes| i64::from(*minutes) > age);
        let ratio = lane.and_then(|lane| beyond(value as f32, said.point[lane], said.low[lane], said.high[lane]));
        let Some(ratio) = ratio else {
            self.streak = None;
            return None;
        };
        let before = self.streak.filter(|streak| streak.ratios[0] * ratio > 0.0);
        let mut streak = before.unwrap_or(Streak { since: minute, seen: 0, ratios: [ratio; VALUES] });
        streak.ratios[streak.seen as usize % VALUES] = ratio;
        streak.seen += 1;
        self.streak = Some(streak);
        let factor = streak.factor()?;
        self.streak = None;
        let since = streak.since;
        let back = self.shifted.filter(|shifted| (shifted.factor + factor).abs() < 0.5 * shifted.factor.abs());
        let level = value / f64::from((ratio - factor).exp());
        let factor = match back {
            Some(shifted) => -shifted.factor,
            None => factor,
        };
        let past = back.map_or(since, |shifted| shifted.since);
        let of_day = (level / day) as f32;
        self.shifted = None;
        if back.is_none() && of_day > 0.0 && of_day.is_finite() {
            self.shifted = Some(Shifted { since, factor, of_day: of_day.ln() - factor, back: 0 });
        }
        Some(Change { factor: f64::from(factor).exp(), past, since, level })
    }

    /// Returns what puts the past back, if the signal is again where it was before the shift.
    fn undone(&mut self, minute: Minute, value: f64, day: f64) -> Option<Change> {
        let shifted = self.shifted.as_mut()?;
        let Shifted { since, factor, of_day, back } = *shifted;
        let off = (value / day).ln() as f32 - of_day;
        let is_back = off * factor.signum() < -0.5 * factor.abs();
        shifted.back = if is_back { back + 1 } else { 0 };
        if usize::from(shifted.back) >= VALUES {
            (self.shifted, self.streak) = (None, None);
            let minutes = VALUES as i64 - 1;
            return Some(Change {
                factor: f64::from(-factor).exp(),
                past: since,
                since: minute.plus(-minutes),
                level: value,
            });
        }
        if minute.0.saturating_sub(since.0) > DAY {
            self.shifted = None;
        }
        None
    }
}

impl Streak {
    /// Returns the logarithm of the factor by which the last values are higher, if it is the same for all.
    fn factor(&self) -> Option<f32> {
        let mean = self.ratios.iter().sum::<f32>() / VALUES as f32;
        let (low, high) = self
            .ratios
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), ratio| (low.min(*ratio), high.max(*ratio)));
        let needed = if mean < 0.0 { FALL } else { VALUES as u32 };
        let found = self.seen >= needed && high - low <= ALIKE * mean.abs() && (LEAST..=LARGEST).contains(&mean.abs());
        found.then_some(mean)
    }
}

/// Returns the logarithm of what `value` is of the point, if it lies far beyond the end of its interval.
fn beyond(value: f32, point: f32, low: f32, high: f32) -> Option<f32> {
    let end = if value > point { high - point } else { point - low };
    let ratio = (value / point).ln();
    ((value - point).abs() > BEYOND * end && point > 0.0 && ratio.is_finite()).then_some(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays values of which 100 was said, within 10 on both sides, on a day like all others; returns what changed.
    fn changes(values: impl IntoIterator<Item = f64>) -> Vec<Change> {
        let mut shift = Shift::default();
        let said = Issued {
            point: [100.0; HORIZONS.len()],
            width: [1.0; HORIZONS.len()],
            low: [90.0; HORIZONS.len()],
            high: [110.0; HORIZONS.len()],
            moving: [false; HORIZONS.len()],
        };
        let mut on = 1.0;
        let notice = |(minute, value): (i64, f64)| {
            // What was said and what is usual is multiplied with the rest.
            let change = shift.notice(Minute(minute), value / on, &said, 100.0)?;
            on *= change.factor;
            Some(change)
        };
        (0..).zip(values).filter_map(notice).collect()
    }

    #[test]
    fn values_that_are_all_about_as_many_times_as_high_are_a_shift() {
        let told = changes([100.0, 205.0, 195.0, 210.0, 190.0, 200.0, 200.0, 200.0]);
        let [Change { factor, past, since, level }] = told[..] else { panic!("{told:?}") };
        assert!((factor - 2.0).abs() < 0.01 && (level - 200.0).abs() < 1.0, "{told:?}");
        assert_eq!((past, since), (Minute(1), Minute(1)));
    }

    #[test]
    fn a_fall_is_believed_later_than_a_rise() {
        assert_eq!(changes([50.0; 19]), [], "a part of the telemetry may be lost");
        let told = changes([50.0; 30]);
        let [Change { factor, past, .. }] = told[..] else { panic!("{told:?}") };
        assert!((factor - 0.5).abs() < 0.01 && past == Minute(0), "{told:?}");
    }

    #[test]
    fn few_values_a_ramp_wander_and_what_is_beside_all_measure_are_none() {
        for values in [
            [200.0, 200.0, 200.0, 200.0, 100.0, 200.0],
            [135.0, 180.0, 230.0, 290.0, 360.0, 430.0],
            [200.0, 50.0, 200.0, 50.0, 200.0, 50.0],
            [125.0; 6],
            [135.0; 6],
            [0.0; 6],
            [5.0; 6],
        ] {
            assert_eq!(changes(values), [], "{values:?}");
        }
    }

    #[test]
    fn a_surge_that_nobody_knew_of_is_taken_back() {
        for (hold, fall) in [(60, 0), (60, 30), (600, 5)] {
            let falling = (1..=fall).map(|minute| 200.0 - 100.0 * f64::from(minute) / f64::from(fall));
            let told = changes([200.0; 600].into_iter().take(hold).chain(falling).chain([100.0; 10]));
            let [up, down] = told[..] else { panic!("{hold} {fall}: {told:?}") };
            assert!((up.factor * down.factor - 1.0).abs() < 1e-6, "{told:?}");
            assert_eq!((up.past, down.past), (Minute(0), Minute(0)), "the surge itself stays as it was");
            assert!(down.since > up.since);
        }
    }
}

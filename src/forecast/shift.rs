//! A level that is another one from one minute to the next: all of the signal is so many times what it was.
//!
//! The models find a new level within minutes, but what they remember of the day and the week is that of the old one:
//! its waves and surges are as many times too low. Where values lie beyond what was said of them before the first of
//! them came, on one side and by about the same factor, the past is put on the new level as a whole, so that what
//! follows is what it would be had the level never been another one. A surge that nobody knew of looks the same while
//! it lasts; when the signal is back where it was, the past is put back. Then that much is known of the signal: for a
//! week a rise that is no higher is another surge and no level. What would be multiplied holds the surge before it.
//!
//! How far beyond they lie is summed up (a cumulative sum: Page, "Continuous inspection schemes", 1954): five values
//! that are beyond all doubt are enough, values of few requests, of which noise hides one or the other, are told by
//! more of them.

use super::history::DAY;
use super::pending::Issued;
use super::short_minute::ShortMinute;
use crate::model::Minute;
use crate::model::outlook::HORIZONS;

/// Values that make a rise at least.
const VALUES: usize = 5;
/// Values that make a fall at least: where a part of the telemetry is lost it looks like one, and a memory that is
/// halved foresees half of the next surge.
const FALL: u32 = 20;
/// Values within which a rise is told: what takes longer is a ramp.
const RISE: u32 = 15;
/// How far off a value may be, in distances of the end of the 95 % interval, before it speaks for another level: what
/// wanders is often beyond the end for a while. What one that is further off counts at most: no outlier is a level.
const MAY_BE: f32 = 2.0;
const COUNTS: f32 = 1.0;
/// Logarithms of the least and the largest factor.
const LEAST: f32 = 0.5;
const LARGEST: f32 = 7.0;
/// Share of the mean logarithm by which those of the last values may differ, or as much as the interval is wide, up to
/// that mean; and the share by which their mean may differ from that of all: what still rises has found no level.
const ALIKE: f32 = 0.5;
const STANDS: f32 = 0.25;
/// A value so many times as far off as those before is the first one of another level.
const JUMPS: f32 = 2.0;
/// Share of a new value in what the signal usually is of its mean day (half-life four hours), and how far beyond that,
/// in factors, a new level lies at least: the end of an outage is no rise.
const USUAL: f32 = 0.003;
const AWAY: f32 = 0.7;
/// How far beyond a known surge a rise may lie, as a logarithm, and still be one.
const NO_HIGHER: f32 = 0.26;
/// For how long a surge is known.
const KNOWN_FOR: i64 = 7 * DAY;

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

/// One number for the mean of the days, and one for a week ago, NaN where that is not known.
type Profiles = [f32; 2];

/// Values most of which lie beyond what was expected, on one side.
#[derive(Debug, Clone, Copy)]
struct Streak {
    since: ShortMinute,
    seen: u32,
    /// How far beyond they lie, in sum.
    beyond: f32,
    /// Sum of the logarithms of the ratios, and those of the last values, at their number modulo the length.
    sum: f32,
    ratios: [f32; VALUES],
}

/// A shift that may be found to be none.
#[derive(Debug, Clone, Copy)]
struct Shifted {
    since: ShortMinute,
    /// Logarithms of the factor, and of the signal over its profiles since.
    factor: f32,
    of: Profiles,
    /// Values in a row that lie where the signal was before.
    back: u8,
}

/// A rise that was taken back, or one that was no higher.
#[derive(Debug, Clone, Copy, Default)]
struct Surge {
    at: ShortMinute,
    /// Logarithm of its factor; zero for none.
    factor: f32,
}

/// What is known of shifts of one signal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shift {
    streak: Option<Streak>,
    shifted: Option<Shifted>,
    surge: Surge,
    /// Logarithm of what the signal usually is of its mean day.
    usual: f32,
}

impl Shift {
    /// Takes in the value of `minute`, of which `said` was said, and which is `day` on the mean of the days, and what
    /// `ago` returns was a week ago (NaN where that is not known). Returns what has changed.
    pub fn notice(
        &mut self,
        minute: Minute,
        value: f64,
        said: &Issued<{ HORIZONS.len() }>,
        day: f64,
        ago: impl Fn() -> f64,
    ) -> Option<Change> {
        if let Some(change) = self.undone(minute, value, day, &ago) {
            return Some(change);
        }
        let usual = self.usual;
        let of_day = (value / day).ln() as f32;
        if of_day.is_finite() {
            self.usual += USUAL * (of_day - usual);
        }
        let off = |since: ShortMinute| {
            // What was said before the first of them came.
            let age = since.age(minute);
            let lane = HORIZONS.iter().position(|minutes| i64::from(*minutes) > age)?;
            let [point, low, high] = [&said.point, &said.low, &said.high].map(|part| part[lane] * said.since[lane]);
            off(value as f32, point, low, high)
        };
        // A value that ends a streak begins none: what it ends has led the forecasts astray. One that jumps does.
        let streak = match self.streak.take() {
            Some(streak) if !streak.jumps(off(streak.since)?) => streak,
            _ => Streak::beginning(minute),
        };
        let (ratio, away) = off(streak.since)?;
        let streak = streak.with(ratio, away)?;
        self.streak = Some(streak);
        let factor = streak.factor((ratio, away))?;
        let beyond_usual = (of_day - ratio + factor - usual) * factor.signum();
        if beyond_usual < AWAY * factor.abs() {
            return None;
        }
        self.streak = None;
        let since = streak.since.get();
        let back = self.shifted.filter(|shifted| (shifted.factor + factor).abs() < 0.5 * shifted.factor.abs());
        // A rise that takes a fall back is no surge, however high surges are.
        if back.is_none() && self.is_surge(minute, factor) {
            return None;
        }
        let level = value / f64::from((ratio - factor).exp());
        let factor = match back {
            Some(shifted) => self.take_back(minute, shifted.factor),
            None => factor,
        };
        let past = back.map_or(since, |shifted| shifted.since.get());
        let of = [day, ago()].map(|profile| (level / profile).ln() as f32 - factor);
        self.shifted = None;
        if back.is_none() && of[0].is_finite() {
            self.shifted = Some(Shifted { since: ShortMinute::of(since), factor, of, back: 0 });
        }
        Some(Change { factor: f64::from(factor).exp(), past, since, level })
    }

    /// Tells whether a change by `factor` is a rise as there was one before that came back, and remembers that.
    fn is_surge(&mut self, minute: Minute, factor: f32) -> bool {
        let Surge { at, factor: known } = self.surge;
        let is_known = known > 0.0 && at.age(minute) < KNOWN_FOR;
        let is_surge = is_known && (0.0..=known + NO_HIGHER).contains(&factor);
        if is_surge {
            self.surge = Surge { at: ShortMinute::of(minute), factor: known };
        }
        is_surge
    }

    /// Returns the logarithm of the factor that takes one back. A rise that came back was a surge.
    fn take_back(&mut self, minute: Minute, factor: f32) -> f32 {
        if factor > 0.0 {
            self.surge = Surge { at: ShortMinute::of(minute), factor };
        }
        -factor
    }

    /// Returns what puts the past back, if the signal is again where it was before the shift: beside the mean of the
    /// days, and, where that is known, beside a week ago. The nights of all days are alike, and a working day that
    /// stands above their mean comes down to it each evening.
    fn undone(&mut self, minute: Minute, value: f64, day: f64, ago: impl Fn() -> f64) -> Option<Change> {
        let shifted = self.shifted.as_mut()?;
        let Shifted { since, factor, of: [of_day, of_week], back } = *shifted;
        let off = |profile: f64, before: f32| ((value / profile).ln() as f32 - before) * factor.signum();
        let far = -0.5 * factor.abs();
        let is_back_of_week = || {
            let off = off(ago(), of_week);
            off.is_nan() || off < far
        };
        let is_back = off(day, of_day) < far && is_back_of_week();
        shifted.back = if is_back { back + 1 } else { 0 };
        if usize::from(shifted.back) >= VALUES {
            (self.shifted, self.streak) = (None, None);
            let minutes = VALUES as i64 - 1;
            return Some(Change {
                factor: f64::from(self.take_back(minute, factor)).exp(),
                past: since.get(),
                since: minute.plus(-minutes),
                level: value,
            });
        }
        if since.age(minute) > DAY {
            self.shifted = None;
        }
        None
    }
}

impl Streak {
    /// Returns the one that begins with the value of `since`, before that.
    fn beginning(since: Minute) -> Self {
        Self { since: ShortMinute::of(since), seen: 0, beyond: 0.0, sum: 0.0, ratios: [0.0; VALUES] }
    }

    /// Tells whether a value is so far off that those before, hardly beyond, are no part of a level that begins with
    /// it.
    fn jumps(&self, (ratio, away): Off) -> bool {
        self.beyond < COUNTS && away >= MAY_BE + COUNTS && ratio * self.seen as f32 / self.sum > JUMPS
    }

    /// Returns it with one more value, unless that refutes it.
    fn with(mut self, ratio: f32, away: f32) -> Option<Self> {
        let counts = (away - MAY_BE).min(COUNTS);
        let doubtful = if ratio < 0.0 { counts < COUNTS } else { self.seen >= RISE };
        if ratio * self.sum < 0.0 || doubtful {
            return None;
        }
        self.beyond += counts;
        self.ratios[self.seen as usize % VALUES] = ratio;
        self.sum += ratio;
        self.seen += 1;
        (self.beyond > 0.0).then_some(self)
    }

    /// Returns the logarithm of the factor by which the last values are higher, if it is the same for all but for the
    /// noise that is expected of the newest one.
    fn factor(&self, (ratio, away): Off) -> Option<f32> {
        if self.seen < VALUES as u32 {
            return None;
        }
        let mean = self.ratios.iter().sum::<f32>() / VALUES as f32;
        let (low, high) = self
            .ratios
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), ratio| (low.min(*ratio), high.max(*ratio)));
        let needed = if mean < 0.0 { FALL } else { VALUES as u32 };
        let all = self.sum / self.seen as f32;
        // From the point to the end of the interval, as a logarithm.
        let noise = (ratio.exp_m1().abs() / away).ln_1p();
        let alike = high - low <= (2.0 * noise).clamp(ALIKE * mean.abs(), mean.abs())
            && (mean - all).abs() <= STANDS * mean.abs();
        let far = self.beyond >= COUNTS * needed as f32 && (LEAST..=LARGEST).contains(&mean.abs());
        (self.seen >= needed && alike && far).then_some(mean)
    }
}

/// Logarithm of what a value is of the point, and its distance from it in lengths from there to the end of the
/// interval.
type Off = (f32, f32);

/// Returns how far off a value is, if that is a number.
fn off(value: f32, point: f32, low: f32, high: f32) -> Option<Off> {
    let end = if value > point { high - point } else { point - low };
    let (ratio, off) = ((value / point).ln(), (value - point).abs() / end);
    (point > 0.0 && ratio.is_finite() && !off.is_nan()).then_some((ratio, off))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many times 100 is said, within a tenth on both sides.
    fn said(times: f64) -> Issued<{ HORIZONS.len() }> {
        let all = |value: f64| [(times * value) as f32; HORIZONS.len()];
        let moving = [false; HORIZONS.len()];
        Issued {
            point: all(100.0),
            width: all(1.0),
            low: all(90.0),
            high: all(110.0),
            moving,
            since: [1.0; HORIZONS.len()],
        }
    }

    /// Plays values of which 100 was said, within 10 on both sides, on a day like all others; returns what changed.
    fn changes(values: impl IntoIterator<Item = f64>) -> Vec<Change> {
        let (mut shift, said) = (Shift::default(), said(1.0));
        let mut on = 1.0;
        let notice = |(minute, value): (i64, f64)| {
            // What was said and what is usual is multiplied with the rest.
            let change = shift.notice(Minute(minute), value / on, &said, 100.0, || f64::NAN)?;
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
    fn noise_that_hides_a_value_does_not_hide_the_level() {
        // The third one is hardly beyond the end of the interval.
        let told = changes([100.0, 210.0, 200.0, 122.0, 190.0, 210.0, 200.0, 190.0, 210.0, 200.0]);
        let [Change { factor, since, .. }] = told[..] else { panic!("{told:?}") };
        assert!((factor - 2.0).abs() < 0.1 && since == Minute(1), "{told:?}");
        // Hours of ordinary noise after one that is far off are none.
        assert_eq!(changes([200.0].into_iter().chain([109.0, 95.0, 111.0, 104.0].repeat(100))), []);
    }

    #[test]
    fn values_that_are_hardly_beyond_are_no_part_of_the_level_that_follows() {
        let told = changes([122.0, 121.5, 200.0, 205.0, 195.0, 200.0, 200.0]);
        let [Change { factor, since, .. }] = told[..] else { panic!("{told:?}") };
        assert!((factor - 2.0).abs() < 0.1 && since == Minute(2), "{told:?}");
    }

    #[test]
    fn the_end_of_an_outage_is_no_rise() {
        let day = |outage: f64| {
            let (mut shift, said) = (Shift::default(), said(2.0 * outage));
            let before = (0..120).map(|_| outage * 200.0);
            let values = (0..).zip(before.chain([200.0; 20]));
            values.filter_map(|(minute, value)| shift.notice(Minute(minute), value, &said, 200.0, || f64::NAN)).count()
        };
        assert_eq!(day(0.5), 0, "it is back where it usually is");
        assert_eq!(day(0.25), 0);
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

    #[test]
    fn noise_as_wide_as_the_interval_hides_no_level() {
        let values = [[240.0, 165.0, 225.0, 160.0, 235.0, 170.0, 230.0, 165.0, 240.0]; 2].concat();
        let told = |low: f32, high: f32| {
            let (mut shift, said) = (Shift::default(), said(1.0));
            let all = HORIZONS.map(f32::from);
            let said = Issued { low: all.map(|_| low), high: all.map(|_| high), ..said };
            let mut told = (0..).zip(&values).filter_map(|(minute, value)| {
                shift.notice(Minute(minute), *value, &said, 100.0, || f64::NAN).map(|_| minute + 1)
            });
            told.next()
        };
        assert_eq!(told(90.0, 110.0), None, "values that differ far more than was expected are no level");
        let after = told(72.0, 130.0);
        assert!(after.is_some_and(|after| after <= 9), "{after:?}");
    }

    #[test]
    fn what_stands_where_a_week_ago_says_is_not_back() {
        let changes = |ago: fn(i64) -> f64| {
            let (mut shift, said) = (Shift::default(), said(1.0));
            // The level is found at noon of a working day, twice the mean of the days, and falls to it in the evening.
            let days = (0..60).map(|minute| (minute, 400.0)).chain((60..90).map(|minute| (minute, 100.0)));
            let mut told = Vec::new();
            for (minute, value) in days {
                let (on, ago) = if told.is_empty() { (1.0, ago(minute)) } else { (2.0, 2.0 * ago(minute)) };
                let now = if minute < 60 { 200.0 } else { 50.0 } * on / 100.0;
                let times = |part: [f32; HORIZONS.len()]| part.map(|value| value * now as f32);
                let said = Issued { point: times(said.point), low: times(said.low), high: times(said.high), ..said };
                told.extend(shift.notice(Minute(minute), value, &said, 100.0 * on, || ago));
            }
            told.len()
        };
        assert_eq!(changes(|minute| if minute < 60 { 200.0 } else { 50.0 }), 1, "a week ago it fell as well");
        assert_eq!(changes(|_| 200.0), 2);
        assert_eq!(changes(|_| f64::NAN), 2, "the mean of the days is all that is known");
    }

    #[test]
    fn what_came_back_comes_again_and_is_no_level() {
        let surge = [200.0; 20].into_iter().chain([100.0; 400]);
        let told = changes(surge.clone().chain(surge.clone()).chain(surge.clone()));
        assert_eq!(told.len(), 2, "up and down once: {told:?}");
        let told = changes([200.0; 20].into_iter().chain([100.0; 400]).chain([300.0; 20]));
        assert_eq!(told.len(), 3, "what is higher than any surge may be a level: {told:?}");
        let outage = surge.clone().chain([50.0; 30]).chain([100.0; 30]);
        let factor: f64 = changes(outage).iter().map(|change| change.factor).product();
        assert!((factor - 1.0).abs() < 1e-6, "a rise that ends an outage puts the past back: {factor}");
        let week = vec![100.0; 7 * DAY as usize];
        let told = changes([200.0; 20].into_iter().chain([100.0; 30]).chain(week).chain([200.0; 20]));
        assert_eq!(told.len(), 3, "a week later it is forgotten: {told:?}");
    }
}

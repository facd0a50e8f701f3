//! A level that changes from one minute to the next: the whole signal is multiplied by a factor.
//!
//! The models find a new level within minutes, but their memory of the day and the week is still on the old one: its
//! waves and surges are too low by the same factor. If values are beyond the forecasts made before the first of them,
//! on one side and by about the same factor, the whole past is moved to the new level, so that later forecasts are as
//! if the level had always been that. A surge that was not known looks the same while it lasts; when the signal returns
//! to where it was, the past is moved back. The detector then knows such surges: for a week a rise that is no higher
//! counts as another surge and not as a level: the memory to be multiplied already contains the first surge.
//!
//! The distances are summed up (a cumulative sum: Page, "Continuous inspection schemes", 1954): five values that are
//! beyond all doubt are enough; low request counts, some of which are hidden by noise, take more of them.

use super::history::DAY;
use super::pending::Issued;
use super::short_minute::ShortMinute;
use crate::model::Minute;
use crate::model::outlook::HORIZONS;

/// Minimum number of values that make a rise.
const VALUES: usize = 5;
/// Minimum number of values that make a fall: lost telemetry looks like one, and a halved memory forecasts only half of
/// the next surge.
const FALL: u32 = 20;
/// Number of values within which a rise is detected: a slower one is a ramp.
const RISE: u32 = 15;
/// How far off a value must be, in distances of the end of the 95 % interval, to indicate another level: a wandering
/// signal is often beyond the end for a while. The excess is capped at `COUNTS`: an outlier is not a level.
const MAY_BE: f32 = 2.0;
const COUNTS: f32 = 1.0;
/// Logarithms of the smallest and the largest factor.
const LEAST: f32 = 0.5;
const LARGEST: f32 = 7.0;
/// Share of the mean logarithm by which the last values may differ (or up to the width of the interval, at most that
/// mean), and the share by which their mean may differ from that of all: while values still rise there is no level yet.
const ALIKE: f32 = 0.5;
const STANDS: f32 = 0.25;
/// A value this many times as far off as those before is the first one of another level.
const JUMPS: f32 = 2.0;
/// Weight of a new value in the usual ratio of the signal to its mean day (half-life four hours), and how far a new
/// level must be beyond that ratio, as a share of the factor: the end of an outage is not a rise.
const USUAL: f32 = 0.003;
const AWAY: f32 = 0.7;
/// How far beyond a known surge a rise may be, as a logarithm, and still count as that surge.
const NO_HIGHER: f32 = 0.26;
/// How long a surge is remembered.
const KNOWN_FOR: i64 = 7 * DAY;

/// A change of the level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Factor applied to all of the past.
    pub factor: f64,
    /// The past is everything before this minute.
    pub past: Minute,
    /// The first minute of the new level; earlier forecasts are multiplied as well.
    pub since: Minute,
    /// The current level of the signal.
    pub level: f64,
}

/// One number for the mean of the days, and one for a week ago, NaN if unknown.
type Profiles = [f32; 2];

/// Values most of which are beyond the expected ones, on one side.
#[derive(Debug, Clone, Copy)]
struct Streak {
    since: ShortMinute,
    seen: u32,
    /// Sum of their distances.
    beyond: f32,
    /// Sum of the logarithms of the ratios, and those of the last values, at their number modulo the length.
    sum: f32,
    ratios: [f32; VALUES],
}

/// A shift that may yet prove wrong.
#[derive(Debug, Clone, Copy)]
struct Shifted {
    since: ShortMinute,
    /// Logarithms of the factor, and of the ratio of the signal to its profiles since.
    factor: f32,
    of: Profiles,
    /// Consecutive values at the former level.
    back: u8,
}

/// A rise that was reverted, or one that was no higher.
#[derive(Debug, Clone, Copy, Default)]
struct Surge {
    at: ShortMinute,
    /// Logarithm of its factor; zero if there is none.
    factor: f32,
}

/// What is known about the shifts of one signal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shift {
    streak: Option<Streak>,
    shifted: Option<Shifted>,
    surge: Surge,
    /// Logarithm of the signal's usual ratio to its mean day.
    usual: f32,
}

impl Shift {
    /// Adds the value of `minute`, for which `said` was forecast; `day` is its mean over the days, and `ago` returns
    /// the value a week ago (NaN if unknown). Returns the change, if any.
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
            // The forecast made before the first of them.
            let age = since.age(minute);
            let lane = HORIZONS.iter().position(|minutes| i64::from(*minutes) > age)?;
            let [point, low, high] = [&said.point, &said.low, &said.high].map(|part| part[lane] * said.since[lane]);
            off(value as f32, point, low, high)
        };
        // A value that ends a streak does not start one: the streak has misled the forecasts. A value that jumps does.
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
        // A rise that reverts a fall is not a surge, however high surges are.
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

    /// Returns whether a change by `factor` is a rise no higher than an earlier reverted one, and remembers it.
    fn is_surge(&mut self, minute: Minute, factor: f32) -> bool {
        let Surge { at, factor: known } = self.surge;
        let is_known = known > 0.0 && at.age(minute) < KNOWN_FOR;
        let is_surge = is_known && (0.0..=known + NO_HIGHER).contains(&factor);
        if is_surge {
            self.surge = Surge { at: ShortMinute::of(minute), factor: known };
        }
        is_surge
    }

    /// Returns the logarithm of the factor that reverts one. A reverted rise was a surge.
    fn take_back(&mut self, minute: Minute, factor: f32) -> f32 {
        if factor > 0.0 {
            self.surge = Surge { at: ShortMinute::of(minute), factor };
        }
        -factor
    }

    /// Returns the change that moves the past back, if the signal is again where it was before the shift: relative to
    /// the mean of the days and, if known, to a week ago. The nights of all days are alike, and a working day above
    /// their mean comes down to it every evening.
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
    /// Returns the streak before its first value, that of `since`.
    fn beginning(since: Minute) -> Self {
        Self { since: ShortMinute::of(since), seen: 0, beyond: 0.0, sum: 0.0, ratios: [0.0; VALUES] }
    }

    /// Returns whether a value is so far off that the earlier ones, hardly beyond, are not part of a level that starts
    /// with it.
    fn jumps(&self, (ratio, away): Off) -> bool {
        self.beyond < COUNTS && away >= MAY_BE + COUNTS && ratio * self.seen as f32 / self.sum > JUMPS
    }

    /// Returns the streak with one more value, unless that refutes it.
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

    /// Returns the logarithm of the factor by which the last values are higher, if it is the same for all within the
    /// expected noise of the newest one.
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

/// Logarithm of the ratio of a value to the point, and its distance from the point in units of the distance to the end
/// of the interval.
type Off = (f32, f32);

/// Returns how far off a value is, unless that is NaN.
fn off(value: f32, point: f32, low: f32, high: f32) -> Option<Off> {
    let end = if value > point { high - point } else { point - low };
    let (ratio, off) = ((value / point).ln(), (value - point).abs() / end);
    (point > 0.0 && ratio.is_finite() && !off.is_nan()).then_some((ratio, off))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A forecast of this many times 100, within a tenth on both sides.
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

    /// Plays values against forecasts of 100, within 10 on both sides, on a day like all others; returns the changes.
    fn changes(values: impl IntoIterator<Item = f64>) -> Vec<Change> {
        let (mut shift, said) = (Shift::default(), said(1.0));
        let mut on = 1.0;
        let notice = |(minute, value): (i64, f64)| {
            // The forecast and the usual value are multiplied with the rest.
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
        // Hours of ordinary noise after a distant one are not a shift.
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
            // At noon of a working day the level is twice the mean of the days; it falls to the mean in the evening.
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

//! All intervals of one signal: the horizons, the maxima, and how often the published ones held.
//!
//! The maximum over a window has its own forecast: the maximum of the marginal quantiles would be exceeded too often.

use super::discounted::Discounted;
use super::intervals::{Around, Ends, Row, Standing, Trackers};
use super::lanes::{larger, smaller, zip, zip3};
use super::pending::{Issued, IssuedForecast, WINDOWS};
use super::scores::{Lanes, Moving, longer};
use super::seasonal_scale::SeasonalScale;
use crate::model::Minute;
use crate::model::outlook::{HORIZONS, QUANTILES, QuantileRow};

/// The ends that are published for scoring: the 95 % interval of a point, the 5 % and 95 % quantile of a maximum.
/// Misses of a point come one by one and are soon forgotten; one peak is the maximum of many windows, which carry no
/// more information than one.
const POINTS: Ends = Ends {
    at: [1, QUANTILES.len() - 2],
    beyond: 0.025,
    widening_keep: 0.85,
    spread_keep: 0.997,
    furthest: 10.0,
    rarely: 10.0,
};
const MAXIMA: Ends = Ends {
    at: [2, QUANTILES.len() - 3],
    beyond: 0.05,
    widening_keep: 0.995,
    spread_keep: 0.999,
    furthest: 2.0,
    rarely: 1.0,
};
/// The positions in [`HORIZONS`] with which the windows end.
const LAST: [usize; WINDOWS.len()] = [4, 7];
const _: () = assert!(HORIZONS[LAST[0]] == WINDOWS[0] && HORIZONS[LAST[1]] == WINDOWS[1]);
/// A change is predicted if the season moves by more than this many errors of a calm minute.
const CHANGE: f32 = 6.0;
/// Weight of the distance between the models in the expected error.
const APART: f32 = 0.5;
/// An outcome further off than this many expected errors is clipped there.
const FURTHEST: f32 = 50.0;

/// Permitted forecasts: the declared range, and within twice the values seen in a week (INV-26). In the precision of
/// published values, and never beyond the requested range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Smallest.
    pub low: f32,
    /// Largest.
    pub high: f32,
}

impl Limits {
    /// Returns the limits within these.
    pub fn within(low: f64, high: f64) -> Self {
        let (short_low, short_high) = (low as f32, high as f32);
        Self {
            low: if f64::from(short_low) < low { short_low.next_up() } else { short_low },
            high: if f64::from(short_high) > high { short_high.next_down() } else { short_high },
        }
    }

    /// Returns the nearest permitted value.
    pub fn hold(self, value: f32) -> f32 {
        // Plain comparisons are one instruction each; NaN becomes the largest.
        let below = if value < self.high { value } else { self.high };
        if below > self.low { below } else { self.low }
    }
}

/// Quantiles of all forecasts from one origin.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// For each horizon.
    pub points: [Row; HORIZONS.len()],
    /// For the maximum over each window.
    pub maxima: [Row; WINDOWS.len()],
}

/// The forecast: the path, the state of its signal, and its limits.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    /// Usual forecast error at each time of the season.
    pub scale: &'a SeasonalScale,
    /// The minute from which the horizons count.
    pub clock: Minute,
    /// Point forecasts.
    pub path: &'a Lanes,
    /// Where a change is predicted; see [`Bands::moving`].
    pub moving: Moving,
    /// Usual height of the signal.
    pub height: f64,
    /// Minutes before the origin without a value: intervals grow as if they were part of the horizon.
    pub gap: u32,
    /// Distance of the models from the path, averaged by their weights.
    pub apart: Lanes,
    /// Permitted forecasts.
    pub limits: Limits,
}

/// Trackers and realised coverage of one signal.
#[derive(Debug, Clone, Copy)]
pub struct Bands {
    points: Trackers<{ HORIZONS.len() }>,
    maxima: Trackers<{ WINDOWS.len() }>,
    coverage: Discounted<1>,
    maxima_coverage: Discounted<1>,
}

impl Bands {
    /// Returns the state before any outcome.
    pub fn new() -> Self {
        Self {
            points: Trackers::new(),
            maxima: Trackers::new(),
            coverage: Discounted::NOTHING,
            maxima_coverage: Discounted::NOTHING,
        }
    }

    /// Returns where a change is predicted: where the seasonal change from `now` to `then` is too large to be explained
    /// by the error of a calm minute. For a signal at rest, every change is one.
    pub fn moving(&self, now: &Lanes, then: Option<&Lanes>, gap: u32, standing: Standing) -> Moving {
        let mut moving = [false; HORIZONS.len()];
        let Some(then) = then else { return moving };
        let mut errors = self.points.errors(&moving);
        if gap > 0 {
            errors = longer(gap).map(|lane| errors[lane]);
        }
        if let Some(exact) = standing.exact {
            errors = errors.map(|error| smaller(exact, error));
        }
        for (moving, (error, (now, then))) in moving.iter_mut().zip(errors.iter().zip(now.iter().zip(then))) {
            // Not if the error is unknown.
            *moving = (then - now).abs() > CHANGE * error;
        }
        moving
    }

    /// Returns the published forecast's error, in expected errors of a calm minute; `None` until errors are known.
    pub fn surprise(&self, issued: &Issued<{ HORIZONS.len() }>, value: f64) -> Option<f32> {
        let (mut ratio, mut measured) = (0.0, 0.0);
        for (error, point) in self.points.errors(&[false; HORIZONS.len()]).iter().zip(&issued.on_level()) {
            let known = *error > 0.0 && point.is_finite();
            let off = (value as f32 - point).abs() / error;
            ratio += if known { off.min(FURTHEST) } else { 0.0 };
            measured += if known { 1.0 } else { 0.0 };
        }
        (measured > 0.0).then(|| ratio / measured)
    }

    /// Scales the expected errors.
    pub fn scale(&mut self, factor: f64) {
        self.points.scale(factor);
        self.maxima.scale(factor);
    }

    /// Scores the published forecasts of a minute at each horizon.
    pub fn outcomes(
        &mut self,
        issued: &Issued<{ HORIZONS.len() }>,
        value: f64,
        standing: Standing,
        normal: &QuantileRow,
        keep: f32,
    ) {
        let value = value as f32;
        let (mut inside, mut count) = (0.0, 0.0);
        for (width, (low, high)) in issued.width.iter().zip(issued.low.iter().zip(&issued.high)) {
            count += if width.is_finite() { 1.0 } else { 0.0 };
            inside += if width.is_finite() && *low <= value && value <= *high { 1.0 } else { 0.0 };
        }
        self.points.outcome(issued, &[value; HORIZONS.len()], standing, POINTS, normal);
        if count > 0.0 {
            self.coverage.add(&[inside / count], keep);
        }
    }

    /// Scores the published forecasts of the windows that ended with these maxima; NaN is not an outcome.
    pub fn windows_ended(
        &mut self,
        maxima: [f32; WINDOWS.len()],
        issued: &Issued<{ WINDOWS.len() }>,
        standing: Standing,
        normal: &QuantileRow,
        keep: f32,
    ) {
        let mut values = maxima;
        for (value, (width, high)) in values.iter_mut().zip(issued.width.iter().zip(&issued.high)) {
            *value = if width.is_finite() { *value } else { f32::NAN };
            if !value.is_nan() {
                self.maxima_coverage.add(&[f32::from(u8::from(*value <= *high))], keep.sqrt());
            }
        }
        self.maxima.outcome(issued, &values, standing, MAXIMA, normal);
    }

    /// Returns all quantiles for publication.
    pub fn rows(&self, course: &Course<'_>, normal: &QuantileRow) -> Rows {
        let places = self.places(course);
        let points = self.points.rows(&places.points, course.limits, normal);
        let mut maxima = self.maxima.rows(&places.maxima, course.limits, normal);
        // A maximum is at least each of its values, and at least that of a shorter window.
        let [ten, thirty] = &mut maxima;
        let (near, far) = points.split_at(LAST[0] + 1);
        near.iter().for_each(|point| *ten = zip(ten, point, larger));
        far.iter().for_each(|point| *thirty = zip(thirty, point, larger));
        *thirty = zip(thirty, ten, larger);
        Rows { points, maxima }
    }

    /// Returns the part of the forecast that scoring needs.
    pub fn issued(&self, course: &Course<'_>, normal: &QuantileRow) -> IssuedForecast {
        let places = self.places(course);
        let points = |at: usize| self.points.level(at, &places.points, course.limits, normal);
        let [low, high] = POINTS.at.map(points);
        let [least, most] = MAXIMA.at.map(|at| {
            let [ten, thirty] =
                zip(&self.maxima.level(at, &places.maxima, course.limits, normal), &peaks(&points(at)), larger);
            [ten, larger(thirty, ten)]
        });
        IssuedForecast {
            points: issue(places.path, places.points.width, low, high, course.moving),
            maxima: issue(places.peaks, places.maxima.width, least, most, within(course.moving)),
        }
    }

    fn places(&self, course: &Course<'_>) -> Places {
        let Course { scale, clock, path, moving, height, apart, gap, .. } = *course;
        let errors = self.errors(height, moving);
        let maxima_errors = zip(&self.maxima.errors(&within(moving)), &peaks(&errors), |measured, of_points| {
            if measured.is_nan() { of_points } else { measured }
        });
        // Models that disagree know less than they did recently: this shows before the first miss, at each horizon.
        let expected = |error: f32, factor: f32, apart: f32| error * factor + APART * apart;
        let [factors, highest] = scale.ahead(clock, &HORIZONS);
        let errors = zip3(&errors, &factors, &apart, expected);
        let maxima_errors = zip3(&maxima_errors, &LAST.map(|last| highest[last]), &peaks(&apart), expected);
        let peaks = peaks(path);
        Places {
            points: self.points.around(path, &errors, height, &stretch(&HORIZONS, gap)),
            maxima: self.maxima.around(&peaks, &maxima_errors, height, &stretch(&WINDOWS, gap)),
            path: *path,
            peaks,
        }
    }

    /// Returns the share of outcomes inside the 95 % interval and the (discounted) number of minutes counted.
    pub fn coverage(&self) -> (f64, f64) {
        (self.coverage.mean(), self.coverage.weight())
    }

    /// Returns the share of maxima below their 95 % quantile and the (discounted) number of minutes counted.
    pub fn maxima_coverage(&self) -> (f64, f64) {
        (self.maxima_coverage.mean(), self.maxima_coverage.weight() / WINDOWS.len() as f64)
    }

    /// Returns the expected absolute error at each horizon: as measured, otherwise grown from the next shorter one like
    /// a random walk's, otherwise the height of the signal.
    fn errors(&self, height: f64, moving: Moving) -> Lanes {
        let mut errors = self.points.errors(&moving);
        if !errors.iter().fold(false, |unknown, error| unknown | error.is_nan()) {
            return errors;
        }
        let (mut known, mut known_at) = (height as f32, None);
        for (error, minutes) in errors.iter_mut().zip(HORIZONS) {
            if error.is_nan() {
                *error = known * known_at.map_or(1.0, |at| (f32::from(minutes) / f32::from(at)).sqrt());
            } else {
                (known, known_at) = (*error, Some(minutes));
            }
        }
        errors
    }
}

/// What all quantiles of a course follow from.
struct Places {
    points: Around<{ HORIZONS.len() }>,
    maxima: Around<{ WINDOWS.len() }>,
    path: Lanes,
    peaks: [f32; WINDOWS.len()],
}

fn issue<const N: usize>(
    point: [f32; N],
    width: [f32; N],
    low: [f32; N],
    high: [f32; N],
    moving: [bool; N],
) -> Issued<N> {
    Issued { point, width, low, high, moving, since: [1.0; N] }
}

/// Returns in which windows a change is predicted.
fn within(moving: Moving) -> [bool; WINDOWS.len()] {
    LAST.map(|last| moving[..=last].iter().fold(false, |any, moving| any | moving))
}

/// Returns the highest point of the path within each window.
fn peaks(path: &Lanes) -> [f32; WINDOWS.len()] {
    LAST.map(|last| path[..=last].iter().copied().fold(f32::NEG_INFINITY, larger))
}

fn stretch<const N: usize>(ahead: &[u16; N], gap: u32) -> [f32; N] {
    if gap == 0 {
        return [1.0; N];
    }
    ahead.map(|minutes| (1.0 + gap as f32 / f32::from(minutes)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::intervals::normal_quantiles;

    #[test]
    fn limits_are_never_beyond_what_was_asked_for() {
        for (low, high) in [(0.1, 0.7), (-0.7, -0.1), (0.0, 100.0), (f64::MIN, f64::MAX)] {
            let limits = Limits::within(low, high);
            assert!(f64::from(limits.low) >= low && f64::from(limits.high) <= high, "{limits:?}");
            let held = [f32::NEG_INFINITY, f32::INFINITY].map(|far| f64::from(limits.hold(far)));
            assert!(held.iter().all(|value| (low..=high).contains(value)), "{low} {high}: {held:?}");
        }
    }

    /// Two ways lead to the same ends: all quantiles for publication, and the few that are scored.
    #[test]
    fn what_is_scored_is_what_is_published() {
        let (mut bands, scale, normal) = (Bands::new(), SeasonalScale::new(1440), normal_quantiles());
        let (limits, standing) = (Limits { low: 0.0, high: 150.0 }, Standing { least: 0.0, exact: None });
        for minute in 0..300_u16 {
            let path = std::array::from_fn(|lane| 100.0 + f32::from(minute * 7 % 13) - lane as f32);
            let (clock, apart, gap) = (Minute(minute.into()), [1.0; HORIZONS.len()], u32::from(minute % 3));
            let moving = [false; HORIZONS.len()];
            let course = Course { scale: &scale, clock, path: &path, moving, height: 100.0, apart, gap, limits };
            let (rows, issued) = (bands.rows(&course, &normal), bands.issued(&course, &normal));
            let [low, high] = POINTS.at.map(|at| rows.points.map(|row| row[at]));
            let [least, most] = MAXIMA.at.map(|at| rows.maxima.map(|row| row[at]));
            assert_eq!((low, high), (issued.points.low, issued.points.high), "{minute}");
            assert_eq!((least, most), (issued.maxima.low, issued.maxima.high), "{minute}");
            let value = f32::from(90 + minute * 31 % 41);
            bands.outcomes(&issued.points, value.into(), standing, &normal, 0.99);
            bands.windows_ended([value; WINDOWS.len()], &issued.maxima, standing, &normal, 0.99);
        }
    }

    #[test]
    fn where_the_models_disagree_the_interval_is_wider_before_the_first_miss() {
        let (bands, scale, path) = (Bands::new(), SeasonalScale::new(1440), [100.0; HORIZONS.len()]);
        let rows = |last: f32| {
            let mut apart = [0.0; HORIZONS.len()];
            apart[HORIZONS.len() - 1] = last;
            let (moving, limits) = ([false; HORIZONS.len()], Limits { low: -1e9, high: 1e9 });
            let clock = Minute(0);
            let course = Course { scale: &scale, clock, path: &path, moving, height: 100.0, apart, gap: 0, limits };
            let Rows { points, maxima } = bands.rows(&course, &normal_quantiles());
            let width = |row: Row| row[POINTS.at[1]] - row[POINTS.at[0]];
            (points.map(width), maxima.map(width))
        };
        let ((still, still_max), (apart, apart_max)) = (rows(0.0), rows(40.0));
        assert!((apart[7] / still[7] - 1.2).abs() < 0.01 && apart[..7] == still[..7], "{still:?} {apart:?}");
        assert!(apart_max[1] > 1.05 * still_max[1] && apart_max[0] == still_max[0], "{still_max:?} {apart_max:?}");
    }
}

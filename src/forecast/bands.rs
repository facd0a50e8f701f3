//! All intervals of one signal: the horizons, the maxima, and how often the published ones held.
//!
//! The maximum over a window is forecast for itself: the maximum of the marginal quantiles would be passed too
//! often.

use super::intervals::Tracker;
use super::models::Path;
use super::pending::{Issued, WINDOWS, Word};
use super::scores::Discounted;
use crate::model::Minute;
use crate::model::outlook::{HORIZONS, QUANTILES, QuantileRow};

/// Positions in [`QUANTILES`] of the ends that are published to be scored: the 95 % interval of a point, the
/// 5 % and 95 % quantile of a maximum.
const POINT_ENDS: (usize, usize) = (1, QUANTILES.len() - 2);
const MAXIMUM_ENDS: (usize, usize) = (2, QUANTILES.len() - 3);
/// Share of the minutes of a window that must be known for its maximum to count.
const WINDOW_SEEN: f32 = 0.8;
const LONGEST_MINUTES: u16 = WINDOWS[WINDOWS.len() - 1];
const LONGEST: usize = LONGEST_MINUTES as usize;

/// Permitted forecasts: the declared range, and within ten times what was seen in a week (INV-26).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Smallest.
    pub low: f64,
    /// Largest.
    pub high: f64,
}

impl Limits {
    /// Returns the nearest permitted value.
    pub fn hold(self, value: f64) -> f64 {
        value.min(self.high).max(self.low)
    }
}

/// Quantiles at some positions of [`QUANTILES`] of everything that is foreseen from one origin.
#[derive(Debug, Clone, Copy)]
pub struct Rows<const N: usize = { QUANTILES.len() }> {
    /// For each horizon.
    pub points: [[f64; N]; HORIZONS.len()],
    /// For the maximum over each window.
    pub maxima: [[f64; N]; WINDOWS.len()],
}

/// What is foreseen: the path, where its signal stands, and what it may reach.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    /// Point forecasts.
    pub path: &'a Path,
    /// Usual height of the signal.
    pub height: f64,
    /// Minutes before the origin without a value: intervals grow as if they were part of the horizon.
    pub gap: u32,
    /// Permitted forecasts.
    pub limits: Limits,
}

/// Trackers, realised coverage and the last half hour of one signal.
#[derive(Debug, Clone)]
pub struct Bands {
    points: [Tracker; HORIZONS.len()],
    maxima: [Tracker; WINDOWS.len()],
    coverage: Discounted,
    maxima_coverage: Discounted,
    /// The last values at their minute modulo the length; NaN for a gap.
    recent: [f32; LONGEST],
}

impl Bands {
    /// Returns the state before any outcome.
    pub fn new() -> Self {
        Self {
            points: std::array::from_fn(|_| Tracker::new(0.025)),
            maxima: std::array::from_fn(|_| Tracker::new(0.05)),
            coverage: Discounted::default(),
            maxima_coverage: Discounted::default(),
            recent: [f32::NAN; LONGEST],
        }
    }

    /// Scores what was published for a minute at each horizon.
    pub fn outcomes(&mut self, issued: &[Issued; HORIZONS.len()], value: f64, normal: &QuantileRow, keep: f32) {
        let (mut inside, mut count) = (0.0, 0.0);
        for (tracker, issued) in self.points.iter_mut().zip(issued) {
            if issued.width.is_finite() {
                count += 1.0;
                inside += f32::from(u8::from((issued.low..=issued.high).contains(&(value as f32))));
                tracker.outcome(*issued, value, normal);
            }
        }
        if count > 0.0 {
            self.coverage.add(inside / count, keep);
        }
    }

    /// Takes in the value of `minute` and scores what was published for the maxima of the windows it ends.
    pub fn window_ended(
        &mut self,
        minute: Minute,
        value: Option<f64>,
        issued: &[Issued; WINDOWS.len()],
        normal: &QuantileRow,
        keep: f32,
    ) {
        let slot = minute.0.rem_euclid(i64::from(LONGEST_MINUTES)) as usize;
        if let Some(recent) = self.recent.get_mut(slot) {
            *recent = value.map_or(f32::NAN, |value| value as f32);
        }
        for ((tracker, issued), minutes) in self.maxima.iter_mut().zip(issued).zip(WINDOWS) {
            if !issued.width.is_finite() {
                continue;
            }
            let Some(maximum) = maximum(&self.recent, slot, usize::from(minutes)) else { continue };
            self.maxima_coverage.add(f32::from(u8::from(maximum <= issued.high)), keep.sqrt());
            tracker.outcome(*issued, f64::from(maximum), normal);
        }
    }

    /// Returns all quantiles, to be published.
    pub fn rows(&self, course: &Course<'_>, normal: &QuantileRow) -> Rows {
        let expected = self.expected(course);
        self.quantiles(&std::array::from_fn(|index| index), course, &expected, normal)
    }

    /// Returns of what is said as much as scoring it needs.
    pub fn issued(&self, course: &Course<'_>, normal: &QuantileRow) -> Word {
        let (errors, maxima_errors) = self.expected(course);
        let ends = [POINT_ENDS.0, MAXIMUM_ENDS.0, MAXIMUM_ENDS.1, POINT_ENDS.1];
        let rows = self.quantiles(&ends, course, &(errors, maxima_errors), normal);
        let issue = |point: f64, error: f64, low: f64, high: f64| Issued {
            point: point as f32,
            width: Tracker::width(point, error, course.height) as f32,
            low: low as f32,
            high: high as f32,
        };
        let mut points = [Issued::NOTHING; HORIZONS.len()];
        let said = course.path.iter().zip(errors).zip(rows.points);
        for (issued, ((point, error), [low, _, _, high])) in points.iter_mut().zip(said) {
            *issued = issue(*point, error, low, high);
        }
        let mut maxima = [Issued::NOTHING; WINDOWS.len()];
        let said = peaks(course.path).into_iter().zip(maxima_errors).zip(rows.maxima);
        for (issued, (((_, peak), error), [_, low, high, _])) in maxima.iter_mut().zip(said) {
            *issued = issue(peak, error, low, high);
        }
        (points, maxima)
    }

    fn quantiles<const N: usize>(
        &self,
        at: &[usize; N],
        course: &Course<'_>,
        (errors, maxima_errors): &(Path, [f64; WINDOWS.len()]),
        normal: &QuantileRow,
    ) -> Rows<N> {
        let Course { path, height, gap, limits } = *course;
        let mut rows = Rows { points: [[0.0; N]; HORIZONS.len()], maxima: [[0.0; N]; WINDOWS.len()] };
        let trackers = self.points.iter().zip(path.iter().zip(errors)).zip(HORIZONS);
        for (row, ((tracker, (point, error)), minutes)) in rows.points.iter_mut().zip(trackers) {
            let place = (*point, *error, height);
            *row = tracker.quantiles(at, place, stretch(minutes, gap), normal).map(|value| limits.hold(value));
        }
        let mut least = [f64::NEG_INFINITY; N];
        let maxima = rows.maxima.iter_mut().zip(maxima_errors).zip(&self.maxima).zip(peaks(path));
        for (((row, error), tracker), (minutes, peak)) in maxima {
            let place = (peak, *error, height);
            *row = tracker.quantiles(at, place, stretch(minutes, gap), normal).map(|value| limits.hold(value));
            // A maximum lies above each of its values, and above that of a shorter window.
            let within = rows.points.iter().zip(HORIZONS).filter(|(_, horizon)| *horizon <= minutes);
            for below in within.map(|(row, _)| row) {
                raise(&mut least, below);
            }
            raise(row, &least);
            least = *row;
        }
        rows
    }

    /// Returns the expected absolute errors at the horizons and of the maxima.
    fn expected(&self, course: &Course<'_>) -> (Path, [f64; WINDOWS.len()]) {
        let errors = self.errors(course.height);
        let mut maxima = [0.0; WINDOWS.len()];
        for (error, (tracker, minutes)) in maxima.iter_mut().zip(self.maxima.iter().zip(WINDOWS)) {
            *error = tracker.error().unwrap_or_else(|| at(&errors, minutes));
        }
        (errors, maxima)
    }

    /// Returns the share of outcomes inside the 95 % interval and the (discounted) number of minutes counted.
    pub fn coverage(&self) -> (f64, f64) {
        (self.coverage.mean(), f64::from(self.coverage.weight()))
    }

    /// Returns the share of maxima below their 95 % quantile and the (discounted) number of minutes counted.
    pub fn maxima_coverage(&self) -> (f64, f64) {
        (self.maxima_coverage.mean(), f64::from(self.maxima_coverage.weight()) / WINDOWS.len() as f64)
    }

    /// Returns the expected absolute error at each horizon: as measured, else grown from the next shorter one
    /// like a random walk's, else the height of the signal.
    fn errors(&self, height: f64) -> Path {
        let mut errors = Path::default();
        let (mut known, mut known_at) = (height, None);
        for (error, (tracker, minutes)) in errors.iter_mut().zip(self.points.iter().zip(HORIZONS)) {
            *error = if let Some(measured) = tracker.error() {
                (known, known_at) = (measured, Some(minutes));
                measured
            } else {
                known * known_at.map_or(1.0, |at| (f64::from(minutes) / f64::from(at)).sqrt())
            };
        }
        errors
    }
}

/// Returns the highest point of the path within each window.
fn peaks(path: &Path) -> [(u16, f64); WINDOWS.len()] {
    WINDOWS.map(|window| {
        let within = path.iter().zip(HORIZONS).filter(|(_, minutes)| *minutes <= window);
        (window, within.map(|(point, _)| *point).fold(f64::NEG_INFINITY, f64::max))
    })
}

fn at(errors: &Path, minutes: u16) -> f64 {
    errors.iter().zip(HORIZONS).filter(|(_, horizon)| *horizon <= minutes).map(|(error, _)| *error).fold(0.0, f64::max)
}

fn stretch(minutes: u16, gap: u32) -> f64 {
    if gap == 0 { 1.0 } else { (1.0 + f64::from(gap) / f64::from(minutes)).sqrt() }
}

fn raise<const N: usize>(row: &mut [f64; N], least: &[f64; N]) {
    for (value, least) in row.iter_mut().zip(least) {
        *value = value.max(*least);
    }
}

/// Returns the maximum of the `minutes` values up to `slot`, if enough of them are known.
fn maximum(recent: &[f32; LONGEST], slot: usize, minutes: usize) -> Option<f32> {
    let (mut highest, mut seen) = (f32::NEG_INFINITY, 0.0);
    for back in 0..minutes.min(LONGEST) {
        let value = recent[(slot + LONGEST - back) % LONGEST];
        if value.is_finite() {
            highest = highest.max(value);
            seen += 1.0;
        }
    }
    (seen > 0.0 && seen >= WINDOW_SEEN * minutes as f32).then_some(highest)
}

//! Online quantiles of forecast residuals.
//!
//! Residuals are normalised by the recent error and the height of the forecast, so that a quantile learned in quiet
//! hours holds in busy ones: `u = (y - f) / sqrt(error * (|f| + 0.1 scale))`. Each quantile of `u` follows its outcomes
//! by subgradient steps of the pinball loss (quantile tracking); the two ends of the published interval compare the
//! outcome with the published value, so that the published interval itself is calibrated. In addition each side widens
//! while the published end is exceeded too often and narrows afterwards: the integrator of conformal PID control
//! (Angelopoulos, Candes and Tibshirani 2023). Before [`ENOUGH`] outcomes the quantiles are those of a normal
//! distribution with the mean absolute error of the residuals.

use statrs::distribution::{ContinuousCDF, Normal};

use super::bands::Limits;
use super::discounted::Discounted;
use super::lanes::{larger, smaller, zip, zip3};
use super::pending::Issued;
use super::scores::only;
use crate::model::outlook::{QUANTILES, QuantileRow};

/// Position of the median in [`QUANTILES`].
const MEDIAN: usize = QUANTILES.len() / 2;
/// Outcomes before quantiles are tracked rather than assumed normal.
const ENOUGH: u32 = 60;
/// Step of a quantile, in mean absolute residuals.
const STEP: f32 = 0.02;
/// Discount of earlier absolute errors per outcome (half-life about an hour).
const ERROR_KEEP: f32 = 0.99;
/// The discounted number of outcomes after ten of them, rounded down slightly.
const TEN: f32 = 9.5;
/// Discount of earlier absolute residuals during the first outcomes, whose unit was itself hardly known.
const FIRST_KEEP: f32 = 0.95;
/// Smallest mean absolute residual used to compute the clip of outliers.
const LEAST_SPREAD: f32 = 0.05;
/// Gain of the integrator: how much one miss widens its side.
const WIDEN: f32 = 0.16;
/// Smallest expected error, as a share of the height: without it the first movement after hours of standstill would be
/// a residual of thousands of units.
const LEAST_ERROR: f64 = 1e-3;
/// Normalised residuals are clipped at this.
const LARGEST: f32 = 100.0;
/// Smallest unit of normalisation. If everything seen so far is zero there is no unit, and an outcome is not counted.
const NO_UNIT: f32 = 1e-30;
/// Largest unit of normalisation: some tens of it, stretched and widened, still fit in an `f32`.
const WIDEST: f32 = 1e34;
/// Standard deviation of a normal distribution, in mean absolute deviations.
const SIGMA: f32 = 1.253_314_1;

/// Returns the standard normal quantiles at [`QUANTILES`].
pub fn normal_quantiles() -> QuantileRow {
    let normal = Normal::standard();
    QUANTILES.map(|level| normal.inverse_cdf(level))
}

/// Requirements on the published ends of intervals.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// Positions in [`QUANTILES`].
    pub at: [usize; 2],
    /// Nominal share of outcomes beyond each.
    pub beyond: f32,
    /// Discount of the widening per outcome.
    pub widening_keep: f32,
    /// Discount of earlier absolute residuals per outcome.
    pub spread_keep: f32,
    /// Errors are clipped at this many times the mean absolute error of calm minutes, or at the next limit, if that is
    /// more.
    pub furthest: f32,
    /// The same limit in multiples of the error that the spread implies: errors that are rare leave no mean to clip at.
    pub rarely: f32,
}

/// Where a signal rests, and an outcome therefore says less than elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Its minimum: below it there is nothing that a lower end could miss.
    pub least: f32,
    /// Errors up to this count as zero and, within the interval, not as outcomes: hours in which nothing changes, as
    /// predicted, say nothing about hours in which something does. `None` while the signal changes.
    pub exact: Option<f32>,
}

/// Tracked values at [`QUANTILES`]: adjacent, so that one arithmetic step serves several.
type Levels = [f32; QUANTILES.len()];

/// The quantiles of one number, and the last one twice: twelve lanes take three steps where eleven take five.
pub type Row = [f32; QUANTILES.len() + 1];

fn row(levels: &Levels) -> Row {
    let [.., last] = *levels;
    let mut row = [last; QUANTILES.len() + 1];
    row[..QUANTILES.len()].copy_from_slice(levels);
    row
}

/// [`QUANTILES`] as `f32`.
const LEVELS: Levels = {
    let (mut levels, mut index) = ([0.0; QUANTILES.len()], 0);
    while index < QUANTILES.len() {
        levels[index] = QUANTILES[index] as f32;
        index += 1;
    }
    levels
};

/// The learned quantiles of `N` numbers: all horizons, or all maxima.
#[derive(Debug, Clone, Copy)]
pub struct Trackers<const N: usize> {
    /// Per number, never decreasing; in mean absolute residuals, so that they scale with all errors.
    quantiles: [Levels; N],
    spread: Discounted<N>,
    /// For minutes without, and with, a predicted seasonal change.
    error: [Discounted<N>; 2],
    outcomes: [u32; N],
    /// Integrator: how much wider the lower and the upper side are than the quantiles alone (0.2 = 20 %).
    widening: [[f32; N]; 2],
}

/// Location and scale of the forecasts, from which each quantile follows.
#[derive(Debug, Clone, Copy)]
pub struct Around<const N: usize> {
    /// Units of the residuals.
    pub width: [f32; N],
    /// Location of the median, and the size of a unit below and above it.
    middle: [f32; N],
    lower: [f32; N],
    upper: [f32; N],
    /// Which have not enough outcomes for learned quantiles, if any.
    cold: Option<[bool; N]>,
}

/// Returns the unit for a residual of the forecast `point`, where `error` is its expected absolute error
/// and `scale` the usual height of the signal.
fn width(point: f64, error: f64, scale: f64) -> f64 {
    let height = point.abs() + 0.1 * scale;
    larger((larger(error, LEAST_ERROR * height) * height).sqrt(), f64::from(NO_UNIT))
}

impl<const N: usize> Trackers<N> {
    /// Returns trackers without outcomes.
    pub fn new() -> Self {
        Self {
            quantiles: [[0.0; QUANTILES.len()]; N],
            spread: Discounted::NOTHING,
            error: [Discounted::NOTHING; 2],
            outcomes: [0; N],
            widening: [[0.0; N]; 2],
        }
    }

    /// Returns the recent mean absolute errors, those of predicted changes where one is predicted (`moving`) and there
    /// were ten of them; NaN before ten outcomes.
    pub fn errors(&self, moving: &[bool; N]) -> [f32; N] {
        let known = |errors: &Discounted<N>| {
            zip(errors.means(), errors.weights(), |mean, outcomes| if outcomes > TEN { mean } else { f32::NAN })
        };
        let [calm, moved] = &self.error;
        let calm = known(calm);
        // Usually nothing moves.
        if !moving.contains(&true) {
            return calm;
        }
        zip3(&calm, &known(moved), moving, |calm, moved, moving| if moving && !moved.is_nan() { moved } else { calm })
    }

    /// Scales the expected errors.
    pub fn scale(&mut self, factor: f64) {
        self.error.iter_mut().for_each(|error| error.scale(factor));
    }

    /// Learns the outcomes of published forecasts, with the published `ends`. A NaN, of value or forecast, is not an
    /// outcome. Errors are measured on the present level; whether an end held, on the published one.
    pub fn outcome(
        &mut self,
        issued: &Issued<N>,
        values: &[f32; N],
        standing: Standing,
        ends: Ends,
        normal: &QuantileRow,
    ) {
        let Standing { least: lowest, exact } = standing;
        let mut off = zip(values, &issued.on_level(), |value, point| value - point);
        if let Some(exact) = exact {
            let ends = values.iter().zip(issued.low.iter().zip(&issued.high));
            for (off, (value, (low, high))) in off.iter_mut().zip(ends) {
                // A value outside the interval is an outcome, however near it is.
                let is_none = off.abs() <= exact && low <= value && value <= high;
                *off = if is_none { f32::NAN } else { *off };
            }
        }
        let width = zip(&issued.width, &issued.since, |width, since| width * since);
        // A missing forecast stays NaN: `larger` and `smaller` return their second number if either is NaN.
        let measured = zip(&off, &width, |off, width| larger(-LARGEST, smaller(LARGEST, off / width)));
        let errors = zip(&off, &measured, |off, residual| if residual.is_nan() { f32::NAN } else { off.abs() });
        let mut residuals =
            zip(&measured, &width, |residual, width| if width > 2.0 * NO_UNIT { residual } else { f32::NAN });
        let [calm, moved] = &mut self.error;
        // Clipped, so that an outlier or the first values of a new level do not inflate the expected error. Not below
        // the slowly following unit: if only few outcomes have errors, a mean lowered by every clip would vanish.
        let usual = zip(self.spread.means(), &width, |spread, width| spread * width);
        let most = zip3(calm.means(), calm.weights(), &usual, |mean, outcomes, usual| {
            if outcomes > TEN && mean > 0.0 { larger(ends.rarely * usual, ends.furthest * mean) } else { f32::INFINITY }
        });
        let errors = zip(&errors, &most, |error, most| if error > most { most } else { error });
        if issued.moving.contains(&true) {
            calm.add(&only(&errors, &issued.moving, false), ERROR_KEEP);
            moved.add(&only(&errors, &issued.moving, true), ERROR_KEEP);
        } else {
            calm.add(&errors, ERROR_KEEP);
        }
        let cold = self.outcomes.iter().any(|outcomes| *outcomes < ENOUGH);
        // By Markov's inequality at most a share `beyond` of all outcomes exceeds the mean divided by `beyond`.
        // Outliers are clipped there: rarer ones cannot inflate the mean, and if they are more frequent the mean still
        // rises, step by step, until they count in full.
        let most = zip(self.spread.means(), self.spread.weights(), |mean, outcomes| {
            if outcomes > TEN { larger(mean, LEAST_SPREAD) / ends.beyond } else { f32::INFINITY }
        });
        let spreads =
            zip(&residuals, &most, |residual, most| if residual.abs() > most { most } else { residual.abs() });
        self.spread.add(&spreads, if cold { FIRST_KEEP } else { ends.spread_keep });
        let mut first = [false; N];
        for ((outcomes, first), residual) in self.outcomes.iter_mut().zip(&mut first).zip(&mut residuals) {
            let known = residual.is_finite();
            *outcomes = outcomes.saturating_add(u32::from(known));
            *first = known && *outcomes <= ENOUGH;
            // The first outcomes teach only the spread.
            *residual = if *first { f32::NAN } else { *residual };
        }
        if first.contains(&true) {
            let normal = normal.map(|normal| normal as f32 * SIGMA);
            self.quantiles.iter_mut().zip(first).filter(|(_, first)| *first).for_each(|(levels, _)| *levels = normal);
        }
        let published = values.iter().zip(issued.low.iter().zip(&issued.high));
        let tracked = self.quantiles.iter_mut().zip(&residuals).zip(self.spread.means()).zip(published);
        for (((levels, residual), spread), (value, (low, high))) in tracked.filter(|(((_, at), _), _)| !at.is_nan()) {
            let step =
                |quantile: f32, below: bool, level: f32| quantile + STEP * (level - if below { 1.0 } else { 0.0 });
            let mut next = zip(&row(levels), &row(&LEVELS), |quantile, level| {
                step(quantile, *residual <= quantile * spread, level)
            });
            // A published end is compared with the published number, widening included: that is what is calibrated.
            let [lower, upper] = ends.at;
            next[upper] = step(levels[upper], value <= high, LEVELS[upper]);
            // A value at the minimum does not move an end that is at the minimum.
            let rests = *value <= lowest && low <= value;
            next[lower] = if rests { levels[lower] } else { step(levels[lower], value <= low, LEVELS[lower]) };
            levels.copy_from_slice(&next[..QUANTILES.len()]);
            // They seldom cross.
            if levels.iter().zip(&levels[1..]).fold(false, |crossed, (lower, upper)| crossed | lower.gt(upper)) {
                let mut least = f32::NEG_INFINITY;
                for quantile in levels {
                    least = larger(*quantile, least);
                    *quantile = least;
                }
            }
        }
        let [lower, upper] = &mut self.widening;
        // The integrator ignores outliers: one of them is the maximum of up to 30 windows and would widen the interval
        // 30 times.
        let counted = zip(&residuals, &most, |residual, most| if residual.abs() > most { f32::NAN } else { residual });
        let sides = lower.iter_mut().zip(upper).zip(values).zip(issued.low.iter().zip(&issued.high)).zip(&counted);
        for ((((lower, upper), value), (low, high)), residual) in sides {
            let learned = |widening: f32, missed: bool| {
                let miss = if missed { 1.0 } else { 0.0 };
                (widening * ends.widening_keep + WIDEN * (miss - ends.beyond)).clamp(-0.4, 3.0)
            };
            let next = (learned(*lower, *value < *low), learned(*upper, *value > *high));
            (*lower, *upper) = if residual.is_nan() { (*lower, *upper) } else { next };
        }
    }

    /// Returns location and scale of the quantiles around `points`. `errors` are the expected absolute errors, `height`
    /// is the usual height of the signal, `stretch` a factor for uncertainty that past outcomes do not reflect (a gap
    /// before the origin).
    pub fn around(&self, points: &[f32; N], errors: &[f32; N], height: f64, stretch: &[f32; N]) -> Around<N> {
        let cold = self.outcomes.map(|outcomes| outcomes < ENOUGH);
        let cold = cold.contains(&true).then_some(cold);
        let width = zip(points, errors, |point, error| width(point.into(), error.into(), height) as f32);
        let units = zip(&width, self.spread.means(), |width, spread| smaller(width * spread, WIDEST));
        let medians = self.quantiles.each_ref().map(|levels| levels[MEDIAN]);
        let mut middle = zip3(points, &medians, &units, |point, median, unit| point + median * unit);
        let [mut lower, mut upper] = self.widening.each_ref().map(|widening| {
            zip3(widening, &units, stretch, |widening, unit, stretch| (1.0 + widening) * unit * stretch)
        });
        if let Some(cold) = &cold {
            let normal = zip(errors, stretch, |error, stretch| stretch * SIGMA * error);
            middle = zip3(cold, points, &middle, |cold, point, middle| if cold { point } else { middle });
            [lower, upper] = [lower, upper]
                .map(|side| zip3(cold, &normal, &side, |cold, normal, side| if cold { normal } else { side }));
        }
        Around { width, middle, lower, upper, cold }
    }

    /// Returns the quantiles of each number, never decreasing and within `limits`.
    #[inline]
    pub fn rows(&self, around: &Around<N>, limits: Limits, normal: &QuantileRow) -> [Row; N] {
        let mut rows = [[0.0; QUANTILES.len() + 1]; N];
        // A loop, because a map of arrays would be laid out lane by lane and mostly move numbers.
        for (lane, (said, learned)) in rows.iter_mut().zip(&self.quantiles).enumerate() {
            let (beside, median) = match around.cold {
                Some(cold) if cold[lane] => (row(&normal.map(|normal| normal as f32)), 0.0),
                _ => (row(learned), learned[MEDIAN]),
            };
            let mut sides = [around.lower[lane]; QUANTILES.len() + 1];
            sides[MEDIAN..].fill(around.upper[lane]);
            let middle = around.middle[lane];
            *said = zip(&beside, &sides, |beside, side| limits.hold(middle + (beside - median) * side));
        }
        rows
    }

    /// Returns the quantile of each number at one position of [`QUANTILES`], as in the [`rows`](Self::rows).
    #[inline]
    pub fn level(&self, at: usize, around: &Around<N>, limits: Limits, normal: &QuantileRow) -> [f32; N] {
        let mut beside = self.quantiles.each_ref().map(|learned| learned[at] - learned[MEDIAN]);
        if let Some(cold) = &around.cold {
            beside = zip(&beside, cold, |beside, cold| if cold { normal[at] as f32 } else { beside });
        }
        let sides = if at < MEDIAN { &around.lower } else { &around.upper };
        zip3(&around.middle, &beside, sides, |middle, beside, side| limits.hold(middle + beside * side))
    }
}

#[cfg(test)]
mod tests {
    use std::array::from_fn;

    use proptest::prelude::*;

    use super::*;
    use crate::forecast::tests::Noise;

    type Tracker = Trackers<1>;

    fn row(tracker: &Tracker, point: f64, error: f64, height: f64) -> QuantileRow {
        let around = tracker.around(&[point as f32], &[error as f32], height, &[1.0]);
        let [row] = tracker.rows(&around, Limits { low: f32::MIN, high: f32::MAX }, &normal_quantiles());
        from_fn(|at| row[at].into())
    }

    /// Returns the expected error, or `otherwise` before it is known.
    fn known(tracker: &Tracker, otherwise: f64) -> f64 {
        let [error] = tracker.errors(&[false]);
        if error.is_nan() { otherwise } else { f64::from(error) }
    }

    /// Feeds outcomes around a constant forecast and returns the tracker.
    fn tracked(residuals: impl IntoIterator<Item = f64>, beyond: f32) -> Tracker {
        let mut tracker = Tracker::new();
        residuals.into_iter().for_each(|residual| learn(&mut tracker, residual, beyond));
        tracker
    }

    /// Publishes a forecast of 100 and feeds its outcome.
    fn learn(tracker: &mut Tracker, residual: f64, beyond: f32) {
        let error = known(tracker, 10.0);
        let row = row(tracker, 100.0, error, 100.0);
        let width = width(100.0, error, 100.0) as f32;
        let issued = Issued {
            point: [100.0],
            width: [width],
            low: [row[1] as f32],
            high: [row[9] as f32],
            moving: [false],
            since: [1.0],
        };
        let ends = Ends { at: [1, 9], beyond, widening_keep: 0.995, spread_keep: 0.997, furthest: 10.0, rarely: 10.0 };
        let standing = Standing { least: f32::NEG_INFINITY, exact: None };
        tracker.outcome(&issued, &[(100.0 + residual) as f32], standing, ends, &normal_quantiles());
    }

    fn uniform(count: usize) -> impl Iterator<Item = f64> {
        let mut noise = Noise::new(21);
        (0..count).map(move |_| noise.uniform())
    }

    #[test]
    fn the_cold_quantiles_are_normal_with_the_scale_of_the_residuals() {
        let row = row(&Tracker::new(), 100.0, 10.0, 100.0);
        // A mean absolute error of 10 is a standard deviation of 12.53; 1.96 of them are 24.56.
        assert!(
            (row[9] - 124.56).abs() < 0.01 && (row[1] - 75.44).abs() < 0.01 && (row[5] - 100.0).abs() < 1e-9,
            "{row:?}"
        );
    }

    #[test]
    fn skewed_residuals_get_skewed_quantiles() {
        // Exponential residuals around their mean: quantile p is -10 ln(1 - p) - 10.
        let tracker = tracked(uniform(20_000).map(|share| -10.0 * (1.0 - share).ln() - 10.0), 0.025);
        let row = row(&tracker, 100.0, known(&tracker, f64::NAN), 100.0);
        for (index, expected) in [(1, 90.25), (5, 96.93), (8, 119.96), (9, 126.89)] {
            let tolerance = 0.15 * (expected - 90.0_f64).abs() + 1.5;
            assert!((row[index] - expected).abs() < tolerance, "{}: {} not {expected}", QUANTILES[index], row[index]);
        }
    }

    #[test]
    fn a_few_values_far_off_are_not_what_is_expected_from_then_on() {
        let calm = tracked(uniform(3000).map(|share| 20.0 * (share - 0.5)), 0.025);
        let shifted = tracked(uniform(3000).map(|share| 20.0 * (share - 0.5)).chain([1000.0; 4]), 0.025);
        let ratio = known(&shifted, f64::NAN) / known(&calm, f64::NAN);
        assert!((1.1..2.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn a_run_of_misses_widens_the_side_that_is_missed() {
        let calm = tracked(uniform(3000).map(|share| 20.0 * (share - 0.5)), 0.025);
        let burst = tracked(uniform(3000).map(|share| 20.0 * (share - 0.5)).chain([40.0; 6]), 0.025);
        let row = |tracker: &Tracker| row(tracker, 100.0, 5.0, 100.0);
        assert!(row(&burst)[9] > 1.03 * row(&calm)[9]);
        assert!((row(&burst)[1] - row(&calm)[1]).abs() < 1.0);
    }

    #[test]
    fn what_was_published_holds_its_share_though_the_widening_moves_it() {
        // Bursts for a while every few hours, and noise that is four times as wide every other day: under both, the
        // quantiles alone hold their share, while the ends published from them do not.
        let bursts: fn(usize) -> f64 = |outcome| if outcome % 300 < 20 { 20.0 } else { 5.0 };
        let days: fn(usize) -> f64 = |outcome| if outcome / 1440 % 2 == 0 { 3.0 } else { 12.0 };
        for (name, deviation) in [("bursts", bursts), ("days", days)] {
            let (mut tracker, mut noise, mut inside) = (Tracker::new(), Noise::new(22), 0);
            for outcome in 0..40_000 {
                let residual = noise.normal() * deviation(outcome);
                let row = row(&tracker, 100.0, known(&tracker, 10.0), 100.0);
                inside += usize::from(outcome >= 2000 && (row[1]..=row[9]).contains(&(100.0 + residual)));
                learn(&mut tracker, residual, 0.025);
            }
            let share = f64::from(u32::try_from(inside).unwrap()) / 38_000.0;
            assert!((share - 0.95).abs() < 0.002, "{name}: {share}");
        }
    }

    #[test]
    fn a_step_after_hours_without_an_error_is_not_taken_for_a_law() {
        let tracker = tracked([0.0; 300].into_iter().chain([300.0; 3]).chain([0.0; 60]), 0.025);
        let row = row(&tracker, 100.0, known(&tracker, f64::NAN), 100.0);
        assert!(row[9] < 400.0 && row[1] > -200.0, "{row:?}");
    }

    proptest! {
        #[test]
        fn quantiles_never_cross_and_stay_finite(residuals in prop::collection::vec(-1e30f64..1e30, 0..300), point in -1e30f64..1e30) {
            let tracker = tracked(residuals, 0.025);
            let row = row(&tracker, point, known(&tracker, 1.0), 1e30);
            prop_assert!(row.iter().all(|value| value.is_finite()));
            prop_assert!(row.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}

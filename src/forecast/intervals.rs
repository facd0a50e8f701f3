//! Quantiles of one forecast number, learned from its own outcomes.
//!
//! Residuals are measured in a unit that follows the recent error and the height of the forecast, so that a
//! quantile learned in the quiet hours holds in the busy ones: `u = (y - f) / sqrt(error * (|f| + 0.1 scale))`.
//! Each quantile of `u` takes pinball steps towards its own share of outcomes. On top, each side of the interval
//! widens while the published one is missed more often than it may be, and narrows again after: the
//! integrator of conformal PID control (Angelopoulos, Candes and Tibshirani 2023). Until there are enough
//! outcomes, the quantiles are those of a normal distribution with the residuals' scale.

use statrs::distribution::{ContinuousCDF, Normal};

use super::pending::Issued;
use super::scores::Discounted;
use crate::model::outlook::{QUANTILES, QuantileRow};

/// Position of the median in [`QUANTILES`].
const MEDIAN: usize = QUANTILES.len() / 2;
/// Outcomes before quantiles are tracked rather than assumed normal.
const ENOUGH: u32 = 60;
/// Step of a quantile, in mean absolute residuals.
const STEP: f32 = 0.02;
/// What is left each outcome of the weight of earlier absolute residuals, in the quantiles' unit (half-life half a day).
const SPREAD_KEEP: f32 = 0.999;
/// What is left each outcome of the weight of earlier absolute errors (half-life about an hour).
const ERROR_KEEP: f32 = 0.99;
/// What the widening learns from one miss, and what is left of it after one outcome.
const WIDEN: f32 = 0.08;
const WIDEN_KEEP: f32 = 0.995;
/// Least expected error, as a share of the height: a signal that stood still for hours and then moves is not a
/// thousand times further off than ever before.
const LEAST_ERROR: f64 = 1e-3;
/// Largest absolute residual in the quantiles' unit that moves anything.
const LARGEST: f32 = 1e6;
/// Standard deviation of a normal distribution in mean absolute deviations.
const SIGMA: f64 = 1.253_314_137_315_500_3;

/// Returns the standard normal quantiles at [`QUANTILES`].
pub fn normal_quantiles() -> QuantileRow {
    let normal = Normal::standard();
    QUANTILES.map(|level| normal.inverse_cdf(level))
}

/// The learned quantiles of one horizon or one maximum.
#[derive(Debug, Clone)]
pub struct Tracker {
    /// Never decreasing; in mean absolute residuals, so that they follow when all errors grow or shrink.
    quantiles: [f32; QUANTILES.len()],
    spread: Discounted,
    error: Discounted,
    outcomes: u32,
    /// Share of outcomes that may lie beyond each published end.
    beyond: f32,
    /// By how much the lower and the upper side are wider than the quantiles say (0.2 = 20 %).
    widening: [f32; 2],
}

impl Tracker {
    /// Returns a tracker without outcomes, for published ends beyond each of which a share of `beyond` may lie.
    pub fn new(beyond: f32) -> Self {
        Self {
            quantiles: [0.0; QUANTILES.len()],
            spread: Discounted::default(),
            error: Discounted::default(),
            outcomes: 0,
            beyond,
            widening: [0.0; 2],
        }
    }

    /// Returns the recent mean absolute error; `None` before ten outcomes.
    pub fn error(&self) -> Option<f64> {
        (self.outcomes >= 10).then(|| self.error.mean())
    }

    /// Returns the unit for a residual of the forecast `point`, where `error` is its expected absolute error
    /// and `scale` the usual height of the signal.
    pub fn width(point: f64, error: f64, scale: f64) -> f64 {
        let height = point.abs() + 0.1 * scale;
        (error.max(LEAST_ERROR * height) * height).sqrt().max(1e-12)
    }

    /// Learns the outcome of a published forecast.
    pub fn outcome(&mut self, issued: Issued, value: f64, normal: &QuantileRow) {
        let error = value as f32 - issued.point;
        let residual = (error / issued.width).clamp(-LARGEST, LARGEST);
        if !residual.is_finite() {
            return;
        }
        self.error.add(error.abs(), ERROR_KEEP);
        self.spread.add(residual.abs(), SPREAD_KEEP);
        self.outcomes = self.outcomes.saturating_add(1);
        let spread = self.spread.mean() as f32;
        if self.outcomes <= ENOUGH {
            self.quantiles = normal.map(|quantile| quantile as f32 * SIGMA as f32);
            return;
        }
        for (quantile, level) in self.quantiles.iter_mut().zip(QUANTILES) {
            let below = if residual <= *quantile * spread { 1.0 } else { 0.0 };
            *quantile += STEP * (level as f32 - below);
        }
        let mut least = f32::NEG_INFINITY;
        for quantile in &mut self.quantiles {
            least = least.max(*quantile);
            *quantile = least;
        }
        let value = value as f32;
        for (widening, missed) in self.widening.iter_mut().zip([value < issued.low, value > issued.high]) {
            let miss = if missed { 1.0 } else { 0.0 };
            *widening = (*widening * WIDEN_KEEP + WIDEN * (miss - self.beyond)).clamp(-0.4, 3.0);
        }
    }

    /// Returns the quantiles around `point` at these positions in [`QUANTILES`], never decreasing. `error` is the
    /// expected absolute error, `height` the usual height of the signal, `stretch` a factor for what the outcomes did
    /// not show (a gap before the origin).
    pub fn quantiles<const N: usize>(
        &self,
        at: &[usize; N],
        (point, error, height): (f64, f64, f64),
        stretch: f64,
        normal: &QuantileRow,
    ) -> [f64; N] {
        if self.outcomes < ENOUGH {
            return at.map(|index| point + normal[index] * SIGMA * error * stretch);
        }
        let width = Self::width(point, error, height) * self.spread.mean();
        let [lower, upper] = self.widening.map(|widening| (1.0 + f64::from(widening)) * stretch * width);
        let median = f64::from(self.quantiles[MEDIAN]);
        at.map(|index| {
            let beside = f64::from(self.quantiles[index]) - median;
            point + median * width + beside * if beside < 0.0 { lower } else { upper }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::forecast::tests::Noise;

    fn row(tracker: &Tracker, point: f64, error: f64, height: f64) -> QuantileRow {
        let all = std::array::from_fn(|index| index);
        tracker.quantiles(&all, (point, error, height), 1.0, &normal_quantiles())
    }

    /// Feeds outcomes around a constant forecast and returns the tracker.
    fn tracked(residuals: impl IntoIterator<Item = f64>, beyond: f32) -> Tracker {
        let normal = normal_quantiles();
        let mut tracker = Tracker::new(beyond);
        for residual in residuals {
            let error = tracker.error().unwrap_or(10.0);
            let row = row(&tracker, 100.0, error, 100.0);
            let width = Tracker::width(100.0, error, 100.0) as f32;
            let issued = Issued { point: 100.0, width, low: row[1] as f32, high: row[9] as f32 };
            tracker.outcome(issued, 100.0 + residual, &normal);
        }
        tracker
    }

    fn uniform(count: usize) -> impl Iterator<Item = f64> {
        let mut noise = Noise::new(21);
        (0..count).map(move |_| noise.uniform())
    }

    #[test]
    fn the_cold_quantiles_are_normal_with_the_scale_of_the_residuals() {
        let row = row(&Tracker::new(0.025), 100.0, 10.0, 100.0);
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
        let row = row(&tracker, 100.0, tracker.error().unwrap(), 100.0);
        for (index, expected) in [(1, 90.25), (5, 96.93), (8, 119.96), (9, 126.89)] {
            let tolerance = 0.15 * (expected - 90.0_f64).abs() + 1.5;
            assert!((row[index] - expected).abs() < tolerance, "{}: {} not {expected}", QUANTILES[index], row[index]);
        }
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
    fn a_step_after_hours_without_an_error_is_not_taken_for_a_law() {
        let tracker = tracked([0.0; 300].into_iter().chain([300.0; 3]).chain([0.0; 60]), 0.025);
        let row = row(&tracker, 100.0, tracker.error().unwrap(), 100.0);
        assert!(row[9] < 400.0 && row[1] > -200.0, "{row:?}");
    }

    proptest! {
        #[test]
        fn quantiles_never_cross_and_stay_finite(residuals in prop::collection::vec(-1e30f64..1e30, 0..300), point in -1e30f64..1e30) {
            let tracker = tracked(residuals, 0.025);
            let row = row(&tracker, point, tracker.error().unwrap_or(1.0), 1e30);
            prop_assert!(row.iter().all(|value| value.is_finite()));
            prop_assert!(row.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}

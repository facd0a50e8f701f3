//! What evidence is worth on this signal: bursts are normal for one and unprecedented for another.
//!
//! The upper tail of its distribution is learned (peaks over threshold: Siffer, Fouque, Termier and Largouet, "Anomaly
//! Detection in Streams with Extreme Value Theory", 2017): a generalised Pareto tail by the method of moments, which is
//! exponential unless the excesses are heavier.

use std::cmp::Ordering;

/// Share of the evidence above the quantile from which the tail is learned.
pub const SHARE: f64 = 0.02;
/// Step of the quantile, the larger first steps, and the smallest quantile.
const STEP: f64 = 0.02;
const FIRST_STEPS: f64 = 4.0;
const FIRST: f64 = 50.0;
const LEAST: f64 = 0.3;
/// The initial mean excess counts as this many observations.
const EXCESS_WEIGHT: f64 = 30.0;
/// Discount of the weight of earlier excesses per new one, and the clip of an excess, in mean excesses.
const EXCESS_KEPT: f32 = 0.995;
const EXCESS_CLIP: f64 = 20.0;
/// The initial, exponential shape of the tail counts as this many observations; the clip of an excess in the shape, in
/// mean excesses (one outlier is not a heavy tail); the largest shape.
const SHAPE_WEIGHT: f64 = 100.0;
const SHAPE_CLIP: f64 = 5.0;
const SHAPE_MOST: f64 = 0.4;
/// The mean excess is at least this share of the quantile, three quarters of its value under normal noise. If evidence
/// takes few values, as with rare counts, the quantile hugs one of them, and the excesses hide how far apart they are.
const EXCESS_LEAST: f64 = 0.12;

/// The upper tail of the evidence: a quantile, and the excesses over it.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    quantile: f32,
    /// Mean excess before any was seen.
    usual: f32,
    seen: f32,
    /// Discounted sum, sum of squares and number of the excesses.
    sum: f32,
    squares: f32,
    count: f32,
}

impl Tail {
    /// Returns the tail before any evidence, which starts as that of ordinary noise.
    pub fn new(quantile: f64, excess: f64) -> Self {
        let (quantile, usual) = (quantile as f32, excess as f32);
        Self { quantile, usual, seen: 0.0, sum: 0.0, squares: 0.0, count: 0.0 }
    }

    /// Returns how far the evidence is above the quantile, in mean excesses of an exponential tail in which it is as
    /// rare; 0 below it.
    pub fn excess(&self, evidence: f64) -> f64 {
        let quantile = f64::from(self.quantile);
        if evidence.partial_cmp(&quantile) != Some(Ordering::Greater) {
            return 0.0;
        }
        let mean = self.mean();
        let excess = (evidence - quantile) / mean.max(self.least());
        let shape = self.shape(mean);
        if shape > 1e-3 { (shape / (1.0 - shape) * excess).ln_1p() / shape } else { excess }
    }

    /// Learns one piece of evidence.
    pub fn learn(&mut self, evidence: f64) {
        let quantile = f64::from(self.quantile);
        let step = STEP.max(FIRST_STEPS / (FIRST + f64::from(self.seen))) * quantile;
        self.seen += 1.0;
        if evidence > quantile {
            let quantile = quantile + step * (1.0 - SHARE);
            let (excess, mean) = ((evidence - quantile).max(0.0), self.mean().max(self.least()));
            self.quantile = quantile as f32;
            self.sum = EXCESS_KEPT * self.sum + excess.min(EXCESS_CLIP * mean) as f32;
            self.squares = EXCESS_KEPT * self.squares + excess.min(SHAPE_CLIP * mean).powi(2) as f32;
            self.count = EXCESS_KEPT * self.count + 1.0;
        } else {
            self.quantile = (quantile - step * SHARE).max(LEAST) as f32;
        }
    }

    fn least(&self) -> f64 {
        EXCESS_LEAST * f64::from(self.quantile)
    }

    fn mean(&self) -> f64 {
        let [sum, usual, count] = [self.sum, self.usual, self.count].map(f64::from);
        (sum + EXCESS_WEIGHT * usual) / (count + EXCESS_WEIGHT)
    }

    /// Returns the shape of a generalised Pareto tail with this mean: 0 is exponential, with a mean square of twice the
    /// square of the mean; above 0, the tail is heavier.
    fn shape(&self, mean: f64) -> f64 {
        let [squares, count] = [self.squares, self.count].map(f64::from);
        let square = (squares / mean.powi(2) + SHAPE_WEIGHT * 2.0) / (count + SHAPE_WEIGHT);
        if square > 2.0 { (0.5 - 0.5 / (square - 1.0)).min(SHAPE_MOST) } else { 0.0 }
    }
}

/// Returns the excess that an ordinary signal passes `alarms` times a week, each step of `step_seconds` being one try.
pub fn excess_passed(alarms: f64, step_seconds: u32) -> f64 {
    const WEEK_SECONDS: f64 = 7.0 * 86_400.0;
    let steps = WEEK_SECONDS / f64::from(step_seconds.max(1));
    (SHARE * steps / alarms).ln().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::tests::Noise;

    #[test]
    fn an_exponential_tail_is_passed_as_often_as_said() {
        let (mut tail, mut noise) = (Tail::new(1.0, 0.2), Noise::new(5));
        // The sum of two squared normal variables is exponential, with mean 2.
        let mut next = || noise.normal().powi(2) + noise.normal().powi(2);
        (0..20_000).for_each(|_| tail.learn(next()));
        let (week, alarms) = (10_080, 20.0);
        let bar = excess_passed(alarms, 60);
        let passed = (0..10 * week).filter(|_| tail.excess(next()) >= bar).count() as f64 / 10.0;
        assert!((0.5 * alarms..2.0 * alarms).contains(&passed), "{passed} a week");
    }

    /// Returns how often per week the noise passes the bar set for once in five weeks, averaged over ten weeks after
    /// four weeks of learning.
    fn passed_a_week(quantile: f64, mut next: impl FnMut() -> f64) -> f64 {
        let mut tail = Tail::new(quantile, 0.16 * quantile);
        let bar = excess_passed(0.2, 60);
        let mut passed = 0;
        for minute in 0..14 * 10_080 {
            let evidence = next();
            passed += u32::from(minute >= 4 * 10_080 && tail.excess(evidence) >= bar);
            tail.learn(evidence);
        }
        f64::from(passed) / 10.0
    }

    #[test]
    fn a_heavy_tail_is_passed_hardly_more_often() {
        let mut noise = Noise::new(9);
        let passed = passed_a_week(4.65, || noise.normal().exp());
        assert!(passed <= 1.0, "{passed} a week");
    }

    #[test]
    fn longer_steps_have_fewer_tries() {
        let bars = [60, 300, 1800, 86_400].map(|step| excess_passed(0.15, step));
        assert!(bars.windows(2).all(|pair| pair[0] > pair[1]), "{bars:?}");
    }
}

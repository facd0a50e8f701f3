//! What evidence is worth on this signal: bursts are the nature of one and unheard of on another.
//!
//! The upper tail of its distribution is learned (peaks over threshold: Siffer, Fouque, Termier and Largouet, "Anomaly
//! Detection in Streams with Extreme Value Theory", 2017, with an exponential tail).

/// Share of the evidence above the quantile from which the tail is learned.
pub const SHARE: f64 = 0.02;
/// Step of the quantile, that of the first ones by their number, and the least it becomes.
const STEP: f64 = 0.02;
const FIRST_STEPS: f64 = 4.0;
const FIRST: f64 = 50.0;
const LEAST: f64 = 0.3;
/// The mean excess before any was seen counts as if there had been so many.
const EXCESS_WEIGHT: f64 = 30.0;
/// What a new excess leaves of the weight of earlier ones, and how many times their mean one counts at most.
const EXCESS_KEPT: f32 = 0.995;
const EXCESS_CLIP: f64 = 20.0;

/// The upper tail of the evidence: a quantile, and the mean excess over it.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    quantile: f64,
    /// Mean excess before any was seen.
    usual: f32,
    seen: f32,
    /// Discounted sum and number of the excesses.
    sum: f32,
    count: f32,
}

impl Tail {
    /// Returns the tail before any evidence, which starts as that of ordinary noise.
    pub fn new(quantile: f64, excess: f64) -> Self {
        Self { quantile, usual: excess as f32, seen: 0.0, sum: 0.0, count: 0.0 }
    }

    /// Returns by how many mean excesses the evidence lies above the quantile; 0 below it.
    pub fn excess(&self, evidence: f64) -> f64 {
        ((evidence - self.quantile) / self.mean()).max(0.0)
    }

    /// Learns one piece of evidence.
    pub fn learn(&mut self, evidence: f64) {
        let step = STEP.max(FIRST_STEPS / (FIRST + f64::from(self.seen))) * self.quantile;
        self.seen += 1.0;
        if evidence > self.quantile {
            self.quantile += step * (1.0 - SHARE);
            let excess = (evidence - self.quantile).clamp(0.0, EXCESS_CLIP * self.mean());
            self.sum = EXCESS_KEPT * self.sum + excess as f32;
            self.count = EXCESS_KEPT * self.count + 1.0;
        } else {
            self.quantile = (self.quantile - step * SHARE).max(LEAST);
        }
    }

    fn mean(&self) -> f64 {
        let [sum, usual, count] = [self.sum, self.usual, self.count].map(f64::from);
        (sum + EXCESS_WEIGHT * usual) / (count + EXCESS_WEIGHT)
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

    #[test]
    fn longer_steps_have_fewer_tries() {
        let bars = [60, 300, 1800, 86_400].map(|step| excess_passed(0.15, step));
        assert!(bars.windows(2).all(|pair| pair[0] > pair[1]), "{bars:?}");
    }
}

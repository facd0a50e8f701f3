//! Weights of the models when the newest value is old: a forecast ten minutes ahead from a value that is five minutes
//! old is a forecast fifteen minutes ahead.

use super::{Losses, Moving, Regrets, Scores, Surges, Weights};
use crate::forecast::scores::MODELS;
use crate::model::outlook::HORIZONS;

/// The growth of a loss beyond the longest horizon is estimated between these two.
const SHORT: usize = 3;
const LONG: usize = HORIZONS.len() - 1;

/// Returns for each horizon the position of the first one at least `gap` longer, otherwise of the longest.
pub fn longer(gap: u32) -> [usize; HORIZONS.len()] {
    HORIZONS.map(|minutes| {
        let all = u32::from(minutes).saturating_add(gap);
        HORIZONS.iter().position(|longer| u32::from(*longer) >= all).unwrap_or(LONG)
    })
}

impl Scores {
    /// Returns the [`weights`](Self::weights) when the newest value is `gap` minutes old.
    pub fn weights_after(&self, gap: u32, surges: &Surges, available: &[bool; MODELS], moving: Moving) -> Weights {
        if gap == 0 {
            return self.weights(surges, available, moving);
        }
        let lanes = longer(gap);
        let losses = |of: &Losses| Losses { mean: lanes.map(|lane| of.mean[lane]), ..*of };
        let regrets =
            |of: &Regrets| Regrets { sum: lanes.map(|lane| of.sum[lane]), squares: lanes.map(|lane| of.squares[lane]) };
        let then = Self {
            losses: self.losses.each_ref().map(losses),
            published: losses(&self.published),
            held: self.held,
            calm: self.calm.each_ref().map(regrets),
            surged: lanes.map(|lane| self.surged[lane]),
        };
        let surges = Surges(surges.0.map(|kept| kept.map(|of| lanes.map(|lane| of[lane]))));
        let mut weights = then.weights(&surges, available, moving);
        let growths = self.losses.each_ref().map(growth);
        for (horizon, minutes) in HORIZONS.into_iter().enumerate() {
            let beyond = (f64::from(minutes) + f64::from(gap)) / f64::from(HORIZONS[LONG]);
            if beyond > 1.0 {
                fade(&mut weights, horizon, growths.map(|growth| beyond.powf(-2.0 * growth)));
            }
        }
        weights
    }
}

/// Returns the power of the horizon with which a loss grows: 1/2 for a random walk, 0 for a rule that is equally good
/// at any horizon.
fn growth(losses: &Losses) -> f64 {
    let [short, long] = [SHORT, LONG].map(|horizon| f64::from(losses.mean[horizon]));
    let growth = (long / short).ln() / (f64::from(HORIZONS[LONG]) / f64::from(HORIZONS[SHORT])).ln();
    if growth.is_finite() { growth.max(0.0) } else { 0.0 }
}

/// Scales the weights at a horizon, which still add up to one. With independent errors, each counts by the inverse of
/// its square.
fn fade(weights: &mut Weights, horizon: usize, by: [f64; MODELS]) {
    let faded: [f64; MODELS] = std::array::from_fn(|model| by[model] * f64::from(weights[model][horizon]));
    let sum: f64 = faded.iter().sum();
    if sum.is_normal() {
        weights.iter_mut().zip(faded).for_each(|(weights, faded)| weights[horizon] = (faded / sum) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::models::{PERSISTENCE, SEASONAL_DIFFERENCE, SEASONAL_NAIVE};
    use crate::forecast::pending::Issued;
    use crate::forecast::scores::Lanes;

    const CALM: Moving = [false; HORIZONS.len()];

    /// The best model changes with the horizon: persistence first, then the difference, then the naive rule.
    fn scored() -> (Scores, Surges) {
        let (mut scores, mut surges) = (Scores::new(), Surges::new());
        let error = |model: usize, horizon: usize| match model {
            PERSISTENCE => 0.4 * f32::from(HORIZONS[horizon]),
            SEASONAL_DIFFERENCE => 2.0 * f32::from(HORIZONS[horizon]).sqrt(),
            SEASONAL_NAIVE => 15.0,
            _ => 100.0,
        };
        for outcome in 0..500 {
            // No two models have the same error.
            let side = |model: usize| if outcome >> (model % 4) & 1 == 0 { 1.0 } else { -1.0 };
            let said = |model: usize| -> Lanes { std::array::from_fn(|lane| 100.0 + side(model) * error(model, lane)) };
            let forecasts: [Lanes; MODELS] = std::array::from_fn(said);
            let weights = scores.weights(&surges, &[true; MODELS], CALM);
            let published = std::array::from_fn(|lane| {
                forecasts.iter().zip(&weights).map(|(forecast, weights)| forecast[lane] * weights[lane]).sum()
            });
            let said = Issued { point: published, ..Issued::NOTHING };
            scores.outcome(&mut surges, &forecasts, &said, 100.0, 0.998);
        }
        (scores, surges)
    }

    #[test]
    fn a_gap_counts_as_horizon() {
        let (scores, surges) = scored();
        let after = |gap: u32| scores.weights_after(gap, &surges, &[true; MODELS], CALM);
        let fresh = scores.weights(&surges, &[true; MODELS], CALM);
        assert_eq!(after(0), fresh);
        for (gap, expected) in [(1, [1, 2, 3, 4, 5, 6, 7]), (9, [4, 5, 5, 5, 6, 7, 7])] {
            for (got, fresh) in after(gap).iter().zip(&fresh) {
                assert_eq!(got[..7], expected.map(|lane| fresh[lane]), "{gap}");
            }
        }
    }

    #[test]
    fn the_longer_a_gap_the_more_what_a_season_ago_was_counts() {
        let (scores, surges) = scored();
        let share = |gap: u32| {
            let weights = scores.weights_after(gap, &surges, &[true; MODELS], CALM);
            let sums: f32 = weights.iter().map(|weights| weights[0]).sum();
            assert!((sums - 1.0).abs() < 1e-5, "{gap}: {sums}");
            weights[SEASONAL_NAIVE][0]
        };
        let shares = [0, 30, 60, 360, 1440].map(share);
        assert!(shares.windows(2).all(|pair| pair[0] < pair[1]) && shares[4] > 0.9, "{shares:?}");
    }
}

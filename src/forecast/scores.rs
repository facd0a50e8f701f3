//! Measured losses of all models, and which one acts.
//!
//! A forecast is scored when its outcome arrives. Losses are discounted, so that a model that has turned bad
//! is left within hours, and the one that acts is only left for one that is clearly better.

use super::models::{CATALOGUE, PERSISTENCE, Path, SEASONAL_NAIVE};
use crate::model::outlook::{HORIZONS, Skill};

/// Number of models.
pub const MODELS: usize = CATALOGUE.len();
/// Outcomes at each horizon before a model may act.
const ENOUGH: f32 = 60.0;
/// A challenger acts when its loss is below this share of the acting model's.
const MARGIN: f64 = 0.98;

/// Discounted mean of a stream; early values count alike.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discounted {
    mean: f32,
    weight: f32,
}

impl Discounted {
    /// Takes in `value`; all earlier weights shrink by `keep` (below 1).
    pub fn add(&mut self, value: f32, keep: f32) {
        self.weight = self.weight * keep + 1.0;
        self.mean += (value - self.mean) / self.weight;
    }

    /// Returns the mean.
    pub fn mean(self) -> f64 {
        f64::from(self.mean)
    }

    /// Returns the discounted number of values.
    pub fn weight(self) -> f32 {
        self.weight
    }
}

/// Returns the factor by which weights shrink each minute for a half-life in minutes.
pub fn keep(half_life_minutes: f64) -> f32 {
    0.5_f64.powf(1.0 / half_life_minutes) as f32
}

/// Losses of all models at all horizons, and the model that acts.
#[derive(Debug, Clone)]
pub struct Scores {
    losses: [[Discounted; HORIZONS.len()]; MODELS],
    acting: usize,
}

impl Scores {
    /// Returns the state before any outcome: persistence acts.
    pub fn new() -> Self {
        Self { losses: Default::default(), acting: PERSISTENCE }
    }

    /// Scores what the models said of a minute at one horizon; NaN stands for a model that said nothing.
    pub fn outcome(&mut self, horizon: usize, forecasts: &[f32; MODELS], value: f64, keep: f32) {
        for (losses, forecast) in self.losses.iter_mut().zip(forecasts) {
            let error = (f64::from(*forecast) - value).abs() as f32;
            if let Some(loss) = losses.get_mut(horizon).filter(|_| error.is_finite()) {
                loss.add(error, keep);
            }
        }
    }

    /// Returns the mean loss of a model over the horizons; `None` before enough outcomes at each of them.
    pub fn loss(&self, model: usize) -> Option<f64> {
        let losses = self.losses.get(model)?;
        losses
            .iter()
            .all(|loss| loss.weight >= ENOUGH)
            .then(|| losses.iter().map(|loss| loss.mean()).sum::<f64>() / HORIZONS.len() as f64)
    }

    /// Chooses among the models that have a forecast now (`available`), and returns the one that acts.
    pub fn choose(&mut self, available: &[Option<Path>; MODELS]) -> usize {
        let usable = |model: &usize| available.get(*model).is_some_and(Option::is_some);
        if !usable(&self.acting) {
            self.acting = PERSISTENCE;
        }
        let best = (0..MODELS).filter(usable).filter_map(|model| Some((model, self.loss(model)?)));
        if let Some((best, loss)) = best.min_by(|a, b| a.1.total_cmp(&b.1))
            && self.loss(self.acting).is_none_or(|acting| loss < MARGIN * acting)
        {
            self.acting = best;
        }
        self.acting
    }

    /// Returns the position of the model that acts.
    pub fn acting(&self) -> usize {
        self.acting
    }

    /// Returns the skill of the acting model; `None` before it and persistence are scored.
    pub fn skill(&self) -> Option<Skill> {
        let loss = self.loss(self.acting)?;
        let vs = |other: usize| self.loss(other).and_then(|other| saved(loss, other));
        Some(Skill { vs_persistence: vs(PERSISTENCE)?, vs_seasonal_naive: vs(SEASONAL_NAIVE) })
    }

    /// Returns the share of the loss of the best flat rule that the acting model saves: what it foresees that
    /// no rule without foresight does.
    pub fn foresight(&self) -> Option<f64> {
        let flat = (0..MODELS).filter(|model| CATALOGUE.get(*model).is_some_and(|row| row.flat));
        let best = flat.filter_map(|model| self.loss(model)).min_by(f64::total_cmp)?;
        saved(self.loss(self.acting)?, best)
    }
}

/// Returns one minus the ratio of two losses; nothing is saved of nothing.
fn saved(loss: f64, of: f64) -> Option<f64> {
    if of > 0.0 {
        return Some(1.0 - loss / of);
    }
    (loss <= 0.0).then_some(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: f32 = 0.998;

    fn scored(errors: [f32; MODELS], outcomes: usize) -> Scores {
        let mut scores = Scores::new();
        more(&mut scores, errors, outcomes);
        scores
    }

    fn more(scores: &mut Scores, errors: [f32; MODELS], outcomes: usize) {
        for _ in 0..outcomes {
            for horizon in 0..HORIZONS.len() {
                scores.outcome(horizon, &errors.map(|error| 100.0 + error), 100.0, KEEP);
            }
        }
    }

    const ALL: [Option<Path>; MODELS] = [Some([0.0; HORIZONS.len()]); MODELS];

    #[test]
    fn the_lowest_measured_loss_acts_and_only_once_it_is_measured() {
        for (errors, outcomes, expected) in [
            ([4.0, 3.0, 2.0, 1.0], 59, PERSISTENCE),
            ([4.0, 3.0, 2.0, 1.0], 90, 3),
            ([4.0, 3.0, 1.0, 2.0], 90, SEASONAL_NAIVE),
            ([1.0, 2.0, 3.0, 4.0], 90, PERSISTENCE),
            ([4.0, f32::NAN, f32::NAN, f32::NAN], 90, PERSISTENCE),
        ] {
            assert_eq!(scored(errors, outcomes).choose(&ALL), expected, "{errors:?} {outcomes}");
        }
    }

    #[test]
    fn the_acting_model_does_not_flip_for_little() {
        let mut scores = scored([4.0, 9.0, 9.0, 2.0], 90);
        assert_eq!(scores.choose(&ALL), 3);
        more(&mut scores, [1.99, 9.0, 9.0, 2.0], 5000);
        assert_eq!(scores.choose(&ALL), 3);
        more(&mut scores, [1.0, 9.0, 9.0, 2.0], 5000);
        assert_eq!(scores.choose(&ALL), PERSISTENCE);
    }

    #[test]
    fn a_model_without_a_forecast_does_not_act() {
        let mut scores = scored([4.0, 9.0, 9.0, 2.0], 90);
        let mut available = ALL;
        available[3] = None;
        assert_eq!(scores.choose(&available), PERSISTENCE);
    }

    #[test]
    fn skill_is_what_is_saved_of_the_other_loss() {
        let mut scores = scored([4.0, 2.5, 8.0, 2.0], 90);
        assert_eq!(scores.skill().map(|skill| skill.vs_persistence), Some(0.0));
        scores.choose(&ALL);
        let skill = scores.skill().unwrap();
        assert!((skill.vs_persistence - 0.5).abs() < 1e-6);
        assert!((skill.vs_seasonal_naive.unwrap() - 0.75).abs() < 1e-6);
        assert!((scores.foresight().unwrap() - 0.2).abs() < 1e-6);
    }

    #[test]
    fn a_perfect_flat_rule_leaves_nothing_to_save() {
        let mut scores = scored([0.0; MODELS], 90);
        scores.choose(&ALL);
        assert_eq!(scores.foresight(), Some(0.0));
    }
}

//! Measured losses of all models, and how much each of them counts.
//!
//! A forecast is scored when its outcome arrives. Losses are discounted, so that a model that has turned bad
//! is left within hours; shares are kept for each horizon, because who sees the next minute best seldom sees the next
//! half hour best.

use super::models::{CATALOGUE, PERSISTENCE, SEASONAL_NAIVE};
use crate::model::outlook::{HORIZONS, Skill};

/// Number of models.
pub const MODELS: usize = CATALOGUE.len();
/// Outcomes at each horizon before a model may speak.
const ENOUGH: f32 = 60.0;
/// Largest regret of one outcome: the sum of many squares is still a number.
const LARGEST: f32 = 1e15;

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

/// Losses of all models at all horizons, and of what was said by all together.
#[derive(Debug, Clone)]
pub struct Scores {
    losses: [[Discounted; HORIZONS.len()]; MODELS],
    said: [Discounted; HORIZONS.len()],
    regrets: [[Regret; HORIZONS.len()]; MODELS],
}

/// What would have been saved by listening more to a model, by the slope of the loss where the published point was: the
/// models that pull the mix the right way count, not those that err least alone (ML-Poly: Gaillard, Stoltz and van
/// Erven 2014, discounted).
#[derive(Debug, Clone, Copy, Default)]
struct Regret {
    sum: f32,
    squares: f32,
}

impl Regret {
    fn add(&mut self, saved: f32, keep: f32) {
        self.sum = self.sum * keep + saved;
        self.squares = self.squares * keep + saved * saved;
    }

    /// Returns how much the model counts; `scale` is the error to be expected of the best one.
    fn weight(self, scale: f32) -> f32 {
        self.sum.max(0.0) / (self.squares + scale * scale).max(f32::MIN_POSITIVE)
    }
}

/// Share of each model in the forecast, for each horizon; those of a horizon add up to one.
pub type Weights = [[f32; MODELS]; HORIZONS.len()];

impl Scores {
    /// Returns the state before any outcome: persistence speaks.
    pub fn new() -> Self {
        Self { losses: Default::default(), said: Default::default(), regrets: Default::default() }
    }

    /// Scores what the models said of a minute at one horizon, and what was published; NaN stands for a model that said
    /// nothing.
    pub fn outcome(&mut self, horizon: usize, forecasts: &[f32; MODELS], published: f32, value: f64, keep: f32) {
        let error = |forecast: f32| (f64::from(forecast) - value).abs() as f32;
        let slope = if f64::from(published) > value { 1.0 } else { -1.0 };
        for ((losses, regrets), forecast) in self.losses.iter_mut().zip(&mut self.regrets).zip(forecasts) {
            let error = error(*forecast);
            if let Some(loss) = losses.get_mut(horizon).filter(|_| error.is_finite()) {
                loss.add(error, keep);
            }
            let saved = slope * (published - forecast);
            if let Some(regret) = regrets.get_mut(horizon).filter(|_| saved.is_finite()) {
                regret.add(saved.clamp(-LARGEST, LARGEST), keep);
            }
        }
        let error = error(published);
        if let Some(loss) = self.said.get_mut(horizon).filter(|_| error.is_finite()) {
            loss.add(error, keep);
        }
    }

    /// Returns the mean loss of a model over the horizons; `None` before enough outcomes at each of them.
    pub fn loss(&self, model: usize) -> Option<f64> {
        mean(self.losses.get(model)?)
    }

    /// Returns the mean loss of what was published.
    pub fn published(&self) -> Option<f64> {
        mean(&self.said)
    }

    /// Returns the shares of the models that have a forecast now (`available`).
    pub fn weights(&self, available: &[bool; MODELS]) -> Weights {
        let mut weights = [[0.0; MODELS]; HORIZONS.len()];
        for (horizon, weights) in weights.iter_mut().enumerate() {
            let loss = |model: usize| self.losses.get(model).and_then(|losses| losses.get(horizon));
            let speaks = |model: usize| available[model] && loss(model).is_some_and(|loss| loss.weight >= ENOUGH);
            let known = (0..MODELS).filter(|model| speaks(*model)).filter_map(|model| Some((model, loss(model)?.mean)));
            let Some((best, least)) = known.min_by(|a, b| a.1.total_cmp(&b.1)) else {
                weights[PERSISTENCE] = 1.0;
                continue;
            };
            let mut sum = 0.0;
            for (model, (weight, regrets)) in weights.iter_mut().zip(&self.regrets).enumerate() {
                *weight = if speaks(model) { regrets[horizon].weight(least) } else { 0.0 };
                sum += *weight;
            }
            if sum > 0.0 && sum.is_finite() {
                weights.iter_mut().for_each(|weight| *weight /= sum);
            } else {
                *weights = [0.0; MODELS];
                weights[best] = 1.0;
            }
        }
        weights
    }

    /// Returns the skill of what was published; `None` before it and persistence are scored.
    pub fn skill(&self) -> Option<Skill> {
        let loss = self.published()?;
        let vs = |other: usize| self.loss(other).and_then(|other| saved(loss, other));
        Some(Skill { vs_persistence: vs(PERSISTENCE)?, vs_seasonal_naive: vs(SEASONAL_NAIVE) })
    }

    /// Returns the share of the loss of the best flat rule that what was published saves: what is foreseen that no rule
    /// without foresight sees.
    pub fn foresight(&self) -> Option<f64> {
        let flat = (0..MODELS).filter(|model| CATALOGUE.get(*model).is_some_and(|row| row.flat));
        let best = flat.filter_map(|model| self.loss(model)).min_by(f64::total_cmp)?;
        saved(self.published()?, best)
    }
}

fn mean(losses: &[Discounted; HORIZONS.len()]) -> Option<f64> {
    let enough = losses.iter().all(|loss| loss.weight >= ENOUGH);
    enough.then(|| losses.iter().map(|loss| loss.mean()).sum::<f64>() / HORIZONS.len() as f64)
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
    const ALL: [bool; MODELS] = [true; MODELS];

    /// Scores outcomes of 100 that the models miss by `errors` in turn, as the loop does: what is published is the mix.
    fn scored(errors: impl Fn(usize) -> [f32; MODELS], outcomes: usize) -> Scores {
        let mut scores = Scores::new();
        for outcome in 0..outcomes {
            let forecasts = errors(outcome).map(|error| 100.0 + error);
            let weights = scores.weights(&forecasts.map(f32::is_finite));
            for (horizon, weights) in weights.iter().enumerate() {
                let told = forecasts.iter().zip(weights).filter(|(forecast, _)| forecast.is_finite());
                let published = told.map(|(forecast, weight)| forecast * weight).sum();
                scores.outcome(horizon, &forecasts, published, 100.0, KEEP);
            }
        }
        scores
    }

    /// All models are off by 9, but for those named.
    fn errors(named: &[(usize, f32)]) -> [f32; MODELS] {
        let mut errors = [9.0; MODELS];
        named.iter().for_each(|(model, error)| errors[*model] = *error);
        errors
    }

    fn leader(scores: &Scores) -> usize {
        let weights = scores.weights(&ALL)[0];
        (0..MODELS).max_by(|a, b| weights[*a].total_cmp(&weights[*b])).unwrap()
    }

    #[test]
    fn what_is_measured_to_save_speaks_and_only_once_it_is_measured() {
        for (named, outcomes, expected) in [
            (vec![(4, 1.0)], 59, PERSISTENCE),
            (vec![(4, 1.0)], 120, 4),
            (vec![(PERSISTENCE, 1.0), (4, 2.0)], 120, PERSISTENCE),
            (vec![(SEASONAL_NAIVE, 1.0), (4, 2.0)], 2000, SEASONAL_NAIVE),
            (vec![(4, f32::NAN), (5, 2.0)], 120, 5),
        ] {
            assert_eq!(leader(&scored(|_| errors(&named), outcomes)), expected, "{named:?} {outcomes}");
        }
    }

    #[test]
    fn two_that_err_to_opposite_sides_share_the_word() {
        let scores = scored(|_| errors(&[(4, 5.0), (5, -5.0)]), 500);
        let shares = scores.weights(&ALL)[0];
        assert!(shares[4] > 0.2 && shares[5] > 0.2, "{shares:?}");
        assert!(scores.published().unwrap() < 3.0, "{:?}", scores.published());
    }

    #[test]
    fn shares_add_up_to_one_and_a_model_without_a_forecast_has_none() {
        let scores = scored(|_| errors(&[(4, 1.0)]), 120);
        let mut available = ALL;
        available[4] = false;
        for weights in scores.weights(&available) {
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5 && weights[4] == 0.0, "{weights:?}");
        }
    }

    #[test]
    fn a_model_that_turned_bad_is_left() {
        let scores = scored(|outcome| errors(&[(if outcome < 2000 { 4 } else { 5 }, 1.0)]), 2600);
        assert_eq!(leader(&scores), 5);
    }

    #[test]
    fn skill_is_what_is_saved_of_the_other_loss() {
        let scores = scored(|_| errors(&[(PERSISTENCE, 4.0), (1, 2.5), (SEASONAL_NAIVE, 8.0), (4, 2.0)]), 4000);
        let skill = scores.skill().unwrap();
        assert!((skill.vs_persistence - 0.5).abs() < 0.02, "{skill:?}");
        assert!((skill.vs_seasonal_naive.unwrap() - 0.75).abs() < 0.02);
        assert!((scores.foresight().unwrap() - 0.2).abs() < 0.02);
    }

    #[test]
    fn a_perfect_flat_rule_leaves_nothing_to_save() {
        assert_eq!(scored(|_| [0.0; MODELS], 90).foresight(), Some(0.0));
    }
}

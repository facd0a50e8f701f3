//! Measured losses of all models, and how much each of them counts.
//!
//! A forecast is scored when its outcome arrives. Losses are discounted, so that a model that has turned bad is dropped
//! within a day; weights are kept per horizon, because the best model for the next minute is seldom the best for the
//! next half hour. All horizons of a model are adjacent, so that one arithmetic step serves several.

mod gap;
mod regrets;

pub use self::gap::longer;
pub use self::regrets::Surges;

use self::regrets::Regrets;
use super::lanes::{larger, smaller, zip};
use super::models::{CATALOGUE, PERSISTENCE, SEASONAL_NAIVE};
use super::pending::Issued;
use crate::model::outlook::{HORIZONS, Skill};

/// One number for each of [`HORIZONS`], in the precision that scoring needs.
pub type Lanes = [f32; HORIZONS.len()];

/// Number of models.
pub const MODELS: usize = CATALOGUE.len();
/// Outcomes before a model may contribute.
const ENOUGH: f32 = 60.0;
/// Largest number for which a sum of many squares is still finite.
const LARGEST: f32 = 1e15;

/// Losses of all models at all horizons, and of the combined forecasts.
#[derive(Debug, Clone, Copy)]
pub struct Scores {
    losses: [Losses; MODELS],
    published: Losses,
    /// Mean error of the next-minute forecast used at all horizons, over the same outcomes.
    held: f32,
    /// For horizons without a predicted seasonal change; the others are in [`Surges`].
    calm: [Regrets; MODELS],
    /// At which horizons a predicted change was scored.
    surged: Moving,
}

/// Discounted mean absolute errors of the forecasts at all horizons.
#[derive(Debug, Clone, Copy)]
struct Losses {
    mean: Lanes,
    /// The (discounted) number of outcomes.
    outcomes: f32,
}

impl Losses {
    const NOTHING: Self = Self { mean: [0.0; HORIZONS.len()], outcomes: 0.0 };

    /// Adds the errors of one outcome.
    fn add(&mut self, errors: &Lanes, keep: f32) {
        let most = self.most();
        self.outcomes = self.outcomes * keep + 1.0;
        let part = 1.0 / self.outcomes;
        let errors = zip(&most, errors, smaller);
        self.mean = zip(&self.mean, &errors, |mean, error| mean + part * (error - mean));
    }

    /// Returns the error at which an outcome is clipped at each horizon: a single outlier at most doubles the mean. A
    /// lower clip would lose rare events that recur: with a clip of 30 means, a surge of five minutes a day (1 outcome
    /// in 144 at the shortest horizons) fades from the mean, and with it the skill of any model that predicts it.
    fn most(&self) -> Lanes {
        let times = if self.enough() { self.outcomes } else { f32::INFINITY };
        // Nothing is clipped at zero; computed before it is selected, so that all lanes take one step.
        let most = self.mean.map(|mean| times * mean);
        most.map(|most| smaller(if most > 0.0 { most } else { LARGEST }, LARGEST))
    }

    fn scale(&mut self, factor: f64) {
        self.mean.iter_mut().for_each(|mean| *mean *= factor as f32);
    }

    /// Returns the mean over the horizons, if there were enough outcomes.
    fn measured(&self) -> Option<f64> {
        self.enough().then(|| mean(&self.mean))
    }

    fn enough(&self) -> bool {
        self.outcomes >= ENOUGH
    }
}

/// Returns at which horizons a change is predicted; see [`super::bands::Bands::moving`].
pub type Moving = [bool; HORIZONS.len()];

fn both(one: Moving, other: Moving) -> Moving {
    // Usually nothing moves.
    if !one.contains(&true) {
        return one;
    }
    std::array::from_fn(|horizon| one[horizon] && other[horizon])
}

/// Returns the numbers of the horizons at which `moving` is as requested, and NaN for the others.
pub fn only<const N: usize>(values: &[f32; N], moving: &[bool; N], asked: bool) -> [f32; N] {
    std::array::from_fn(|lane| if moving[lane] == asked { values[lane] } else { f32::NAN })
}

/// Weight of each model in the forecast at each horizon; the weights of a horizon add up to one.
pub type Weights = [Lanes; MODELS];

impl Scores {
    /// Returns the state before any outcome: persistence has all the weight.
    pub fn new() -> Self {
        Self {
            losses: [Losses::NOTHING; MODELS],
            published: Losses::NOTHING,
            held: 0.0,
            calm: [Regrets::NOTHING; MODELS],
            surged: [false; HORIZONS.len()],
        }
    }

    /// Scores the models' forecasts of a minute at each horizon, on the present level, and the published ones. NaN is a
    /// missing forecast, and a model that has none at one horizon is not scored at all. For predicted changes the
    /// regrets go to `surges`. Weights are learned on the present level; losses from before it was found remain, and a
    /// forecast is not trusted for what it would have been.
    pub fn outcome(
        &mut self,
        surges: &mut Surges,
        forecasts: &[Lanes; MODELS],
        said: &Issued<{ HORIZONS.len() }>,
        value: f64,
        keep: f32,
    ) {
        let (published, moving) = (&said.on_level(), said.moving);
        // The rounding of the short form matters if a forecast is very near.
        let (short, rest) = (value as f32, (value - f64::from(value as f32)) as f32);
        let off = |said: f32| (said - short) - rest;
        let shifted = said.is_shifted();
        let errors = |own: &Lanes| if shifted { said.as_said(own) } else { *own }.map(|own| off(own).abs());
        let slopes = published.map(|published| if off(published) > 0.0 { 1.0 } else { -1.0 });
        let saved = |forecasts: &Lanes| {
            zip(&zip(published, forecasts, |said, own| said - own), &slopes, |by, slope| by * slope)
        };
        let surge = moving.contains(&true);
        if is_missing(published) {
            return;
        }
        self.published.add(&errors(published), keep);
        let most = self.published.most();
        let models = self.losses.iter_mut().zip(&mut self.calm).zip(forecasts);
        // With a short history some models have no forecast for days.
        for ((losses, calm), forecasts) in models.filter(|(_, forecasts)| !is_missing(forecasts)) {
            losses.add(&errors(forecasts), keep);
            let saved = saved(forecasts);
            if surge {
                calm.add_where(moving.map(|moving| !moving), &saved, &most, keep);
            } else {
                calm.add(&saved, &most, keep);
            }
        }
        if surge {
            let mut known = surges.get();
            for (regrets, forecasts) in known.iter_mut().zip(forecasts).filter(|(_, forecasts)| !is_missing(forecasts))
            {
                regrets.add_where(moving, &saved(forecasts), &most, keep);
                self.surged.iter_mut().zip(&regrets.squares).for_each(|(surged, squares)| *surged |= *squares > 0.0);
            }
            surges.set(&known);
        }
    }

    /// Scores the next-minute forecast as if it had been made for all horizons; call after [`outcome`](Self::outcome).
    pub fn held_outcome(&mut self, held: &Lanes, value: f64) {
        if !is_missing(held) && self.published.outcomes > 0.0 {
            let most =
                if self.published.enough() && self.held > 0.0 { self.published.outcomes * self.held } else { LARGEST };
            let error = mean(&held.map(|held| (held - value as f32).abs())) as f32;
            self.held += (smaller(error, most) - self.held) / self.published.outcomes;
        }
    }

    /// Scales all losses.
    pub fn scale(&mut self, surges: &mut Surges, factor: f64) {
        self.held *= factor as f32;
        self.losses.iter_mut().chain([&mut self.published]).for_each(|losses| losses.scale(factor));
        let mut known = surges.get();
        self.calm.iter_mut().chain(&mut known).for_each(|regrets| regrets.scale(factor));
        surges.set(&known);
    }

    /// Returns the mean loss of a model over the horizons; `None` before enough outcomes.
    pub fn loss(&self, model: usize) -> Option<f64> {
        self.losses.get(model)?.measured()
    }

    /// Returns the mean loss of the published forecasts.
    pub fn published(&self) -> Option<f64> {
        self.published.measured()
    }

    /// Returns the weights of the models that have a forecast now (`available`); a change is predicted at the horizons
    /// that are `moving`.
    pub fn weights(&self, surges: &Surges, available: &[bool; MODELS], moving: Moving) -> Weights {
        let mut weights = [[0.0; HORIZONS.len()]; MODELS];
        let mut least = [f32::INFINITY; HORIZONS.len()];
        let is_measured = |losses: &Losses, available: &bool| *available && losses.enough();
        for (losses, available) in self.losses.iter().zip(available) {
            if is_measured(losses, available) {
                least = zip(&losses.mean, &least, smaller);
            }
        }
        let least_squares = least.map(|least| least * least);
        let mut sums = [0.0; HORIZONS.len()];
        // Until a first change is scored, the calm weights have to do.
        let (apart, mut surging) = (both(moving, self.surged), None);
        if apart.contains(&true) {
            let mut regrets = self.calm;
            regrets.iter_mut().zip(&surges.get()).for_each(|(calm, surge)| *calm = calm.or(surge, apart));
            surging = Some(regrets);
        }
        let known = self.losses.iter().zip(surging.as_ref().unwrap_or(&self.calm));
        for ((weights, (losses, regrets)), available) in weights.iter_mut().zip(known).zip(available) {
            if !is_measured(losses, available) {
                continue;
            }
            let Regrets { sum, squares } = regrets;
            let scale = zip(squares, &least_squares, |squares, least| larger(squares + least, f32::MIN_POSITIVE));
            *weights = zip(sum, &scale, |saved, scale| larger(saved, 0.0) / scale);
            sums = zip(&sums, weights, |sum, weight| sum + weight);
        }
        let parts = sums.map(|sum| 1.0 / sum);
        for weights in &mut weights {
            *weights = zip(weights, &parts, |weight, part| weight * part);
        }
        for horizon in (0..HORIZONS.len()).filter(|horizon| !sums[*horizon].is_normal()) {
            // If no model measurably saves anything, the best one has all the weight; persistence until one is
            // measured.
            let best = self.losses.iter().zip(available).position(|(losses, available)| {
                is_measured(losses, available) && losses.mean[horizon] <= least[horizon]
            });
            weights.iter_mut().for_each(|weights| weights[horizon] = 0.0);
            weights[best.unwrap_or(PERSISTENCE)][horizon] = 1.0;
        }
        weights
    }

    /// Returns the skill of the published forecasts; `None` before they and persistence are scored.
    pub fn skill(&self) -> Option<Skill> {
        let loss = self.published()?;
        let vs = |other: usize| self.loss(other).and_then(|other| saved(loss, other));
        Some(Skill { vs_persistence: vs(PERSISTENCE)?, vs_seasonal_naive: vs(SEASONAL_NAIVE) })
    }

    /// Returns the share of the best flat rule's loss that the published forecasts save: what they predict that no rule
    /// without foresight can. The next-minute forecast, held, is such a rule: anything that knows only the current
    /// level does as well, however skewed its noise is and however quickly it wanders.
    pub fn foresight(&self) -> Option<f64> {
        let flat = (0..MODELS).filter(|model| CATALOGUE.get(*model).is_some_and(|row| row.flat));
        let best = flat.filter_map(|model| self.loss(model)).min_by(f64::total_cmp)?;
        saved(self.published()?, best.min(f64::from(self.held)))
    }
}

/// Returns whether a forecast is missing at any horizon.
fn is_missing(said: &Lanes) -> bool {
    said.iter().fold(false, |silent, said| silent | said.is_nan())
}

/// Returns the mean over the horizons.
pub fn mean(lanes: &Lanes) -> f64 {
    // Pairwise: no sum waits for all others.
    let [one, other, third, fourth]: [f32; HORIZONS.len() / 2] =
        std::array::from_fn(|lane| lanes[lane] + lanes[lane + HORIZONS.len() / 2]);
    f64::from((one + other) + (third + fourth)) / HORIZONS.len() as f64
}

/// Returns one minus the ratio of two losses; zero if there was nothing to save.
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
    const CALM: Moving = [false; HORIZONS.len()];

    /// The scores with the state kept alongside.
    struct Scored {
        scores: Scores,
        surges: Surges,
    }

    impl Scored {
        fn new() -> Self {
            Self { scores: Scores::new(), surges: Surges::new() }
        }

        fn weights(&self, available: &[bool; MODELS], moving: Moving) -> Weights {
            self.scores.weights(&self.surges, available, moving)
        }

        /// Scores an outcome of 100 for which each model forecast the same at all horizons; the mix is published.
        fn outcome(&mut self, forecasts: [f32; MODELS], moving: Moving) {
            let weights = self.weights(&forecasts.map(f32::is_finite), moving);
            let published = std::array::from_fn(|horizon| {
                let told = forecasts.iter().zip(&weights).filter(|(forecast, _)| forecast.is_finite());
                told.map(|(forecast, weights)| forecast * weights[horizon]).sum()
            });
            let forecasts = forecasts.map(|forecast| [forecast; HORIZONS.len()]);
            let said = Issued { point: published, moving, ..Issued::NOTHING };
            self.scores.outcome(&mut self.surges, &forecasts, &said, 100.0, KEEP);
        }
    }

    /// Scores outcomes of 100 that the models miss by `errors` in turn.
    fn scored(errors: impl Fn(usize) -> [f32; MODELS], outcomes: usize) -> Scored {
        let mut scored = Scored::new();
        for outcome in 0..outcomes {
            scored.outcome(errors(outcome).map(|error| 100.0 + error), CALM);
        }
        scored
    }

    /// All models are off by 9, except those named.
    fn errors(named: &[(usize, f32)]) -> [f32; MODELS] {
        let mut errors = [9.0; MODELS];
        named.iter().for_each(|(model, error)| errors[*model] = *error);
        errors
    }

    fn leader(scored: &Scored) -> usize {
        let weights = scored.weights(&ALL, CALM);
        (0..MODELS).max_by(|a, b| weights[*a][0].total_cmp(&weights[*b][0])).unwrap()
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
        let shares = scores.weights(&ALL, CALM).map(|shares| shares[0]);
        assert!(shares[4] > 0.2 && shares[5] > 0.2, "{shares:?}");
        let loss = scores.scores.published().unwrap();
        assert!(loss < 3.0, "{loss}");
    }

    #[test]
    fn who_is_right_about_foreseen_changes_speaks_where_one_is_foreseen() {
        const SURGE: Moving = [true; HORIZONS.len()];
        let mut scores = Scored::new();
        // A day: persistence is right except for half an hour, in which the seasonal difference is.
        for minute in 0..3 * 1440 {
            let surge = minute % 1440 >= 1410;
            let moving = if surge { SURGE } else { CALM };
            let right = if surge { 4 } else { PERSISTENCE };
            scores.outcome(errors(&[(right, 0.5)]).map(|error| 100.0 + error), moving);
        }
        let share = |moving: Moving, model: usize| scores.weights(&ALL, moving)[model][0];
        assert!(share(CALM, PERSISTENCE) > 0.8, "{}", share(CALM, PERSISTENCE));
        assert!(share(SURGE, 4) > 0.8, "{}", share(SURGE, 4));
    }

    #[test]
    fn before_a_change_was_scored_the_calm_decides() {
        let scores = scored(|_| errors(&[(4, 1.0)]), 500);
        assert_eq!(scores.weights(&ALL, [true; HORIZONS.len()]), scores.weights(&ALL, CALM));
    }

    #[test]
    fn shares_add_up_to_one_and_a_model_without_a_forecast_has_none() {
        let scores = scored(|_| errors(&[(4, 1.0)]), 120);
        let mut available = ALL;
        available[4] = false;
        let weights = scores.weights(&available, CALM);
        for horizon in 0..HORIZONS.len() {
            let weights = weights.map(|weights| weights[horizon]);
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
        let mut scores = scored(|_| errors(&[(PERSISTENCE, 4.0), (1, 2.5), (SEASONAL_NAIVE, 8.0), (4, 2.0)]), 4000);
        let skill = scores.scores.skill().unwrap();
        // The next-minute forecast errs more than a flat rule here.
        scores.scores.held = 9.0;
        assert!((skill.vs_persistence - 0.5).abs() < 0.02, "{skill:?}");
        assert!((skill.vs_seasonal_naive.unwrap() - 0.75).abs() < 0.02);
        assert!((scores.scores.foresight().unwrap() - 0.2).abs() < 0.02);
    }

    #[test]
    fn a_perfect_flat_rule_leaves_nothing_to_save() {
        assert_eq!(scored(|_| [0.0; MODELS], 90).scores.foresight(), Some(0.0));
    }
}

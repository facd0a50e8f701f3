//! Fitting of smoothing parameters to the history of a signal.
//!
//! The loss is what control needs: the sum of the mean absolute errors 1, 5 and 10 minutes ahead, in the unit of the
//! signal, of the same model code that runs live. Nelder-Mead searches alpha, beta, gamma and phi; a weak pull to the
//! start keeps parameters in place that the history does not determine. A fit is too slow for a message handler (tens
//! of milliseconds): it runs on the pool, and the defaults apply until it returns.

use argmin::core::{CostFunction, Executor};
use argmin::solver::neldermead::NelderMead;

use super::history::{DAY, History};
use super::models::holt_winters::HoltWinters;
use super::models::season::Season;
use super::models::{Model, Origin, Past};
use super::params::{ForecastParams, Smoothing};
use super::week::Week;
use super::zone::Zone;
use crate::model::outlook::HORIZONS;
use crate::model::{Authority, Minute, ServiceId};

/// Steps of the search; about two evaluations each.
const STEPS: u64 = 40;
/// Steps of a search that starts where the one of the day before ended.
const STEPS_AGAIN: u64 = 10;
/// Size of the first simplex, in logits.
const FIRST_STEP: f64 = 0.7;
/// Cost of one logit away from the start, as a share of the loss at the start.
const PULL: f64 = 0.01;
/// Minutes between scored forecasts; neighbours carry nearly the same information.
const JUDGED_EVERY: i64 = 3;
/// Horizons whose errors are summed.
const JUDGED: [u16; 3] = [1, 5, 10];
/// Ranges of alpha, beta, gamma and phi.
const RANGES: [(f64, f64); 4] = [(0.01, 0.95), (0.001, 0.5), (0.002, 0.1), (0.5, 0.995)];

/// A fit job with everything it needs, by value.
#[derive(Debug, Clone)]
pub struct FitJob {
    /// Service of the signal.
    pub service: ServiceId,
    /// Position of the signal in the spec.
    pub signal: usize,
    pub(super) issued: Minute,
    pub(super) newest: Minute,
    pub(super) history: History,
    /// The season of the day before the history; if `None`, it is drawn from the first day of the history.
    pub(super) season: Option<Season>,
    pub(super) start: Smoothing,
    /// What the forecast may be used for.
    pub authority: Authority,
    /// Whether an earlier fit found the start.
    pub(super) again: bool,
    pub(super) params: ForecastParams,
}

/// Result of a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitResult {
    /// Position of the signal in the spec.
    pub signal: usize,
    /// When the fit was requested; the newest one wins.
    pub issued: Minute,
    /// The parameters found; those of the start if nothing was better.
    pub smoothing: Smoothing,
    /// Sum of the mean absolute errors 1, 5 and 10 minutes ahead with the parameters of the start.
    pub loss_before: f64,
    /// The same with the parameters found.
    pub loss_after: f64,
}

impl FitJob {
    /// Searches for better parameters. Takes tens of milliseconds; deterministic.
    pub fn run(self) -> FitResult {
        let first = first(self.newest, &self.params);
        let values = (first.0..=self.newest.0).map(|minute| self.history.get(Minute(minute))).collect();
        let past = Values { first, values };
        let loss_before = self.loss(&past, self.start);
        let found = self.search(&past, loss_before).filter(|found| found.1 < loss_before);
        let (smoothing, loss_after) = found.unwrap_or((self.start, loss_before));
        FitResult { signal: self.signal, issued: self.issued, smoothing, loss_before, loss_after }
    }

    fn search(&self, past: &Values, loss_before: f64) -> Option<(Smoothing, f64)> {
        let start = to_logits(self.start);
        let corner = |axis: Option<usize>| {
            let step = |index| if Some(index) == axis { FIRST_STEP } else { 0.0 };
            start.iter().enumerate().map(|(index, logit)| logit + step(index)).collect::<Vec<f64>>()
        };
        let simplex = [None, Some(0), Some(1), Some(2), Some(3)].map(corner).to_vec();
        let solver = NelderMead::new(simplex).with_sd_tolerance(1e-4 * loss_before).ok()?;
        let cost = Cost { job: self, past, start, pull: PULL * loss_before };
        let steps = if self.again { STEPS_AGAIN } else { STEPS };
        let walk = Executor::new(cost, solver).configure(|state| state.max_iters(steps)).run().ok()?;
        let best = from_logits(walk.state.best_param.as_deref()?, self.start);
        Some((best, self.loss(past, best)))
    }

    /// Returns the loss of a run over the history, without a first season that has to be drawn from it. Zero without
    /// outcomes: nothing can beat it.
    fn loss(&self, values: &Values, smoothing: Smoothing) -> f64 {
        let mut model = HoltWinters::new(&ForecastParams { smoothing, ..self.params.clone() });
        let mut season = self.season.clone().unwrap_or_else(|| Season::flat(self.params.season_steps)).plain();
        let judged = if self.season.is_some() {
            model.season_drawn(0.0);
            0
        } else {
            season.steps()
        };
        let week = Week::new(self.params.season_steps);
        let (mut sum, mut count) = (0.0, 0.0);
        for (steps, value) in (0..).zip(&values.values) {
            let minute = values.first.plus(steps);
            let past = Past { history: &self.history, season: &season, week: &week, height: None };
            model.observe(minute, *value, past);
            // Seasons of another zone start elsewhere but have the same length.
            let drawn = model
                .season_update()
                .and_then(|season_update| season.learn(season_update, minute, minute, &self.history));
            drawn.into_iter().for_each(|at_last| model.season_drawn(at_last));
            if steps < judged || steps % JUDGED_EVERY != 0 {
                continue;
            }
            let past = Past { history: &self.history, season: &season, week: &week, height: None };
            let clock = Zone::UTC.clock(minute, self.params.step_seconds, self.params.season_steps);
            let Some(path) = model.ahead(&Origin { minute, clock, provisional: None, gap: 0, past }) else {
                continue;
            };
            for (point, minutes) in path.iter().zip(HORIZONS).filter(|(_, minutes)| JUDGED.contains(minutes)) {
                if let Some(outcome) = values.after(steps, minutes) {
                    sum += (f64::from(*point) - outcome).abs();
                    count += 1.0;
                }
            }
        }
        if count > 0.0 { JUDGED.len() as f64 * sum / count } else { 0.0 }
    }
}

/// Returns the first minute of the days up to `newest` that a fit uses.
pub fn first(newest: Minute, params: &ForecastParams) -> Minute {
    newest.plus(1 - i64::from(params.history_days) * DAY)
}

/// A history unpacked once for all runs over it.
struct Values {
    first: Minute,
    values: Vec<Option<f64>>,
}

impl Values {
    fn after(&self, steps: i64, minutes: u16) -> Option<f64> {
        *self.values.get(usize::try_from(steps).ok()? + usize::from(minutes))?
    }
}

/// The loss over logits, including the pull to the start.
struct Cost<'a> {
    job: &'a FitJob,
    past: &'a Values,
    start: [f64; RANGES.len()],
    pull: f64,
}

impl CostFunction for Cost<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, logits: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        let away: f64 = logits.iter().zip(self.start).map(|(logit, start)| (logit - start).powi(2)).sum();
        Ok(self.job.loss(self.past, from_logits(logits, self.job.start)) + self.pull * away)
    }
}

fn to_logits(smoothing: Smoothing) -> [f64; RANGES.len()] {
    let Smoothing { alpha, beta, gamma, phi, .. } = smoothing;
    let mut logits = [alpha, beta, gamma, phi];
    for (value, (low, high)) in logits.iter_mut().zip(RANGES) {
        let share = ((*value - low) / (high - low)).clamp(0.01, 0.99);
        *value = (share / (1.0 - share)).ln();
    }
    logits
}

fn from_logits(logits: &[f64], rest: Smoothing) -> Smoothing {
    let mut values = RANGES.map(|(low, _)| low);
    for (value, (logit, (low, high))) in values.iter_mut().zip(logits.iter().zip(RANGES)) {
        *value = low + (high - low) / (1.0 + (-logit).exp());
    }
    let [alpha, beta, gamma, phi] = values;
    Smoothing { alpha, beta, gamma, phi, ..rest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::tests::Noise;

    fn job(value: impl FnMut(i64) -> f64) -> FitJob {
        let mut history = History::new(2);
        for (minute, value) in (0..2 * DAY).zip((0..2 * DAY).map(value)) {
            history.push(Minute(minute), Some(value));
        }
        FitJob {
            service: "shop/web".parse().unwrap(),
            signal: 0,
            issued: Minute(2 * DAY),
            newest: Minute(2 * DAY - 1),
            history,
            season: None,
            start: Smoothing::default(),
            authority: Authority::default(),
            again: false,
            params: ForecastParams { history_days: 2, ..ForecastParams::default() },
        }
    }

    #[test]
    fn noise_gets_a_slow_level_and_a_walk_a_quick_one() {
        let mut noise = Noise::new(11);
        let still = job(|_| 100.0 + 10.0 * noise.normal()).run();
        let (mut noise, mut level) = (Noise::new(12), 1000.0);
        let walking = job(|_| {
            level += noise.normal();
            level
        })
        .run();
        for result in [still, walking] {
            assert!(result.loss_after < result.loss_before, "{result:?}");
        }
        let start = Smoothing::default().alpha;
        assert!(still.smoothing.alpha < start && walking.smoothing.alpha > start, "{still:?} {walking:?}");
    }

    #[test]
    fn a_day_is_enough_where_the_day_before_is_known() {
        let wave = |minute: i64| 100.0 + 50.0 * (std::f64::consts::TAU * minute as f64 / DAY as f64).sin();
        let mut noise = Noise::new(14);
        let both = job(|minute| wave(minute) + 5.0 * noise.normal());
        let mut week = Week::new(DAY as u32);
        (0..DAY).for_each(|minute| week.push(Minute(minute), both.history.get(Minute(minute))));
        // The last cell of the day ends when the next one starts.
        week.push(Minute(DAY), None);
        let season = week.drawn(Minute(DAY - 1), Minute(DAY - 1));
        assert!(season.is_some());
        let params = ForecastParams { history_days: 1, ..both.params.clone() };
        let one = FitJob { season, params, ..both.clone() };
        let [both, one] = [both, one].map(FitJob::run);
        let [(before, other_before), (after, other_after)] =
            [(both.loss_before, one.loss_before), (both.loss_after, one.loss_after)];
        assert!(
            (before / other_before - 1.0).abs() < 0.05 && (after / other_after - 1.0).abs() < 0.05,
            "{both:?} {one:?}"
        );
        assert!((both.smoothing.alpha - one.smoothing.alpha).abs() < 0.05, "{both:?} {one:?}");
    }

    #[test]
    fn a_fit_is_repeatable() {
        let mut noise = Noise::new(13);
        let job = job(|_| 100.0 + 10.0 * noise.normal());
        assert_eq!(job.clone().run(), job.run());
    }

    #[test]
    fn nothing_to_gain_keeps_the_start() {
        let flat = job(|_| 100.0).run();
        assert_eq!(flat.smoothing, Smoothing::default());
        let empty = FitJob { history: History::new(2), ..job(|_| 0.0) }.run();
        assert_eq!(empty.smoothing, Smoothing::default());
    }

    #[test]
    fn logits_and_parameters_are_each_others_inverse() {
        let start = Smoothing::default();
        let back = from_logits(&to_logits(start), start);
        for (got, expected) in
            [(back.alpha, start.alpha), (back.beta, start.beta), (back.gamma, start.gamma), (back.phi, start.phi)]
        {
            assert!((got - expected).abs() < 1e-9, "{back:?}");
        }
    }
}

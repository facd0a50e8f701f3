//! Damped additive Holt-Winters as in textbooks (Hyndman and Athanasopoulos, Forecasting: principles and practice,
//! 8.3): the rival that many teams have. Fitted once, to the warm-up, by the squared error one step ahead; updated with
//! each step from there on. Shares nothing with the forecaster it is compared with.

use super::Series;
use crate::model::Smoothing;

/// Values tried in the fit.
const ALPHA: [f64; 7] = [0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.9];
const BETA: [f64; 4] = [0.0, 0.01, 0.05, 0.2];
const GAMMA: [f64; 4] = [0.0, 0.05, 0.15, 0.4];
const PHI: [f64; 3] = [0.8, 0.9, 0.98];

/// The state after a step.
#[derive(Debug, Clone, PartialEq)]
pub struct HoltWinters {
    smoothing: Smoothing,
    level: f64,
    trend: f64,
    /// One per step of the season, which starts at the first step of the series.
    season: Vec<f64>,
    /// Steps learned.
    steps: usize,
}

impl HoltWinters {
    /// Returns the model fitted to the first `warm_up` steps, before it has learned any; without a season if they do
    /// not contain two. `None` without a value.
    pub fn fitted(series: &Series, warm_up: usize) -> Option<Self> {
        let warm_up = series.values.get(..warm_up)?;
        let start = Self::start(warm_up, series.season as usize)?;
        let gammas: &[f64] = if start.season.is_empty() { &[0.0] } else { &GAMMA };
        let mut best: Option<(f64, Smoothing)> = None;
        for alpha in ALPHA {
            for (beta, gamma, phi) in
                BETA.iter().flat_map(|beta| gammas.iter().flat_map(move |gamma| PHI.map(|phi| (*beta, *gamma, phi))))
            {
                let smoothing = Smoothing { alpha, beta, gamma, phi, rho: 0.0 };
                let mut model = Self { smoothing, ..start.clone() };
                let error = warm_up.iter().filter_map(|value| model.learn(*value)).map(|error| error * error).sum();
                if best.is_none_or(|(least, _)| error < least) {
                    best = Some((error, smoothing));
                }
            }
        }
        best.map(|(_, smoothing)| Self { smoothing, ..start })
    }

    /// Starts at the mean of the first season, with the mean shape of the whole ones.
    fn start(warm_up: &[Option<f64>], season: usize) -> Option<Self> {
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            (count > 0.0).then(|| sum / count)
        };
        let whole: Vec<(&[Option<f64>], f64)> = warm_up
            .chunks_exact(season.max(1))
            .filter_map(|one| Some((one, mean(&mut one.iter().copied().flatten())?)))
            .collect();
        let shape = |step: usize| {
            let known = whole.iter().filter_map(|(one, mean)| Some(one.get(step).copied().flatten()? - mean));
            mean(&mut known.into_iter()).unwrap_or(0.0)
        };
        let (level, season) = match whole.first() {
            Some((_, level)) if whole.len() >= 2 => (*level, (0..season).map(shape).collect()),
            _ => (warm_up.iter().copied().flatten().next()?, Vec::new()),
        };
        let smoothing = Smoothing { alpha: 0.0, beta: 0.0, gamma: 0.0, phi: 0.0, rho: 0.0 };
        Some(Self { smoothing, level, trend: 0.0, season, steps: 0 })
    }

    /// Learns the next step and returns its surprise; a gap continues along the trend.
    pub fn learn(&mut self, value: Option<f64>) -> Option<f64> {
        let Smoothing { alpha, beta, gamma, phi, .. } = self.smoothing;
        let place = self.place(self.steps);
        self.steps += 1;
        self.trend *= phi;
        self.level += self.trend;
        let error = value? - self.level - place.and_then(|place| self.season.get(place)).unwrap_or(&0.0);
        self.level += alpha * error;
        self.trend += alpha * beta * error;
        if let Some(season) = place.and_then(|place| self.season.get_mut(place)) {
            *season += gamma * (1.0 - alpha) * error;
        }
        Some(error)
    }

    /// Returns the forecast `ahead` steps ahead.
    pub fn point(&self, ahead: usize) -> f64 {
        let phi = self.smoothing.phi;
        let trend = phi * (1.0 - phi.powi(ahead as i32)) / (1.0 - phi) * self.trend;
        let place = self.place(self.steps + ahead.saturating_sub(1));
        self.level + trend + place.and_then(|place| self.season.get(place)).unwrap_or(&0.0)
    }

    fn place(&self, step: usize) -> Option<usize> {
        step.checked_rem(self.season.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::tests::Noise;
    use crate::forecast::zone::Zone;
    use crate::model::Minute;

    fn series(value: impl FnMut(usize) -> Option<f64>) -> Series {
        Series {
            first: Minute(5),
            values: (0..1200).map(value).collect(),
            season: 24,
            step_seconds: 3600,
            zone: Zone::UTC,
            range: (0.0, 1e9),
        }
    }

    #[test]
    fn a_wave_on_a_level_is_foreseen_at_every_horizon() {
        let wave = |step: usize| 100.0 + 30.0 * (step as f64 / 24.0 * std::f64::consts::TAU).sin();
        let mut noise = Noise::new(3);
        let series = series(|step| (step % 37 != 5).then(|| wave(step) + 0.1 * noise.normal()));
        let mut model = HoltWinters::fitted(&series, 600).unwrap();
        series.values.iter().take(1100).for_each(|value| {
            model.learn(*value);
        });
        for ahead in [1, 5, 24, 30] {
            let (got, expected) = (model.point(ahead), wave(1099 + ahead));
            assert!((got - expected).abs() < 1.0, "{ahead}: {got}, not {expected}");
        }
    }

    #[test]
    fn where_no_two_seasons_are_known_a_damped_trend_is_left() {
        let series = series(|step| Some(10.0 + step as f64));
        let mut model = HoltWinters::fitted(&series, 40).unwrap();
        series.values.iter().take(40).for_each(|value| {
            model.learn(*value);
        });
        assert!(model.season.is_empty() && model.point(5) > model.point(1) && model.point(1) > 48.0, "{model:?}");
        assert_eq!(HoltWinters::fitted(&Series { values: vec![None; 40], ..series }, 20), None);
    }
}

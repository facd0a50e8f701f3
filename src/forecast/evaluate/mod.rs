//! The quality of forecasts of a series: the loop's online forecaster, run over the past.
//!
//! A forecast from a step has seen nothing after it: the series goes through [`forecast`] step by step, with the fits
//! that the loop would make. Scores are computed afterwards, over every step after the warm-up.
//!
//! | file | contents |
//! |---|---|
//! | `online` | the loop's forecaster over one series |
//! | `between` | forecasts between the loop's horizons |
//! | `simple` | the rules that a forecast has to beat, with intervals from the same calibrator |
//! | `holt_winters` | damped Holt-Winters as in textbooks, the usual rival |
//! | `report` | errors, intervals, skill |
//! | `anomalies` | the loop's anomaly detector over the rows of a series |
//! | [`nab`] | the score of its detections in the Numenta Anomaly Benchmark |
//!
//! [`forecast`]: super::forecast

pub mod nab;

mod anomalies;
mod between;
mod holt_winters;
mod online;
mod report;
mod simple;

#[cfg(test)]
mod tests;

pub use super::anomaly::{Anomaly, THRESHOLD as ALARM_THRESHOLD};
pub use anomalies::judge;
pub use between::between;
pub use online::{Forecast, Online};
pub use report::{HorizonReport, Report, report};

use super::history::DAY;
use super::params::ForecastParams;
use super::zone::Zone;
use crate::model::Minute;

/// Values on a regular grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Steps of the grid between the epoch and the first value; steps take the place of the loop's minutes.
    pub first: Minute,
    /// One per step; `None` is a gap.
    pub values: Vec<Option<f64>>,
    /// Steps per season.
    pub season: u32,
    /// Seconds per step.
    pub step_seconds: u32,
    /// The time zone that the season follows.
    pub zone: Zone,
    /// The range of the signal. A value below it shows that it can be lower: from there on, so can forecasts.
    pub range: (f64, f64),
}

impl Series {
    /// Returns the loop's parameters for the grid of this series.
    pub fn params(&self) -> ForecastParams {
        let (season_steps, step_seconds, zone) = (self.season, self.step_seconds, self.zone.clone());
        // As in the loop for days of minutes: a season that the history does not hold in full is never learned.
        let history_days = season_steps.div_ceil(DAY as u32).max(1);
        let cold_minutes = season_steps.saturating_mul(2);
        ForecastParams { cold_minutes, history_days, season_steps, step_seconds, zone, ..ForecastParams::default() }
    }

    /// Returns how many steps are not scored: two weeks, but at most half of the series.
    pub fn warm_up(&self) -> usize {
        let two_weeks = (14 * self.season.max(1)) as usize;
        // Two weeks of minutes are enough whatever the grid.
        two_weeks.min(14 * DAY as usize).min(self.values.len() / 2)
    }

    fn get(&self, index: usize) -> Option<f64> {
        self.values.get(index).copied().flatten()
    }

    /// Returns the step at `index`.
    pub fn step(&self, index: usize) -> Minute {
        self.first.plus(i64::try_from(index).unwrap_or(i64::MAX))
    }
}

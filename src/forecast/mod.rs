//! The forecast stage: features -> outlook.
//!
//! Every signal that is declared so is forecast by a small catalogue of models. Each model's forecasts are
//! scored when their outcomes arrive; the one with the lowest measured loss acts. Intervals are learned from
//! the outcomes of what was published. What a forecast may be used for is earned by measured skill and
//! coverage: without them the loop reacts to load alone. The arrival rate is turned into replicas.
//!
//! | file | duty |
//! |---|---|
//! | [`params`] | parameters, validated |
//! | [`models`] | the catalogue, one file per model |
//! | [`history`] | the last days on the minute grid |
//! | `signal` | the state of one signal: folds minutes, makes its outlook |
//! | `pending`, `scores` | forecasts without an outcome yet; losses, the acting model, skill |
//! | `intervals`, `bands`, `height` | quantiles of one number; of all horizons and maxima; limits |
//! | `authority`, `anomaly` | what a forecast may be used for; how unusual the newest value is |
//! | `capacity` | from arrival rate to replicas |
//!
//! Minutes are learned once, when they have ended. The running minute is provisional: every call looks from
//! it without learning it. Bulky state lies behind [`Arc`] and is copied when it is changed while shared.

pub mod history;
pub mod models;
pub mod params;

mod anomaly;
mod authority;
mod bands;
mod capacity;
mod height;
mod intervals;
mod pending;
mod scores;
mod signal;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::params::ForecastParams;
use self::signal::{Common, SignalState};
use crate::model::{Features, Minute, MinuteValue, Now, Outlook, ServiceSpec};

/// All that is learned of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Forecaster {
    common: Arc<Common>,
    /// One for each declared signal; `None` where it is not forecast.
    signals: Vec<Option<Arc<SignalState>>>,
}

impl Forecaster {
    /// Returns the state of a service of which nothing has been seen.
    pub fn new(spec: &ServiceSpec, params: &ForecastParams) -> Self {
        let state = |range| Arc::new(SignalState::new(range, params));
        let signals = spec.signals.iter().map(|signal| signal.forecast.then(|| state(signal.range))).collect();
        Self { common: Arc::new(Common::new(params)), signals }
    }

    /// Learns `history` (oldest first) of the signal at position `signal` of the spec, as if it had been seen
    /// live: losses, intervals and authority are known right after. Minutes already learned are skipped; a
    /// signal that is not forecast is ignored.
    pub fn warm(&mut self, signal: usize, history: &[MinuteValue]) {
        let Some(Some(state)) = self.signals.get_mut(signal) else { return };
        fold(state, history, &self.common);
    }
}

/// Learns the minutes that ended and returns what is expected, as seen from the running minute.
pub fn forecast(
    state: &mut Forecaster,
    spec: &ServiceSpec,
    params: &ForecastParams,
    features: &Features,
    now: Now,
) -> Outlook {
    if state.common.params != *params {
        state.common = Arc::new(Common::new(params));
    }
    let minute = Minute::of(now.wall);
    let common = &state.common;
    let signals = state.signals.iter_mut().zip(&features.signals).map(|(state, features)| {
        let state = state.as_mut()?;
        fold(state, &features.closed, common);
        Some(state.outlook(features.provisional, minute, common))
    });
    let signals: Vec<_> = signals.collect();
    let capacity = capacity::capacity(spec, params, features, &signals);
    Outlook { signals, capacity }
}

/// Folds each minute that is not yet part of the state, which is copied only if there is one.
fn fold(state: &mut Arc<SignalState>, minutes: &[MinuteValue], common: &Common) {
    if minutes.iter().all(|minute| state.has(minute.minute)) {
        return;
    }
    let state = Arc::make_mut(state);
    for minute in minutes {
        state.fold(*minute, common);
    }
}

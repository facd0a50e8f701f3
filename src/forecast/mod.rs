//! The forecast stage: features -> outlook.
//!
//! A small catalogue of models forecasts every signal declared for it. Each model's forecasts are scored when their
//! outcomes arrive, and its share of the combined forecast follows the loss it saves. Intervals are learned from the
//! outcomes of published forecasts. Authority is earned by measured skill and coverage: without them the loop reacts to
//! load alone. The arrival rate is converted to replicas.
//!
//! | file | purpose |
//! |---|---|
//! | [`params`] | parameters, validated |
//! | [`models`] | the catalogue, one file per model |
//! | [`history`], [`week`] | the last days on the minute grid; the last week in cells, and the mean of its days |
//! | `signal` | the state of one signal: folds minutes, produces its outlook |
//! | `pending`, `scores` | forecasts without an outcome yet; losses, model shares (also after a gap), skill |
//! | `discounted` | means in which old values count less |
//! | `shift` | a level that changes from one minute to the next |
//! | `intervals`, `bands`, `height` | quantiles of one number; of all horizons and maxima; limits |
//! | `lanes`, `three`, `short_minute` | arithmetic on all horizons at once; numbers in three bytes, minutes in four |
//! | `seasonal_scale`, `recent` | forecast error by time of the season; the last half hour and its maxima |
//! | `authority`, `anomaly` | what a forecast may be used for; how unusual the newest value is |
//! | [`events`] | what an operator knows about the coming days |
//! | [`zone`] | the clocks that seasons follow |
//! | `capacity` | from arrival rate to replicas |
//! | [`evaluate`] | how good the forecasts of a series were |
//! | [`fit`] | smoothing parameters fitted to the history, off the loop |
//!
//! Minutes are learned once, after they have ended. The running minute is provisional: every call forecasts from it
//! without learning it. Bulky state is behind [`Arc`]: it is changed in place, and copied first if a copy of the
//! forecaster shares it. A minute is learned whole or not at all, and counts once however often it is passed in: a
//! failed step leaves no partial state for the next one.

pub mod evaluate;
pub mod events;
pub mod fit;
pub mod history;
pub mod models;
pub mod params;
pub mod week;
pub mod zone;

mod anomaly;
mod authority;
mod bands;
mod capacity;
mod discounted;
mod height;
mod intervals;
mod lanes;
mod pending;
mod recent;
mod scores;
mod seasonal_scale;
mod shift;
mod short_minute;
mod signal;
mod three;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::fit::{FitJob, FitResult};
use self::history::DAY;
use self::params::ForecastParams;
use self::signal::{Common, SignalState};
use crate::model::hash;
use crate::model::outlook::SignalOutlook;
use crate::model::{
    Authority, Features, Fitted, Minute, MinuteValue, Now, Outlook, ServiceId, ServiceSpec, SignalSpec,
};

/// Minutes between a loss of authority and the refit: by then the history shows what has changed.
const FIT_AFTER_DRIFT: i64 = 60;
/// Minimum minutes between two fits of a signal, whatever authority it loses.
const FIT_APART: i64 = 240;
/// Minutes after which a fit that was handed out but not installed is given up.
const FIT_LOST: i64 = 10;
/// First fits are spread over this many minutes, so that services that start together do not fit together.
const FIT_SPREAD: u64 = 60;

/// Everything learned about one service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Forecaster {
    service: ServiceId,
    common: Arc<Common>,
    /// One per declared signal; `None` if it is not forecast.
    signals: Vec<Option<Slot>>,
    /// When the fit in progress was handed out.
    fitting: Option<Minute>,
}

/// A forecast signal and its fits.
#[derive(Debug, Clone)]
struct Slot {
    state: Arc<SignalState>,
    /// When the next fit is due; `None` before there is history for one.
    due: Option<Minute>,
    /// When the current fit was handed out.
    installed: Option<Minute>,
    /// Authority of the forecast when last checked.
    authority: Authority,
}

impl Slot {
    fn new(signal: &SignalSpec, params: &ForecastParams) -> Self {
        let state = Arc::new(SignalState::new(signal, params));
        Self { state, due: None, installed: None, authority: Authority::default() }
    }

    /// Schedules an earlier refit if the forecast lost authority: it has drifted from what it was fitted to.
    fn watch_drift(&mut self, minute: Minute) {
        let before = std::mem::replace(&mut self.authority, self.state.authority());
        if self.authority < before {
            let apart = self.installed.map_or(minute, |installed| installed.plus(FIT_APART));
            let again = minute.plus(FIT_AFTER_DRIFT).max(apart);
            self.due = self.due.map(|due| due.min(again));
        }
    }
}

impl Forecaster {
    /// Returns the state of a service that has seen nothing. Smoothing, clipping and history of `params` apply from
    /// here on; the other parameters are read again at each [`forecast`].
    pub fn new(spec: &ServiceSpec, params: &ForecastParams) -> Self {
        let slot = |signal: &SignalSpec| signal.forecast.then(|| Slot::new(signal, params));
        let signals = spec.signals.iter().map(slot).collect();
        Self { service: spec.id.clone(), common: Arc::new(Common::new(&spec.id, params)), signals, fitting: None }
    }

    /// Restores the fits found before a restart.
    pub fn resume(&mut self, spec: &ServiceSpec, fits: &[Fitted]) {
        for (signal, slot) in spec.signals.iter().zip(&mut self.signals) {
            let fit = fits.iter().find(|fit| fit.signal == signal.name);
            if let (Some(slot), Some(fit)) = (slot, fit) {
                slot.installed = Some(fit.issued);
                Arc::make_mut(&mut slot.state).set_smoothing(fit.smoothing);
            }
        }
    }

    /// Returns an empty forecaster of the same service that keeps the fits found so far.
    #[must_use]
    pub fn anew(&self, spec: &ServiceSpec, params: &ForecastParams) -> Self {
        let mut new = Self::new(spec, params);
        for (new, old) in new.signals.iter_mut().zip(&self.signals) {
            if let (Some(new), Some(old)) = (new, old) {
                new.installed = old.installed;
                Arc::make_mut(&mut new.state).set_smoothing(old.state.smoothing());
            }
        }
        new
    }

    /// Takes the models of one signal from `other`, a forecaster of the same service.
    pub fn replace(&mut self, signal: usize, other: &Self) {
        if let (Some(state), Some(new)) = (self.signals.get_mut(signal), other.signals.get(signal)) {
            state.clone_from(new);
        }
    }

    /// Learns `history` (oldest first) of the signal at position `signal` of the spec, as if it had been seen live:
    /// losses, intervals and authority are known right after. Minutes already learned are skipped; a signal that is not
    /// forecast is ignored.
    pub fn warm(&mut self, signal: usize, history: &[MinuteValue]) {
        if let Some(Some(slot)) = self.signals.get_mut(signal) {
            fold(&mut slot.state, history, &self.common);
        }
    }

    /// Returns a fit job if one is due: daily for each signal with two days of history, the first one within an hour,
    /// and sooner if a forecast has lost authority; never two of a service at once.
    pub fn next_fit(&mut self, now: Now) -> Option<FitJob> {
        let minute = Minute::of(now.wall);
        self.signals.iter_mut().flatten().for_each(|slot| slot.watch_drift(minute));
        if self.fitting.is_some_and(|since| minute.0.saturating_sub(since.0).abs() < FIT_LOST) {
            return None;
        }
        let jitter = spread(&self.service);
        for (signal, slot) in self.signals.iter_mut().enumerate() {
            let Some(slot) = slot.as_mut().filter(|slot| i64::from(slot.state.seen()) >= 2 * DAY) else { continue };
            // After a restart, the next fit is due a day after the last one; if downtime or a clock jump put that out
            // of range, it is scheduled like a first fit.
            let daily = slot.installed.map(|installed| installed.plus(DAY));
            let first = daily.filter(|due| (0..=DAY).contains(&due.0.saturating_sub(minute.0)));
            let due = *slot.due.get_or_insert_with(|| first.unwrap_or_else(|| minute.plus(jitter)));
            let Some((newest, history)) = slot.state.history().filter(|_| minute >= due) else { continue };
            slot.due = Some(minute.plus(DAY));
            // A fit issued while the clock was ahead must not outrank every later one.
            slot.installed = slot.installed.map(|installed| installed.min(minute));
            self.fitting = Some(minute);
            return Some(FitJob {
                service: self.service.clone(),
                signal,
                issued: minute,
                newest,
                history: history.clone(),
                season: slot.state.day_before(fit::first(newest, &self.common.params), &self.common),
                start: slot.state.smoothing(),
                again: slot.installed.is_some(),
                authority: slot.state.authority(),
                params: self.common.params.clone(),
            });
        }
        None
    }

    /// Installs the result of a fit unless a newer one is installed; returns whether it did.
    pub fn install(&mut self, result: FitResult) -> bool {
        self.fitting = None;
        let Some(Some(slot)) = self.signals.get_mut(result.signal) else { return false };
        let is_newest = slot.installed.is_none_or(|installed| installed <= result.issued);
        if is_newest {
            slot.installed = Some(result.issued);
            Arc::make_mut(&mut slot.state).set_smoothing(result.smoothing);
        }
        is_newest
    }
}

/// Learns the minutes that ended and returns the forecast as seen from the running minute.
pub fn forecast(
    state: &mut Forecaster,
    spec: &ServiceSpec,
    params: &ForecastParams,
    features: &Features,
    now: Now,
) -> Outlook {
    let mut outlook = Outlook::default();
    forecast_into(state, spec, params, features, now, &mut outlook);
    outlook
}

/// Does the same as [`forecast`] but overwrites `outlook`, whatever it held: a caller that passes its previous outlook
/// back in avoids any allocation.
pub fn forecast_into(
    state: &mut Forecaster,
    spec: &ServiceSpec,
    params: &ForecastParams,
    features: &Features,
    now: Now,
    outlook: &mut Outlook,
) {
    if state.common.params != *params {
        state.common = Arc::new(Common::new(&spec.id, params));
    }
    let minute = Minute::of(now.wall);
    let common = &state.common;
    outlook.signals.resize_with(state.signals.len().min(features.signals.len()), || None);
    let signals = state.signals.iter_mut().zip(&features.signals).zip(&mut outlook.signals);
    for ((slot, features), outlook) in signals {
        let Some(slot) = slot else {
            *outlook = None;
            continue;
        };
        fold(&mut slot.state, &features.closed, common);
        let outlook = outlook.get_or_insert_with(|| SignalOutlook::not_ready(minute, 0, 0));
        slot.state.outlook(features.provisional, minute, common, outlook);
    }
    outlook.capacity = capacity::capacity(spec, params, features, &outlook.signals, now);
}

/// Folds each minute not yet in the state, which is copied only if there is one.
fn fold(state: &mut Arc<SignalState>, minutes: &[MinuteValue], common: &Common) {
    if minutes.iter().all(|minute| state.has(minute.minute)) {
        return;
    }
    let state = Arc::make_mut(state);
    for minute in minutes {
        state.fold(*minute, common);
    }
}

/// Returns the delay of the first fit of a service in minutes: a hash of its name.
fn spread(service: &ServiceId) -> i64 {
    let hash = hash::more(hash::NOTHING, service.as_str().as_bytes());
    i64::from((hash % FIT_SPREAD) as u32)
}

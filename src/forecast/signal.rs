//! What is learned of one signal, minute by minute, and what is foreseen from it.

use std::sync::Arc;

use super::anomaly::Surprise;
use super::authority::{Evidence, Rung};
use super::bands::Bands;
use super::height::Height;
use super::history::{DAY, History};
use super::models::{Ahead, AnyModel, CATALOGUE, Origin, PERSISTENCE};
use super::params::{ForecastParams, Smoothing};
use super::pending::Pending;
use super::scores::{MODELS, Scores, keep};
use crate::model::outlook::{
    Coverage, ForecastFlag, HORIZONS, HorizonPoint, ModelScore, QuantileRow, Readiness, SignalOutlook,
};
use crate::model::{Minute, MinuteValue};

/// Largest absolute value that is learned as it is; no base unit reaches it, and no arithmetic here overflows.
const LARGEST: f64 = 1e30;
/// Minutes without a value before a forecast is flagged for it; the newest one is often still on its way.
const GAP: i64 = 2;

/// What all signals of a service share.
#[derive(Debug, Clone)]
pub struct Common {
    /// Parameters of the stage.
    pub params: ForecastParams,
    /// Names of the catalogue.
    pub names: [Arc<str>; MODELS],
    /// Standard normal quantiles.
    pub normal: QuantileRow,
    loss_keep: f32,
    coverage_keep: f32,
}

impl Common {
    /// Returns what follows from the parameters.
    pub fn new(params: &ForecastParams) -> Self {
        Self {
            params: *params,
            names: CATALOGUE.map(|row| row.name.into()),
            normal: super::intervals::normal_quantiles(),
            loss_keep: keep(params.loss_half_life_minutes),
            coverage_keep: keep(params.coverage_half_life_minutes),
        }
    }
}

/// The learned state of one signal. About 9 KB, and 11.5 KB of shared history at two days.
#[derive(Debug, Clone)]
pub struct SignalState {
    range: (f64, f64),
    newest: Option<Minute>,
    /// The newest minute that had a value.
    known: Option<Minute>,
    seen: u32,
    history: History,
    models: [AnyModel; MODELS],
    scores: Scores,
    pending: Pending,
    bands: Bands,
    height: Height,
    surprise: Surprise,
    rung: Rung,
    smoothing: Smoothing,
}

impl SignalState {
    /// Returns the state before any minute; `range` is the declared one (`min`, `max`).
    pub fn new(range: (f64, f64), params: &ForecastParams) -> Self {
        Self {
            range,
            newest: None,
            known: None,
            seen: 0,
            history: History::new(params.history_days),
            models: CATALOGUE.map(|row| (row.build)(params)),
            scores: Scores::new(),
            pending: Pending::new(),
            bands: Bands::new(),
            height: Height::default(),
            surprise: Surprise::default(),
            rung: Rung::default(),
            smoothing: params.smoothing,
        }
    }

    /// Tells whether `minute` is already part of the state.
    pub fn has(&self, minute: Minute) -> bool {
        self.newest.is_some_and(|newest| minute <= newest && newest.0.saturating_sub(minute.0) <= DAY)
    }

    /// Returns the newest minute folded in, and the history up to it.
    pub fn history(&self) -> Option<(Minute, &History)> {
        Some((self.newest?, &self.history))
    }

    /// Returns how many minutes with a value were learned.
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// Returns the smoothing in force.
    pub fn smoothing(&self) -> Smoothing {
        self.smoothing
    }

    /// Takes over fitted smoothing.
    pub fn set_smoothing(&mut self, smoothing: Smoothing) {
        self.smoothing = smoothing;
        for model in &mut self.models {
            model.set_smoothing(smoothing);
        }
    }

    /// Folds one ended minute into the state: scores what was said of it, learns it, says what follows.
    /// Minutes left out before it are gaps. One that is already part of the state changes nothing; a clock set back
    /// by more than a day starts a new history under the learned models.
    pub fn fold(&mut self, minute: MinuteValue, common: &Common) {
        if self.has(minute.minute) {
            return;
        }
        if let Some(newest) = self.newest {
            if minute.minute < newest {
                self.history = History::new(common.params.history_days);
                self.pending = Pending::new();
            }
            let first_missing = newest.plus(1).max(minute.minute.plus(-DAY));
            for missing in first_missing.0..minute.minute.0 {
                self.step(Minute(missing), None, common);
            }
        }
        let value = minute.value.map(|value| value.get().clamp(-LARGEST, LARGEST));
        self.step(minute.minute, value, common);
    }

    fn step(&mut self, minute: Minute, value: Option<f64>, common: &Common) {
        self.score(minute, value, common);
        self.history.push(minute, value);
        for model in &mut self.models {
            model.get_mut().observe(minute, value, &self.history);
        }
        self.newest = Some(minute);
        if let Some(value) = value {
            self.known = Some(minute);
            self.seen = self.seen.saturating_add(1);
            self.height.learn(minute, value);
        }
        self.say(minute, common);
        if value.is_some() {
            self.rung.step(&self.evidence(common), &common.params);
        }
    }

    /// Scores all that was said of `minute`.
    fn score(&mut self, minute: Minute, value: Option<f64>, common: &Common) {
        let said: [_; HORIZONS.len()] = self.pending.said_of(minute);
        let height = self.height.usual();
        let [next, ..] = &said;
        let residual = value.map(|value| value - f64::from(next.acting.point)).filter(|residual| residual.is_finite());
        self.surprise.learn(residual, height);
        if let Some(value) = value {
            for (horizon, said) in said.iter().enumerate() {
                self.scores.outcome(horizon, &said.models, value, common.loss_keep);
            }
            self.bands.outcomes(&said.map(|said| said.acting), value, &common.normal, common.coverage_keep);
        }
        let maxima = self.pending.maxima_until(minute);
        self.bands.window_ended(minute, value, &maxima, &common.normal, common.coverage_keep);
    }

    /// Keeps what is said from `minute` on, to be scored.
    fn say(&mut self, minute: Minute, common: &Common) {
        let origin = Origin { minute, provisional: None, history: &self.history };
        let limits = self.height.limits(self.range);
        let paths = self
            .models
            .each_ref()
            .map(|model| model.get().ahead(&origin).map(|ahead| ahead.path.map(|point| limits.hold(point))));
        let acting = self.scores.choose(&paths);
        let issued = paths.get(acting).copied().flatten().map(|path| {
            let (height, gap) = (self.height.usual(), self.gap(minute));
            self.bands.rows(&path, height, gap, limits, &common.normal).issued(&path, height)
        });
        self.pending.keep(minute, &paths, issued);
    }

    /// Minutes before `origin` without a value.
    fn gap(&self, origin: Minute) -> u32 {
        let gap = self.known.map_or(0, |known| origin.0.saturating_sub(known.0).clamp(0, DAY));
        gap as u32
    }

    fn evidence(&self, common: &Common) -> Evidence {
        Evidence {
            foresight: self.scores.foresight(),
            coverage: self.bands.coverage(),
            maxima: self.bands.maxima_coverage(),
            cold: self.cold(common),
        }
    }

    fn cold(&self, common: &Common) -> bool {
        self.seen < common.params.cold_minutes
    }

    /// Returns the outlook at the wall-clock minute `now`. A provisional value of the running minute is
    /// taken into account and not learned.
    pub fn outlook(&self, provisional: Option<MinuteValue>, now: Minute, common: &Common) -> SignalOutlook {
        let need = common.params.ready_minutes;
        let not_ready = |origin| SignalOutlook::not_ready(origin, self.seen.min(need), need);
        let Some(newest) = self.newest else { return not_ready(now) };
        let running = provisional
            .filter(|running| running.minute > newest)
            .and_then(|running| Some((running.minute, running.value?.get().clamp(-LARGEST, LARGEST))));
        let minute = running.map_or(newest, |(minute, _)| minute);
        let provisional = running.map(|(_, value)| value);
        let origin = Origin { minute, provisional, history: &self.history };
        match self.ahead(&origin) {
            Some((model, ahead)) if self.seen >= need => self.publish(&origin, now, model, ahead, common),
            _ => not_ready(minute),
        }
    }

    /// Returns the forecast of the acting model, or else of persistence, held within the limits.
    fn ahead(&self, origin: &Origin<'_>) -> Option<(usize, Ahead)> {
        let limits = self.height.limits(self.range);
        let (model, mut ahead) = [self.scores.acting(), PERSISTENCE]
            .into_iter()
            .find_map(|model| Some((model, self.models.get(model)?.get().ahead(origin)?)))?;
        let [first, ..] = ahead.path;
        ahead.path = ahead.path.map(|point| limits.hold(point));
        ahead.parts.rest += ahead.path[0] - first;
        Some((model, ahead))
    }

    fn publish(&self, origin: &Origin<'_>, now: Minute, model: usize, ahead: Ahead, common: &Common) -> SignalOutlook {
        let height = self.height.usual();
        let gap = if origin.provisional.is_some() { 0 } else { self.gap(origin.minute) };
        let rows = self.bands.rows(&ahead.path, height, gap, self.height.limits(self.range), &common.normal);
        let points = HORIZONS.iter().zip(ahead.path).zip(rows.points);
        let (realised, minutes) = self.bands.coverage();
        let [max_10, max_30] = rows.maxima;
        SignalOutlook {
            origin: origin.minute,
            readiness: Readiness::Ready,
            points: points
                .map(|((minutes, point), quantiles)| HorizonPoint { minutes: *minutes, point, quantiles })
                .collect(),
            max_10: Some(max_10),
            max_30: Some(max_30),
            model: common.names.get(model).cloned(),
            scores: (0..MODELS)
                .zip(&common.names)
                .map(|(model, name)| ModelScore { model: name.clone(), loss: self.scores.loss(model) })
                .collect(),
            parts: Some(ahead.parts),
            skill: self.scores.skill(),
            coverage: (minutes > 0.0).then_some(Coverage { realised, outcomes: minutes * HORIZONS.len() as f64 }),
            anomaly: self.anomaly(origin, height),
            authority: self.rung.authority(),
            flags: self.flags(origin, now, common),
        }
    }

    /// Scores the running minute against what was said of it; without one the newest ended minute counts.
    fn anomaly(&self, origin: &Origin<'_>, height: f64) -> Option<f64> {
        let Some(value) = origin.provisional else { return self.surprise.newest() };
        let [said, ..] = self.pending.said_of(origin.minute);
        let residual = value - f64::from(said.acting.point);
        self.surprise.score(residual, height).filter(|score| score.is_finite())
    }

    fn flags(&self, origin: &Origin<'_>, now: Minute, common: &Common) -> Vec<ForecastFlag> {
        let known = if origin.provisional.is_some() { Some(origin.minute) } else { self.known };
        let gap = known.is_none_or(|known| now.0.saturating_sub(known.0) > GAP);
        let learned = self.models.iter().filter_map(|model| model.get().flag());
        let mut flags = Vec::new();
        flags.extend(self.cold(common).then_some(ForecastFlag::Cold));
        flags.extend(gap.then_some(ForecastFlag::Gap));
        flags.extend(learned);
        flags
    }
}

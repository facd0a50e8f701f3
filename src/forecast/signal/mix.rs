//! The combination of all models, and its publication as an outlook.

use super::{Common, GAP, Head, Kept};
use crate::forecast::bands::{Course, Limits};
use crate::forecast::intervals::Row;
use crate::forecast::lanes::zip;
use crate::forecast::models::{CATALOGUE, Origin, PERSISTENCE, SEASONAL_DIFFERENCE, View};
use crate::forecast::pending::MISSING;
use crate::forecast::scores::{Lanes, MODELS, Moving, Weights, mean};
use crate::forecast::short_minute::ShortMinute;
use crate::model::Minute;
use crate::model::outlook::{
    Coverage, ForecastFlag, HORIZONS, HorizonPoint, ModelScore, Parts, QuantileRow, Readiness, SignalOutlook,
};

/// The forecast of each model from one origin.
pub(super) struct ModelForecasts {
    /// Within the limits, in the precision of scores and mix; NaN from a model without a forecast.
    pub(super) paths: [Lanes; MODELS],
    pub(super) available: [bool; MODELS],
    limits: Limits,
}

/// The combined forecast.
pub(super) struct Mix {
    pub(super) path: Lanes,
    limits: Limits,
    pub(super) weights: Weights,
    moving: Moving,
    /// Mean distance of the models from the path, weighted by their shares.
    apart: Lanes,
}

impl Head {
    /// Returns the forecast of each model, clamped to the limits.
    pub(super) fn model_forecasts(&self, view: &View<'_>) -> ModelForecasts {
        let limits = self.height.limits(self.range);
        let mut forecasts = ModelForecasts { paths: MISSING, available: [false; MODELS], limits };
        self.models.foresee(view, |model, path| {
            let Some(path) = path else { return };
            forecasts.paths[model] = path.map(|point| limits.hold(point));
            forecasts.available[model] = true;
        });
        forecasts
    }

    /// Returns the models' forecasts combined by their weights at each horizon, clamped to the limits; `None` without
    /// any.
    pub(super) fn mix(&self, origin: &Origin<'_>, kept: &Kept, forecasts: &ModelForecasts) -> Option<Mix> {
        let ModelForecasts { paths, available, limits } = forecasts;
        if !available[PERSISTENCE] {
            return None;
        }
        let then = available[SEASONAL_DIFFERENCE].then(|| &paths[SEASONAL_DIFFERENCE]);
        let moving = self.bands.moving(&paths[PERSISTENCE], then, origin.gap, self.standing());
        let weights = self.scores.weights_after(origin.gap, &kept.surges, available, moving);
        // A model with zero weight may have no forecast, and zero times NaN is NaN.
        let said = |weight: f32, value: f32| if weight > 0.0 { weight * value } else { 0.0 };
        let (mut mixed, mut apart) = ([0.0; HORIZONS.len()], [0.0; HORIZONS.len()]);
        for (path, weights) in paths.iter().zip(&weights) {
            mixed = zip(&mixed, &zip(weights, path, said), |mixed, said| mixed + said);
        }
        for (path, weights) in paths.iter().zip(&weights) {
            let off = zip(path, &mixed, |own, mixed| (own - mixed).abs());
            apart = zip(&apart, &zip(weights, &off, said), |apart, off| apart + off);
        }
        let path = mixed.map(|point| limits.hold(point));
        Some(Mix { path, limits: *limits, weights, moving, apart })
    }

    pub(super) fn course<'a>(&self, origin: &Origin<'_>, mix: &'a Mix, kept: &'a Kept) -> Course<'a> {
        let Mix { path, limits, moving, apart, .. } = mix;
        let (clock, gap, height) = (origin.clock.now, origin.gap, self.height.usual());
        Course { scale: &kept.scale, clock, path, moving: *moving, height, apart: *apart, gap, limits: *limits }
    }

    pub(super) fn publish(
        &self,
        origin: &Origin<'_>,
        now: Minute,
        mix: &Mix,
        kept: &Kept,
        common: &Common,
        into: &mut SignalOutlook,
    ) {
        let Mix { path, weights, .. } = mix;
        let rows = self.bands.rows(&self.course(origin, mix, kept), &common.normal);
        let (realised, minutes) = self.bands.coverage();
        let [max_10, max_30] = rows.maxima.each_ref().map(quantiles);
        into.origin = origin.minute;
        into.readiness = Readiness::Ready;
        let points = HORIZONS.iter().zip(path).zip(&rows.points);
        into.points.extend(points.map(|((minutes, point), row)| HorizonPoint {
            minutes: *minutes,
            point: f64::from(*point),
            quantiles: quantiles(row),
        }));
        (into.max_10, into.max_30) = (Some(max_10), Some(max_30));
        let shares = weights.each_ref().map(mean);
        let leads = CATALOGUE.iter().zip(&shares).max_by(|(_, one), (_, other)| one.total_cmp(other));
        into.model = leads.map(|(row, _)| row.name.into());
        into.scores.extend(CATALOGUE.iter().zip(&shares).enumerate().map(|(model, (row, share))| ModelScore {
            model: row.name.into(),
            loss: self.scores.loss(model),
            share: *share,
            transform: row.transform,
        }));
        into.skill = self.scores.skill();
        into.coverage = (minutes > 0.0).then_some(Coverage { realised, outcomes: minutes * HORIZONS.len() as f64 });
        into.authority = self.rung.authority();
        self.flags(origin, now, common, &mut into.flags);
    }

    /// Returns the parts of the mix at the horizon at position `at`: the models' parts, weighted. They add up to its
    /// point.
    pub(super) fn parts(&self, view: &View<'_>, mix: &Mix, at: usize) -> Parts {
        let mut parts = Parts::default();
        let heard = mix.weights.iter().map(|weights| weights[at]).enumerate().filter(|(_, weight)| *weight > 0.0);
        for (model, weight) in heard {
            let own = self.models.parts(model, view, at).unwrap_or_default();
            parts.add(&own, f64::from(weight));
        }
        parts.complete(f64::from(mix.path[at]));
        parts
    }

    fn flags(&self, origin: &Origin<'_>, now: Minute, common: &Common, flags: &mut Vec<ForecastFlag>) {
        let known = if origin.provisional.is_some() { Some(ShortMinute::of(origin.minute)) } else { self.known };
        let gap = known.is_none_or(|known| known.age(now) > GAP);
        flags.extend(self.cold(common).then_some(ForecastFlag::Cold));
        flags.extend(gap.then_some(ForecastFlag::Gap));
        flags.extend(self.models.flag());
    }
}

fn quantiles(row: &Row) -> QuantileRow {
    let [levels @ .., _] = row;
    levels.map(f64::from)
}

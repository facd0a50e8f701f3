//! The rules that a forecast has to beat, each with intervals from the loop's calibrator.

use super::Series;
use crate::forecast::bands::{Bands, Course, Limits};
use crate::forecast::discounted::keep;
use crate::forecast::height::Height;
use crate::forecast::intervals::normal_quantiles;
use crate::forecast::pending::{IssuedForecast, MISSING, Pending};
use crate::forecast::seasonal_scale::SeasonalScale;
use crate::model::outlook::HORIZONS;

/// Seasons per week.
const WEEK: usize = 7;

/// A rule without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simple {
    /// The newest value persists.
    Persistence,
    /// The value of one season (or a week of them) ago repeats.
    Seasonal {
        /// Seasons back.
        seasons: usize,
    },
    /// The change from this point one season (or a week of them) ago repeats.
    Difference {
        /// Seasons back.
        seasons: usize,
    },
}

/// All rules.
pub const SIMPLE: [Simple; 5] = [
    Simple::Persistence,
    Simple::Seasonal { seasons: 1 },
    Simple::Seasonal { seasons: WEEK },
    Simple::Difference { seasons: 1 },
    Simple::Difference { seasons: WEEK },
];

impl Simple {
    /// Returns the forecast from `origin`, `ahead` steps ahead; falls back to `newest`, the newest value, if the rule
    /// has no forecast.
    pub fn point(self, series: &Series, origin: usize, ahead: usize, newest: f64) -> f64 {
        // As many whole lags as it takes to reach values known at the origin.
        let back = |seasons: usize, ahead: usize| {
            let lag = seasons * series.season.max(1) as usize;
            series.get((origin + ahead).checked_sub(lag * ahead.div_ceil(lag).max(1))?)
        };
        let told = match self {
            Self::Persistence => None,
            Self::Seasonal { seasons } => back(seasons, ahead),
            Self::Difference { seasons } => {
                let now = series.get(origin);
                now.zip(back(seasons, ahead)).zip(back(seasons, 0)).map(|((now, then), start)| now + then - start)
            }
        };
        told.unwrap_or(newest)
    }

    /// Returns the ends of the 95 % intervals of this rule from each origin; NaN before there are any.
    pub fn intervals(self, series: &Series) -> Vec<[(f32, f32); HORIZONS.len()]> {
        let (mut bands, mut pending, normal) = (Bands::new(), Pending::new(), normal_quantiles());
        let mut scale = SeasonalScale::new(series.params().season_steps);
        let keep = keep(1440.0);
        let mut limits = Limits::within(series.range.0, series.range.1);
        let (mut newest, mut still, mut seen) = (None, 0.0, 0.0);
        let mut height = Height::default();
        let step = |(index, value): (usize, &Option<f64>)| {
            let step = series.step(index);
            if let Some(value) = *value {
                if value < limits.low.into() {
                    limits.low = f32::MIN;
                }
                let said = pending.due_at(step).mixed.points;
                bands.surprise(&said, value).into_iter().for_each(|ratio| scale.learn(step, ratio, seen as u32));
                still = if newest == Some(value) { still + 1.0 } else { 0.0 };
                bands.outcomes(&said, value, height.standing(still, f64::from(limits.low)), &normal, keep);
                seen += 1.0;
                height.learn(step, value);
                newest = Some(value);
            }
            let word = newest.map(|newest| {
                let point = |ahead: u16| self.point(series, index, usize::from(ahead), newest);
                let path = HORIZONS.map(|ahead| point(ahead) as f32);
                let moving = [false; HORIZONS.len()];
                let apart = [0.0; HORIZONS.len()];
                let course = Course {
                    scale: &scale,
                    clock: step,
                    path: &path,
                    moving,
                    height: height.usual(),
                    apart,
                    gap: 0,
                    limits,
                };
                bands.issued(&course, &normal)
            });
            pending.keep(step, &MISSING, word.as_ref());
            word.map_or([(f32::NAN, f32::NAN); HORIZONS.len()], |IssuedForecast { points, .. }| {
                std::array::from_fn(|horizon| (points.low[horizon], points.high[horizon]))
            })
        };
        series.values.iter().enumerate().map(step).collect()
    }
}

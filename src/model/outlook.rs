//! What the forecast stage expects of the next half hour, and what that means in replicas.

use std::borrow::Cow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::parts::{Parts, Transform};
use super::time::Minute;

/// Horizons of a forecast, in one-minute steps. Between them values are interpolated.
pub const HORIZONS: [u16; 8] = [1, 2, 3, 5, 10, 15, 20, 30];

/// Probabilities of the tracked quantiles: the ends of the 50, 80, 90, 95 and 99 % intervals and the median.
pub const QUANTILES: [f64; 11] = [0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.995];

/// Values at [`QUANTILES`], never decreasing.
pub type QuantileRow = [f64; QUANTILES.len()];

/// Whether a model has seen enough to forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Readiness {
    /// It forecasts.
    Ready,
    /// It does not forecast yet.
    NotReady {
        /// Minutes seen.
        have: u32,
        /// Minutes needed.
        need: u32,
    },
}

/// What the forecast of a service may be used for; earned by measured skill and coverage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Authority {
    /// Nothing: the loop reacts to measured load only.
    #[default]
    ReactiveOnly,
    /// It may add capacity.
    MayAdd,
    /// It may also remove capacity.
    MayRemove,
}

impl Authority {
    /// Returns the word used in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReactiveOnly => "reactive_only",
            Self::MayAdd => "may_add",
            Self::MayRemove => "may_remove",
        }
    }
}

/// The forecast for one horizon, in the unit of the signal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HorizonPoint {
    /// Minutes ahead of the origin.
    pub minutes: u16,
    /// Point forecast.
    pub point: f64,
    /// Values at [`QUANTILES`].
    pub quantiles: QuantileRow,
}

/// A model of the catalogue and its performance so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelScore {
    /// Name in the catalogue.
    pub model: Cow<'static, str>,
    /// Discounted mean absolute error over the horizons, in the unit of the signal; `None` while unscored.
    pub loss: Option<f64>,
    /// Its share of the forecast, mean over the horizons; those of all models add up to one.
    #[serde(default)]
    pub share: f64,
    /// The form of the signal that it forecasts.
    #[serde(default)]
    pub transform: Transform,
}

/// Measured skill of the forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Skill {
    /// One minus the ratio of its loss to that of persistence; above zero is better.
    pub vs_persistence: f64,
    /// The same against the seasonal naive forecast; `None` before a day has passed.
    pub vs_seasonal_naive: Option<f64>,
}

/// Share of outcomes that fell inside the 95 % interval, discounted over about a day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Realised share, 0 to 1.
    pub realised: f64,
    /// Outcomes counted (discounted).
    pub outcomes: f64,
}

/// Something a reader of the forecast should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForecastFlag {
    /// Less than two days of history.
    Cold,
    /// The newest minutes are missing; the forecast runs on from the last known one.
    Gap,
    /// The level was just re-set after a lasting shift.
    LevelShift,
    /// The newest value was clipped as an outlier before learning.
    Clipped,
    /// A known event modifies the forecast of an ordinary day.
    Event,
}

/// The kind of anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// One value is far from its forecast.
    Point,
    /// Values stay on one side of their forecasts.
    LevelShift,
    /// The value has not changed for much longer than it ever does.
    Frozen,
}

impl AnomalyKind {
    /// Returns the word used in records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::LevelShift => "level_shift",
            Self::Frozen => "frozen",
        }
    }
}

/// The forecast of one signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SignalOutlook {
    /// The last minute that went into it (provisional or closed).
    pub origin: Minute,
    /// Whether there is one.
    pub readiness: Readiness,
    /// One for each of [`HORIZONS`], in order; empty when not ready.
    pub points: Vec<HorizonPoint>,
    /// Quantiles of the maximum over the next 10 minutes.
    pub max_10: Option<QuantileRow>,
    /// Quantiles of the maximum over the next 30 minutes.
    pub max_30: Option<QuantileRow>,
    /// The model with the largest share of the points.
    pub model: Option<Cow<'static, str>>,
    /// All models and their losses.
    pub scores: Vec<ModelScore>,
    /// Parts of the first point.
    pub parts: Option<Parts>,
    /// Parts of the point ten minutes ahead, which early raises are sized by.
    #[serde(default)]
    pub parts_10: Option<Parts>,
    /// Skill so far.
    pub skill: Option<Skill>,
    /// Interval coverage so far.
    pub coverage: Option<Coverage>,
    /// Anomaly score of the newest value, 0 to 1. An anomaly that continues, or is smaller than one reported recently,
    /// is not reported again.
    pub anomaly: Option<f64>,
    /// Its kind.
    #[serde(default)]
    pub anomaly_kind: Option<AnomalyKind>,
    /// Whether it raises an alarm: the score exceeds the alarm threshold.
    #[serde(default)]
    pub alarm: bool,
    /// What the forecast may be used for.
    pub authority: Authority,
    /// What a reader should know.
    pub flags: Vec<ForecastFlag>,
}

impl SignalOutlook {
    /// Returns an outlook without a forecast.
    pub fn not_ready(origin: Minute, have: u32, need: u32) -> Self {
        Self {
            origin,
            readiness: Readiness::NotReady { have, need },
            points: Vec::new(),
            max_10: None,
            max_30: None,
            model: None,
            scores: Vec::new(),
            parts: None,
            parts_10: None,
            skill: None,
            coverage: None,
            anomaly: None,
            anomaly_kind: None,
            alarm: false,
            authority: Authority::ReactiveOnly,
            flags: Vec::new(),
        }
    }

    /// Turns this into an outlook without a forecast. Keeps the allocations of its lists.
    pub fn restart(&mut self, origin: Minute, have: u32, need: u32) {
        let mut emptied = Self::not_ready(origin, have, need);
        std::mem::swap(&mut emptied.points, &mut self.points);
        std::mem::swap(&mut emptied.scores, &mut self.scores);
        std::mem::swap(&mut emptied.flags, &mut self.flags);
        emptied.points.clear();
        emptied.scores.clear();
        emptied.flags.clear();
        *self = emptied;
    }

    /// Returns the point forecast `minutes` ahead, interpolated between horizons; `None` beyond them or
    /// without a forecast.
    pub fn point_at(&self, minutes: f64) -> Option<f64> {
        self.interpolate(minutes, |point| point.point)
    }

    /// Returns the forecast quantile with probability `level` (nearest tracked one) `minutes` ahead.
    pub fn quantile_at(&self, level: f64, minutes: f64) -> Option<f64> {
        let index = quantile_index(level);
        self.interpolate(minutes, |point| point.quantiles[index])
    }

    /// Returns the quantile with probability `level` (nearest tracked one) of the maximum over the next `minutes`;
    /// `None` without a forecast, and beyond 30 minutes the one over 30.
    ///
    /// Three maxima are calibrated: over 1 minute (the first horizon is its own maximum), 10 and 30. Between two of
    /// them the quantiles of the path give the timing of the load, and the excess of the maximum over them, which is
    /// due to chance, is interpolated; so a surge at the ninth minute does not count at the second. Never decreases
    /// with `minutes`.
    pub fn maximum_at(&self, level: f64, minutes: f64) -> Option<f64> {
        let index = quantile_index(level);
        let [one, ten, thirty] = [self.points.first()?.quantiles[index], self.max_10?[index], self.max_30?[index]];
        if minutes <= 1.0 {
            return Some(one);
        }
        let windows = [(1.0, one), (10.0, one.max(ten)), (30.0, one.max(ten).max(thirty))];
        let between = windows.windows(2).find_map(|pair| {
            let [(from, low), (to, high)] = *pair else { return None };
            (minutes <= to).then_some(((from, low), (to, high)))
        });
        let Some(((from, low), (to, high))) = between else { return Some(one.max(ten).max(thirty)) };
        let (low_excess, high_excess) = (low - self.highest(index, from), high - self.highest(index, to));
        let lifted = |minutes: f64| {
            let share = (minutes - from) / (to - from);
            self.highest(index, minutes) + low_excess + (high_excess - low_excess) * share
        };
        let horizons = HORIZONS.iter().map(|horizon| f64::from(*horizon));
        let nodes = horizons.filter(|horizon| *horizon > from && *horizon < minutes).chain([minutes]);
        Some(nodes.map(lifted).fold(low, f64::max).min(high))
    }

    /// Returns the highest of the path's quantiles at `index` up to `minutes` ahead.
    fn highest(&self, index: usize, minutes: f64) -> f64 {
        let within = self.points.iter().filter(|point| f64::from(point.minutes) <= minutes);
        let within = within.map(|point| point.quantiles[index]);
        within.chain(self.interpolate(minutes, |point| point.quantiles[index])).fold(f64::NEG_INFINITY, f64::max)
    }

    fn interpolate(&self, minutes: f64, value: impl Fn(&HorizonPoint) -> f64) -> Option<f64> {
        let (left, right, on) = between(&self.points, minutes, |point| point.minutes)?;
        Some(mix(value(left), value(right), on))
    }
}

/// Returns the two entries of `path` (horizons rising) that enclose `minutes` ahead, and the relative position between
/// them; before the first entry both are that one, beyond the last there are none.
pub(super) fn between<T>(path: &[T], minutes: f64, horizon: impl Fn(&T) -> u16) -> Option<(&T, &T, f64)> {
    let first = path.first()?;
    if minutes <= f64::from(horizon(first)) {
        return Some((first, first, 0.0));
    }
    path.windows(2).find_map(|pair| {
        let [left, right] = pair else { return None };
        let (from, to) = (f64::from(horizon(left)), f64::from(horizon(right)));
        (minutes <= to).then(|| (left, right, (minutes - from) / (to - from)))
    })
}

/// Returns the value a share of the way from `left` to `right`. Exact at both ends, however far apart they are.
pub(super) fn mix(left: f64, right: f64, on: f64) -> f64 {
    left * (1.0 - on) + right * on
}

/// Returns the position in [`QUANTILES`] nearest to `level`.
pub fn quantile_index(level: f64) -> usize {
    let mut best = 0;
    for (index, quantile) in QUANTILES.iter().enumerate() {
        if (quantile - level).abs() < (QUANTILES[best] - level).abs() {
            best = index;
        }
    }
    best
}

/// Replicas that the arrival rate requires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Requests per second that one pod carries within the objective (per-pod rate times utilisation).
    pub per_pod: f64,
    /// From a raise to the new pod being ready, as used.
    #[serde(alias = "lead_time_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub lead_time: Duration,
    /// How long a raise made now has to suffice: the lead time plus the cooldown before the next raise.
    #[serde(default)]
    #[serde(alias = "lasts_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub lasts: Duration,
    /// Arrival rate that capacity is sized by now: what two samples confirm, or where they rise steeply what it has
    /// become since; `None` without fresh data.
    #[serde(default)]
    pub rate_now: Option<f64>,
    /// Replicas that this rate needs now; `None` without fresh data.
    pub needed_now: Option<u32>,
    /// Upper quantile of the maximum arrival rate over that time, with authority; what a steep rise becomes in that time
    /// if it goes on, if that is more. `None` without either.
    #[serde(default)]
    pub rate_ahead: Option<f64>,
    /// Replicas that this rate needs; `None` without it.
    pub needed_ahead: Option<u32>,
    /// Replicas below which nothing may be lowered: what the last 300 s needed and, with authority, what the
    /// upper quantile of the forecast's maximum over max(300 s, twice the start time, `lasts`) needs. `None` means: do
    /// not lower.
    pub floor: Option<u32>,
}

impl Capacity {
    /// Returns the replicas needed now or ahead, whichever are more; `None` without fresh data.
    pub fn needed(&self) -> Option<u32> {
        Some(self.needed_now?.max(self.needed_ahead.unwrap_or(0)))
    }

    /// Returns the floor if it exceeds the need.
    pub fn floor_above_need(&self) -> Option<u32> {
        let needed = self.needed()?;
        self.floor.filter(|floor| *floor > needed)
    }
}

/// All that is expected of a service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Outlook {
    /// One entry for each declared signal, in the order of the spec; `None` if it is not forecast.
    pub signals: Vec<Option<SignalOutlook>>,
    /// Replicas, if the service declares capacity and an arrival rate.
    pub capacity: Option<Capacity>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook(points: [f64; 8]) -> SignalOutlook {
        let mut outlook = SignalOutlook::not_ready(Minute(0), 0, 0);
        outlook.points = HORIZONS
            .iter()
            .zip(points)
            .map(|(minutes, point)| HorizonPoint { minutes: *minutes, point, quantiles: [point; 11] })
            .collect();
        outlook
    }

    #[test]
    fn between_horizons_the_path_is_interpolated() {
        let path = outlook([1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0]);
        for (minutes, expected) in [(0.0, 1.0), (1.0, 1.0), (4.0, 4.0), (12.5, 12.5), (30.0, 30.0)] {
            assert_eq!(path.point_at(minutes), Some(expected), "{minutes}");
            assert_eq!(path.quantile_at(0.95, minutes), Some(expected), "{minutes}");
        }
        assert_eq!(path.point_at(31.0), None);
    }

    #[test]
    fn the_maximum_between_two_windows_comes_when_the_path_says() {
        let maximum = |path: [f64; 8], max_10: f64, max_30: f64, minutes: f64| {
            let rows = (Some([max_10; 11]), Some([max_30; 11]));
            let outlook = SignalOutlook { max_10: rows.0, max_30: rows.1, ..outlook(path) };
            outlook.maximum_at(0.95, minutes).unwrap()
        };
        let flat = [100.0; 8];
        let surge_at_ten = [100.0, 100.0, 100.0, 100.0, 400.0, 400.0, 400.0, 400.0];
        let fading = [100.0, 90.0, 80.0, 60.0, 30.0, 20.0, 10.0, 10.0];
        for (path, (max_10, max_30), minutes, expected) in [
            // Only chance: the excess grows with the window.
            (flat, (118.0, 138.0), 0.5, 100.0),
            (flat, (118.0, 138.0), 1.0, 100.0),
            (flat, (118.0, 138.0), 1.5, 101.0),
            (flat, (118.0, 138.0), 5.5, 109.0),
            (flat, (118.0, 138.0), 10.0, 118.0),
            (flat, (118.0, 138.0), 20.0, 128.0),
            (flat, (118.0, 138.0), 45.0, 138.0),
            // A surge between 5 and 10 minutes counts from its start.
            (surge_at_ten, (409.0, 429.0), 2.0, 101.0),
            (surge_at_ten, (409.0, 429.0), 5.0, 104.0),
            (surge_at_ten, (409.0, 429.0), 7.5, 256.5),
            (surge_at_ten, (409.0, 429.0), 30.0, 429.0),
            // A peak that passes still counts.
            (fading, (100.0, 100.0), 25.0, 100.0),
            // A shorter window never needs more than a longer one, even if they were learned that way.
            (flat, (118.0, 90.0), 20.0, 118.0),
        ] {
            let got = maximum(path, max_10, max_30, minutes);
            assert!((got - expected).abs() < 1e-9, "{path:?} {minutes}: {got}, not {expected}");
        }
        assert_eq!(outlook(flat).maximum_at(0.95, 5.0), None);
    }

    #[test]
    fn a_level_finds_its_nearest_quantile() {
        assert_eq!(QUANTILES[quantile_index(0.95)], 0.95);
        assert_eq!(QUANTILES[quantile_index(0.94)], 0.95);
        assert_eq!(QUANTILES[quantile_index(1.0)], 0.995);
    }
}

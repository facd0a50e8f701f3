//! What was expected of a service when a change was decided, reduced to what its effect is measured against: kept with
//! the intent, so that any process that finds the write can measure it.

use serde::{Deserialize, Serialize};

use super::outlook::{SignalOutlook, between, mix};

/// The forecast of one signal at one horizon, with the ends of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Minutes after the origin of the forecast.
    pub minutes: u16,
    /// Point forecast, in the unit of the signal.
    pub point: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Band {
    /// Returns the forecast at each horizon, with the interval from the quantile `low` to the quantile `high`; empty
    /// without a forecast.
    pub fn path(forecast: &SignalOutlook, low: f64, high: f64) -> Vec<Self> {
        let band = |minutes: u16| {
            let at = f64::from(minutes);
            let (low, high) = (forecast.quantile_at(low, at)?, forecast.quantile_at(high, at)?);
            Some(Self { minutes, point: forecast.point_at(at)?, low, high })
        };
        forecast.points.iter().filter_map(|point| band(point.minutes)).collect()
    }

    /// Returns the band of `path` (horizons rising) `minutes` ahead, interpolated; `None` beyond the last horizon, and
    /// without a forecast.
    pub fn at(path: &[Self], minutes: f64) -> Option<Self> {
        let (left, right, on) = between(path, minutes, |band| band.minutes)?;
        Some(Self {
            minutes: right.minutes,
            point: mix(left.point, right.point, on),
            low: mix(left.low, right.low, on),
            high: mix(left.high, right.high, on),
        })
    }
}

/// What was expected without the change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Foreseen {
    /// The latency, seconds, with its 50 % interval; empty if it is not forecast.
    #[serde(default)]
    pub latency: Vec<Band>,
    /// The arrival rate, requests per second, with its 95 % interval; empty if it is not forecast.
    #[serde(default)]
    pub arrivals: Vec<Band>,
    /// The latency measured when the change was decided, seconds.
    #[serde(default)]
    pub before: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outlook::HorizonPoint;
    use crate::model::{HORIZONS, Minute, QUANTILES};

    #[test]
    fn a_path_says_between_its_horizons_what_the_forecast_says() {
        let mut forecast = SignalOutlook::not_ready(Minute(0), 0, 0);
        let point = |minutes: u16| {
            let point = f64::from(minutes).sqrt();
            HorizonPoint { minutes, point, quantiles: QUANTILES.map(|level| point * (0.5 + level)) }
        };
        forecast.points = HORIZONS.map(point).to_vec();
        let path = Band::path(&forecast, 0.25, 0.75);
        assert_eq!(path.len(), HORIZONS.len());
        for minutes in [0.0, 1.0, 1.5, 4.0, 12.5, 30.0] {
            let band = Band::at(&path, minutes).unwrap();
            assert_eq!(Some(band.point), forecast.point_at(minutes), "{minutes}");
            assert_eq!(Some(band.low), forecast.quantile_at(0.25, minutes), "{minutes}");
            assert_eq!(Some(band.high), forecast.quantile_at(0.75, minutes), "{minutes}");
        }
        assert_eq!((Band::at(&path, 30.1), Band::at(&[], 1.0)), (None, None));
    }
}

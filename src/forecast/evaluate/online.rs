//! The loop's forecaster over one series.

use std::time::Duration;

use super::Series;
use crate::forecast::params::ForecastParams;
use crate::forecast::{Forecaster, forecast_into};
use crate::model::outlook::{QuantileRow, SignalOutlook, quantile_index};
use crate::model::{
    Features, Finite, Minute, MinuteValue, Missing, Mode, Now, Outlook, Reading, ServiceId, ServiceSpec,
    SignalFeatures, SignalName, SignalSpec, Slo, TargetReading, Unit,
};

/// The scored part of a forecast published from one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Point forecast and the ends of its 95 % interval, for each requested horizon.
    pub points: Vec<[f32; 3]>,
    /// 95 % quantiles of the maximum over 10 and 30 steps.
    pub maxima: [f32; 2],
}

/// The state of a loop with a single signal.
#[derive(Debug, Clone)]
pub struct Online {
    spec: ServiceSpec,
    params: ForecastParams,
    state: Forecaster,
    features: Features,
    outlook: Outlook,
    /// The history so far, until a value is below the range; `None` from there on.
    past: Option<Vec<(Minute, Option<f64>)>>,
}

impl Online {
    /// Returns the loop before the first step; `None` only if its service cannot be named.
    pub fn new(series: &Series) -> Option<Self> {
        let spec = spec(series.range)?;
        let params = series.params();
        let features = SignalFeatures::of(Reading::Absent { missing: Missing::NoSeries });
        let target = TargetReading::Unknown { reason: String::new() };
        Some(Self {
            state: Forecaster::new(&spec, &params),
            features: Features { signals: vec![features], target },
            outlook: Outlook::default(),
            past: (series.range.0 > f64::MIN).then(Vec::new),
            spec,
            params,
        })
    }

    /// Learns one step and returns the forecast from it.
    pub fn step(&mut self, step: Minute, value: Option<f64>) -> Option<&SignalOutlook> {
        if value.is_some_and(|value| self.spec.signals.iter().any(|signal| value < signal.range.0)) {
            self.learn_anew();
        }
        if let Some(past) = &mut self.past {
            past.push((step, value));
        }
        self.learn(step, value);
        self.outlook.signals.first()?.as_ref()
    }

    /// Relearns the history as that of a signal without a lower bound.
    fn learn_anew(&mut self) {
        self.spec.signals.iter_mut().for_each(|signal| signal.range.0 = f64::MIN);
        self.state = Forecaster::new(&self.spec, &self.params);
        for (step, value) in self.past.take().unwrap_or_default() {
            self.learn(step, value);
            self.fit(step);
        }
    }

    fn learn(&mut self, step: Minute, value: Option<f64>) {
        for signal in &mut self.features.signals {
            signal.closed.clear();
            signal.closed.push(MinuteValue { minute: step, value: value.and_then(Finite::new) });
        }
        let now = ended(step);
        forecast_into(&mut self.state, &self.spec, &self.params, &self.features, now, &mut self.outlook);
    }

    /// Runs the fit due after `step`, if any.
    pub fn fit(&mut self, step: Minute) {
        if let Some(job) = self.state.next_fit(ended(step)) {
            self.state.install(job.run());
        }
    }
}

impl Forecast {
    /// Returns the scored part of an outlook at these horizons, interpolated between the loop's; `None` without a
    /// forecast, or with a horizon beyond the last one.
    pub fn of(outlook: &SignalOutlook, horizons: &[u16]) -> Option<Self> {
        let at = |horizon: &u16| {
            let ahead = f64::from(*horizon);
            let quantile = |level| outlook.quantile_at(level, ahead);
            Some([outlook.point_at(ahead)?, quantile(0.025)?, quantile(0.975)?].map(|value| value as f32))
        };
        let upper = quantile_index(0.95);
        let maximum = |row: Option<QuantileRow>| row.map_or(f32::NAN, |row| row[upper] as f32);
        Some(Self {
            points: horizons.iter().map(at).collect::<Option<_>>()?,
            maxima: [maximum(outlook.max_10), maximum(outlook.max_30)],
        })
    }
}

fn ended(step: Minute) -> Now {
    Now { wall: step.plus(1).start(), mono: Duration::ZERO }
}

fn spec(range: (f64, f64)) -> Option<ServiceSpec> {
    let signal = SignalSpec {
        name: SignalName::new("series")?,
        unit: Unit::Count,
        role: None,
        range,
        forecast: true,
        scrape_interval: Duration::from_mins(1),
        window: Duration::ZERO,
    };
    Some(ServiceSpec {
        signals: vec![signal],
        slo: Slo { p99: 1.0, error_ratio: 1.0 },
        mode: Mode::Observe,
        ..ServiceSpec::blank(ServiceId::new("evaluation", "series").ok()?)
    })
}

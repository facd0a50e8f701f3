//! One signal as given by a test.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::outlook::HorizonPoint;
use crate::model::{
    Authority, Finite, HORIZONS, Minute, Missing, QUANTILES, Readiness, Reading, Sample, SignalFeatures, SignalOutlook,
    Timestamp, Unit,
};

/// Present value of a signal if only a change is given.
const BASE: f64 = 100.0;

/// What is given about one signal.
pub(super) struct Seen {
    current: Option<f64>,
    mean: Option<f64>,
    p99_5m: Option<f64>,
    max_5m: Option<f64>,
    change_5m: Option<f64>,
    /// Point forecast at every horizon.
    predicted: Option<f64>,
    upper95: Option<f64>,
    upper95_of_max: Option<f64>,
}

impl Seen {
    /// Returns what `values`, by key, say about a signal.
    pub(super) fn of(values: &BTreeMap<String, f64>, name: &str, unit: Unit) -> Self {
        let get = |view: &str| values.get(&format!("{name}.{view}")).copied();
        let present = if unit == Unit::Flag { values.get(name).copied() } else { get("current") };
        let change = get("forecast_change");
        let (upper95, upper95_of_max) = (get("upper95"), get("upper95_of_max"));
        let ahead = get("predicted").or(upper95).or(upper95_of_max);
        let past = get("mean").or(get("p99_5m")).or(get("max_5m")).or(get("change_5m").map(|_| BASE));
        let current = present.or(past).or(if change.is_some() { Some(BASE) } else { ahead });
        let grown = current.zip(change).map(|(current, change)| current + current * change);
        Self {
            current,
            mean: get("mean").or(current),
            p99_5m: get("p99_5m"),
            max_5m: get("max_5m"),
            change_5m: get("change_5m"),
            predicted: get("predicted").or(grown).or(ahead),
            upper95,
            upper95_of_max,
        }
    }

    /// Assumes a present value if none is given.
    pub(super) fn or_assume(mut self, value: Option<f64>) -> Self {
        self.current = self.current.or(value);
        self
    }

    /// Returns its features as the observe stage would report them.
    pub(super) fn features(&self, at: Timestamp) -> SignalFeatures {
        let finite = |value: Option<f64>| value.and_then(Finite::new);
        let reading = match finite(self.current) {
            Some(value) => Reading::Fresh { sample: Sample { at, value }, staleness: Duration::ZERO },
            None => Reading::Absent { missing: Missing::NoSeries },
        };
        SignalFeatures {
            reading,
            mean_1m: finite(self.mean),
            p99_5m: finite(self.p99_5m),
            change_5m: finite(self.change_5m),
            max_5m: finite(self.max_5m),
            confirmed: finite(self.current),
            rising: None,
            slope: None,
            suspect: false,
            provisional: None,
            closed: Vec::new(),
        }
    }

    /// Returns its outlook as the forecast stage would report it.
    pub(super) fn outlook(&self, at: Timestamp) -> Option<SignalOutlook> {
        let point = self.predicted?;
        let row =
            |upper: Option<f64>| QUANTILES.map(|level| if level >= 0.95 { upper.unwrap_or(point) } else { point });
        let points = HORIZONS.map(|minutes| HorizonPoint { minutes, point, quantiles: row(self.upper95) });
        Some(SignalOutlook {
            readiness: Readiness::Ready,
            points: points.to_vec(),
            max_10: Some(row(self.upper95_of_max)),
            max_30: Some(row(self.upper95_of_max)),
            authority: Authority::MayRemove,
            ..SignalOutlook::not_ready(Minute::of(at), 0, 0)
        })
    }
}

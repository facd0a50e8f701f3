//! The stage as a whole: one service, one arrival rate, minutes in, outlooks out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::model::*;

/// A service with one forecast signal, its arrival rate, declared within `range`.
pub(super) fn service(range: (f64, f64)) -> ServiceSpec {
    ServiceSpec {
        id: ServiceId::new("shop", "web").unwrap(),
        target: TargetRef { kind: TargetKind::Deployment, namespace: "shop".into(), name: "web".into() },
        signals: vec![SignalSpec {
            name: SignalName::new("rps").unwrap(),
            unit: Unit::PerSecond,
            role: Some(Role::ArrivalRate),
            range,
            forecast: true,
            scrape_interval: Duration::from_secs(15),
        }],
        labels: BTreeMap::new(),
        slo: Slo { p99: 0.3, error_ratio: 0.01 },
        parameters: BTreeMap::new(),
        mode: Mode::Shadow,
        bounds: Bounds { min: 1, max: 100 },
        budgets: Budgets::default(),
        capacity: None,
        allow_lowering: false,
    }
}

/// Features of a service whose arrival rate reads `value`, fresh.
pub(super) fn reading(value: f64) -> Features {
    let value = Finite::new(value).unwrap();
    let sample = Sample { at: Timestamp::UNIX_EPOCH, value };
    Features {
        signals: vec![SignalFeatures {
            reading: Reading::Fresh { sample, staleness: Duration::ZERO },
            mean_1m: Some(value),
            p99_5m: None,
            change_5m: None,
            max_5m: None,
            confirmed: Some(value),
            suspect: false,
            provisional: None,
            closed: Vec::new(),
        }],
        target: TargetReading::Unknown { reason: "not asked".into() },
    }
}

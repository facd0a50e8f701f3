//! From arrival rate to replicas.
//!
//! Needed replicas = arrival rate / (rate of a saturated pod x utilisation at which the objective holds). Now:
//! for what two samples confirm. Ahead: for the upper quantile of the maximum up to the lead time, once the
//! forecast has earned it. Floor: what must not be undercut by lowering; a forecast that has not earned a say
//! has none here either, or a bad one would hold capacity for ever.

use std::time::Duration;

use super::params::ForecastParams;
use crate::model::outlook::{Authority, Capacity, SignalOutlook, quantile_index};
use crate::model::{CapacitySpec, Features, Role, ServiceSpec};

/// Probability of the quantile that capacity is bought for.
const UPPER: f64 = 0.95;
/// Time over which a lowered target must still carry the forecast, at least.
const LEAST_VIEW: Duration = Duration::from_mins(5);
/// Longest time that the maximum over 10 minutes answers for; beyond it counts the one over 30.
const TEN_MINUTES: Duration = Duration::from_mins(10);

/// Returns what the arrival rate means in replicas; `None` unless the service declares a capacity above zero
/// and an arrival rate.
pub fn capacity(
    spec: &ServiceSpec,
    params: &ForecastParams,
    features: &Features,
    signals: &[Option<SignalOutlook>],
) -> Option<Capacity> {
    let declared = spec.capacity?;
    let per_pod = per_pod(declared)?;
    let arrivals = spec.role(Role::ArrivalRate)?;
    let (signal, arrival) = (spec.signals.get(arrivals)?, features.signals.get(arrivals)?);
    let outlook = signals.get(arrivals).and_then(Option::as_ref);

    let tick = Duration::try_from_secs_f64(params.tick_seconds).unwrap_or(Duration::ZERO);
    let lead_time = declared.start_time.saturating_add(tick).saturating_add(signal.scrape_interval);
    let view = declared.start_time.saturating_mul(2).max(LEAST_VIEW);

    let fresh = arrival.reading.fresh().map(f64::from);
    let confirmed = arrival.confirmed.map(f64::from).filter(|_| fresh.is_some());
    let ahead = outlook.filter(|outlook| outlook.authority >= Authority::MayAdd);
    let floor = fresh.map(|now| {
        let recent = arrival.max_5m.map_or(now, |max| now.max(max.get()));
        let foreseen = ahead.and_then(|outlook| upper(outlook, view));
        replicas(foreseen.map_or(recent, |foreseen| recent.max(foreseen)), per_pod)
    });
    Some(Capacity {
        per_pod,
        lead_time,
        needed_now: confirmed.map(|rate| replicas(rate, per_pod)),
        needed_ahead: ahead.and_then(|outlook| upper(outlook, lead_time)).map(|rate| replicas(rate, per_pod)),
        floor,
    })
}

/// Returns the rate that a pod carries inside the objective, if it is a number above zero.
fn per_pod(declared: CapacitySpec) -> Option<f64> {
    let rate = declared.per_pod_rate * declared.utilisation;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// Returns the upper quantile of the maximum over the smallest forecast window that holds `span`, or over the
/// largest one.
fn upper(outlook: &SignalOutlook, span: Duration) -> Option<f64> {
    let row = if span <= TEN_MINUTES { outlook.max_10 } else { outlook.max_30 }?;
    row.get(quantile_index(UPPER)).copied()
}

/// Returns how many pods carry `rate`, at least one. Saturates at both ends.
fn replicas(rate: f64, per_pod: f64) -> u32 {
    // What is whole but for rounding stays whole: 3 pods of 0.1 carry 0.3.
    let pods = (rate / per_pod * (1.0 - 1e-9)).ceil();
    (pods as u32).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::forecast::tests::{reading, service};
    use crate::model::outlook::QuantileRow;
    use crate::model::{Finite, Minute, Missing, Reading};

    fn row(upper: f64) -> QuantileRow {
        let mut row = [0.0; 11];
        row[8..].fill(upper);
        row
    }

    fn outlook(authority: Authority, max_10: f64, max_30: f64) -> Vec<Option<SignalOutlook>> {
        let outlook = SignalOutlook::not_ready(Minute(0), 0, 0);
        vec![Some(SignalOutlook { authority, max_10: Some(row(max_10)), max_30: Some(row(max_30)), ..outlook })]
    }

    /// Pods of 50 requests a second inside the objective, ready after `start` seconds.
    fn sized(start: u64) -> ServiceSpec {
        let start_time = Duration::from_secs(start);
        ServiceSpec {
            capacity: Some(CapacitySpec { per_pod_rate: 100.0, utilisation: 0.5, start_time }),
            ..service((0.0, 1e9))
        }
    }

    fn features(now: f64, confirmed: Option<f64>, max_5m: f64) -> Features {
        let mut features = reading(now);
        features.signals[0].confirmed = confirmed.and_then(Finite::new);
        features.signals[0].max_5m = Finite::new(max_5m);
        features
    }

    #[test]
    fn replicas_follow_the_rate_and_the_forecast_as_far_as_it_has_a_say() {
        use Authority::{MayAdd, MayRemove, ReactiveOnly};
        for (start, authority, expected) in [
            (60, ReactiveOnly, (Some(5), None, Some(7))),
            (60, MayAdd, (Some(5), Some(9), Some(9))),
            (60, MayRemove, (Some(5), Some(9), Some(9))),
            (590, MayAdd, (Some(5), Some(13), Some(13))),
            (400, MayAdd, (Some(5), Some(9), Some(13))),
        ] {
            let features = features(260.0, Some(250.0), 320.0);
            let signals = outlook(authority, 450.0, 601.0);
            let got = capacity(&sized(start), &ForecastParams::default(), &features, &signals).unwrap();
            assert_eq!((got.needed_now, got.needed_ahead, got.floor), expected, "{start} {authority:?}");
            assert_eq!(got.lead_time, Duration::from_secs(start + 30));
        }
    }

    #[test]
    fn the_last_minutes_hold_the_floor_without_a_forecast() {
        let params = ForecastParams::default();
        let got = capacity(&sized(60), &params, &features(100.0, None, 320.0), &[None]).unwrap();
        assert_eq!((got.needed_now, got.needed_ahead, got.floor), (None, None, Some(7)));
    }

    #[test]
    fn without_fresh_data_nothing_is_needed_and_nothing_may_be_lowered() {
        let mut features = features(100.0, Some(100.0), 100.0);
        features.signals[0].reading = Reading::Absent { missing: Missing::NoSeries };
        let signals = outlook(Authority::ReactiveOnly, 450.0, 601.0);
        let got = capacity(&sized(60), &ForecastParams::default(), &features, &signals).unwrap();
        assert_eq!((got.needed_now, got.needed_ahead, got.floor), (None, None, None));
    }

    #[test]
    fn a_service_without_capacity_or_arrival_rate_is_not_sized() {
        let params = ForecastParams::default();
        let (features, signals) = (features(1.0, None, 1.0), outlook(Authority::MayAdd, 1.0, 1.0));
        let mut without_role = sized(60);
        without_role.signals[0].role = None;
        let mut zero = sized(60);
        zero.capacity = Some(CapacitySpec { per_pod_rate: 0.0, utilisation: 0.5, start_time: Duration::ZERO });
        for spec in [service((0.0, 1e9)), without_role, zero] {
            assert_eq!(capacity(&spec, &params, &features, &signals), None);
        }
    }

    #[test]
    fn whole_pods_are_not_rounded_up_by_the_last_bit() {
        assert_eq!(replicas(0.1 + 0.2, 0.1), 3);
        assert_eq!(replicas(0.31, 0.1), 4);
    }

    proptest! {
        #[test]
        fn any_numbers_give_replicas_or_none(
            rate in any::<f64>(), confirmed in prop::option::of(any::<f64>()), max in any::<f64>(),
            per_pod_rate in any::<f64>(), utilisation in any::<f64>(), ahead in any::<f64>(), start in any::<u64>(),
        ) {
            let Some(now) = Finite::new(rate) else { return Ok(()) };
            let mut spec = sized(0);
            spec.capacity = Some(CapacitySpec { per_pod_rate, utilisation, start_time: Duration::from_secs(start) });
            let features = features(now.get(), confirmed, max);
            let signals = outlook(Authority::MayRemove, ahead, ahead);
            if let Some(got) = capacity(&spec, &ForecastParams::default(), &features, &signals) {
                prop_assert!(got.per_pod > 0.0 && got.per_pod.is_finite());
                prop_assert!(got.floor >= Some(1));
                let grown = super::replicas(now.get().abs().mul_add(2.0, 1.0), got.per_pod);
                prop_assert!(grown >= super::replicas(now.get(), got.per_pod));
            }
        }
    }
}

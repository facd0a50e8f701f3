//! From arrival rate to replicas.
//!
//! Needed replicas = arrival rate / (rate of a saturated pod x utilisation at which the objective holds). Now: for the
//! rate that two samples confirm, or the current rate if it rises steeply. Ahead: for the upper quantile of the maximum
//! from now on, once the forecast has earned it, and for a steep rise extrapolated at its measured slope, to at most
//! twice the newest sample: a surge that no forecast predicted is met in a few large steps, not in many small ones that
//! use up the writes of ten minutes. Both cover the lead time (pod start plus the loop delays before it) and the
//! cooldown between two raises: as with periodic review in inventory control, an order must last until the next one is
//! delivered. No further, or capacity would be bought minutes early. Floor: the limit for lowering; a forecast without
//! authority does not count here either, or a bad one would hold capacity forever.

use std::time::Duration;

use super::params::ForecastParams;
use crate::model::features::MOST_RISE;
use crate::model::outlook::{Authority, Capacity, SignalOutlook};
use crate::model::time::elapsed;
use crate::model::{CapacitySpec, Features, Now, Role, ServiceSpec};

/// Quantile of the maximum that capacity is bought for.
const UPPER: f64 = 0.95;
/// Minimum time for which a lowered target must still carry the forecast.
const LEAST_VIEW: Duration = Duration::from_mins(5);

/// Returns the replicas for the arrival rate; `None` unless the service declares a capacity above zero and an arrival
/// rate.
pub fn capacity(
    spec: &ServiceSpec,
    params: &ForecastParams,
    features: &Features,
    signals: &[Option<SignalOutlook>],
    now: Now,
) -> Option<Capacity> {
    let declared = spec.capacity?;
    let per_pod = per_pod(declared)?;
    let arrivals = spec.role(Role::ArrivalRate)?;
    let (signal, arrival) = (spec.signals.get(arrivals)?, features.signals.get(arrivals)?);
    let outlook = signals.get(arrivals).and_then(Option::as_ref);

    let tick = Duration::try_from_secs_f64(params.tick_seconds).unwrap_or(Duration::ZERO);
    let lead_time = declared.start_time.saturating_add(tick).saturating_add(signal.scrape_interval);
    let lasts = lead_time.saturating_add(spec.guards.raise_cooldown);
    // Capacity is not released before the time it was bought for.
    let view = declared.start_time.saturating_mul(2).max(LEAST_VIEW).max(lasts);

    let fresh = arrival.reading.fresh().map(f64::from);
    let confirmed = arrival.confirmed.map(f64::from).filter(|_| fresh.is_some());
    let rate_now = confirmed.map(|rate| arrival.rising.map_or(rate, |rising| rate.max(rising.get())));
    let ahead = outlook.filter(|outlook| outlook.authority >= Authority::MayAdd);
    let floor = fresh.map(|rate| {
        let recent = arrival.max_5m.map_or(rate, |max| rate.max(max.get()));
        let foreseen = ahead.and_then(|outlook| upper(outlook, now, view));
        replicas(foreseen.map_or(recent, |foreseen| recent.max(foreseen)), per_pod)
    });
    let foreseen = ahead.and_then(|outlook| upper(outlook, now, lasts));
    let risen = rate_now
        .zip(fresh)
        .zip(arrival.slope)
        .map(|((rate, newest), slope)| (rate + slope.get() * lasts.as_secs_f64()).min(MOST_RISE * newest));
    let rate_ahead = foreseen.into_iter().chain(risen).reduce(f64::max);
    Some(Capacity {
        per_pod,
        lead_time,
        lasts,
        rate_now,
        needed_now: rate_now.map(|rate| replicas(rate, per_pod)),
        rate_ahead,
        needed_ahead: rate_ahead.map(|rate| replicas(rate, per_pod)),
        floor,
    })
}

/// Returns the rate that a pod carries within the objective, if it is finite and above zero.
fn per_pod(declared: CapacitySpec) -> Option<f64> {
    let rate = declared.per_pod_rate * declared.utilisation;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// Returns the upper quantile of the maximum from `now` to `span` later. The origin of the forecast is a minute that
/// started earlier, so the end is further from it. Rounds up to whole minutes: half a minute would buy half of a surge,
/// and the other half would wait for a cooldown.
fn upper(outlook: &SignalOutlook, now: Now, span: Duration) -> Option<f64> {
    let begun = elapsed(now.wall, outlook.origin.start());
    let minutes = begun.saturating_add(span).as_secs().div_ceil(60);
    outlook.maximum_at(UPPER, minutes as f64)
}

/// Returns how many pods carry `rate`, at least one. Saturates at both ends.
fn replicas(rate: f64, per_pod: f64) -> u32 {
    // Tolerates rounding errors: 3 pods of 0.1 carry 0.3.
    let pods = (rate / per_pod * (1.0 - 1e-9)).ceil();
    (pods as u32).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::forecast::tests::{reading, service};
    use crate::model::outlook::HorizonPoint;
    use crate::model::{Finite, GuardParams, HORIZONS, Minute, Missing, QUANTILES, Reading};

    /// A rise from 300/s now to 600/s in half an hour, with up to a fifth more possible, at minute 100.
    fn outlook(authority: Authority) -> Vec<Option<SignalOutlook>> {
        let rate = |minutes: u16| 300.0 + 10.0 * f64::from(minutes);
        let row = |upper: f64| QUANTILES.map(|level| if level >= UPPER { upper } else { 0.0 });
        let point = |minutes| HorizonPoint { minutes, point: rate(minutes), quantiles: row(1.2 * rate(minutes)) };
        let outlook = SignalOutlook::not_ready(Minute(100), 0, 0);
        let (max_10, max_30) = (Some(row(500.0)), Some(row(750.0)));
        vec![Some(SignalOutlook { authority, points: HORIZONS.map(point).to_vec(), max_10, max_30, ..outlook })]
    }

    /// The given seconds after the start of minute 100.
    fn after(seconds: u64) -> Now {
        Now { wall: Minute(100).start(), mono: Duration::ZERO }.plus(Duration::from_secs(seconds))
    }

    /// Pods of 50 requests a second within the objective, ready after `start` seconds, without a raise cooldown.
    fn sized(start: u64) -> ServiceSpec {
        let start_time = Duration::from_secs(start);
        let guards = GuardParams { raise_cooldown: Duration::ZERO, ..GuardParams::default() };
        ServiceSpec {
            guards,
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
    fn replicas_are_bought_for_the_lead_time_and_kept_for_the_view() {
        use Authority::{MayAdd, MayRemove, ReactiveOnly};
        // Pods carry 50/s. At the lead time (start + 30 s) the upper rate is 1.2 x (300 + 10 x minutes) plus a margin for
        // chance: 372 after a minute, 500 within ten, 750 within thirty.
        for (start, begun, authority, expected) in [
            (60, 0, ReactiveOnly, (None, None, Some(7))),
            (30, 0, MayAdd, (Some(372), Some(8), Some(9))),
            (60, 0, MayAdd, (Some(386), Some(8), Some(9))),
            (60, 0, MayRemove, (Some(386), Some(8), Some(9))),
            // The forecast started 45 s ago, or its newest minute has not arrived yet.
            (60, 45, MayAdd, (Some(400), Some(9), Some(9))),
            (60, 105, MayAdd, (Some(415), Some(9), Some(10))),
            // Floors look max(300 s, twice the start time) ahead.
            (240, 0, MayAdd, (Some(429), Some(9), Some(10))),
            (570, 0, MayAdd, (Some(500), Some(10), Some(13))),
            (900, 0, MayAdd, (Some(575), Some(12), Some(15))),
            (3600, 0, MayAdd, (Some(750), Some(15), Some(15))),
        ] {
            let features = features(260.0, Some(250.0), 320.0);
            let signals = outlook(authority);
            let got = capacity(&sized(start), &ForecastParams::default(), &features, &signals, after(begun)).unwrap();
            let rate = got.rate_ahead.map(|rate| rate.round() as u32);
            assert_eq!((rate, got.needed_ahead, got.floor), expected, "{start} {begun} {authority:?}");
            assert_eq!((got.needed_now, got.lead_time), (Some(5), Duration::from_secs(start + 30)));
        }
    }

    #[test]
    fn a_raise_lasts_until_the_next_one_may_follow_and_its_pods_are_there() {
        let mut spec = sized(60);
        spec.guards.raise_cooldown = Duration::from_mins(3);
        let features = features(260.0, Some(250.0), 320.0);
        let signals = outlook(Authority::MayAdd);
        let got = capacity(&spec, &ForecastParams::default(), &features, &signals, after(0)).unwrap();
        assert_eq!((got.lead_time, got.lasts), (Duration::from_secs(90), Duration::from_secs(270)));
        assert_eq!((got.needed_ahead, got.floor), (Some(9), Some(9)));
        spec.guards.raise_cooldown = Duration::from_mins(15);
        let got = capacity(&spec, &ForecastParams::default(), &features, &signals, after(0)).unwrap();
        assert!(got.needed_ahead > Some(10) && got.floor >= got.needed_ahead, "what is bought is kept: {got:?}");
    }

    #[test]
    fn the_last_minutes_hold_the_floor_without_a_forecast() {
        let params = ForecastParams::default();
        let got = capacity(&sized(60), &params, &features(100.0, None, 320.0), &[None], after(0)).unwrap();
        assert_eq!((got.needed_now, got.needed_ahead, got.floor), (None, None, Some(7)));
    }

    #[test]
    fn a_steep_rise_is_sized_by_what_it_has_become() {
        let params = ForecastParams::default();
        for (confirmed, rising, expected) in [
            (Some(250.0), Some(390.0), (Some(390), Some(8))),
            (Some(250.0), Some(200.0), (Some(250), Some(5))),
            (Some(250.0), None, (Some(250), Some(5))),
            (None, Some(390.0), (None, None)),
        ] {
            let mut features = features(260.0, confirmed, 320.0);
            features.signals[0].rising = rising.and_then(Finite::new);
            let got = capacity(&sized(60), &params, &features, &[None], after(0)).unwrap();
            assert_eq!((got.rate_now.map(|rate| rate.round() as u32), got.needed_now), expected);
        }
    }

    #[test]
    fn a_steep_rise_is_carried_on_for_as_long_as_a_raise_must_last() {
        let params = ForecastParams::default();
        // (rising, slope per second, forecast, rate ahead, replicas ahead); a raise must last 90 s, from 260/s now.
        for (rising, slope, authority, expected) in [
            (Some(300.0), Some(1.0), Authority::ReactiveOnly, (Some(390), Some(8))),
            (Some(300.0), Some(0.0), Authority::ReactiveOnly, (Some(300), Some(6))),
            // At most twice the newest sample.
            (Some(300.0), Some(50.0), Authority::ReactiveOnly, (Some(520), Some(11))),
            (Some(300.0), Some(f64::MAX), Authority::ReactiveOnly, (Some(520), Some(11))),
            (None, None, Authority::ReactiveOnly, (None, None)),
            // The forecast counts if it is higher.
            (Some(300.0), Some(0.0), Authority::MayAdd, (Some(386), Some(8))),
            (Some(300.0), Some(1.5), Authority::MayAdd, (Some(435), Some(9))),
        ] {
            let mut features = features(260.0, Some(250.0), 320.0);
            features.signals[0].rising = rising.and_then(Finite::new);
            features.signals[0].slope = slope.and_then(Finite::new);
            let got = capacity(&sized(60), &params, &features, &outlook(authority), after(0)).unwrap();
            assert_eq!(
                (got.rate_ahead.map(|rate| rate.round() as u32), got.needed_ahead),
                expected,
                "{rising:?} {slope:?}"
            );
            assert_eq!(got.needed_now, Some(if rising.is_some() { 6 } else { 5 }), "what is needed now stays as it is");
        }
    }

    #[test]
    fn without_fresh_data_nothing_is_needed_and_nothing_may_be_lowered() {
        let mut features = features(100.0, Some(100.0), 100.0);
        features.signals[0].reading = Reading::Absent { missing: Missing::NoSeries };
        let signals = outlook(Authority::ReactiveOnly);
        let got = capacity(&sized(60), &ForecastParams::default(), &features, &signals, after(0)).unwrap();
        assert_eq!((got.needed_now, got.needed_ahead, got.floor), (None, None, None));
    }

    #[test]
    fn a_service_without_capacity_or_arrival_rate_is_not_sized() {
        let params = ForecastParams::default();
        let (features, signals) = (features(1.0, None, 1.0), outlook(Authority::MayAdd));
        let mut without_role = sized(60);
        without_role.signals[0].role = None;
        let mut zero = sized(60);
        zero.capacity = Some(CapacitySpec { per_pod_rate: 0.0, utilisation: 0.5, start_time: Duration::ZERO });
        for spec in [service((0.0, 1e9)), without_role, zero] {
            assert_eq!(capacity(&spec, &params, &features, &signals, after(0)), None);
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
            begun in 0u64..10_000,
        ) {
            let Some(now) = Finite::new(rate) else { return Ok(()) };
            let mut spec = sized(0);
            spec.capacity = Some(CapacitySpec { per_pod_rate, utilisation, start_time: Duration::from_secs(start) });
            let features = features(now.get(), confirmed, max);
            let mut signals = outlook(Authority::MayRemove);
            signals.iter_mut().flatten().for_each(|signal| signal.max_10 = Some([ahead; QUANTILES.len()]));
            if let Some(got) = capacity(&spec, &ForecastParams::default(), &features, &signals, after(begun)) {
                prop_assert!(got.per_pod > 0.0 && got.per_pod.is_finite());
                prop_assert!(got.floor >= Some(1));
                prop_assert!(got.floor >= got.needed_ahead, "{got:?}");
                let grown = super::replicas(now.get().abs().mul_add(2.0, 1.0), got.per_pod);
                prop_assert!(grown >= super::replicas(now.get(), got.per_pod));
            }
        }
    }
}

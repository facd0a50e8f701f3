//! The stage as a whole: one service, one arrival rate, minutes in, outlooks out.

mod kinds;
mod robust;
mod surges;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::outlook::ForecastFlag;
use crate::model::*;

/// A service with one forecast signal, its arrival rate, declared within `range`.
pub(super) fn service(range: (f64, f64)) -> ServiceSpec {
    ServiceSpec {
        signals: vec![SignalSpec {
            name: SignalName::new("rps").unwrap(),
            unit: Unit::PerSecond,
            role: Some(Role::ArrivalRate),
            range,
            forecast: true,
            scrape_interval: Duration::from_secs(15),
            window: Duration::ZERO,
        }],
        slo: Slo { p99: 0.3, error_ratio: 0.01 },
        bounds: Bounds { min: 1, max: 100 },
        ..ServiceSpec::blank(ServiceId::new("shop", "web").unwrap())
    }
}

/// Features of a service whose arrival rate reads `value`, fresh.
pub(super) fn reading(value: f64) -> Features {
    let value = Finite::new(value).unwrap();
    let sample = Sample { at: Timestamp::UNIX_EPOCH, value };
    Features {
        signals: vec![SignalFeatures {
            mean_1m: Some(value),
            confirmed: Some(value),
            rising: None,
            slope: None,
            ..SignalFeatures::of(Reading::Fresh { sample, staleness: Duration::ZERO })
        }],
        target: TargetReading::Unknown { reason: "not asked".into() },
    }
}

/// Pseudorandom numbers, the same for the same seed.
pub(in crate::forecast) struct Noise(u64);

impl Noise {
    pub(in crate::forecast) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Uniform, 0 to 1.
    pub(in crate::forecast) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) as f64 / u64::MAX as f64
    }

    /// Approximately normal, mean 0, standard deviation 1.
    pub(in crate::forecast) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

fn minute_value(minute: i64, value: Option<f64>) -> MinuteValue {
    MinuteValue { minute: Minute(minute), value: value.and_then(Finite::new) }
}

fn minutes(start: i64, values: impl IntoIterator<Item = f64>) -> Vec<MinuteValue> {
    (start..).zip(values).map(|(minute, value)| minute_value(minute, Some(value))).collect()
}

/// A new forecaster that has learned `history`.
fn learned(range: (f64, f64), history: &[MinuteValue]) -> Forecaster {
    let mut state = Forecaster::new(&service(range), &ForecastParams::default());
    state.warm(0, history);
    state
}

fn at(minute: i64) -> Now {
    Now { wall: Minute(minute).start(), mono: Duration::from_secs(60 * minute.unsigned_abs()) }
}

/// One call of the stage at the minute after `closed` (or `minute`, if nothing closed).
fn call(state: &mut Forecaster, spec: &ServiceSpec, minute: i64, features: &Features) -> Outlook {
    forecast(state, spec, &ForecastParams::default(), features, at(minute))
}

fn signal(state: &mut Forecaster, minute: i64) -> SignalOutlook {
    let outlook = call(state, &service((0.0, 1e9)), minute, &reading(1.0));
    outlook.signals.into_iter().next().flatten().unwrap()
}

/// Load with a daily wave, noise, and a surge of half an hour at 18:00.
fn surging(noise: &mut Noise, minute: i64) -> f64 {
    let of_day = Minute(minute).of_day();
    let wave = 200.0 + 50.0 * (std::f64::consts::TAU * of_day as f64 / 1440.0).sin();
    let surge = if (1080..1110).contains(&of_day) { 300.0 } else { 0.0 };
    wave + surge + 6.0 * noise.normal()
}

#[test]
fn noise_and_random_walks_earn_no_authority() {
    for seed in 0..6 {
        let mut noise = Noise::new(seed);
        let white: Vec<f64> = (0..5 * DAY).map(|_| 100.0 + 10.0 * noise.normal()).collect();
        let mut level = 1000.0;
        let walk: Vec<f64> = (0..5 * DAY)
            .map(|_| {
                level = (level + noise.normal()).max(0.0);
                level
            })
            .collect();
        for (name, values) in [("white noise", white), ("random walk", walk)] {
            let mut state = learned((0.0, 1e9), &[]);
            for (quarter, values) in (0..).zip(values.chunks(DAY as usize / 4)) {
                state.warm(0, &minutes(quarter * DAY / 4, values.iter().copied()));
                let got = signal(&mut state, (quarter + 1) * DAY / 4);
                assert_eq!(got.authority, Authority::ReactiveOnly, "{name} {seed} quarter {quarter}: {:?}", got.scores);
            }
        }
    }
}

#[test]
fn intervals_cover_what_they_say_and_authority_follows_skill() {
    let (mut noise, mut rest) = (Noise::new(3), 0.0);
    let history = minutes(
        0,
        (0..14 * DAY).map(|minute| {
            rest = 0.8 * rest + 5.0 * noise.normal();
            300.0 + 200.0 * (std::f64::consts::TAU * Minute(minute).of_day() as f64 / 240.0).sin() + rest
        }),
    );
    let mut state = learned((0.0, 1e9), &history);
    let got = signal(&mut state, 14 * DAY);
    let coverage = got.coverage.unwrap();
    assert!((0.93..=0.97).contains(&coverage.realised) && coverage.outcomes > 8000.0, "{coverage:?}");
    let seasonal = ["holt_winters", "multiplicative"];
    assert!(seasonal.iter().any(|name| got.model.as_deref().unwrap().starts_with(name)), "{:?}", got.scores);
    let shares: f64 = got.scores.iter().map(|score| score.share).sum();
    assert!((shares - 1.0).abs() < 1e-5, "{:?}", got.scores);
    assert!(got.skill.unwrap().vs_persistence > 0.1, "{:?}", got.skill);
    assert_eq!(got.authority, Authority::MayRemove);
    assert_eq!(got.flags, []);
}

#[test]
fn warm_history_and_live_minutes_give_the_same_outlook() {
    let mut noise = Noise::new(4);
    let mut history: Vec<_> = minutes(777, (0..3200).map(|minute| surging(&mut noise, minute)));
    for gap in [100..103, 1500..1700, 3190..3191] {
        history[gap].iter_mut().for_each(|minute| minute.value = None);
    }
    let mut at_once = learned((0.0, 1e9), &history);
    let mut live = learned((0.0, 1e9), &history[..1900]);
    for minute in &history[1900..] {
        let mut features = reading(1.0);
        features.signals[0].provisional = Some(minute_value(minute.minute.0, Some(123.0)));
        call(&mut live, &service((0.0, 1e9)), minute.minute.0, &features);
        features.signals[0].closed = vec![*minute];
        call(&mut live, &service((0.0, 1e9)), minute.minute.0 + 1, &features);
    }
    let end = 777 + 3200;
    let expected = signal(&mut at_once, end);
    assert_eq!(expected.readiness, Readiness::Ready);
    assert_eq!(signal(&mut live, end), expected);
    live.warm(0, &history[3000..]);
    assert_eq!(signal(&mut live, end), expected, "minutes already learned are skipped");
}

#[test]
fn minutes_left_out_are_gaps() {
    let mut noise = Noise::new(5);
    let history = minutes(0, (0..2000).map(|minute| surging(&mut noise, minute)));
    let explicit: Vec<_> = history
        .iter()
        .map(
            |minute| if (900..1100).contains(&minute.minute.0) { minute_value(minute.minute.0, None) } else { *minute },
        )
        .collect();
    let implicit: Vec<_> = explicit.iter().copied().filter(|minute| minute.value.is_some()).collect();
    let mut states = [learned((0.0, 1e9), &explicit), learned((0.0, 1e9), &implicit)];
    let [explicit, implicit] = states.each_mut().map(|state| signal(state, 2000));
    assert_eq!(explicit, implicit);
}

#[test]
fn a_doubled_level_is_foreseen_like_one_that_always_was() {
    // The surge of 18:00 comes after the shift.
    let (shift, mut noise) = (8 * DAY + 1050, Noise::new(14));
    let plain: Vec<_> = (0..shift + 40).map(|minute| surging(&mut noise, minute)).collect();
    let seen = |factor: &dyn Fn(i64) -> f64, until: i64| {
        let values = plain.iter().enumerate().take(until as usize).map(|(minute, value)| factor(minute as i64) * value);
        signal(&mut learned((0.0, 1e9), &minutes(0, values)), until)
    };
    for after in [5, 20, 40] {
        let shifted = seen(&|minute| if minute < shift { 1.0 } else { 2.0 }, shift + after);
        let always = seen(&|_| 2.0, shift + after);
        for (one, other) in shifted.points.iter().zip(&always.points) {
            assert!((one.point - other.point).abs() < 0.05 * other.point, "{after}: {one:?} and not {other:?}");
        }
        assert_eq!(shifted.flags.contains(&ForecastFlag::LevelShift), after < 15, "{after} {:?}", shifted.flags);
    }
}

#[test]
fn the_running_minute_is_seen_and_not_learned() {
    let mut state = learned((0.0, 1e9), &minutes(0, [100.0; 300]));
    let before = signal(&mut state, 300);
    assert_eq!((before.origin, before.points[0].point.round()), (Minute(299), 100.0));
    let mut features = reading(400.0);
    features.signals[0].provisional = Some(minute_value(300, Some(400.0)));
    let running = call(&mut state, &service((0.0, 1e9)), 300, &features).signals.remove(0).unwrap();
    assert_eq!(running.origin, Minute(300));
    assert!(running.points[0].point > before.points[0].point);
    assert!(running.anomaly.unwrap() > 0.8 && before.anomaly.unwrap() < 0.1);
    assert_eq!(signal(&mut state, 300), before);
}

#[test]
fn an_outlook_that_is_lent_becomes_what_a_new_one_would_be_and_keeps_its_room() {
    let mut noise = Noise::new(8);
    let history = minutes(0, (0..2 * DAY).map(|minute| surging(&mut noise, minute)));
    let (mut state, mut young) = (learned((0.0, 1e9), &history), learned((0.0, 1e9), &history[..5]));
    let (spec, params) = (service((0.0, 1e9)), ForecastParams::default());
    let mut lent = Outlook::default();
    for minute in [2 * DAY, 2 * DAY + 1] {
        forecast_into(&mut state, &spec, &params, &reading(200.0), at(minute), &mut lent);
        assert_eq!(lent, call(&mut state, &spec, minute, &reading(200.0)));
        let signal = lent.signals[0].as_mut().unwrap();
        assert!(minute == 2 * DAY || signal.points.capacity().min(signal.scores.capacity()) >= 100);
        signal.points.reserve(100);
        signal.scores.reserve(100);
    }
    // Nothing of it remains if another signal has no forecast, or if there is no signal.
    forecast_into(&mut young, &spec, &params, &reading(200.0), at(5), &mut lent);
    assert_eq!(lent, call(&mut young, &spec, 5, &reading(200.0)));
    let blind = ServiceSpec { signals: Vec::new(), ..service((0.0, 1e9)) };
    forecast_into(&mut Forecaster::new(&blind, &params), &blind, &params, &reading(1.0), at(5), &mut lent);
    assert_eq!(lent, Outlook::default());
}

#[test]
fn a_copy_is_not_touched_by_what_the_original_learns() {
    let mut state = learned((0.0, 1e9), &minutes(0, [100.0; 300]));
    let mut copy = state.clone();
    let before = signal(&mut copy, 300);
    state.warm(0, &minutes(300, [500.0; 300]));
    assert_ne!(signal(&mut state, 600).points, before.points);
    assert_eq!(signal(&mut copy, 300), before);
}

#[test]
fn readiness_and_flags_tell_what_is_known() {
    let flags = |seen: i64, now: i64| {
        let got = signal(&mut learned((0.0, 1e9), &minutes(0, (0..seen).map(|_| 100.0))), now);
        (got.readiness, got.flags)
    };
    assert_eq!(flags(0, 0).0, Readiness::NotReady { have: 0, need: 10 });
    assert_eq!(flags(9, 9).0, Readiness::NotReady { have: 9, need: 10 });
    assert_eq!(flags(10, 10), (Readiness::Ready, vec![ForecastFlag::Cold]));
    assert_eq!(flags(2880, 2880).1, []);
    assert_eq!(flags(2880, 2890).1, [ForecastFlag::Gap]);
}

#[test]
fn intervals_grow_while_data_is_missing() {
    let mut noise = Noise::new(6);
    let mut state = learned((0.0, 1e9), &minutes(0, (0..2000).map(|_| 100.0 + noise.normal())));
    let width = |outlook: SignalOutlook| outlook.points[0].quantiles[9] - outlook.points[0].quantiles[1];
    let before = width(signal(&mut state, 2000));
    let gap: Vec<_> = (2000..2030).map(|minute| minute_value(minute, None)).collect();
    state.warm(0, &gap);
    let got = signal(&mut state, 2030);
    assert_eq!((got.origin, got.flags.contains(&ForecastFlag::Gap)), (Minute(2029), true));
    assert!(width(got) > 3.0 * before);
}

#[test]
fn a_clock_set_back_or_far_ahead_stops_nothing() {
    let mut state = learned((0.0, 1e9), &minutes(0, vec![100.0; 3000]));
    for start in [100_000, 3_000, i64::MAX / 120] {
        state.warm(0, &minutes(start, [200.0; 60]));
        let got = signal(&mut state, start + 60);
        assert_eq!((got.origin, got.readiness), (Minute(start + 59), Readiness::Ready));
        assert!((got.points[0].point - 200.0).abs() < 20.0, "{:?}", got.points[0]);
    }
}

#[test]
fn the_first_fit_comes_within_an_hour_and_then_daily_one_at_a_time() {
    let mut noise = Noise::new(7);
    let mut state = learned((0.0, 1e9), &minutes(0, (0..2 * DAY - 1).map(|minute| surging(&mut noise, minute))));
    assert!(state.next_fit(at(2 * DAY)).is_none(), "two days of history are needed");
    state.warm(0, &minutes(2 * DAY - 1, [200.0]));
    let due =
        |state: &mut Forecaster, from: i64| (from..from + 2 * DAY).find(|minute| state.next_fit(at(*minute)).is_some());
    let first = due(&mut state.clone(), 2 * DAY).unwrap();
    assert!(first < 2 * DAY + 60, "{first}");
    let mut later = state.clone();
    assert_eq!(due(&mut later, 2 * DAY), Some(first));
    assert_eq!(due(&mut later, first + 1), Some(first + DAY));
}

#[test]
fn a_lost_fit_is_given_up_and_the_newest_result_wins() {
    let history = minutes(0, (0..2 * DAY).map(|minute| 100.0 + (minute % 60) as f64));
    let mut spec = service((0.0, 1e9));
    spec.signals.push(SignalSpec { name: SignalName::new("queue").unwrap(), role: None, ..spec.signals[0].clone() });
    let mut state = Forecaster::new(&spec, &ForecastParams::default());
    state.warm(0, &history);
    state.warm(1, &history);
    state.next_fit(at(2 * DAY));
    let [first, second] = [60, 70].map(|later| state.next_fit(at(2 * DAY + later)).map(|job| job.signal));
    assert_eq!((first, state.clone().next_fit(at(2 * DAY + 69)).is_none(), second), (Some(0), true, Some(1)));

    let result = |alpha, issued| FitResult {
        signal: 0,
        issued: Minute(issued),
        smoothing: params::Smoothing { alpha, ..params::Smoothing::default() },
        loss_before: 1.0,
        loss_after: 0.5,
    };
    state.install(result(0.5, 5000));
    state.install(result(0.1, 4000));
    assert!((state.signals[0].as_ref().unwrap().state.smoothing().alpha - 0.5).abs() < 1e-12);
}

#[test]
fn a_fit_goes_on_over_a_restart_and_into_what_history_teaches() {
    let spec = service((0.0, 1e9));
    let params = ForecastParams::default();
    let found = Smoothing { alpha: 0.5, ..Smoothing::default() };
    let fit = Fitted {
        service: spec.id.clone(),
        signal: spec.signals[0].name.clone(),
        issued: Minute(2 * DAY - 600),
        smoothing: found,
    };
    let mut state = Forecaster::new(&spec, &params);
    state.resume(&spec, std::slice::from_ref(&fit));
    let mut warmed = state.anew(&spec, &params);
    warmed.warm(0, &minutes(0, (0..2 * DAY).map(|minute| 100.0 + (minute % 60) as f64)));
    for state in [&state, &warmed] {
        assert_eq!(state.signals[0].as_ref().unwrap().state.smoothing(), found);
    }
    let due = |mut state: Forecaster| (2 * DAY..4 * DAY).find_map(|minute| state.next_fit(at(minute)));
    let next = due(warmed.clone()).unwrap();
    assert_eq!((next.issued, next.again, next.start), (fit.issued.plus(DAY), true, found));
    // A fit from a clock that was ahead gives way to the next one.
    let mut ahead = warmed.clone();
    ahead.resume(&spec, &[Fitted { issued: Minute(30 * DAY), ..fit.clone() }]);
    let job = (2 * DAY..4 * DAY).find_map(|minute| ahead.next_fit(at(minute))).unwrap();
    assert!(ahead.install(job.run()));
    // After a fit that is long past, the next one is due when a first one would be.
    let mut stale = state.anew(&spec, &params);
    stale.resume(&spec, &[Fitted { issued: Minute(-5 * DAY), ..fit }]);
    stale.warm(0, &minutes(0, (0..2 * DAY).map(|minute| 100.0 + (minute % 60) as f64)));
    assert!(due(stale).unwrap().issued < Minute(2 * DAY + 60));
}

#[test]
fn a_forecast_that_loses_authority_is_fitted_anew_the_same_day() {
    let mut state = learned((0.0, 1e9), &minutes(0, (0..2 * DAY).map(|minute| 100.0 + (minute % 60) as f64)));
    let due =
        |state: &mut Forecaster, from: i64| (from..from + 2 * DAY).find(|minute| state.next_fit(at(*minute)).is_some());
    let first = due(&mut state, 2 * DAY).unwrap();
    let install = |state: &mut Forecaster, issued: i64| {
        let smoothing = Smoothing::default();
        state.install(FitResult { signal: 0, issued: Minute(issued), smoothing, loss_before: 1.0, loss_after: 0.5 })
    };
    assert!(install(&mut state, first));
    let mut calm = state.clone();
    assert_eq!(due(&mut calm, first + 1), Some(first + DAY));
    // Trusted until now; the learned state has no authority yet.
    for (lost, again) in [(first + 1, first + FIT_APART), (first + 1000, first + 1000 + FIT_AFTER_DRIFT)] {
        let mut drifted = state.clone();
        assert!(drifted.next_fit(at(lost - 1)).is_none());
        drifted.signals[0].as_mut().unwrap().authority = Authority::MayAdd;
        assert_eq!(due(&mut drifted, lost), Some(again));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_comes_in_the_outlook_is_finite_ordered_and_within_limits(
        block in prop::collection::vec(prop::option::weighted(0.9, prop_oneof![
            0.0..1000.0, Just(0.0), Just(1e300), Just(f64::MAX), Just(f64::MIN_POSITIVE), -1e300..1e300,
        ]), 1..300),
        repeat in 1i64..3000,
        provisional in prop::option::of(prop_oneof![0.0..1000.0, Just(1e300)]),
        negative in any::<bool>(),
    ) {
        let range = (if negative { f64::MIN } else { 0.0 }, f64::MAX);
        let values = block.iter().copied().cycle().take(repeat as usize).map(|value| value.map(|value: f64| if negative { value } else { value.abs() }));
        let history: Vec<_> = (0..).zip(values).map(|(minute, value)| minute_value(minute, value)).collect();
        let mut state = learned(range, &history);
        let mut features = reading(1.0);
        features.signals[0].provisional = Some(minute_value(repeat, provisional));
        let outlook = call(&mut state, &service(range), repeat, &features).signals.remove(0).unwrap();
        let ready = outlook.readiness == Readiness::Ready;
        prop_assert_eq!(outlook.points.is_empty(), !ready);
        let most = block.iter().flatten().fold(0.0_f64, |most, value| most.max(value.abs().min(1e30)));
        let permitted = if negative { -2.001 * most..=2.001 * most } else { 0.0..=2.001 * most };
        let maxima = [outlook.max_10, outlook.max_30].into_iter().flatten();
        for row in outlook.points.iter().map(|point| point.quantiles).chain(maxima) {
            prop_assert!(row.iter().all(|value| permitted.contains(value)), "{:?} {:?}", row, permitted);
            prop_assert!(row.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", row);
        }
        for point in &outlook.points {
            prop_assert!(permitted.contains(&point.point), "{:?}", point);
        }
        prop_assert_eq!((outlook.parts.is_some(), outlook.parts_10.is_some()), (ready, ready));
        for (parts, minutes) in [(outlook.parts, 1.0), (outlook.parts_10, 10.0)] {
            let (Some(parts), Some(point)) = (parts, outlook.point_at(minutes)) else { continue };
            let scale = parts.named().iter().fold(1e-300, |scale: f64, (_, part)| scale.max(part.abs()));
            prop_assert!((parts.sum() - point).abs() <= 1e-9 * scale, "{:?} {:?}", parts, point);
        }
        prop_assert!(outlook.anomaly.is_none_or(|anomaly| (0.0..=1.0).contains(&anomaly)));
        prop_assert!(outlook.coverage.is_none_or(|coverage| (0.0..=1.0).contains(&coverage.realised)));
    }
}

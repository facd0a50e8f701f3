use super::*;
use crate::forecast::tests::Noise;

fn expected(point: f64) -> ExpectedAhead {
    within(point, 2.0)
}

/// The same point was forecast one minute before, and two, with intervals of this width on both sides.
fn within(point: f64, half_width: f64) -> ExpectedAhead {
    [Expected { point, low: point - half_width, high: point + half_width, seasonal: f64::NAN }; 2]
}

/// A detector after the given number of minutes of noise about 100, all forecast as 100.
fn learned(minutes: usize) -> Detector {
    let (mut detector, mut noise) = (Detector::new(60), Noise::new(1));
    for _ in 0..minutes {
        detector.learn(Some(100.0 + noise.normal()), &expected(100.0));
    }
    detector
}

/// Plays values and returns those that passed the threshold: when, and their kind.
fn passed(detector: &mut Detector, values: impl IntoIterator<Item = f64>) -> Vec<(usize, AnomalyKind)> {
    let told = |(minute, value): (usize, f64)| {
        detector.learn(Some(value), &expected(100.0));
        let newest = detector.newest().filter(|newest| newest.score >= THRESHOLD)?;
        Some((minute, newest.kind?))
    };
    values.into_iter().enumerate().filter_map(told).collect()
}

#[test]
fn a_larger_surprise_scores_higher_without_end() {
    assert_eq!(Detector::new(60).look(1.0, &expected(100.0)), None);
    let detector = learned(3000);
    let looked = [101.0, 106.0, 110.0, 150.0, 1e3, 1e6].map(|value| detector.look(value, &expected(100.0)).unwrap());
    let scores = looked.map(|anomaly| anomaly.score);
    assert_eq!(scores[0], 0.0);
    assert!(scores.windows(2).all(|pair| pair[0] < pair[1]), "{scores:?}");
    assert_eq!(looked.map(|anomaly| anomaly.alarm), [false, true, true, true, true, true], "{scores:?}");
    let below = detector.look(-1e300, &expected(100.0)).unwrap();
    assert!(below.score <= 1.0 && below.alarm);
}

#[test]
fn noise_of_a_week_raises_no_alarm_and_bursts_are_learned() {
    let mut noise = Noise::new(2);
    let mut detector = learned(3000);
    let told = passed(&mut detector, (0..10_080).map(|_| 100.0 + noise.normal()));
    assert!(told.len() <= 1, "{told:?}");
    // One minute in fifty is five times as far off: at first unprecedented, later normal.
    let burst = |minute: usize, noise: &mut Noise| if minute.is_multiple_of(50) { 5.0 } else { 1.0 } * noise.normal();
    let first = passed(&mut detector, (0..1440).map(|minute| 100.0 + burst(minute, &mut noise)));
    passed(&mut detector, (0..10_080).map(|minute| 100.0 + burst(minute, &mut noise)));
    let later = passed(&mut detector, (0..1440).map(|minute| 100.0 + burst(minute, &mut noise)));
    assert!(first.len() > 1 && later.len() <= 1, "{first:?} {later:?}");
}

#[test]
fn what_goes_on_is_told_once_and_a_shift_once_more() {
    let mut noise = Noise::new(3);
    let mut step = |by: f64| 100.0 + by + noise.normal();
    let told = passed(&mut learned(3000), (0..60).map(|_| step(30.0)));
    assert_eq!(told, [(0, AnomalyKind::Point), (5, AnomalyKind::LevelShift)]);
    let told = passed(&mut learned(3000), (0..60).map(|minute| step(if minute == 0 { 30.0 } else { 0.0 })));
    assert_eq!(told, [(0, AnomalyKind::Point)]);
    // A larger one is news, but not a second alarm.
    let mut detector = learned(3000);
    let alarms = [20.0, 0.0, 60.0, 0.0].map(|by| {
        detector.learn(Some(step(by)), &expected(100.0));
        detector.newest().unwrap().alarm
    });
    assert_eq!(alarms, [true, false, false, false]);
    let told = passed(&mut learned(3000), [step(20.0), step(0.0), step(60.0), step(0.0)]);
    assert_eq!(told, [(0, AnomalyKind::Point), (2, AnomalyKind::Point)]);
}

#[test]
fn a_value_that_stands_still_for_longer_than_ever_is_frozen() {
    // Reported once, and whenever it has doubled; not again because the last report has faded.
    let told = [30, 60, 120, 240, 480].map(|minute| (minute, AnomalyKind::Frozen));
    assert_eq!(passed(&mut learned(3000), [100.25; 900]), told);
    // A shift just before it does not hide it.
    let mut detector = learned(3000);
    assert_eq!(passed(&mut detector, [160.0; 31]).last(), Some(&(30, AnomalyKind::Frozen)));
    // A signal that is often unchanged for an hour.
    let mut noise = Noise::new(4);
    let mut detector = Detector::new(60);
    let steps = (0..200).flat_map(|_| [100.0 + noise.normal(); 60]).collect::<Vec<_>>();
    passed(&mut detector, steps);
    assert_eq!(passed(&mut detector, [100.5; 70]), []);
}

#[test]
fn a_wide_interval_excuses_what_lies_far_off() {
    let detector = learned(3000);
    let narrow = detector.look(108.0, &expected(100.0)).unwrap();
    let wide = detector.look(108.0, &within(100.0, 20.0)).unwrap();
    assert!(wide.score < narrow.score, "{wide:?} {narrow:?}");
}

#[test]
fn a_gap_says_nothing_and_a_signal_that_never_moves_keeps_a_scale() {
    let mut detector = learned(3000);
    detector.learn(Some(500.0), &expected(100.0));
    assert!(detector.newest().is_some());
    detector.learn(None, &expected(100.0));
    assert_eq!(detector.newest(), None);
    let mut flat = Detector::new(60);
    for _ in 0..100 {
        flat.learn(Some(100.0), &expected(100.0));
    }
    let narrow = |value: f64| flat.look(value, &within(100.0, 0.0)).unwrap();
    assert_eq!((narrow(100.0).score, narrow(100.0).kind), (0.0, None));
    assert!(!narrow(100.5).alarm && narrow(105.0).alarm, "{:?} {:?}", narrow(100.5), narrow(105.0));
}

#[test]
fn a_step_that_is_small_beside_the_outliers_is_told_with_its_second_value() {
    let mut noise = Noise::new(6);
    // One minute in thirty is up to ten times as far off, for a minute.
    let mut outliers = |minute: usize| 100.0 + if minute.is_multiple_of(30) { 6.0 } else { 1.0 } * noise.normal();
    let mut detector = learned(3000);
    passed(&mut detector, (0..10_080).map(&mut outliers));
    assert_eq!(passed(&mut detector.clone(), [108.0, 100.0, 92.0, 108.0]), []);
    assert_eq!(passed(&mut detector, [108.0, 108.0]), [(1, AnomalyKind::LevelShift)]);
    // A gap separates them.
    let mut detector = learned(3000);
    passed(&mut detector, (0..10_080).map(&mut outliers));
    detector.learn(Some(108.0), &expected(100.0));
    detector.learn(None, &expected(100.0));
    assert_eq!(passed(&mut detector, [108.0]), []);
}

#[test]
fn a_new_signal_of_ordinary_noise_raises_no_alarm() {
    let mut alarms = 0;
    for seed in 0..30 {
        let (mut detector, mut noise) = (Detector::new(60), Noise::new(100 + seed));
        for _ in 0..1440 {
            detector.learn(Some(100.0 + noise.normal()), &expected(100.0));
            alarms += usize::from(detector.newest().is_some_and(|newest| newest.alarm));
        }
    }
    assert!(alarms <= 3, "{alarms} of 30 signals");
}

#[test]
fn a_service_that_rests_each_weekend_is_not_frozen() {
    let (mut detector, mut noise) = (Detector::new(60), Noise::new(7));
    let mut told = Vec::new();
    for minute in 0..5 * 10_080 {
        let (day, of_day) = (minute / 1440 % 7, minute % 1440);
        let value = if day < 5 && (480..1080).contains(&of_day) { 100.0 + noise.normal() } else { 0.0 };
        detector.learn(Some(value), &expected(value));
        let frozen = detector.newest().filter(|newest| newest.kind == Some(AnomalyKind::Frozen) && newest.alarm);
        told.extend(frozen.map(|_| minute / 1440));
    }
    // What is known after the first weekend is not news.
    assert!(told.iter().all(|day| *day < 8), "{told:?}");
}

#[test]
fn a_freeze_does_not_teach_that_freezing_is_usual_and_a_rest_is_learned_whole() {
    let standstills = |value: fn(f64) -> f64| {
        let (mut detector, mut noise) = (learned(3000), Noise::new(8));
        (0..4)
            .map(|_| {
                passed(&mut detector, (0..1440).map(|_| 100.0 + noise.normal()));
                let stands = value(noise.normal());
                let told = passed(&mut detector, [stands; 90]);
                told.iter().any(|(_, kind)| *kind == AnomalyKind::Frozen)
            })
            .collect::<Vec<_>>()
    };
    // Each time at another value: the second one is reported as well, and the learned length grows by doublings.
    assert_eq!(standstills(|noise| 100.0 + noise), [true, true, false, false]);
    // A rest at one value is known after its second time.
    let rests = standstills(|_| 0.0);
    assert_eq!(rests[2..], [false, false], "{rests:?}");
}

#[test]
fn what_leans_to_one_side_for_long_is_told_though_no_value_stands_out() {
    for (by, kept) in [(1.8, true), (-1.8, true), (0.0, false)] {
        let mut told = Vec::new();
        for seed in 0..5 {
            let mut noise = Noise::new(20 + seed);
            told.extend(passed(&mut learned(5000), (0..60).map(|_| 100.0 + by + noise.normal())));
        }
        let shifts = told.iter().filter(|(_, kind)| *kind == AnomalyKind::LevelShift).count();
        assert_eq!(shifts >= 4, kept, "{by}: {told:?}");
    }
}

#[test]
fn a_surge_that_begins_a_minute_after_the_forecast_said_so_is_no_surprise_to_the_seasonal_difference() {
    let detector = learned(3000);
    let surge = |seasonal: f64| within(250.0, 20.0).map(|expected| Expected { seasonal, ..expected });
    let [unknown, foreseen] = [f64::NAN, 100.0].map(|seasonal| detector.look(100.5, &surge(seasonal)).unwrap());
    assert!(unknown.alarm && !foreseen.alarm, "{unknown:?} {foreseen:?}");
    // Values that neither predicted remain outliers, and so does one slightly nearer to the seasonal difference.
    assert!(detector.look(400.0, &surge(100.0)).unwrap().alarm);
    let near = expected(100.0).map(|expected| Expected { seasonal: 103.0, ..expected });
    assert_eq!(detector.look(110.0, &near), detector.look(110.0, &expected(100.0)));
}

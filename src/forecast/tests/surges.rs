//! Surges that recur, by their zone's clock, and announced ones.

use super::*;
use crate::forecast::zone::Zone;

#[test]
fn a_recurring_surge_is_bought_for_a_lead_time_before_it_and_kept_for_the_view_before_it() {
    let mut noise = Noise::new(1);
    let until = |end: i64| 5 * DAY + end;
    let history = minutes(0, (0..until(1081)).map(|minute| surging(&mut noise, minute)));
    let capacity = CapacitySpec { per_pod_rate: 50.0, utilisation: 0.8, start_time: Duration::from_secs(90) };
    let spec = ServiceSpec { capacity: Some(capacity), ..service((0.0, 1e9)) };
    // The surge comes at 18:00 and needs eight more pods; lead time (including a cooldown of 3 minutes) and view are 5.
    for (minute, bought, kept) in [(1060, false, false), (1072, false, false), (1076, true, true), (1079, true, true)] {
        let history = &history[..until(minute) as usize];
        let mut state = learned((0.0, 1e9), history);
        let features = reading(history.last().unwrap().value.unwrap().get());
        let outlook = call(&mut state, &spec, until(minute), &features);
        let (signal, capacity) = (outlook.signals[0].as_ref().unwrap(), outlook.capacity.unwrap());
        assert!(signal.authority >= Authority::MayAdd, "{:?} {:?}", signal.skill, signal.coverage);
        let more = capacity.needed_now.unwrap() + 5;
        assert_eq!(capacity.needed_ahead.unwrap() >= more, bought, "{minute}: {capacity:?}");
        assert_eq!(capacity.floor.unwrap() >= more, kept, "{minute}: {capacity:?}");
    }
}

#[test]
fn a_surge_follows_the_clocks_of_its_zone() {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let midnight = |day: &str| Minute::of(format!("2026-{day}T00:00Z").parse().unwrap()).0;
    // The surge starts at 18:00 local time; clocks go forward on 29 March and back on 25 October.
    for (first, last) in [("03-22", "03-29"), ("10-18", "10-25")] {
        let (mut noise, until) = (Noise::new(9), midnight(last) + 1076);
        let shown = |minute: i64| minute + berlin.ahead(Minute(minute), 60);
        let until = until - berlin.ahead(Minute(until), 60);
        let history: Vec<_> = (midnight(first)..until)
            .map(|minute| minute_value(minute, Some(surging(&mut noise, shown(minute)))))
            .collect();
        let foreseen = |zone: &Zone| {
            let params = ForecastParams { zone: zone.clone(), ..ForecastParams::default() };
            let mut state = Forecaster::new(&service((0.0, 1e9)), &params);
            state.warm(0, &history);
            let now = Now { wall: Minute(until).start(), mono: Duration::ZERO };
            let outlook = forecast(&mut state, &service((0.0, 1e9)), &params, &reading(200.0), now);
            outlook.signals[0].as_ref().unwrap().point_at(10.0).unwrap()
        };
        let (followed, missed) = (foreseen(&berlin), foreseen(&Zone::UTC));
        assert!(followed > 350.0 && missed < 300.0, "{first}: {followed} with the clocks, {missed} without");
    }
}

#[test]
fn a_known_event_is_foreseen_and_nothing_is_learned_of_it() {
    let (begin, end) = (6 * DAY + 600, 6 * DAY + 700);
    let mut noise = Noise::new(12);
    let plain: Vec<_> = (0..7 * DAY).map(|minute| surging(&mut noise, minute)).collect();
    // A power of two, so that dividing by it reverses the multiplication exactly.
    let factor = |minute: i64| if (begin..end).contains(&minute) { 4.0 } else { 1.0 };
    let shape = events::Shape::Factor(4.0);
    let [from, to] = [begin, end].map(|minute| Minute(minute).start());
    let event = events::Event { name: "sale".into(), from, to, shape, services: Vec::new() };
    let with = ForecastParams { events: vec![event], ..ForecastParams::default() };
    let ran = |params: &ForecastParams, until: i64, value: &dyn Fn(i64) -> f64| {
        let mut state = Forecaster::new(&service((0.0, 1e9)), params);
        state.warm(0, &minutes(0, (0..until).map(value)));
        let now = Now { wall: Minute(until).start(), mono: Duration::ZERO };
        let outlook = forecast(&mut state, &service((0.0, 1e9)), params, &reading(200.0), now);
        outlook.signals[0].clone().unwrap()
    };
    let plain = |minute: i64| plain[minute as usize];
    for until in [begin - 10, begin + 50, end - 5, end + 60] {
        let ordinary = ran(&ForecastParams::default(), until, &plain);
        let known = ran(&with, until, &|minute| factor(minute) * plain(minute));
        for (one, other) in known.points.iter().zip(&ordinary.points) {
            let expected = factor(until - 1 + i64::from(one.minutes));
            assert!(
                (one.point - expected * other.point).abs() < 1e-9,
                "{until}: {one:?} and not {expected} times {other:?}"
            );
            assert!((one.quantiles[8] - expected * other.quantiles[8]).abs() < 1e-9);
        }
        let highest = (until..until + 30).map(factor).fold(0.0, f64::max);
        let [one, other] = [&known, &ordinary].map(|outlook| outlook.max_30.unwrap()[8]);
        assert!((one - highest * other).abs() < 1e-9, "{until}: {one} and not {highest} times {other}");
        assert_eq!((known.skill, known.coverage, known.anomaly), (ordinary.skill, ordinary.coverage, ordinary.anomaly));
        for (parts, minutes) in [(known.parts, 1.0), (known.parts_10, 10.0)] {
            assert!((parts.unwrap().sum() - known.point_at(minutes).unwrap()).abs() < 1e-6);
        }
        assert_eq!(known.flags.contains(&ForecastFlag::Event), highest > 1.0);
    }
}

#[test]
fn a_short_surge_each_day_is_foreseen_where_nothing_else_moves() {
    // Five minutes of a day, four days: few outcomes, but all there is to forecast.
    let capacity = CapacitySpec { per_pod_rate: 10.0, utilisation: 1.0, start_time: Duration::from_secs(10) };
    let spec = ServiceSpec { capacity: Some(capacity), ..service((0.0, 1e9)) };
    for (name, noise) in [("still", 0.0), ("noisy", 0.5)] {
        let mut random = Noise::new(3);
        let begin = 4 * DAY + 600;
        let value = |minute: i64| if (minute - begin).rem_euclid(DAY) < 5 { 48.0 } else { 12.0 };
        let values = (0..begin - 1).map(|minute| value(minute) + noise * random.normal());
        let mut state = learned((0.0, 1e9), &minutes(0, values));
        let outlook = call(&mut state, &spec, begin - 1, &reading(12.0));
        let (signal, capacity) = (outlook.signals[0].as_ref().unwrap(), outlook.capacity.unwrap());
        assert!(signal.authority >= Authority::MayAdd, "{name}: {:?}", signal.scores);
        assert!(capacity.needed_ahead >= Some(5), "{name}: {capacity:?}");
    }
}

#[test]
fn what_recurs_earns_the_right_to_add() {
    type Shape = fn(i64) -> f64;
    let shapes: [(&str, Shape); 6] = [
        ("a surge of two minutes a day", |minute| if minute % DAY < 2 { 60.0 } else { 12.0 }),
        ("one of an hour", |minute| if minute % DAY < 60 { 60.0 } else { 12.0 }),
        ("a job of three minutes each hour", |minute| if minute % 60 < 3 { 30.0 } else { 12.0 }),
        ("two surges of unlike height", |minute| match minute % DAY {
            600..615 => 80.0,
            1200..1230 => 40.0,
            _ => 20.0,
        }),
        ("a surge from nothing", |minute| if (700..720).contains(&(minute % DAY)) { 50.0 } else { 0.0 }),
        ("a wave", |minute| 100.0 + 60.0 * (std::f64::consts::TAU * (minute % DAY) as f64 / DAY as f64).sin()),
    ];
    for (name, shape) in shapes {
        for spread in [0.0, 0.02, 0.1] {
            let mut random = Noise::new(17);
            let values = (0..5 * DAY).map(|minute| shape(minute) * (1.0 + spread * random.normal()));
            let mut state = learned((0.0, 1e9), &minutes(0, values));
            let got = signal(&mut state, 5 * DAY);
            assert!(got.authority >= Authority::MayAdd, "{name} {spread}: {:?} {:?}", got.skill, got.coverage);
        }
    }
}

/// The rules of authority need values and maxima; an infrequently scraped signal has fewer of them, not none.
#[test]
fn what_is_scraped_every_few_minutes_earns_its_authority_as_well() {
    for every in [2_i64, 5] {
        let mut random = Noise::new(29);
        let mut spec = service((0.0, 1e9));
        spec.signals[0].scrape_interval = Duration::from_mins(every.unsigned_abs());
        let value = |minute: i64, random: &mut Noise| surging(random, minute);
        let history: Vec<_> = (0..10 * DAY)
            .map(|minute| minute_value(minute, (minute % every == 0).then(|| value(minute, &mut random))))
            .collect();
        let mut state = Forecaster::new(&spec, &ForecastParams::default());
        state.warm(0, &history);
        let outlook = call(&mut state, &spec, 10 * DAY, &reading(1.0));
        let got = outlook.signals[0].as_ref().unwrap();
        assert!(got.authority >= Authority::MayAdd, "every {every} minutes: {:?} {:?}", got.skill, got.coverage);
    }
}

/// A server repeats the last value in each minute of a backfilled history.
#[test]
fn a_past_with_more_values_than_scrapes_is_no_longer_for_that() {
    let mut spec = service((0.0, 1e9));
    spec.signals[0].scrape_interval = Duration::from_mins(5);
    for (days, cold) in [(1, true), (3, false)] {
        let mut random = Noise::new(3);
        let mut state = Forecaster::new(&spec, &ForecastParams::default());
        state.warm(0, &minutes(0, (0..days * DAY).map(|minute| surging(&mut random, minute))));
        let outlook = call(&mut state, &spec, days * DAY, &reading(1.0));
        let flags = &outlook.signals[0].as_ref().unwrap().flags;
        assert_eq!(flags.contains(&ForecastFlag::Cold), cold, "{days}: {flags:?}");
    }
}

/// A surge that starts some minutes earlier or later each day was once multiplied with the previous day's, up to nine
/// times the highest value seen. Nothing better is known of the first surge of its kind.
#[test]
fn a_surge_that_comes_at_another_time_each_day_is_no_new_level() {
    for seed in 0..4 {
        let mut random = Noise::new(seed);
        let mut highest: f64 = 0.0;
        let mut state = learned((0.0, 1e9), &[]);
        for day in 0..8 {
            let begin = 700 + (20.0 * random.normal()) as i64;
            for minute in day * DAY..(day + 1) * DAY {
                let surge = if (begin..begin + 20).contains(&(minute % DAY)) { 5.0 } else { 1.0 };
                let value = 100.0 * surge * (1.0 + 0.03 * random.normal());
                state.warm(0, &minutes(minute, [value]));
                highest = highest.max(value);
                if day > 0 && minute % DAY > 600 && minute % DAY < 800 {
                    let maximum = signal(&mut state, minute + 1).maximum_at(0.95, 30.0).unwrap();
                    assert!(maximum < 2.001 * highest, "{seed}: {maximum} in minute {minute}, {highest} was seen");
                }
            }
        }
    }
}

#[test]
fn the_surge_of_a_week_ago_is_foreseen_however_high_it_was() {
    let mut random = Noise::new(2);
    let value = |minute: i64| if (600..660).contains(&minute) { 600.0 } else { 100.0 };
    let mut values = (0..21 * DAY + 595).map(|minute| value(minute % (7 * DAY)) * (1.0 + 0.02 * random.normal()));
    let mut state = learned((0.0, 1e9), &minutes(0, values.by_ref()));
    let foreseen = signal(&mut state, 21 * DAY + 595).maximum_at(0.95, 30.0).unwrap();
    assert!(foreseen > 500.0, "{foreseen}");
}

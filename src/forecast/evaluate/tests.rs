//! The evaluation as a whole: its results for series of known nature.

use super::*;
use crate::forecast::tests::Noise;
use crate::model::outlook::HORIZONS;

/// The given number of days of half hours with a daily wave of `height` and noise.
fn waves(days: usize, height: f64, seed: u64) -> Series {
    let mut noise = Noise::new(seed);
    let value = |step: usize| {
        let phase = (step % 48) as f64 / 48.0 * std::f64::consts::TAU;
        Some(100.0 + height * phase.sin() + 2.0 * noise.normal())
    };
    Series {
        first: Minute(960_000),
        values: (0..days * 48).map(value).collect(),
        season: 48,
        step_seconds: 1800,
        zone: Zone::UTC,
        range: (0.0, 1e9),
    }
}

fn said(series: &Series) -> Vec<Option<Forecast>> {
    let mut online = Online::new(series).unwrap();
    let step = |(index, value): (usize, &Option<f64>)| {
        let step = series.step(index);
        let said = online.step(step, *value).and_then(|outlook| Forecast::of(outlook, &HORIZONS));
        online.fit(step);
        said
    };
    series.values.iter().enumerate().map(step).collect()
}

#[test]
fn a_season_is_foreseen_and_noise_is_not_and_both_are_said() {
    let seasonal = waves(90, 40.0, 1);
    let report = report(&seasonal, &said(&seasonal), &HORIZONS).unwrap();
    assert!(report.skill_persistence > Some(0.5) && report.skill_best_simple > Some(0.1), "{report:?}");
    // Noise on a wave: what Holt-Winters is made for.
    assert!(report.skill_holt_winters.is_some_and(|skill| skill.abs() < 0.2), "{report:?}");
    assert!((report.coverage - 0.95).abs() < 0.03, "{report:?}");
    assert!(report.max10_exceedance.is_some_and(|share| share < 0.1) && report.msis_vs_simple < 1.0, "{report:?}");
    assert_eq!(report.horizons.len(), HORIZONS.len());
    let noise = waves(90, 0.0, 2);
    let report = super::report(&noise, &said(&noise), &HORIZONS).unwrap();
    // For pure noise the mean is the best forecast: better than the newest value by sqrt(2), and no more.
    assert!(report.skill_persistence.is_some_and(|skill| (0.2..0.35).contains(&skill)), "{report:?}");
}

#[test]
fn a_series_that_turns_out_to_be_negative_is_foreseen_as_one_from_there_on() {
    let mut series = waves(90, 40.0, 8);
    series.values.iter_mut().flatten().for_each(|value| *value -= 100.0);
    let report = report(&series, &said(&series), &HORIZONS).unwrap();
    assert!((report.coverage - 0.95).abs() < 0.03 && report.msis_vs_simple < 1.0, "{report:?}");
    let declared = Series { range: (f64::MIN, 1e9), ..series.clone() };
    let first = series.values.iter().position(|value| value.is_some_and(|value| value < 0.0)).unwrap();
    assert_eq!(said(&series)[first..], said(&declared)[first..], "as if that had been known");
}

#[test]
fn between_the_horizons_of_the_loop_all_is_interpolated_and_beyond_them_nothing_is_said() {
    let series = waves(2, 10.0, 5);
    let mut online = Online::new(&series).unwrap();
    let outlooks = (0..60).map(|index| online.step(series.step(index), series.values[index]).cloned());
    let outlook = outlooks.last().unwrap().unwrap();
    let said = |horizons: &[u16]| Forecast::of(&outlook, horizons).map(|said| said.points);
    let [five, seven, ten] = said(&[5, 7, 10]).unwrap()[..] else { panic!() };
    assert!((seven[0] - (five[0] + 0.4 * (ten[0] - five[0]))).abs() < 1e-3);
    assert_eq!(said(&[31]), None);
}

#[test]
fn what_is_forecast_up_to_a_step_does_not_change_when_the_series_ends_there() {
    let mut whole = waves(70, 30.0, 3);
    whole.values.iter_mut().skip(500).step_by(97).for_each(|value| *value = None);
    whole.values[2000] = Some(-5.0);
    let all = said(&whole);
    for end in [1, 49, 1000, 2000, 2001, 3100] {
        let cut = Series { values: whole.values[..end].to_vec(), ..whole.clone() };
        assert_eq!(said(&cut), all[..end], "{end}");
    }
}

#[test]
fn a_simple_rule_knows_nothing_behind_its_origin_however_short_the_season() {
    let whole = Series { season: 24, step_seconds: 3600, ..waves(10, 30.0, 9) };
    for origin in [100, 200, 300] {
        let cut = Series { values: whole.values[..=origin].to_vec(), ..whole.clone() };
        for rule in simple::SIMPLE {
            for ahead in [1, 24, 25, 30] {
                let point = |series: &Series| rule.point(series, origin, ahead, 7.0);
                assert_eq!(point(&whole), point(&cut), "{rule:?} {origin} {ahead}");
            }
        }
    }
    let naive = simple::Simple::Seasonal { seasons: 1 };
    assert_eq!(Some(naive.point(&whole, 200, 30, 7.0)), whole.values[200 + 30 - 48]);
}

#[test]
fn what_is_said_of_a_row_does_not_change_when_the_series_ends_there() {
    let mut whole = waves(40, 30.0, 6);
    whole.values.iter_mut().skip(500).step_by(97).for_each(|value| *value = None);
    whole.values.iter_mut().skip(1200).take(8).for_each(|value| *value = Some(400.0));
    let rows = |series: &Series| series.values.iter().copied().enumerate().collect::<Vec<_>>();
    let all = judge(&whole, rows(&whole)).unwrap();
    assert!(all.iter().flatten().any(|judged| judged.alarm), "the outliers raise an alarm");
    for end in [1, 49, 1000, 1203, 1900] {
        let cut = Series { values: whole.values[..end].to_vec(), ..whole.clone() };
        assert_eq!(judge(&cut, rows(&cut)).unwrap(), all[..end], "{end}");
    }
}

#[test]
fn late_and_doubled_rows_say_nothing_and_change_nothing() {
    let series = waves(20, 30.0, 7);
    let rows: Vec<(usize, Option<f64>)> =
        series.values.iter().copied().enumerate().filter(|(row, _)| row % 50 != 7).collect();
    let mut disturbed = rows.clone();
    disturbed.insert(700, (rows[699].0, Some(1e6)));
    disturbed.insert(800, (10, Some(1e6)));
    let mut got = judge(&series, disturbed).unwrap();
    assert_eq!((got.remove(800), got.remove(700)), (None, None));
    assert_eq!(got, judge(&series, rows).unwrap());
}

#[test]
fn a_series_that_says_nothing_has_no_scores() {
    let flat = Series { values: vec![Some(1.0); 500], ..waves(1, 0.0, 4) };
    assert_eq!(report(&flat, &said(&flat), &HORIZONS), None);
    let empty = Series { values: vec![None; 500], ..flat };
    assert_eq!(report(&empty, &said(&empty), &HORIZONS), None);
}

#[test]
fn no_rule_reads_what_its_origin_has_not_seen() {
    // A season, and even a week of seasons, shorter than the longest horizon.
    for season in [2, 4, 24] {
        let mut noise = Noise::new(9);
        let values = (0..400).map(|_| Some(100.0 + noise.normal())).collect();
        let whole = Series { season, values, step_seconds: 3600, ..waves(0, 0.0, 1) };
        let origin = 300;
        let mut cut = whole.clone();
        cut.values.truncate(origin + 1);
        for rule in simple::SIMPLE {
            for ahead in HORIZONS.map(usize::from) {
                let [known, told] = [&cut, &whole].map(|series| rule.point(series, origin, ahead, -1.0));
                assert_eq!(known, told, "{rule:?}, season {season}, {ahead} ahead");
                assert!(rule == simple::Simple::Persistence || told > 0.0, "{rule:?} tells what was seasons ago");
            }
        }
    }
}

#[test]
fn a_season_shorter_than_the_horizon_is_foreseen_as_far_as_that() {
    // Half days of a week with two quiet days.
    let mut noise = Noise::new(10);
    let value = |step: usize| {
        let quiet = if (step / 2) % 7 >= 5 { 0.4 } else { 1.0 };
        Some(quiet * if step.is_multiple_of(2) { 160.0 } else { 40.0 } + noise.normal())
    };
    let values = (0..600).map(value).collect();
    let series = Series { season: 2, values, step_seconds: 43_200, ..waves(0, 0.0, 1) };
    let report = report(&series, &said(&series), &HORIZONS).unwrap();
    assert!(report.skill_seasonal_naive > Some(0.5), "{report:?}");
}

#[test]
fn a_season_of_more_steps_than_a_day_has_minutes_is_learned() {
    let steps = 1700;
    let mut noise = Noise::new(11);
    let value = |step: usize| {
        let surge = if (step % steps) / 100 == 9 { 80.0 } else { 0.0 };
        Some(100.0 + surge + noise.normal())
    };
    let values = (0..5 * steps).map(value).collect();
    let series = Series { season: steps as u32, values, step_seconds: 50, ..waves(0, 0.0, 1) };
    let report = report(&series, &said(&series), &HORIZONS).unwrap();
    assert!(report.skill_best_simple > Some(0.05), "{report:?}");
}

#[test]
fn against_a_rule_that_is_never_wrong_no_skill_is_told() {
    let values = (0..400).map(|step| Some(if step < 90 { f64::from(step % 7) } else { 50.0 })).collect();
    let series = Series { values, season: 10, ..waves(0, 0.0, 1) };
    let report = report(&series, &said(&series), &HORIZONS).unwrap();
    assert!(report.mase > 0.0 && report.skill_persistence.is_none(), "{report:?}");
    let short = Series { values: waves(1, 10.0, 1).values[..44].to_vec(), season: 10, ..series };
    let report = super::report(&short, &said(&short), &[1]).unwrap();
    assert_eq!(report.max30_exceedance, None, "there is no window of 30 steps behind the warm-up");
}

/// Days that differ only by rounding leave nothing to divide by.
#[test]
fn a_series_that_repeats_itself_is_scored_against_its_changes() {
    let value = |step: usize| Some(100.0 + 40.0 * (step as f64 / 48.0 * std::f64::consts::TAU).sin());
    let series = Series { values: (0..20 * 48).map(value).collect(), ..waves(1, 0.0, 1) };
    let report = report(&series, &said(&series), &HORIZONS).unwrap();
    assert!(report.mase < 1.0, "{report:?}");
}

#[test]
fn rare_counts_that_meet_are_no_alarm_each_time() {
    let mut noise = Noise::new(31);
    // One minute in twenty counts one, one in eight hundred counts two.
    let mut count = || -> f64 {
        let normal = noise.normal();
        [1.645, 3.0, 4.1].map(|beyond| if normal > beyond { 1.0 } else { 0.0 }).iter().sum()
    };
    let values: Vec<_> = (0..28 * 1440).map(|_| Some(count())).collect();
    let series = Series {
        first: Minute(0),
        values: Vec::new(),
        season: 1440,
        step_seconds: 60,
        zone: Zone::UTC,
        range: (0.0, f64::MAX),
    };
    let judged = judge(&series, values.into_iter().enumerate()).unwrap();
    let alarms = judged.into_iter().flatten().filter(|judged| judged.alarm).count();
    // An exponential tail above the quantile, which hugs the ones, alarms thirty times.
    assert!(alarms <= 4, "{alarms} in four weeks");
}

//! Kinds of signals that would otherwise make the loop overconfident: few events, rest at zero, temporary levels.

use super::*;
use crate::forecast::evaluate::{Forecast, Online, Report, Series, report};
use crate::forecast::zone::Zone;
use crate::model::outlook::HORIZONS;

const WEEK: i64 = 7 * DAY;

fn series(step_seconds: u32, values: impl Iterator<Item = f64>) -> Series {
    let values = values.map(Some).collect();
    let season = 86_400 / step_seconds;
    // The first minute is the first one of a Thursday.
    Series { first: Minute(0), values, season, step_seconds, zone: Zone::UTC, range: (0.0, 1e9) }
}

/// Returns the forecast from each step.
fn said(series: &Series) -> Vec<Option<Forecast>> {
    let mut online = Online::new(series).unwrap();
    let mut said = |(index, value): (usize, &Option<f64>)| {
        let said = online.step(series.step(index), *value).and_then(|outlook| Forecast::of(outlook, &HORIZONS));
        online.fit(series.step(index));
        said
    };
    series.values.iter().enumerate().map(&mut said).collect()
}

fn scored(series: &Series) -> Report {
    report(series, &said(series), &HORIZONS).unwrap()
}

/// A random number of events, given the expected one.
fn poisson(noise: &mut Noise, expected: f64) -> f64 {
    if expected > 50.0 {
        return (expected + expected.sqrt() * noise.normal()).round().max(0.0);
    }
    let (mut events, mut left) = (0.0, noise.uniform());
    let least = (-expected).exp();
    while left > least {
        left *= noise.uniform();
        events += 1.0;
    }
    events
}

#[test]
fn intervals_hold_rare_events_too() {
    for (seed, expected) in [(41, 0.07), (42, 0.09)] {
        let mut noise = Noise::new(seed);
        let got = scored(&series(60, (0..14 * DAY).map(|_| poisson(&mut noise, expected))));
        assert!(got.coverage > 0.945, "{expected}: {}", got.coverage);
    }
}

/// Open from 8 to 18, and zero before and after.
fn office(noise: &mut Noise, minute: i64) -> f64 {
    if (480..1080).contains(&(minute % DAY)) { poisson(noise, 200.0) } else { 0.0 }
}

#[test]
fn hours_of_rest_make_no_opening_certain() {
    let mut noise = Noise::new(43);
    let series = series(60, (0..21 * DAY).map(|minute| office(&mut noise, minute)));
    let said = said(&series);
    let of_day =
        |from: i64, to: i64| (14 * DAY..21 * DAY - 31).filter(move |origin| (from..to).contains(&(origin % DAY)));
    let value = |minute: i64| series.values[minute as usize].unwrap();
    // Each horizon from 8 to 9, and the width in the afternoon, when the noise is known.
    let (mut missed, mut count) = (0.0, 0.0);
    let each = of_day(450, 540).flat_map(|origin| (0..).zip(HORIZONS).map(move |(at, ahead)| (origin, at, ahead)));
    for (origin, at, ahead) in each {
        let [_, low, high] = said[origin as usize].as_ref().unwrap().points[at as usize].map(f64::from);
        let due = origin + i64::from(ahead);
        if (480..540).contains(&(due % DAY)) {
            missed += f64::from(u8::from(value(due) < low || value(due) > high));
            count += 1.0;
        }
    }
    let missed = missed / count;
    let widths: Vec<f64> = of_day(900, 960)
        .map(|origin| {
            let [_, low, high] = said[origin as usize].as_ref().unwrap().points[4].map(f64::from);
            high - low
        })
        .collect();
    let width = widths.iter().sum::<f64>() / widths.len() as f64 / (2.0 * 1.96 * 200.0_f64.sqrt());
    let (mut passed, mut windows) = (0.0, 0.0);
    for origin in of_day(460, 540) {
        let highest = (1..=30).map(|ahead| value(origin + ahead)).fold(0.0, f64::max);
        passed += f64::from(u8::from(highest > f64::from(said[origin as usize].as_ref().unwrap().maxima[1])));
        windows += 1.0;
    }
    let passed = passed / windows;
    assert!(missed < 0.1 && passed < 0.15, "{missed} of the values and {passed} of the maxima of the first hour");
    assert!((0.8..1.5).contains(&width), "the interval at 15 h is {width} times as wide as the noise");
}

#[test]
fn a_step_of_a_signal_that_mostly_rests_is_no_rest() {
    // A disk that fills by a thousandth now and then.
    let (mut noise, mut used) = (Noise::new(48), 40.0);
    let filling = (0..16 * DAY).map(|_| {
        used += if noise.uniform() < 0.01 { 0.1 } else { 0.0 };
        used
    });
    for horizon in scored(&series(60, filling)).horizons {
        assert!(horizon.coverage > 0.92, "{}: {}", horizon.horizon, horizon.coverage);
    }
}

#[test]
fn a_level_that_comes_and_goes_is_trusted_for_what_was_said_of_it() {
    // A memory that fills and is emptied, at no particular time of day.
    let mut noise = Noise::new(44);
    let filled = (0..24 * DAY).map(|minute| 50.0 + (minute % 700) as f64 * 0.05 + 0.5 * noise.normal());
    let series = series(60, filled);
    let said = said(&series);
    let keep = 0.5_f64.powf(1.0 / ForecastParams::default().loss_half_life_minutes);
    let mut online = Online::new(&series).unwrap();
    let (mut own, mut flat) = (0.0, 0.0);
    for (index, value) in series.values.iter().enumerate() {
        let actual = value.unwrap();
        (own, flat) = (own * keep, flat * keep);
        for (at, ahead) in HORIZONS.iter().enumerate().filter(|(_, ahead)| index >= usize::from(**ahead)) {
            let origin = index - usize::from(*ahead);
            let Some(said) = &said[origin] else { continue };
            own += (f64::from(said.points[at][0]) - actual).abs();
            flat += (series.values[origin].unwrap() - actual).abs();
        }
        let believed = online.step(series.step(index), *value).and_then(|outlook| outlook.skill);
        online.fit(series.step(index));
        if let (Some(believed), true) = (believed, index >= 14 * DAY as usize && index % 97 == 0) {
            let saved = 1.0 - own / flat;
            assert!(believed.vs_persistence < saved + 0.15, "{index}: {believed:?}, and it is {saved}");
        }
    }
}

#[test]
fn an_evening_is_no_end_of_a_level() {
    // Working days from 8 to 18, in steps of five minutes; all is multiplied from a Monday at 10 on.
    let begin = (25 * DAY + 600) / 5;
    let mut ratios = [45, 46, 47].map(|seed| {
        let (mut noise, factor) = (Noise::new(seed), 2.0);
        let mut value = |step: i64| {
            let (minute, working) = (step * 5 % DAY, !matches!(step * 5 % WEEK / DAY, 2 | 3));
            let busy = if (480..1080).contains(&minute) && working { 400.0 } else { 20.0 };
            busy * (1.0 + 0.03 * noise.normal())
        };
        let values: Vec<f64> = (0..begin + 288).map(&mut value).collect();
        let run = |from: i64| {
            let seen = (0..).zip(&values).map(|(step, value)| if step >= from { factor * value } else { *value });
            said(&series(300, seen))
        };
        let (shifted, always) = (run(begin), run(0));
        let error = |said: &[Option<Forecast>]| {
            let evening = begin as usize + 6 * 12..begin as usize + 22 * 12;
            let each =
                evening.flat_map(|origin| HORIZONS.iter().enumerate().map(move |(at, ahead)| (origin, at, ahead)));
            let off = |(origin, at, ahead): (usize, usize, &u16)| {
                let said = said[origin].as_ref().unwrap().points[at][0];
                (f64::from(said) - factor * values[origin + usize::from(*ahead)]).abs()
            };
            each.filter(|(origin, _, ahead)| origin + usize::from(**ahead) < values.len()).map(off).sum::<f64>()
        };
        error(&shifted) / error(&always)
    });
    ratios.sort_by(f64::total_cmp);
    assert!(ratios[1] < 1.4, "{ratios:?} times the error of one who never knew another level");
}

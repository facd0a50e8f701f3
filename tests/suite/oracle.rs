//! Forecasts against reference numbers, made and documented by `scripts/oracle/`.

use flyball::forecast::history::History;
use flyball::forecast::models::holt_winters::HoltWinters;
use flyball::forecast::models::season::Season;
use flyball::forecast::models::{Model, Origin, Past};
use flyball::forecast::params::Smoothing;
use flyball::forecast::week::Week;
use flyball::forecast::zone::Zone;
use flyball::model::Minute;
use serde::Deserialize;

#[derive(Deserialize)]
struct Document {
    holt_winters: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    smoothing: Smoothing,
    level: f64,
    trend: f64,
    season: Vec<f64>,
    values: Vec<f64>,
    /// Step, and the forecast for it made one step before.
    one_step: Vec<(usize, f64)>,
    /// The forecast after the last value, at each horizon.
    path: Vec<f64>,
}

/// The season's cells and the path have reduced precision; nothing else has.
fn close(got: f64, expected: f64) -> bool {
    (got - expected).abs() <= 1e-6 * expected.abs().max(1.0)
}

#[test]
fn the_classical_recursion_is_that_of_statsmodels() {
    let document: Document = serde_json::from_str(include_str!("oracle/holt_winters.json")).unwrap();
    assert!(document.holt_winters.len() >= 5);
    let (history, week) = (History::new(2), Week::new(1440));
    for case in document.holt_winters {
        let mut season = Season::classical(case.season.iter().copied());
        let mut model = HoltWinters::classical(case.smoothing, case.level, case.trend);
        let ahead = |model: &HoltWinters, season: &Season, minute| {
            let past = Past { history: &history, season, week: &week, height: None };
            let clock = Zone::UTC.clock(Minute(minute), 60, season.steps() as u32);
            let minute = Minute(minute);
            model.ahead(&Origin { minute, clock, provisional: None, gap: 0, past }).unwrap()
        };
        let mut one_step = Vec::new();
        for (step, value) in (0_i64..).zip(&case.values) {
            one_step.push(ahead(&model, &season, step - 1)[0]);
            model.observe(
                Minute(step),
                Some(*value),
                Past { history: &history, season: &season, week: &week, height: None },
            );
            model.season_update().and_then(|update| season.learn(update, Minute(step), Minute(step), &history));
        }
        for (step, expected) in &case.one_step {
            assert!(
                close(one_step[*step].into(), *expected),
                "{} at {step}: {} not {expected}",
                case.name,
                one_step[*step]
            );
        }
        let path = ahead(&model, &season, case.values.len() as i64 - 1);
        for (got, expected) in path.iter().zip(&case.path) {
            assert!(close(f64::from(*got), *expected), "{}: {path:?} not {:?}", case.name, case.path);
        }
    }
}

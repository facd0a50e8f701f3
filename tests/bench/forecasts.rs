//! The quality of forecasts, over series of many days; and whether noise ever earns a forecast authority.
//!
//! The series are evaluated by `flyball forecast evaluate`, as users can do with their own.

use std::collections::BTreeMap;
use std::f64::consts::{PI, TAU};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use cpu_time::ThreadTime;
use flyball::forecast::Forecaster;
use flyball::forecast::evaluate::{Online, Series};
use flyball::forecast::params::ForecastParams;
use flyball::forecast::zone::Zone;
use flyball::model::{Authority, Finite, Minute, MinuteValue, Now};
use flyball::sim::noise::Noise;
use flyball::sim::workload::{Begins, Burst, Load, Workload};
use serde_json::Value;

use crate::process::{binary, scratch};
use crate::robustness::share;
use crate::series::{START, named, own};
use crate::{Figures, forecast};

/// The figures.
pub const IDS: &[&str] = &[
    "mase_vs_best_simple",
    "series_lost",
    "msis_vs_simple",
    "coverage95_error_series",
    "coverage95_error_horizon",
    "daily_coverage_p10",
    "max10_exceedance_error",
    "max30_exceedance_error",
    "false_authority",
    "cold_fit_ms",
    "warm_refit_ms",
];

/// Series without structure, and minutes of each.
const UNFORESEEABLE: u64 = 200;
const NOISE_MINUTES: i64 = 5 * 1440;

/// Evaluates the series, then the noise.
pub fn run() -> anyhow::Result<Figures> {
    let scratch = scratch()?;
    let series = match named("FLYBALL_SERIES") {
        Some(directory) => directory,
        None => own(scratch.path())?,
    };
    let evaluated = Command::new(binary()?)
        .args(["forecast", "evaluate", "--output", "json", "--input"])
        .arg(&series)
        .output()
        .context("flyball forecast evaluate")?;
    // Skipped files are listed in the report.
    let is_scored = matches!(evaluated.status.code(), Some(0 | 1));
    ensure!(is_scored, "{}", String::from_utf8_lossy(&evaluated.stderr));
    let report: Value = serde_json::from_slice(&evaluated.stdout)?;
    tell(&report);
    let mut figures = of(&report)?;
    figures.push(("false_authority", unforeseeable()? as f64));
    let (cold, warm) = fits()?;
    figures.extend([("cold_fit_ms", cold), ("warm_refit_ms", warm)]);
    Ok(figures)
}

/// Prints the series one by one, losses first, compared with the simplest rules.
fn tell(report: &Value) {
    let mut series: Vec<&Value> = report["series"].as_array().into_iter().flatten().collect();
    let skill = |one: &Value| one["skill_best_simple"].as_f64().unwrap_or(f64::NAN);
    series.sort_by(|one, other| skill(one).total_cmp(&skill(other)));
    for one in series {
        let number = |key: &str| one[key].as_f64().unwrap_or(f64::NAN);
        eprintln!(
            "score:   {:<28} error {:.3} of the best simple rule's, {:.3} of persistence's, {:.3} of seasonal naive's",
            one["series"].as_str().unwrap_or_default(),
            1.0 - number("skill_best_simple"),
            1.0 - number("skill_persistence"),
            1.0 - number("skill_seasonal_naive"),
        );
    }
}

fn of(report: &Value) -> anyhow::Result<Figures> {
    let series = report["series"].as_array().context("no series")?;
    let each = |key: &str| -> Vec<f64> { series.iter().filter_map(|one| one[key].as_f64()).collect() };
    let worst = |values: Vec<f64>, target: f64| values.iter().map(|value| (value - target).abs()).fold(0.0, f64::max);
    let overall = |key: &str| report["overall"][key].as_f64().with_context(|| format!("no {key}"));
    let mut horizons: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for horizon in series.iter().filter_map(|one| one["horizons"].as_array()).flatten() {
        let (Some(ahead), Some(coverage)) = (horizon["horizon"].as_u64(), horizon["coverage"].as_f64()) else {
            continue;
        };
        horizons.entry(ahead).or_default().push(coverage);
    }
    let means = horizons.values().map(|all| all.iter().sum::<f64>() / all.len() as f64).collect();
    Ok(vec![
        ("mase_vs_best_simple", overall("mase_vs_best_simple")?),
        ("series_lost", overall("series_lost")?),
        ("msis_vs_simple", overall("msis_vs_simple")?),
        ("coverage95_error_series", worst(each("coverage"), 0.95)),
        ("coverage95_error_horizon", worst(means, 0.95)),
        ("daily_coverage_p10", each("daily_coverage_p10").into_iter().fold(f64::INFINITY, f64::min)),
        ("max10_exceedance_error", worst(each("max10_exceedance"), 0.05)),
        ("max30_exceedance_error", worst(each("max30_exceedance"), 0.05)),
    ])
}

/// Returns the CPU of the first fit over 14 days, and of the one a day later that starts from it; milliseconds.
fn fits() -> anyhow::Result<(f64, f64)> {
    let params = ForecastParams { history_days: 14, ..ForecastParams::default() };
    let spec = forecast::spec()?;
    let begins = Begins::Daily(12 * 3600);
    let bursts = vec![Burst { begins, factor: 2.0, rise: 300, hold: 1500, fall: 900 }];
    let load = Load::new(Workload { mean: 300.0, swing: 0.6, weekend: 0.8, wander: 0.03, bursts }, 107, "fit");
    let first = START / 60;
    let minutes = |from: i64, to: i64| -> Vec<MinuteValue> {
        let value = |minute: i64| Finite::new(load.minute_before(minute * 60 + 60));
        (from..to).map(|minute| MinuteValue { minute: Minute(minute), value: value(minute) }).collect()
    };
    let mut state = Forecaster::new(&spec, &params);
    let mut spent = Vec::new();
    let mut from = first;
    for until in [first + 14 * 1440, first + 15 * 1440] {
        state.warm(0, &minutes(from, until));
        from = until;
        // A fit is due within an hour or two, spread by service name.
        let due =
            |minute: i64| Now { wall: Minute(minute).start(), mono: Duration::from_secs(60 * minute.unsigned_abs()) };
        let job = (until..until + 240).find_map(|minute| state.next_fit(due(minute))).context("no fit is due")?;
        let begun = ThreadTime::now();
        let result = job.run();
        spent.push(begun.elapsed().as_secs_f64() * 1e3);
        state.install(result);
    }
    let [cold, warm] = spent[..] else { anyhow::bail!("two fits were made") };
    Ok((cold, warm))
}

/// An unpredictable series: the value of a minute, from two numbers between 0 and 1 and a random walk.
type Unforeseeable = fn(f64, f64, f64) -> f64;

/// In turn: walks, alone and with noise, and noise that is partly skewed and partly without a mean.
const KINDS: [Unforeseeable; 8] = [
    |_, _, walk| 1000.0 + 5.0 * walk,
    |one, other, _| 100.0 + 20.0 * normal(one, other),
    |one, other, walk| 1000.0 + walk + 2.5 * normal(one, other),
    |one, other, _| 100.0 + 5.0 * normal(one, other) + if (97.0 * one).fract() < 0.02 { 1000.0 } else { 0.0 },
    |one, other, _| (1.5 * normal(one, other)).exp(),
    |one, _, _| one.powf(-1.0 / 1.5),
    |one, _, _| one.powf(-1.0 / 2.5),
    |one, _, _| (PI * (one - 0.5)).tan().abs(),
];

/// Returns a normal number (Box and Muller, 1958).
fn normal(one: f64, other: f64) -> f64 {
    (-2.0 * one.ln()).sqrt() * (TAU * other).cos()
}

/// Returns how many series without structure ever earned authority.
fn unforeseeable() -> anyhow::Result<usize> {
    let begun = ThreadTime::now();
    let mut earned = 0;
    for seed in 0..UNFORESEEABLE {
        let [one, other, steps] = ["one", "other", "steps"].map(|stream| Noise::new(seed, stream));
        let kind = KINDS[seed as usize % KINDS.len()];
        let (mut walk, mut values) = (0.0, Vec::new());
        for minute in 0..NOISE_MINUTES {
            walk += steps.normal(minute);
            let [one, other] = [one, other].map(|noise| share(noise, minute as usize).clamp(1e-9, 1.0));
            values.push(Some(kind(one, other, walk).max(0.0)));
        }
        let (first, range) = (Minute(START / 60), (0.0, 1e9));
        let series = Series { first, values, season: 1440, step_seconds: 60, zone: Zone::UTC, range };
        let mut online = Online::new(&series).context("cannot set up the evaluation")?;
        let mut spoke = false;
        for (index, value) in series.values.iter().enumerate() {
            let outlook = online.step(series.step(index), *value);
            spoke |= outlook.is_some_and(|outlook| outlook.authority > Authority::ReactiveOnly);
        }
        earned += usize::from(spoke);
    }
    eprintln!("score:   {UNFORESEEABLE} series without structure took {:.0} s", begun.elapsed().as_secs_f64());
    Ok(earned)
}

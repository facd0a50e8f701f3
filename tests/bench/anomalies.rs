//! The quality of alarms: faults found, false alarms, time to detect a step.
//!
//! The benchmark score uses the directory that `FLYBALL_NAB` names: the Numenta Anomaly Benchmark, its files by
//! category and `combined_windows.json`. Without it that figure is not measured, and the score on loads of the demo's
//! plant with faults of five kinds is printed. False alarms are counted on clean series: those that `FLYBALL_SERIES`
//! names, else the same loads without faults.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use flyball::forecast::evaluate::{Forecast, Online, Series};
use flyball::sim::workload::Load;
use serde_json::{Map, Value, json};

use crate::Figures;
use crate::measure::median;
use crate::process::{binary, scratch};
use crate::robustness::deviation;
use crate::series::{DAY, START, all, loads, named, own};

/// The figures.
pub const IDS: &[&str] = &["nab_standard", "false_alarms_per_metric_week", "step_found_steps"];

/// Days of a series with faults, and the first one with a fault.
const DAYS: i64 = 14;
const FIRST: i64 = 4;
/// Size of the step, in deviations of the error one step ahead; steps of each series; how long each is followed.
const STEP: f64 = 6.0;
const TRIALS: usize = 40;
const FOLLOWED: usize = 60;

/// A fault in a load: what the minute shows, given minutes since its start, the fault-free value, the value before the
/// start, and the deviation of the change per minute.
type Fault = fn(i64, f64, f64, f64) -> f64;

/// One per day, in turn: its duration in minutes, and its effect.
const FAULTS: [(i64, Fault); 5] = [
    // A spike.
    (2, |_, value, _, deviation| value + 12.0 * deviation),
    // A new level.
    (180, |_, value, _, _| 1.35 * value),
    // A frozen value.
    (120, |_, _, before, _| before),
    // Most of it lost.
    (15, |_, value, _, _| 0.1 * value),
    // A drift.
    (240, |minutes, value, _, _| value * (1.0 + 0.003 * minutes as f64)),
];

/// Judges the labelled series, the clean ones, and the steps.
pub fn run() -> anyhow::Result<Figures> {
    let scratch = scratch()?;
    let benchmark = named("FLYBALL_NAB");
    let (labelled, labels) = if let Some(directory) = &benchmark {
        (directory.clone(), directory.join("combined_windows.json"))
    } else {
        eprintln!(
            "score:   NOT MEASURED: nab_standard (FLYBALL_NAB names no directory with the Numenta Anomaly Benchmark);"
        );
        eprintln!("score:   what follows is its score on loads of our own with injected faults");
        faulty(scratch.path())?
    };
    let report = evaluate(&labelled, Some(&labels))?;
    tell(&report, |one| one["windows"].as_u64() != one["found"].as_u64());
    let profile = |at: usize, threshold: &str| report["overall"]["nab"][at][threshold].as_f64();
    for (at, name) in ["standard", "low false positives", "low false negatives"].iter().enumerate() {
        let [best, shipped] = ["optimised", "shipped"].map(|threshold| profile(at, threshold).unwrap_or(f64::NAN));
        eprintln!("score:   nab {name}: {best:.1} at the benchmark's own threshold, {shipped:.1} at the shipped one");
    }
    let clean = match named("FLYBALL_SERIES") {
        Some(directory) => directory,
        None => own(scratch.path())?,
    };
    let alarms = evaluate(&clean, None)?;
    tell(&alarms, |one| one["false_alarms"].as_u64() != Some(0));
    let standard = profile(0, "optimised").context("no labelled window")?;
    // On our own loads it is not the benchmark's score.
    let standard = benchmark.map(|_| ("nab_standard", standard));
    let own = [
        (
            "false_alarms_per_metric_week",
            alarms["overall"]["false_alarms_per_metric_week"].as_f64().context("no time watched")?,
        ),
        ("step_found_steps", steps()?),
    ];
    Ok(standard.into_iter().chain(own).collect())
}

fn evaluate(directory: &Path, labels: Option<&Path>) -> anyhow::Result<Value> {
    let mut command = Command::new(binary()?);
    command.args(["anomalies", "evaluate", "--output", "json", "--input"]).arg(directory);
    if let Some(file) = labels {
        command.arg("--labels").arg(file);
    }
    let evaluated = command.output().context("flyball anomalies evaluate")?;
    // Skipped files are listed in the report.
    let is_judged = matches!(evaluated.status.code(), Some(0 | 1));
    ensure!(is_judged, "{}", String::from_utf8_lossy(&evaluated.stderr));
    Ok(serde_json::from_slice(&evaluated.stdout)?)
}

/// Prints the series that did worse than they should.
fn tell(report: &Value, worse: impl Fn(&Value) -> bool) {
    for one in report["series"].as_array().into_iter().flatten().filter(|one| worse(one)) {
        eprintln!(
            "score:   {:<52} {} of {} windows found, {} false alarms",
            one["series"].as_str().unwrap_or_default(),
            one["found"],
            one["windows"],
            one["false_alarms"],
        );
    }
}

/// Writes the loads with faults, and their labels; returns the paths.
fn faulty(scratch: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let directory = scratch.join("faulty");
    fs::create_dir_all(&directory)?;
    let mut labels = Map::new();
    for (number, (name, load)) in (0..).zip(loads()) {
        let file = format!("{name}.csv");
        let (text, windows) = with_faults(&load, number)?;
        fs::write(directory.join(&file), text)?;
        labels.insert(file, windows);
    }
    let file = scratch.join("labels.json");
    fs::write(&file, Value::Object(labels).to_string())?;
    Ok((directory, file))
}

fn with_faults(load: &Load, number: i64) -> anyhow::Result<(String, Value)> {
    let value = |minute: i64| load.minute_before(START + 60 * minute + 60);
    let deviation = changes(load);
    let (mut text, mut windows) = ("timestamp,value\n".to_owned(), Vec::new());
    let begin = |day: i64| (day >= FIRST).then_some(day * 1440 + (day * 397 + number * 211) % 1100);
    for minute in 0..DAYS * 1440 {
        let day = minute / 1440;
        let (lasts, fault) = FAULTS[((day + number) % FAULTS.len() as i64) as usize];
        let since = begin(day).map(|begin| minute - begin).filter(|since| (0..lasts).contains(since));
        let shown =
            since.map_or(value(minute), |since| fault(since, value(minute), value(minute - since - 1), deviation));
        writeln!(text, "{},{shown:.4}", START + 60 * minute)?;
        if since == Some(0) {
            let stamp = |minute: i64| (START + 60 * minute).to_string();
            windows.push(json!([stamp(minute), stamp(minute + lasts.max(120) - 1)]));
        }
    }
    Ok((text, Value::Array(windows)))
}

/// Returns the deviation of the change from minute to minute.
fn changes(load: &Load) -> f64 {
    let value = |minute: i64| load.minute_before(START + 60 * minute);
    let squares = (1..DAY / 60).map(|minute| (value(minute + 1) - value(minute)).powi(2));
    (squares.sum::<f64>() / (DAY / 60) as f64).sqrt()
}

/// Returns the median number of steps after which a step of six deviations raises an alarm.
fn steps() -> anyhow::Result<f64> {
    let mut found = Vec::new();
    for (name, series) in all()? {
        let mut own = found_after(&series).with_context(|| name.clone())?;
        if !own.is_empty() {
            eprintln!("score:   {name:<28} a step of {STEP} deviations is found after {} steps", median(&mut own));
        }
        found.extend(own);
    }
    Ok(median(&mut found))
}

fn found_after(series: &Series) -> anyhow::Result<Vec<f64>> {
    let mut online = Online::new(series).context("cannot set up the evaluation")?;
    let mut said = Vec::with_capacity(series.values.len());
    let (begin, end) = (series.warm_up(), series.values.len().saturating_sub(FOLLOWED));
    let spacing = (end.saturating_sub(begin) / TRIALS).max(1);
    let mut states = Vec::new();
    for (index, value) in series.values.iter().enumerate() {
        if index >= begin && index < end && (index - begin) % spacing == spacing / 2 {
            states.push((index, online.clone()));
        }
        let step = series.step(index);
        said.push(online.step(step, *value).and_then(|outlook| Forecast::of(outlook, &[1])));
        online.fit(step);
    }
    let height = STEP * deviation(series, &said);
    let found = states.into_iter().map(|(index, mut online)| {
        let shifted = |at: usize| series.values[at].map(|value| value + height);
        let alarm = |at: usize| online.step(series.step(at), shifted(at)).is_some_and(|outlook| outlook.alarm);
        (index..index + FOLLOWED).position(alarm).map_or(f64::INFINITY, |after| after as f64 + 1.0)
    });
    Ok(found.collect())
}

//! The series that forecasts and alarms are measured on: those of the directory that `FLYBALL_SERIES` names (CSV,
//! `timestamp,value`), else loads of the demo's plant, with different noise, with and without surges, from seeds that
//! no test uses.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use flyball::cli::csv;
use flyball::forecast::evaluate::Series;
use flyball::forecast::zone::Zone;
use flyball::model::Minute;
use flyball::sim::workload::{Begins, Burst, Load, Workload};

pub const DAY: i64 = 86_400;
/// Two weeks of warm-up, and a scored week.
const DAYS: i64 = 21;
/// A Monday.
pub const START: i64 = 1_780_272_000;

/// Returns the directory that `variable` names.
pub fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// Returns the loads of six services by name.
pub fn loads() -> Vec<(&'static str, Load)> {
    let surge = |hour: i64, factor: f64| Burst {
        begins: Begins::Daily(hour * 3600 + 420),
        factor,
        rise: 180,
        hold: 1500,
        fall: 900,
    };
    let loads = [
        ("plain", 400.0, 0.6, 0.9, 0.02, vec![]),
        ("wandering", 250.0, 0.5, 0.8, 0.08, vec![]),
        ("flat", 120.0, 0.05, 1.0, 0.03, vec![]),
        ("few_requests", 2.0, 0.7, 0.7, 0.05, vec![]),
        ("surge", 300.0, 0.6, 1.1, 0.02, vec![surge(12, 3.0)]),
        ("two_surges", 800.0, 0.7, 0.6, 0.04, vec![surge(9, 1.8), surge(20, 2.5)]),
    ];
    let load = |(number, (name, mean, swing, weekend, wander, bursts))| {
        (name, Load::new(Workload { mean, swing, weekend, wander, bursts }, number, name))
    };
    (101..).zip(loads).map(load).collect()
}

/// Writes the loads as files of `DAYS` each, and returns the directory.
pub fn own(scratch: &Path) -> anyhow::Result<PathBuf> {
    let directory = scratch.join("series");
    fs::create_dir_all(&directory)?;
    for (name, load) in loads() {
        let mut text = "timestamp,value\n".to_owned();
        for at in (START..START + DAYS * DAY).step_by(60) {
            writeln!(text, "{at},{:.4}", load.minute_before(at + 60))?;
        }
        fs::write(directory.join(format!("{name}.csv")), text)?;
    }
    Ok(directory)
}

/// Returns the series by name: those of `FLYBALL_SERIES`, else the loads. Files that are not series are reported and
/// skipped.
pub fn all() -> anyhow::Result<Vec<(String, Series)>> {
    let Some(directory) = named("FLYBALL_SERIES") else {
        let series = |(name, load): (&str, Load)| {
            let minutes = (0..DAYS * 1440).map(|minute| Some(load.minute_before(START + 60 * minute + 60)));
            let series = Series {
                first: Minute(START / 60),
                values: minutes.collect(),
                season: 1440,
                step_seconds: 60,
                zone: Zone::UTC,
                range: (0.0, f64::MAX),
            };
            (name.to_owned(), series)
        };
        return Ok(loads().into_iter().map(series).collect());
    };
    let mut found = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(&directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "csv")) {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match csv::parse(&fs::read_to_string(file)?, None, (0.0, f64::MAX)) {
            Ok(read) => found.push((name, read.series)),
            Err(error) => eprintln!("score:   left out: {name}: {error:#}"),
        }
    }
    ensure!(!found.is_empty(), "{} holds no series", directory.display());
    Ok(found)
}

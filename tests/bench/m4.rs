//! The hourly series of the M4 competition, 48 hours ahead, by its own measures: OWA (mean of sMAPE and MASE, each over
//! that of Naive2 on the same series) and the interval score MSIS.
//!
//! `FLYBALL_M4` names the directory with `m4_hourly_train.csv` and `m4_hourly_test.csv`; without it this is not
//! measured. Only series with an even number are reported: the others may be tuned on. Between its horizons the loop
//! interpolates, which suits minutes and not the hours of a day; so each hour is forecast from the one before, as if
//! that forecast had come true. Interval widths are those of the loop; beyond its last horizon those of both days add
//! up.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use flyball::forecast::evaluate::{Online, Series};
use flyball::forecast::zone::Zone;
use flyball::model::Minute;
use flyball::model::outlook::{HORIZONS, SignalOutlook};

use crate::Figures;
use crate::series::named;

/// The figures.
pub const IDS: &[&str] = &["m4_hourly_owa", "m4_hourly_msis"];

const DAY: usize = 24;
const AHEAD: usize = 48;
/// Cost of a missed 95 % interval, by how far it is missed.
const MISS: f64 = 2.0 / 0.05;
/// Autocorrelation at the lag of a day that counts as seasonal, in its deviations (90 %).
const SEASONAL: f64 = 1.645;

/// Mean scores: sMAPE and MASE of the forecast and of Naive2, MSIS, and coverage of the intervals.
#[derive(Debug, Default)]
struct Sums {
    smape: [f64; 2],
    mase: [f64; 2],
    msis: f64,
    covered: f64,
    series: f64,
}

/// Forecasts every series with an even number.
pub fn run() -> anyhow::Result<Figures> {
    let Some(directory) = named("FLYBALL_M4") else {
        eprintln!("score:   NOT MEASURED: M4 hourly (FLYBALL_M4 names no directory)");
        return Ok(Figures::new());
    };
    let train = read(&directory.join("m4_hourly_train.csv"))?;
    let test: HashMap<String, Vec<f64>> = read(&directory.join("m4_hourly_test.csv"))?.into_iter().collect();
    let mut sums = Sums::default();
    for (name, values) in &train {
        let number: u32 = name.trim_start_matches(|sign: char| !sign.is_ascii_digit()).parse().context("a number")?;
        if number.is_multiple_of(2) {
            let actual = test.get(name).with_context(|| format!("{name} has no test values"))?;
            sums.add(values, actual).with_context(|| name.clone())?;
        }
    }
    ensure!(sums.series > 0.0, "no series with an even number");
    let mean = |sum: f64| sum / sums.series;
    let owa = f64::midpoint(sums.smape[0] / sums.smape[1], sums.mase[0] / sums.mase[1]);
    eprintln!(
        "score:   {} series: sMAPE {:.2} (Naive2 {:.2}), MASE {:.3} ({:.3}), OWA {owa:.3}, MSIS {:.2}, coverage {:.3}",
        sums.series,
        mean(sums.smape[0]),
        mean(sums.smape[1]),
        mean(sums.mase[0]),
        mean(sums.mase[1]),
        mean(sums.msis),
        mean(sums.covered),
    );
    Ok(vec![("m4_hourly_owa", owa), ("m4_hourly_msis", mean(sums.msis))])
}

impl Sums {
    fn add(&mut self, values: &[f64], actual: &[f64]) -> anyhow::Result<()> {
        let changes = values.iter().zip(values.iter().skip(DAY)).map(|(before, now)| (now - before).abs());
        let scale = changes.sum::<f64>() / (values.len().saturating_sub(DAY)) as f64;
        let said = foresee(values)?;
        let naive = naive2(values);
        let count = AHEAD.min(actual.len()) as f64;
        for ((actual, [point, low, high]), naive) in actual.iter().zip(&said).zip(&naive) {
            for (at, said) in [point, naive].into_iter().enumerate() {
                let error = (actual - said).abs();
                self.smape[at] += 200.0 * error / (actual.abs() + said.abs()).max(f64::MIN_POSITIVE) / count;
                self.mase[at] += error / scale / count;
            }
            let missed = (low - actual).max(0.0) + (actual - high).max(0.0);
            self.msis += (high - low + MISS * missed) / scale / count;
            self.covered += f64::from(u8::from(missed == 0.0)) / count;
        }
        self.series += 1.0;
        Ok(())
    }
}

/// Returns point, lower and upper end of the 95 % interval for each of the next 48 steps.
fn foresee(values: &[f64]) -> anyhow::Result<Vec<[f64; 3]>> {
    let known = values.iter().copied().map(Some).collect();
    let series = Series {
        first: Minute(0),
        values: known,
        season: DAY as u32,
        step_seconds: 3600,
        zone: Zone::UTC,
        range: (0.0, f64::MAX),
    };
    let mut online = Online::new(&series).context("cannot set up the evaluation")?;
    let mut outlook = None;
    for (index, value) in series.values.iter().enumerate() {
        outlook = online.step(series.step(index), *value).cloned();
        online.fit(series.step(index));
    }
    let first = outlook.context("no forecast")?;
    let mut points = Vec::with_capacity(AHEAD);
    let [mut point, ..] = at(&first, 1).context("no forecast of the next hour")?;
    for step in 0..AHEAD {
        points.push(point);
        let outlook = online.step(series.step(values.len() + step), Some(point)).context("no forecast")?;
        [point, ..] = at(outlook, 1).context("no forecast of the next hour")?;
    }
    let longest = usize::from(HORIZONS[HORIZONS.len() - 1]);
    let widths = |ahead: usize| at(&first, ahead).map(|[point, low, high]| (point - low, high - point));
    let (day_below, day_above) = widths(DAY).context("a day ahead")?;
    let said = (1..=AHEAD).zip(points).map(|(ahead, point)| {
        let (below, above) = if ahead <= longest {
            widths(ahead)?
        } else {
            let (below, above) = widths(ahead - DAY)?;
            (day_below.hypot(below), day_above.hypot(above))
        };
        Some([point, (point - below).max(0.0), point + above])
    });
    said.collect::<Option<_>>().context("a horizon without an interval")
}

fn at(outlook: &SignalOutlook, ahead: usize) -> Option<[f64; 3]> {
    let ahead = ahead as f64;
    Some([outlook.point_at(ahead)?, outlook.quantile_at(0.025, ahead)?, outlook.quantile_at(0.975, ahead)?])
}

/// Returns the competition's benchmark: the newest value continues, seasonally adjusted if there is a season.
fn naive2(values: &[f64]) -> Vec<f64> {
    let newest = values.last().copied().unwrap_or(f64::NAN);
    let indices = if seasonal(values) { indices(values) } else { [1.0; DAY] };
    let level = newest / indices[(values.len() - 1) % DAY];
    (0..AHEAD).map(|ahead| level * indices[(values.len() + ahead) % DAY]).collect()
}

fn seasonal(values: &[f64]) -> bool {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let product = |lag: usize| -> f64 {
        values.iter().zip(values.iter().skip(lag)).map(|(one, other)| (one - mean) * (other - mean)).sum()
    };
    let whole = product(0);
    let before: f64 = (1..DAY).map(|lag| (product(lag) / whole).powi(2)).sum();
    (product(DAY) / whole).abs() > SEASONAL * ((1.0 + 2.0 * before) / values.len() as f64).sqrt()
}

/// Returns the seasonal indices of a classical multiplicative decomposition; their mean is one.
fn indices(values: &[f64]) -> [f64; DAY] {
    let mut sums = [(0.0, 0.0); DAY];
    for centre in DAY / 2..values.len().saturating_sub(DAY / 2) {
        let around = &values[centre - DAY / 2..=centre + DAY / 2];
        let ends = f64::midpoint(around[0], around[DAY]);
        let mean = (around[1..DAY].iter().sum::<f64>() + ends) / DAY as f64;
        let sum = &mut sums[centre % DAY];
        *sum = (sum.0 + values[centre] / mean, sum.1 + 1.0);
    }
    let raw = sums.map(|(sum, count)| sum / count);
    let mean = raw.iter().sum::<f64>() / DAY as f64;
    raw.map(|index| index / mean)
}

/// Reads rows of a name and its values.
fn read(file: &Path) -> anyhow::Result<Vec<(String, Vec<f64>)>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let row = |line: &str| {
        let mut cells = line.split(',').map(|cell| cell.trim().trim_matches('"'));
        let name = cells.next()?.to_owned();
        Some((name, cells.map_while(|cell| cell.parse().ok()).collect::<Vec<f64>>()))
    };
    let rows = text.lines().skip(1).filter_map(row);
    Ok(rows.filter(|(_, values)| values.len() >= AHEAD).collect())
}

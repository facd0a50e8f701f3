//! What bad data costs a forecast: missing values, outliers, a level that doubles. Faults are added to the forecaster's
//! input; it is scored on the fault-free series.

use anyhow::Context;
use flyball::forecast::evaluate::{Forecast, Online, Report, Series, report};
use flyball::model::outlook::HORIZONS;
use flyball::sim::noise::Noise;

use crate::Figures;
use crate::series::all;

/// The figures.
pub const IDS: &[&str] = &["missing_penalty", "outlier_penalty", "relevel_steps"];

/// Share of steps without a value, and length of one long gap.
const MISSING: f64 = 0.1;
const GAP_SECONDS: i64 = 6 * 3600;
/// Share of outliers, and how far off they are, in deviations of the error one step ahead.
const OUTLIERS: f64 = 0.01;
const OFF: f64 = 10.0;
/// Level shifts of each series, and steps for which each is tracked.
const SHIFTS: usize = 48;
const FOLLOWED: usize = 60;
/// The level counts as found when the error is at most this multiple of that of a run on doubled values from the start.
const FOUND: f64 = 1.2;
/// Mean of a normal variable's absolute value, in deviations.
const MEAN_ABSOLUTE: f64 = 0.797_884_560_8;

/// Runs each series clean and with each kind of fault.
pub fn run() -> anyhow::Result<Figures> {
    let (mut missing, mut outliers, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for (name, series) in all()? {
        let clean = said(&series)?;
        let Some(without) = report(&series, &clean, &HORIZONS) else {
            eprintln!("score:   left out: {name}: no outcome behind the warm-up");
            continue;
        };
        let rise = |said: &[Option<Forecast>]| -> anyhow::Result<f64> {
            let with: Report = report(&series, said, &HORIZONS).context("no outcome")?;
            Ok(with.mase / without.mase - 1.0)
        };
        let gaps = rise(&said(&with_gaps(&series))?)?;
        let off = rise(&said(&with_outliers(&series, deviation(&series, &clean)))?)?;
        let found = relevelled(&series, 2.0)?;
        eprintln!(
            "score:   {name:<28} error {:+.1} % with gaps, {:+.1} % with outliers; new level found after {} steps (followed for {FOLLOWED})",
            100.0 * gaps,
            100.0 * off,
            found.map_or(format!("more than {FOLLOWED}"), |found| found.to_string()),
        );
        missing.push(gaps);
        outliers.push(off);
        // A level not found while it is tracked counts as the full time: the figure is a lower bound.
        steps.push(found.unwrap_or(FOLLOWED) as f64);
    }
    let mean =
        |rises: &[f64]| (rises.iter().map(|rise| (1.0 + rise).ln()).sum::<f64>() / rises.len() as f64).exp() - 1.0;
    Ok(vec![
        ("missing_penalty", mean(&missing)),
        ("outlier_penalty", mean(&outliers)),
        ("relevel_steps", steps.into_iter().fold(0.0, f64::max)),
    ])
}

/// Returns the forecast from each step.
fn said(series: &Series) -> anyhow::Result<Vec<Option<Forecast>>> {
    let mut online = Online::new(series).context("cannot set up the evaluation")?;
    Ok((0..series.values.len()).map(|index| step(&mut online, series, index, series.values[index])).collect())
}

fn step(online: &mut Online, series: &Series, index: usize, value: Option<f64>) -> Option<Forecast> {
    let said = online.step(series.step(index), value).and_then(|outlook| Forecast::of(outlook, &HORIZONS));
    online.fit(series.step(index));
    said
}

/// Returns the series with values missing at random, and for six hours in the middle of the scored part.
fn with_gaps(series: &Series) -> Series {
    let noise = Noise::new(211, "missing");
    let middle = usize::midpoint(series.warm_up(), series.values.len());
    let gap = (GAP_SECONDS * i64::from(series.season) / 86_400) as usize;
    let keep = |(index, value): (usize, &Option<f64>)| {
        let missing = share(noise, index) < MISSING || (middle..middle + gap).contains(&index);
        value.filter(|_| !missing)
    };
    Series { values: series.values.iter().enumerate().map(keep).collect(), ..series.clone() }
}

/// Returns the series with outliers on both sides, within its range.
fn with_outliers(series: &Series, deviation: f64) -> Series {
    let (noise, side) = (Noise::new(223, "outliers"), Noise::new(227, "side"));
    let move_off = |(index, value): (usize, &Option<f64>)| {
        let off = OFF.copysign(side.normal(index as i64)) * deviation;
        let outlier = share(noise, index) < OUTLIERS;
        value.map(|value| if outlier { (value + off).clamp(series.range.0, series.range.1) } else { value })
    };
    Series { values: series.values.iter().enumerate().map(move_off).collect(), ..series.clone() }
}

/// Returns the deviation of the error one step ahead, after the warm-up.
pub fn deviation(series: &Series, said: &[Option<Forecast>]) -> f64 {
    let error = |index: usize| {
        let [point, ..] = said.get(index - 1)?.as_ref()?.points.first()?;
        Some((f64::from(*point) - series.values.get(index).copied().flatten()?).abs())
    };
    let (sum, count) = (series.warm_up().max(1)..series.values.len())
        .filter_map(error)
        .fold((0.0, 0.0), |(sum, count), error| (sum + error, count + 1.0));
    sum / f64::max(count, 1.0) / MEAN_ABSOLUTE
}

/// Returns after how many steps at `factor` times the level the error is that of a forecaster which never saw another
/// level, mean over many shifts and all horizons; `None` if not while it is tracked.
fn relevelled(series: &Series, factor: f64) -> anyhow::Result<Option<usize>> {
    let scaled = Series {
        values: series.values.iter().map(|value| value.map(|value| factor * value)).collect(),
        ..series.clone()
    };
    let (begin, end) =
        (series.warm_up(), series.values.len().saturating_sub(FOLLOWED + usize::from(HORIZONS[HORIZONS.len() - 1])));
    let spacing = ((end.saturating_sub(begin)) / SHIFTS).max(1);
    let is_shift = |index: usize| index >= begin && index < end && (index - begin) % spacing == spacing / 2;
    let mut before = Online::new(series).context("cannot set up the evaluation")?;
    let mut never = Online::new(&scaled).context("cannot set up the evaluation")?;
    let mut of_never = Vec::with_capacity(series.values.len());
    let mut of_shifted: Vec<(usize, Vec<Option<Forecast>>)> = Vec::new();
    for index in 0..series.values.len() {
        if is_shift(index) {
            let mut shifted = before.clone();
            let after = (index..index + FOLLOWED).map(|at| step(&mut shifted, &scaled, at, scaled.values[at]));
            of_shifted.push((index, after.collect()));
        }
        of_never.push(step(&mut never, &scaled, index, scaled.values[index]));
        step(&mut before, series, index, series.values[index]);
    }
    let error = |said: Option<&Forecast>, index: usize| {
        let each = said?.points.iter().zip(HORIZONS).filter_map(|([point, ..], ahead)| {
            Some((f64::from(*point) - scaled.values.get(index + usize::from(ahead)).copied().flatten()?).abs())
        });
        let (sum, count) = each.fold((0.0, 0.0), |(sum, count), error| (sum + error, count + 1.0));
        (count > 0.0).then(|| sum / count)
    };
    let lasting = (0..FOLLOWED).rev().take_while(|after| {
        let pairs = of_shifted.iter().filter_map(|(index, said)| {
            let at = index + after;
            error(said[*after].as_ref(), at).zip(error(of_never[at].as_ref(), at))
        });
        let (shifted, never) = pairs.fold((0.0, 0.0), |(one, other), (shifted, never)| (one + shifted, other + never));
        shifted <= FOUND * never
    });
    // The step of the shift is the first one that shows it.
    Ok(lasting.last().map(|after| after + 1))
}

/// Returns a uniformly distributed number between 0 and 1.
pub fn share(noise: Noise, index: usize) -> f64 {
    // The distribution of the sum of four uniform numbers (Irwin-Hall), which the noise consists of.
    let sum = noise.normal(index as i64) / 3.0_f64.sqrt() + 2.0;
    let power = |from: f64| (sum - from).max(0.0).powi(4);
    (power(0.0) - 4.0 * power(1.0) + 6.0 * power(2.0) - 4.0 * power(3.0)) / 24.0
}

//! Errors, intervals and skill over every step after the warm-up.

use serde::Serialize;

use super::holt_winters::HoltWinters;
use super::simple::{SIMPLE, Simple};
use super::{Forecast, Series};
use crate::model::outlook::HORIZONS;

/// Cost of a missed 95 % interval, per unit of the distance.
const MISS: f64 = 2.0 / 0.05;

/// Scores at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HorizonReport {
    /// Steps ahead.
    pub horizon: u16,
    /// Outcomes counted.
    pub outcomes: u64,
    /// Mean absolute error relative to that of the seasonal naive rule within the warm-up.
    pub mase: f64,
    /// Mean 95 % interval score relative to the same.
    pub msis: f64,
    /// Share of outcomes inside the 95 % interval.
    pub coverage: f64,
    /// The same errors of persistence, seasonal naive, and the simple rule that was best in hindsight.
    pub mase_persistence: f64,
    /// See above.
    pub mase_seasonal_naive: f64,
    /// See above.
    pub mase_best_simple: f64,
    /// The same error of damped Holt-Winters, fitted to the warm-up.
    pub mase_holt_winters: f64,
}

/// Scores of one series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Steps with a value, including those of the warm-up.
    pub values: u64,
    /// Steps without one.
    pub missing: u64,
    /// Outcomes counted, over all horizons.
    pub outcomes: u64,
    /// Mean over the horizons of the fields of [`HorizonReport`].
    pub mase: f64,
    /// See there.
    pub msis: f64,
    /// See there.
    pub coverage: f64,
    /// 10 % quantile of the daily coverage.
    pub daily_coverage_p10: f64,
    /// One minus the ratio of the error to that of persistence, seasonal naive, the best simple rule in hindsight and
    /// damped Holt-Winters; `None` if that error is zero and the forecast's is not.
    pub skill_persistence: Option<f64>,
    /// See above.
    pub skill_seasonal_naive: Option<f64>,
    /// See above.
    pub skill_best_simple: Option<f64>,
    /// See above.
    pub skill_holt_winters: Option<f64>,
    /// Interval score relative to that of the simple rule with the best one in hindsight, with the same calibrator.
    pub msis_vs_simple: f64,
    /// How often the maximum over 10 and over 30 steps exceeds its 95 % quantile; `None` without such a window.
    pub max10_exceedance: Option<f64>,
    /// See above.
    pub max30_exceedance: Option<f64>,
    /// One per horizon.
    pub horizons: Vec<HorizonReport>,
}

/// Scores the forecasts from each step (`said[i]` from that of `series.values[i]`) at the horizons. `None` if the
/// series has no outcome after its warm-up, or never changes.
pub fn report(series: &Series, said: &[Option<Forecast>], horizons: &[u16]) -> Option<Report> {
    let warm_up = series.warm_up();
    let scale = scale(series, warm_up)?;
    let newest = newest(series);
    let intervals = SIMPLE.map(|rule| rule.intervals(series));
    let rival = rival(series, warm_up, horizons);
    let mut days = vec![(0.0, 0.0); said.len() / series.season.max(1) as usize + 1];
    let mut rows = Vec::new();
    let (mut simple_scores, mut best_scores) = ([0.0; SIMPLE.len()], 0.0);
    for (position, horizon) in horizons.iter().enumerate() {
        let ahead = usize::from(*horizon);
        let (mut count, mut error, mut score, mut inside, mut rivals) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let (mut simple, mut simple_score) = ([0.0; SIMPLE.len()], [0.0; SIMPLE.len()]);
        for origin in warm_up..said.len() {
            let (Some(Some(said)), Some(actual)) = (said.get(origin), series.get(origin + ahead)) else { continue };
            let Some(newest) = newest.get(origin).copied().flatten() else { continue };
            let Some([point, low, high]) = said.points.get(position).copied() else { continue };
            count += 1.0;
            error += (f64::from(point) - actual).abs();
            rivals +=
                rival.get(origin).and_then(|row| row.get(position)).map_or(f64::NAN, |told| (told - actual).abs());
            let hit = f64::from(low) <= actual && actual <= f64::from(high);
            score += interval_score(low, high, actual);
            inside += f64::from(u8::from(hit));
            if let Some(day) = days.get_mut(origin / series.season.max(1) as usize) {
                *day = (day.0 + f64::from(u8::from(hit)), day.1 + 1.0);
            }
            for (index, rule) in SIMPLE.iter().enumerate() {
                simple[index] += (rule.point(series, origin, ahead, newest) - actual).abs();
                if let Some((low, high)) = intervals[index].get(origin).map(|row| between(row, *horizon)) {
                    simple_score[index] += interval_score(low, high, actual);
                }
            }
        }
        if count == 0.0 {
            continue;
        }
        let of = |rule: Simple| SIMPLE.iter().position(|known| *known == rule).map_or(f64::NAN, |at| simple[at]);
        let unit = |sum: f64| sum / count / scale;
        for (total, own) in simple_scores.iter_mut().zip(simple_score) {
            *total += unit(own);
        }
        best_scores += unit(simple_score.iter().copied().fold(f64::INFINITY, f64::min));
        rows.push(HorizonReport {
            horizon: *horizon,
            outcomes: count as u64,
            mase: unit(error),
            msis: unit(score),
            coverage: inside / count,
            mase_persistence: unit(of(Simple::Persistence)),
            mase_seasonal_naive: unit(of(Simple::Seasonal { seasons: 1 })),
            mase_best_simple: unit(simple.iter().copied().fold(f64::INFINITY, f64::min)),
            mase_holt_winters: unit(rivals),
        });
    }
    let rows_count = rows.len() as f64;
    if rows.is_empty() {
        return None;
    }
    let mean = |of: fn(&HorizonReport) -> f64| rows.iter().map(of).sum::<f64>() / rows_count;
    let (mase, msis) = (mean(|row| row.mase), mean(|row| row.msis));
    let skill = |other: f64| match (mase, other) {
        (own, other) if own == other => Some(0.0),
        (_, other) => (other > 0.0).then(|| 1.0 - mase / other),
    };
    let values = series.values.iter().flatten().count();
    Some(Report {
        values: values as u64,
        missing: (series.values.len() - values) as u64,
        outcomes: rows.iter().map(|row| row.outcomes).sum(),
        mase,
        msis,
        coverage: mean(|row| row.coverage),
        daily_coverage_p10: daily_p10(&days),
        skill_persistence: skill(mean(|row| row.mase_persistence)),
        skill_seasonal_naive: skill(mean(|row| row.mase_seasonal_naive)),
        skill_best_simple: skill(mean(|row| row.mase_best_simple)),
        skill_holt_winters: skill(mean(|row| row.mase_holt_winters)),
        msis_vs_simple: msis * rows_count / best_scores,
        max10_exceedance: exceedance(series, said, warm_up, 0, 10),
        max30_exceedance: exceedance(series, said, warm_up, 1, 30),
        horizons: rows,
    })
}

/// An error below this share of the values is rounding.
const NO_ERROR: f64 = 1e-9;

/// Returns the mean absolute error of the seasonal naive rule within the warm-up; of persistence if the warm-up has no
/// whole season or repeats itself.
fn scale(series: &Series, warm_up: usize) -> Option<f64> {
    let height = (0..warm_up).filter_map(|index| series.get(index)).map(f64::abs).fold(0.0, f64::max);
    let mae = |lag: usize| {
        let pairs = (lag..warm_up).filter_map(|index| Some((series.get(index)? - series.get(index - lag)?).abs()));
        let (sum, count) = pairs.fold((0.0, 0.0), |(sum, count), error| (sum + error, count + 1.0));
        (count > 0.0 && sum > NO_ERROR * height * count).then(|| sum / count)
    };
    mae(series.season as usize).or_else(|| mae(1))
}

/// Returns the forecasts of damped Holt-Winters from each step at these horizons.
fn rival(series: &Series, warm_up: usize, horizons: &[u16]) -> Vec<Vec<f64>> {
    let Some(mut model) = HoltWinters::fitted(series, warm_up) else { return Vec::new() };
    let step = |value: &Option<f64>| {
        model.learn(*value);
        horizons.iter().map(|ahead| model.point(usize::from(*ahead))).collect()
    };
    series.values.iter().map(step).collect()
}

/// Returns the newest value at each step.
fn newest(series: &Series) -> Vec<Option<f64>> {
    let mut newest = None;
    let step = |value: &Option<f64>| {
        newest = value.or(newest);
        newest
    };
    series.values.iter().map(step).collect()
}

/// Returns the ends at `horizon`, interpolated between the loop's horizons.
fn between(row: &[(f32, f32); HORIZONS.len()], horizon: u16) -> (f32, f32) {
    let known = HORIZONS.iter().zip(row);
    let mut before = None;
    for (at, ends) in known {
        if *at >= horizon {
            let Some((from, (low, high))) = before else { return *ends };
            let share = f32::from(horizon - from) / f32::from(at - from);
            return (low + (ends.0 - low) * share, high + (ends.1 - high) * share);
        }
        before = Some((*at, *ends));
    }
    (f32::NAN, f32::NAN)
}

fn interval_score(low: f32, high: f32, actual: f64) -> f64 {
    let (low, high) = (f64::from(low), f64::from(high));
    if !low.is_finite() || !high.is_finite() {
        return 0.0;
    }
    (high - low) + MISS * ((low - actual).max(0.0) + (actual - high).max(0.0))
}

/// Returns the 10 % quantile of the coverage of the days that have most of their outcomes.
fn daily_p10(days: &[(f64, f64)]) -> f64 {
    let most = days.iter().map(|day| day.1).fold(0.0, f64::max);
    let whole = days.iter().filter(|day| day.1 > 0.0 && day.1 >= 0.5 * most);
    let mut shares: Vec<f64> = whole.map(|(inside, count)| inside / count).collect();
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() / 10).copied().unwrap_or(f64::NAN)
}

fn exceedance(series: &Series, said: &[Option<Forecast>], warm_up: usize, which: usize, window: usize) -> Option<f64> {
    let (mut passed, mut count) = (0.0, 0.0);
    for origin in warm_up..said.len() {
        let Some(Some(said)) = said.get(origin) else { continue };
        let Some(window) = series.values.get(origin + 1..=origin + window) else { continue };
        let seen = window.iter().flatten().count();
        if seen * 5 < window.len() * 4 || !said.maxima[which].is_finite() {
            continue;
        }
        let maximum = window.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        count += 1.0;
        passed += f64::from(u8::from(maximum > f64::from(said.maxima[which])));
    }
    (count > 0.0).then(|| passed / count)
}

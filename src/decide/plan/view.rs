//! Views of a fresh signal: its present, its last minutes, its forecast.

use std::sync::Arc;
use std::time::Duration;

use crate::decide::plan::inputs::Fresh;
use crate::decide::plan::quantity::{Span, View};
use crate::model::{Finite, QUANTILES, Readiness, SignalOutlook};

/// Returns a view of a signal; `lead` is how far ahead `.predicted` looks.
///
/// # Errors
/// Why it is unknown.
pub(crate) fn look(fresh: &Fresh<'_>, view: View, lead: Duration) -> Result<f64, Arc<str>> {
    match view {
        View::Current => Ok(fresh.value),
        View::Mean => {
            let mean = fresh.features.mean_1m;
            mean.map(f64::from).ok_or_else(|| "the last minute has gaps".into())
        }
        View::Predicted => point(fresh, lead),
        View::ForecastChange => change(fresh, lead),
        View::ChangeAt(ahead) => change(fresh, ahead),
        View::At(ahead) => point(fresh, ahead),
        View::Quantile(position, ahead) => {
            let level = QUANTILES.get(position).copied().ok_or("no such quantile")?;
            outlook(fresh)?.quantile_at(level, minutes(ahead)).ok_or_else(|| beyond(ahead))
        }
        View::OfMax(position, span) => {
            let outlook = outlook(fresh)?;
            let row = match span {
                Span::Ten => outlook.max_10,
                Span::Thirty => outlook.max_30,
            };
            row.and_then(|row| row.get(position).copied()).ok_or_else(|| "no forecast of the maximum".into())
        }
        View::P99 => five_minutes(fresh.features.p99_5m),
        View::Max => five_minutes(fresh.features.max_5m),
        View::Change => five_minutes(fresh.features.change_5m),
    }
}

/// Returns the longest uninterrupted time, minutes, that the path from the present value through the forecast stays
/// above `limit`.
///
/// # Errors
/// When there is no forecast.
pub(crate) fn longest_run(fresh: &Fresh<'_>, limit: f64) -> Result<f64, Arc<str>> {
    let points = outlook(fresh)?.points.iter().map(|point| (f64::from(point.minutes), point.point));
    Ok(longest_above(std::iter::once((0.0, fresh.value)).chain(points), limit))
}

fn minutes(span: Duration) -> f64 {
    span.as_secs_f64() / 60.0
}

fn beyond(ahead: Duration) -> Arc<str> {
    format!("no forecast {} s ahead", ahead.as_secs()).into()
}

fn outlook<'a>(fresh: &Fresh<'a>) -> Result<&'a SignalOutlook, Arc<str>> {
    let Some(outlook) = fresh.outlook else { return Err("not forecast".into()) };
    match outlook.readiness {
        Readiness::Ready => Ok(outlook),
        Readiness::NotReady { have, need } => Err(format!("no forecast yet: {have} of {need} minutes seen").into()),
    }
}

fn five_minutes(value: Option<Finite>) -> Result<f64, Arc<str>> {
    value.map(f64::from).ok_or_else(|| "the last five minutes have gaps".into())
}

fn change(fresh: &Fresh<'_>, ahead: Duration) -> Result<f64, Arc<str>> {
    if fresh.value == 0.0 {
        return Err("a change relative to zero is undefined".into());
    }
    Ok((point(fresh, ahead)? - fresh.value) / fresh.value)
}

/// Returns the longest stretch of a path, in its own unit of time, above `limit`; the path is linear between its
/// points. NaN if a point is NaN.
fn longest_above(path: impl Iterator<Item = (f64, f64)>, limit: f64) -> f64 {
    let (mut longest, mut run, mut last): (f64, f64, Option<(f64, f64)>) = (0.0, 0.0, None);
    for (time, value) in path {
        if value.is_nan() {
            return f64::NAN;
        }
        if let Some((from, before)) = last {
            let crossing = (time - from) * (limit - before) / (value - before);
            match (before > limit, value > limit) {
                (true, true) => run += time - from,
                (true, false) => run += crossing,
                (false, true) => run = time - from - crossing,
                (false, false) => (),
            }
            longest = longest.max(run);
            if value <= limit {
                run = 0.0;
            }
        }
        last = Some((time, value));
    }
    longest
}

fn point(fresh: &Fresh<'_>, ahead: Duration) -> Result<f64, Arc<str>> {
    outlook(fresh)?.point_at(minutes(ahead)).ok_or_else(|| beyond(ahead))
}

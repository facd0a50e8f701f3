//! History, forecast and its intervals as a drawing.

use super::csv::Read;
use crate::cli::svg::{Frame, sheet};
use crate::model::outlook::SignalOutlook;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;
/// Steps of history beside the forecast.
const PAST: usize = 120;

/// Draws the last steps of the history and what is foreseen up to `horizon`, with the 50, 80 and 95 % intervals.
pub fn draw(read: &Read, outlook: &SignalOutlook, horizon: u16) -> String {
    let values = &read.series.values;
    let first = values.len().saturating_sub(PAST);
    let past: Vec<(f64, f64)> = values
        .iter()
        .enumerate()
        .skip(first)
        .filter_map(|(index, value)| Some((index as f64 - (values.len() - 1) as f64, (*value)?)))
        .collect();
    let ahead = |level: Option<f64>| {
        let at = move |step: u16| match level {
            Some(level) => outlook.quantile_at(level, f64::from(step)),
            None => outlook.point_at(f64::from(step)),
        };
        (1..=horizon).filter_map(move |step| Some((f64::from(step), at(step)?)))
    };
    let shown = past.iter().copied().chain(ahead(Some(0.025))).chain(ahead(Some(0.975))).map(|(_, value)| value);
    let (low, high) =
        shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let margin = 0.05 * (high - low).max(high.abs() * 1e-3);
    let frame = Frame {
        across: (LEFT, WIDTH - RIGHT),
        down: (TOP, HEIGHT - BOTTOM),
        xs: (-(PAST as f64), f64::from(horizon)),
        ys: (low - margin, high + margin),
    };
    let mut drawn = String::new();
    for (lower, upper, shade) in [(0.025, 0.975, "#dbe7f5"), (0.1, 0.9, "#b9d0ec"), (0.25, 0.75, "#8fb3de")] {
        drawn += &frame.area(ahead(Some(lower)), ahead(Some(upper)).collect(), shade);
    }
    drawn += &frame.line(past.iter().copied(), "#333333");
    drawn += &frame.line(past.last().copied().into_iter().chain(ahead(None)), "#c0392b");
    for share in [0.0, 0.5, 1.0] {
        let value = low + share * (high - low);
        drawn += &frame.label(value, &format!("{value:.1}"));
    }
    for step in [-(PAST as f64), -(PAST as f64) / 2.0, 0.0, f64::from(horizon)] {
        drawn += &frame.mark(step, &format!("{step:+}"));
    }
    drawn += &frame.title(&format!("steps of {} s; forecast with its 50, 80 and 95 % intervals", read.step));
    sheet(WIDTH, HEIGHT, &drawn)
}

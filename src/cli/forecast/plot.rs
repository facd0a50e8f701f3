//! History, forecast and its intervals as a drawing.

use std::fmt::Write as _;

use super::csv::Read;
use crate::model::outlook::SignalOutlook;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;
/// Steps of history beside the forecast.
const PAST: usize = 120;

/// From steps (the last of the history is 0) and values to the drawing.
struct Frame {
    steps: (f64, f64),
    values: (f64, f64),
}

impl Frame {
    fn at(&self, step: f64, value: f64) -> (f64, f64) {
        let share = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low).max(f64::MIN_POSITIVE);
        let x = LEFT + share(step, self.steps) * (WIDTH - LEFT - RIGHT);
        (x, HEIGHT - BOTTOM - share(value, self.values) * (HEIGHT - TOP - BOTTOM))
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (step, value) in points {
            let (x, y) = self.at(step, value);
            let _ = write!(path, "{x:.1},{y:.1} ");
        }
        path
    }
}

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
    let frame = Frame { steps: (-(PAST as f64), f64::from(horizon)), values: (low - margin, high + margin) };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for (lower, upper, shade) in [(0.025, 0.975, "#dbe7f5"), (0.1, 0.9, "#b9d0ec"), (0.25, 0.75, "#8fb3de")] {
        let back: Vec<(f64, f64)> = ahead(Some(upper)).collect();
        let ring = frame.path(ahead(Some(lower)).chain(back.into_iter().rev()));
        let _ = writeln!(svg, "<polygon points=\"{ring}\" fill=\"{shade}\"/>");
    }
    let line = |points: String, colour: &str| {
        format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>\n")
    };
    svg.push_str(&line(frame.path(past.iter().copied()), "#333333"));
    svg.push_str(&line(frame.path(past.last().copied().into_iter().chain(ahead(None))), "#c0392b"));
    for share in [0.0, 0.5, 1.0] {
        let value = low + share * (high - low);
        let (_, y) = frame.at(0.0, value);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\">{value:.1}</text>", LEFT - 6.0);
    }
    for step in [-(PAST as f64), -(PAST as f64) / 2.0, 0.0, f64::from(horizon)] {
        let (x, _) = frame.at(step, low);
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{step:+}</text>", HEIGHT - 20.0);
    }
    let caption = format!("steps of {} s; forecast with its 50, 80 and 95 % intervals", read.step);
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"18\">{caption}</text>\n</svg>");
    svg
}

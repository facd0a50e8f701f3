//! A plot of history, forecast with its intervals, components and anomalies.

use super::grid::Grid;
use super::past::Told;
use crate::cli::svg::{Frame, labels, sheet};
use crate::model::outlook::{Parts, SignalOutlook};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 45.0;
const TOP: f64 = 30.0;
/// Lower edge of the upper frame, upper edge of the lower one.
const UPPER: f64 = 330.0;
const LOWER: f64 = 390.0;
const BOTTOM: f64 = 40.0;
/// Distance between two lines of text.
const LINE: f64 = 14.0;
/// Characters of the year in a time.
const YEAR: usize = 5;

const HISTORY: &str = "#333333";
const POINT: &str = "#c0392b";
const ALARM: &str = "#e67e22";
const INTERVALS: [(f64, f64, &str); 3] = [(0.025, 0.975, "#dbe7f5"), (0.1, 0.9, "#b9d0ec"), (0.25, 0.75, "#8fb3de")];
/// One of the components.
type Part = fn(&Parts) -> f64;

/// Components of the forecast and their colours: the level is plotted with the history, the others below.
const LEVEL: &str = "#7f8c8d";
const PARTS: [(&str, &str, Part); 5] = [
    ("trend", "#8e44ad", |parts| parts.trend),
    ("day", "#27ae60", |parts| parts.day),
    ("week", "#d68910", |parts| parts.week),
    ("AR", "#2980b9", |parts| parts.ar),
    ("rest", "#95a5a6", |parts| parts.rest),
];

/// Draws the last steps (oldest first, the last one being the origin) and the forecast from it up to `horizon`, with
/// the 50, 80 and 95 % intervals; the components of the forecasts of these steps; a ring around each alarm. Unknown
/// history takes no space.
pub fn draw(title: &str, grid: Grid, past: &[Told], outlook: &SignalOutlook, horizon: u16) -> String {
    let steps = past.len().max(1) as f64;
    let at = |index: usize| index as f64 + 1.0 - steps;
    let history = || past.iter().enumerate().filter_map(|(index, told)| Some((at(index), told.value?)));
    let ahead = |level: Option<f64>| {
        let at = move |step: u16| match level {
            Some(level) => outlook.quantile_at(level, f64::from(step)),
            None => outlook.point_at(f64::from(step)),
        };
        (1..=horizon).filter_map(move |step| Some((f64::from(step), at(step)?)))
    };
    let parts = |of: Part| {
        // A forecast made at a step is for the next one.
        past.iter().enumerate().filter_map(move |(index, told)| Some((at(index) + 1.0, of(&told.parts?))))
    };
    let mut shown = history().chain(ahead(Some(0.025))).chain(ahead(Some(0.975)));
    let frame = |(top, bottom): (f64, f64), values: &mut dyn Iterator<Item = (f64, f64)>| {
        let (low, high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, value)| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let margin = 0.05 * (high - low).max(high.abs() * 1e-3).max(f64::MIN_POSITIVE);
        let xs = (1.0 - steps, f64::from(horizon));
        let frame = Frame { across: (LEFT, WIDTH - RIGHT), down: (top, bottom), xs, ys: (low - margin, high + margin) };
        (frame, labels(low, high).map(|(value, text)| frame.label(value, &text)).concat())
    };
    let (upper, mut drawn) = frame((TOP, UPPER), &mut shown);
    // The level of a signal with a season may lie far from all of its last values: it gets no room of its own.
    let within = |value: f64| (upper.ys.0..=upper.ys.1).contains(&value);
    let level = || parts(|parts| parts.level).filter(|(step, level)| *step <= 0.0 && within(*level));
    for (lower, higher, shade) in INTERVALS {
        drawn += &upper.area(ahead(Some(lower)), ahead(Some(higher)).collect(), shade);
    }
    drawn += &upper.line(level(), LEVEL);
    drawn += &upper.line(history(), HISTORY);
    drawn += &upper.line(history().next_back().into_iter().chain(ahead(None)), POINT);
    for (index, value) in past.iter().enumerate().filter_map(|(index, told)| Some((index, told.alarm.and(told.value)?)))
    {
        drawn += &upper.ring((at(index), value), ALARM);
    }
    drawn += &upper.title(title);
    let is_drawn = [
        ("observed", HISTORY, history().next().is_some()),
        ("level", LEVEL, level().next().is_some()),
        ("forecast, 50, 80, 95 %", POINT, ahead(None).next().is_some()),
        ("alarm", ALARM, past.iter().any(|told| told.alarm.is_some())),
    ];
    let names = is_drawn.into_iter().filter_map(|(name, colour, is_drawn)| is_drawn.then_some((name, colour)));
    drawn += &upper.legend(&names.collect::<Vec<_>>());
    let mut foot = upper;
    if past.iter().any(|told| told.parts.is_some()) {
        let (below, labels) = frame((LOWER, HEIGHT - BOTTOM), &mut PARTS.iter().flat_map(|(.., of)| parts(*of)));
        drawn += &labels;
        drawn += &PARTS.iter().map(|(_, colour, of)| below.line(parts(*of), colour)).collect::<String>();
        drawn += &below.title("components of the next step's forecast, without the level");
        drawn += &below.legend(&PARTS.map(|(name, colour, _)| (name, colour)));
        foot = below;
    }
    let (top, bottom) = foot.down;
    let times = Frame { down: (top, bottom + LINE), ..foot };
    let mut marks = vec![1 - past.len().max(1) as i64, (1 - past.len().max(1) as i64) / 2, 0, i64::from(horizon)];
    marks.dedup();
    for step in marks {
        drawn += &foot.mark(step as f64, &format!("{step:+}"));
        let at = outlook.origin.plus(step);
        drawn += &times.mark(step as f64, grid.show(grid.at(at, 0)).get(YEAR..).unwrap_or_default());
    }
    sheet(WIDTH, bottom + BOTTOM, &drawn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Minute;
    use crate::model::outlook::{AnomalyKind, HORIZONS, HorizonPoint};

    #[test]
    fn history_forecast_parts_and_alarms_are_drawn() {
        let parts = Some(Parts { level: 10.0, trend: 0.5, day: 2.0, week: 0.25, ar: -1.0, rest: 0.0 });
        let told = |step: u32| Told {
            value: (step != 5).then_some(10.0 + f64::from(step % 3)),
            parts,
            alarm: (step == 7).then_some(AnomalyKind::Point),
        };
        let past: Vec<Told> = (0..20).map(told).collect();
        let mut outlook = SignalOutlook::not_ready(Minute(0), 0, 0);
        outlook.points = HORIZONS
            .iter()
            .map(|minutes| HorizonPoint {
                minutes: *minutes,
                point: 12.0,
                quantiles: std::array::from_fn(|at| 7.0 + at as f64),
            })
            .collect();
        let drawn = draw("steps of 60 s", Grid::MINUTES, &past, &outlook, 15);
        assert_eq!(drawn.matches("<polygon").count(), INTERVALS.len());
        // History, level, forecast, and five components.
        assert_eq!(drawn.matches("<polyline").count(), 8);
        assert_eq!(drawn.matches("<circle").count(), 1);
        for text in ["steps of 60 s", "+15", "-19", ">day<", ">week<", ">AR<", ">alarm<", ">01-01 00:15Z<"] {
            assert!(drawn.contains(text), "{text}");
        }
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        // A level far from what is seen takes no room from it.
        let far = |told: &Told| Told { parts: parts.map(|parts| Parts { level: 230.0, ..parts }), ..*told };
        let drawn = draw("", Grid::MINUTES, &past.iter().map(far).collect::<Vec<_>>(), &outlook, 15);
        assert!(!drawn.contains(">level<") && !drawn.contains(">200") && drawn.contains(">12.0<"), "{drawn}");
        let ahead = draw("", Grid::MINUTES, &[], &outlook, 1);
        assert!(!ahead.contains("NaN") && !ahead.contains("inf"), "{ahead}");
        // The legend names nothing missing, no place is marked twice, and no space is left for components.
        assert!(!ahead.contains(">alarm<") && !ahead.contains(">observed<") && !ahead.contains(">level<"), "{ahead}");
        assert!(ahead.matches(">+0<").count() == 1 && ahead.contains("viewBox=\"0 0 960 370\""), "{ahead}");
    }
}

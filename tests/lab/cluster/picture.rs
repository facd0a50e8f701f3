//! A drawing of a play: load and forecast, replicas, latency, violations, one below the other.

use flyball::cli::svg::{Frame, sheet};

use super::rig::SLO;

const WIDTH: f64 = 1100.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const ABOVE: f64 = 34.0;
/// Latencies above this are clipped, milliseconds: clients do not wait longer.
const LONGEST: f64 = 5000.0;

/// One second of a play.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Second {
    /// Its number, from 0.
    pub at: u32,
    /// Planned requests per second.
    pub planned: f64,
    /// Requests sent.
    pub requests: usize,
    /// Failed or slow ones among them.
    pub bad: usize,
    /// Their latency at the 99th percentile, milliseconds.
    pub p99_ms: Option<f64>,
    /// Whether the second was outside the objective.
    pub violated: bool,
    /// Pods, and those that were ready.
    pub pods: u32,
    /// Ready ones among them.
    pub ready: u32,
    /// Requests per second as forecast some minutes before: point, and quantiles 0.05 and 0.95.
    pub foreseen: Option<[f64; 3]>,
}

/// Draws a play under a title.
pub fn draw(title: &str, seconds: &[Second]) -> String {
    let end = f64::from(seconds.last().map_or(1, |second| second.at + 1));
    let mut top = 20.0;
    let mut drawn = String::new();
    let mut panel = |height: f64, highest: f64, name: &str| {
        let down = (top + ABOVE, top + ABOVE + height);
        top = down.1;
        let frame = Frame { across: (LEFT, WIDTH - RIGHT), down, xs: (0.0, end), ys: (0.0, highest) };
        let ground = frame.line([(0.0, 0.0), (end, 0.0)], "#999999");
        (
            frame,
            [frame.title(name), frame.label(0.0, "0"), frame.label(highest, &format!("{highest:.0}")), ground].concat(),
        )
    };
    let highest = |value: &dyn Fn(&Second) -> f64| 1.1 * seconds.iter().map(value).fold(1.0, f64::max);
    let at = |second: &Second| f64::from(second.at);

    let most = highest(&|second| second.foreseen.map_or(0.0, |it| it[2]).min(2.0 * second.planned).max(second.planned));
    // The stock autoscaler has no forecast.
    let foresees = seconds.iter().any(|second| second.foreseen.is_some());
    let red = if foresees { "; red, what was foreseen, with its 90 % interval" } else { "" };
    let (frame, axes) = panel(160.0, most, &format!("{title}: requests a second{red}"));
    let foreseen = |index: usize| {
        let value = move |second: &Second| Some((at(second), second.foreseen?[index].min(most)));
        seconds.iter().filter_map(value)
    };
    if foresees {
        drawn += &frame.area(foreseen(1), foreseen(2).collect(), "#f3d3ce");
    }
    drawn += &axes;
    drawn += &frame.line(seconds.iter().map(|second| (at(second), second.planned)), "#333333");
    if foresees {
        drawn += &frame.line(foreseen(0), "#c0392b");
    }

    let (frame, axes) = panel(120.0, highest(&|second| f64::from(second.pods)), "pods; blue, those that are ready");
    let stairs = |value: &dyn Fn(&Second) -> u32| {
        let step =
            |second: &Second| [(at(second), f64::from(value(second))), (at(second) + 1.0, f64::from(value(second)))];
        seconds.iter().flat_map(step).collect::<Vec<_>>()
    };
    drawn += &axes;
    drawn += &frame.line(stairs(&|second| second.pods), "#999999");
    drawn += &frame.line(stairs(&|second| second.ready), "#2c6fbb");

    let (frame, axes) =
        panel(120.0, LONGEST, "latency at the 99th percentile of each second, ms; dashed, the objective");
    let latency = seconds.iter().filter_map(|second| Some((at(second), second.p99_ms?.min(LONGEST))));
    let objective = SLO.as_secs_f64() * 1e3;
    drawn += &axes;
    drawn += &frame.line(latency, "#333333");
    drawn += &frame.line([(0.0, objective), (end, objective)], "#c0392b").replace("/>", " stroke-dasharray=\"6 4\"/>");

    let violated = seconds.iter().filter(|second| second.violated);
    let (frame, axes) = panel(24.0, 1.0, &format!("seconds outside the objective: {}", violated.clone().count()));
    drawn += &axes;
    for second in violated {
        drawn += &frame.area(
            [(at(second), 0.0), (at(second) + 1.0, 0.0)],
            vec![(at(second), 1.0), (at(second) + 1.0, 1.0)],
            "#c0392b",
        );
    }
    for share in 0..=6 {
        let second = end * f64::from(share) / 6.0;
        drawn += &frame.mark(second, &format!("{second:.0} s"));
    }
    sheet(WIDTH, top + 40.0, &drawn)
}

#[test]
fn a_play_in_which_nothing_is_foreseen_says_nothing_of_it() {
    let second = |at, foreseen| {
        let p99_ms = Some(250.0);
        Second { at, planned: 40.0, p99_ms, pods: 2, ready: 2, foreseen, ..Second::default() }
    };
    let drawn = |foreseen| draw("evening", &[second(0, None), second(1, foreseen)]);
    assert!(!drawn(None).contains("foreseen") && !drawn(None).contains("points=\"\""), "{}", drawn(None));
    assert!(drawn(Some([41.0, 38.0, 44.0])).contains("red, what was foreseen"));
}

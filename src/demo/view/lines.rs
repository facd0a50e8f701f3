//! The demo without a terminal: lines of text, or one JSON object a line.

use serde::Serialize;

use super::model::{Ahead, LastDecision, ServiceRow, ViewModel};
use crate::demo::Scores;
use crate::model::{KillState, Mode, ServiceId, Timestamp, Unit};
use crate::sim::Score;

/// Returns the moment as lines of text: one about the run, one or two for each service.
pub fn text(view: &ViewModel) -> Vec<String> {
    let mut lines = vec![run(view)];
    lines.extend(view.policy_faults.iter().map(|fault| format!("  policy refused, the last good one stays: {fault}")));
    for row in &view.services {
        lines.push(service(row));
        if let Some(decision) = &row.decision {
            lines.push(format!("    {}  {}", clock(decision.at), decision.text));
        }
    }
    lines
}

fn run(view: &ViewModel) -> String {
    let halted = if view.halted { " (halted: the loop is behind)" } else { "" };
    format!(
        "{} at {}x{halted}; SLO-violation minutes: flyball {:.1}, stock autoscaler {:.1}; kill switch {}; policy {}",
        clock(view.at),
        view.speed,
        view.violations.flyball,
        view.violations.stock_autoscaler,
        kill(&view.kill),
        view.revision.as_ref().map_or("none", |revision| revision.as_str()),
    )
}

fn service(row: &ServiceRow) -> String {
    format!(
        "  {} ({}): load {}, {}; {} of {} replicas ready; p99 {}",
        row.service,
        row.mode.as_str(),
        load(row.load),
        row.ahead.map_or("no forecast".to_owned(), |ahead| format!("in {} min {}", ahead.minutes, expected(&ahead))),
        row.ready,
        row.replicas,
        latency(row),
    )
}

/// Returns the time of the day.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// Returns a load, or that it is unknown.
pub(super) fn load(rps: Option<f64>) -> String {
    rps.map_or("unknown".to_owned(), |rps| format!("{rps:.0}/s"))
}

/// Returns a forecast with its interval.
pub(super) fn expected(ahead: &Ahead) -> String {
    format!("{:.0}/s ({:.0} to {:.0})", ahead.point, ahead.lower, ahead.upper)
}

/// Returns p99 beside its objective.
pub(super) fn latency(row: &ServiceRow) -> String {
    let now = row.p99.map_or("unknown".to_owned(), |p99| Unit::Seconds.show(p99));
    format!("{now} of {}", Unit::Seconds.show(row.slo_p99))
}

/// Returns what the kill switch stops.
pub(super) fn kill(state: &KillState) -> String {
    match state {
        KillState::Unreadable { error } => format!("ENGAGED (unreadable: {error})"),
        KillState::Readable { order } if order.all => "ENGAGED".to_owned(),
        KillState::Readable { order } if order.services.is_empty() && order.classes.is_empty() => "off".to_owned(),
        KillState::Readable { order } => {
            format!("engaged for {} services, {} classes", order.services.len(), order.classes.len())
        }
    }
}

/// One object of `--output json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum JsonLine {
    /// How one service stands.
    Service {
        /// Plant time.
        at: Timestamp,
        /// Which.
        service: ServiceId,
        /// How far the loop may go.
        mode: Mode,
        /// Requests a second; null without fresh telemetry.
        load: Option<f64>,
        /// Requests a second at the lead time; null without a forecast.
        forecast: Option<Ahead>,
        /// Replicas asked for.
        replicas: u32,
        /// Replicas that serve.
        ready: u32,
        /// p99 latency, seconds; null without fresh telemetry.
        p99: Option<f64>,
        /// p99 latency of the objective, seconds.
        slo_p99: f64,
        /// The last decision; null before the first.
        decision: Option<LastDecision>,
    },
    /// What the run cost; the last line.
    Summary {
        /// Under flyball, all services.
        flyball: Score,
        /// The same plant and seed under the stock autoscaler.
        stock_autoscaler: Score,
    },
}

/// Returns the moment as JSON objects, one for each service.
pub fn json(view: &ViewModel) -> Vec<JsonLine> {
    let line = |row: &ServiceRow| JsonLine::Service {
        at: view.at,
        service: row.service.clone(),
        mode: row.mode,
        load: row.load,
        forecast: row.ahead,
        replicas: row.replicas,
        ready: row.ready,
        p99: row.p99,
        slo_p99: row.slo_p99,
        decision: row.decision.clone(),
    };
    view.services.iter().map(line).collect()
}

/// Returns the last JSON object of a run.
pub fn json_summary(scores: &Scores) -> JsonLine {
    let (flyball, stock_autoscaler) = scores.sums();
    JsonLine::Summary { flyball, stock_autoscaler }
}

/// Returns what a run cost, as lines of text: one for each service and controller, then the sums.
pub fn text_summary(scores: &Scores) -> Vec<String> {
    let line = |service: &str, under: &str, minutes: &str, hours: &str, actions: &str| {
        format!("{service:<16} {under:<17} {minutes:>17} {hours:>14} {actions:>8}")
    };
    let row = |service: &str, under: &str, score: &Score| {
        let (minutes, hours) = (format!("{:.2}", score.slo_violation_minutes), format!("{:.2}", score.replica_hours));
        line(service, under, &minutes, &hours, &score.actions.to_string())
    };
    let mut lines = vec![line("service", "under", "SLO-violation min", "replica-hours", "actions")];
    for (service, score) in &scores.flyball {
        lines.push(row(service.as_str(), "flyball", score));
        lines.extend(scores.stock_autoscaler.get(service).map(|stock| row("", "stock autoscaler", stock)));
    }
    let (flyball, stock) = scores.sums();
    lines.push(row("all", "flyball", &flyball));
    lines.push(row("", "stock autoscaler", &stock));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::view::model::samples::moment;

    #[test]
    fn a_moment_reads_as_lines() {
        let revision = moment().revision.unwrap();
        let expected = format!(
            "11:59:15 at 60x; SLO-violation minutes: flyball 0.2, stock autoscaler 2.5; kill switch off; policy {revision}
  shop/catalog (shadow): load unknown, no forecast; 9 of 9 replicas ready; p99 unknown of 200 ms
  shop/checkout (auto): load 404/s, in 1.5 min 607/s (485 to 809); 7 of 12 replicas ready; p99 131 ms of 200 ms
    11:59:00  scale to 12: capacity needs 12 at the lead time, 7 are there
  shop/search (auto): load 931/s, in 1.5 min 1396/s (1117 to 1862); 16 of 16 replicas ready; p99 612 ms of 200 ms"
        );
        assert_eq!(text(&moment()).join("\n"), expected);
    }

    fn scores(flyball: Score, stock: Score) -> Scores {
        let one = |score| [(ServiceId::new("shop", "checkout").unwrap(), score)].into();
        Scores { flyball: one(flyball), stock_autoscaler: one(stock) }
    }

    #[test]
    fn the_summary_sets_both_controllers_side_by_side() {
        let flyball = Score { slo_violation_minutes: 0.5, replica_hours: 31.25, actions: 9 };
        let stock = Score { slo_violation_minutes: 3.25, replica_hours: 33.0, actions: 17 };
        insta::assert_snapshot!(text_summary(&scores(flyball, stock)).join("\n"), @r"
        service          under             SLO-violation min  replica-hours  actions
        shop/checkout    flyball                        0.50          31.25        9
                         stock autoscaler               3.25          33.00       17
        all              flyball                        0.50          31.25        9
                         stock autoscaler               3.25          33.00       17
        ");
    }

    #[test]
    fn what_stands_in_the_way_is_said() {
        let mut view = moment();
        view.halted = true;
        view.policy_faults = vec!["capacity.rhai:3:5: unknown signal `rsp`".to_owned()];
        view.kill = KillState::Unreadable { error: "no such file".to_owned() };
        let lines = text(&view);
        assert!(
            lines[0].contains("halted: the loop is behind") && lines[0].contains("ENGAGED (unreadable: no such file)")
        );
        assert_eq!(lines[1], "  policy refused, the last good one stays: capacity.rhai:3:5: unknown signal `rsp`");
    }

    #[test]
    fn json_lines_carry_a_type_and_the_summary_the_agreed_names() {
        let line = serde_json::to_value(&json(&moment())[1]).unwrap();
        assert_eq!((&line["type"], &line["service"]), (&"service".into(), &"shop/checkout".into()));
        assert_eq!(line["forecast"]["minutes"], 1.5);
        let score = Score { slo_violation_minutes: 0.5, replica_hours: 31.25, actions: 9 };
        let summary = json_summary(&scores(score, Score::default()));
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            r#"{"type":"summary","flyball":{"slo_violation_minutes":0.5,"replica_hours":31.25,"actions":9},"stock_autoscaler":{"slo_violation_minutes":0.0,"replica_hours":0.0,"actions":0}}"#
        );
    }
}

//! `flyball demo --output json`: one object per line, the last of them the cost of the run.

use serde::Serialize;

use crate::demo::Scores;
use crate::model::{KillState, Mode, PolicyRevision, ServiceId, Timestamp};
use crate::sim::{BurstState, Score};

use super::model::{Ahead, Event, Halt, LastDecision, ServiceRow, ViewModel, Violations};

/// One object of `--output json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum JsonLine {
    /// An event.
    Event(Event),
    /// The state of the run.
    Run {
        /// Plant time.
        at: Timestamp,
        /// Simulated seconds per real second.
        speed: f64,
        /// Why the plant is halted; null while it moves.
        halted: Option<Halt>,
        /// SLO-violation minutes so far.
        slo_violation_minutes: Violations,
        /// The kill switch.
        kill: KillState,
        /// The active policy set; null before the first.
        policy: Option<PolicyRevision>,
        /// The faults of the newest set, if it was refused.
        policy_faults: Vec<String>,
    },
    /// The state of one service.
    Service {
        /// Plant time.
        at: Timestamp,
        /// The service.
        service: ServiceId,
        /// The highest mode the loop may use.
        mode: Mode,
        /// Requests per second; null without fresh telemetry.
        load: Option<f64>,
        /// Requests per second at the lead time; null without a forecast.
        forecast: Option<Ahead>,
        /// Requested replicas.
        replicas: u32,
        /// Ready replicas.
        ready: u32,
        /// p99 latency, seconds; null without fresh telemetry.
        p99: Option<f64>,
        /// p99 latency of the objective, seconds.
        slo_p99: f64,
        /// State of its surge or flash crowd.
        burst: Option<BurstState>,
        /// The last decision; null before the first.
        decision: Option<LastDecision>,
    },
    /// The cost of the run for one service.
    ServiceSummary {
        /// The service.
        service: ServiceId,
        /// Under flyball.
        flyball: Score,
        /// The same plant and seed under the stock autoscaler.
        stock_autoscaler: Score,
    },
    /// The cost of the run; the last line.
    Summary {
        /// Under flyball, all services.
        flyball: Score,
        /// The same plant and seed under the stock autoscaler.
        stock_autoscaler: Score,
    },
}

/// Returns a moment: the run, then each service.
pub fn moment(view: &ViewModel) -> Vec<JsonLine> {
    let services = view.services.iter().map(|row| service(view, row));
    std::iter::once(run(view)).chain(services).collect()
}

fn run(view: &ViewModel) -> JsonLine {
    JsonLine::Run {
        at: view.at,
        speed: view.speed,
        halted: view.halted,
        slo_violation_minutes: view.violations,
        kill: view.kill.clone(),
        policy: view.revision.clone(),
        policy_faults: view.policy_faults.clone(),
    }
}

fn service(view: &ViewModel, row: &ServiceRow) -> JsonLine {
    JsonLine::Service {
        at: view.at,
        service: row.service.clone(),
        mode: row.mode,
        load: row.load,
        forecast: row.ahead,
        replicas: row.replicas,
        ready: row.ready,
        p99: row.p99,
        slo_p99: row.slo_p99,
        burst: row.burst,
        decision: row.decision.clone(),
    }
}

/// Returns the last lines of a run: its cost for each service, in name order, then in total.
pub fn summary(scores: &Scores) -> Vec<JsonLine> {
    let (flyball, stock_autoscaler) = scores.sums();
    let services = scores.flyball.iter().map(|(service, score)| JsonLine::ServiceSummary {
        service: service.clone(),
        flyball: *score,
        stock_autoscaler: scores.stock_autoscaler.get(service).copied().unwrap_or_default(),
    });
    services.chain([JsonLine::Summary { flyball, stock_autoscaler }]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::view::model::samples;

    #[test]
    fn json_lines_carry_a_type_and_the_summary_the_agreed_names() {
        let line = serde_json::to_value(&moment(&samples::moment())[2]).unwrap();
        assert_eq!((&line["type"], &line["service"]), (&"service".into(), &"shop/checkout".into()));
        assert_eq!(line["forecast"]["minutes"], 1.5);
        let one = |score| [(ServiceId::new("shop", "checkout").unwrap(), score)].into();
        let score = Score { slo_violation_minutes: 0.5, replica_hours: 31.25, actions: 9 };
        let summary = summary(&Scores { flyball: one(score), stock_autoscaler: one(Score::default()) });
        assert_eq!(
            summary.iter().map(|line| serde_json::to_string(line).unwrap()).collect::<Vec<_>>(),
            [
                r#"{"type":"service_summary","service":"shop/checkout","flyball":{"slo_violation_minutes":0.5,"replica_hours":31.25,"actions":9},"stock_autoscaler":{"slo_violation_minutes":0.0,"replica_hours":0.0,"actions":0}}"#,
                r#"{"type":"summary","flyball":{"slo_violation_minutes":0.5,"replica_hours":31.25,"actions":9},"stock_autoscaler":{"slo_violation_minutes":0.0,"replica_hours":0.0,"actions":0}}"#,
            ]
        );
    }
}

//! What the views of the demo show: plain data, collected from the running loop and from the plant.

use std::time::Duration;

use serde::Serialize;

use crate::model::{KillState, Mode, PolicyRevision, ServiceId, SignalOutlook, Timestamp};
use crate::sim::BurstState;

/// Everything that is shown at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewModel {
    /// Plant time.
    pub at: Timestamp,
    /// Simulated seconds per real second.
    pub speed: f64,
    /// Why the plant is halted, if it is.
    pub halted: Option<Halt>,
    /// SLO-violation minutes so far, all services.
    pub violations: Violations,
    /// The kill switch.
    pub kill: KillState,
    /// The active policy set.
    pub revision: Option<PolicyRevision>,
    /// The faults of the newest set, if it was refused; the previous one remains active.
    pub policy_faults: Vec<String>,
    /// Services in name order.
    pub services: Vec<ServiceRow>,
    /// The latest events, newest first.
    pub events: Vec<Event>,
    /// What a person can do.
    pub hints: Hints,
}

/// Why the plant is halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// The loop has not read the history yet.
    Starting,
    /// The loop has fallen behind.
    Behind,
}

/// Something that a person should notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its number, from 1 on.
    pub number: u64,
    /// When, plant time.
    pub at: Timestamp,
    /// Its kind.
    pub kind: EventKind,
    /// The service; `None` if it concerns all.
    pub service: Option<ServiceId>,
    /// Its description.
    pub text: String,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// More replicas were requested.
    Raised,
    /// Fewer replicas were requested.
    Lowered,
    /// A write failed.
    Failed,
    /// The write gate held a change back: a budget, the kill switch, the lease or another write.
    Held,
    /// A surge or a flash crowd started or ended.
    Surge,
    /// The kill switch was changed.
    KillSwitch,
    /// A policy set became active.
    Policy,
    /// A policy set was refused.
    PolicyRefused,
    /// The loop lacks something that it needs to decide or to write, or has it again.
    Trouble,
}

/// SLO-violation minutes of the plant and of its twin.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Violations {
    /// Under flyball.
    pub flyball: f64,
    /// Under the stock autoscaler.
    pub stock_autoscaler: f64,
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceRow {
    /// The service.
    pub service: ServiceId,
    /// The highest mode the loop may use.
    pub mode: Mode,
    /// Last observed requests per second; `None` without fresh telemetry.
    pub load: Option<f64>,
    /// Requests per second expected when pods requested now would be ready.
    pub ahead: Option<Ahead>,
    /// Requested replicas.
    pub replicas: u32,
    /// Ready replicas.
    pub ready: u32,
    /// Last observed p99 latency, seconds.
    pub p99: Option<f64>,
    /// p99 latency of the objective, seconds.
    pub slo_p99: f64,
    /// The last decision.
    pub decision: Option<LastDecision>,
    /// Requests per second over the last minutes, oldest first.
    pub loads: Vec<f64>,
    /// State of its surge or flash crowd.
    pub burst: Option<BurstState>,
}

/// A forecast of the arrival rate with its 90 % interval, requests per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ahead {
    /// How far ahead, minutes.
    pub minutes: f64,
    /// Expected.
    pub point: f64,
    /// 5 % quantile.
    pub lower: f64,
    /// 95 % quantile.
    pub upper: f64,
}

impl Ahead {
    /// Returns what `outlook` expects at `lead_time`; `None` without a forecast that reaches so far ahead.
    pub fn of(outlook: &SignalOutlook, lead_time: Duration) -> Option<Self> {
        let minutes = lead_time.as_secs_f64() / 60.0;
        Some(Self {
            minutes,
            point: outlook.point_at(minutes)?,
            lower: outlook.quantile_at(0.05, minutes)?,
            upper: outlook.quantile_at(0.95, minutes)?,
        })
    }
}

/// A decision in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastDecision {
    /// When, plant time.
    pub at: Timestamp,
    /// What was done, or not.
    pub what: String,
    /// The first reason, with its numbers.
    pub why: String,
}

/// The available commands, ready to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hints {
    /// The policy file or directory to edit.
    pub policy: String,
    /// Command that stops all writes.
    pub kill: String,
    /// Command that allows writes again.
    pub resume: String,
    /// Command that explains the last decision of a service.
    pub explain: String,
}

#[cfg(test)]
pub(super) mod samples {
    //! A moment shortly before a surge, for the tests of the views.

    use super::*;

    pub(in crate::demo::view) fn moment() -> ViewModel {
        let at: Timestamp = "2026-03-03T11:59:15Z".parse().unwrap();
        let row = |name: &str, load: f64, replicas, ready| ServiceRow {
            service: ServiceId::new("shop", name).unwrap(),
            mode: Mode::Auto,
            load: Some(load),
            ahead: Some(Ahead { minutes: 1.5, point: load * 1.5, lower: load * 1.2, upper: load * 2.0 }),
            replicas,
            ready,
            p99: Some(0.131),
            slo_p99: 0.2,
            decision: None,
            loads: vec![load * 0.8, load, load * 0.9, load * 1.1, load],
            burst: None,
        };
        let mut checkout = row("checkout", 404.4, 12, 7);
        checkout.decision = Some(LastDecision {
            at: "2026-03-03T11:59:00Z".parse().unwrap(),
            what: "scaled 7 -> 12".to_owned(),
            why: "up to 701/s within 10 min need 12, now 404/s need 7".to_owned(),
        });
        checkout.burst = Some(BurstState::Due { seconds: 45 });
        let mut search = row("search", 931.0, 16, 16);
        search.p99 = Some(0.612);
        let mut catalog = row("catalog", 512.0, 9, 9);
        (catalog.load, catalog.ahead, catalog.p99, catalog.mode) = (None, None, None, Mode::Shadow);
        ViewModel {
            at,
            speed: 60.0,
            halted: None,
            violations: Violations { flyball: 0.25, stock_autoscaler: 2.5 },
            kill: KillState::released(),
            revision: Some(PolicyRevision::of([("capacity.rhai", "")])),
            policy_faults: Vec::new(),
            events: vec![Event {
                number: 1,
                at: "2026-03-03T11:59:00Z".parse().unwrap(),
                kind: EventKind::Raised,
                service: Some(checkout.service.clone()),
                text: "scaled 7 -> 12: up to 701/s within 10 min need 12, now 404/s need 7".to_owned(),
            }],
            services: vec![catalog, checkout, search],
            hints: Hints {
                policy: "demo/policies/capacity.rhai".to_owned(),
                kill: "flyball kill".to_owned(),
                resume: "flyball resume --reason ok".to_owned(),
                explain: "flyball explain shop/checkout".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outlook::HorizonPoint;
    use crate::model::{HORIZONS, Minute, QUANTILES};

    #[test]
    fn the_forecast_at_the_lead_time_lies_between_horizons() {
        let mut outlook = SignalOutlook::not_ready(Minute(0), 0, 0);
        assert_eq!(Ahead::of(&outlook, Duration::from_secs(90)), None);
        let point = |minutes: &u16| HorizonPoint {
            minutes: *minutes,
            point: f64::from(*minutes) * 100.0,
            quantiles: QUANTILES.map(|level| f64::from(*minutes) * 200.0 * level),
        };
        outlook.points = HORIZONS.iter().map(point).collect();
        let ahead = Ahead::of(&outlook, Duration::from_secs(90)).unwrap();
        assert_eq!(ahead, Ahead { minutes: 1.5, point: 150.0, lower: 15.0, upper: 285.0 });
    }
}

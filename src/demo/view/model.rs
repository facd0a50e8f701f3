//! What the views of the demo show: plain data, gathered from the running loop and from the plant.

use std::time::Duration;

use serde::Serialize;

use crate::model::{KillState, Mode, PolicyRevision, ServiceId, SignalOutlook, Timestamp};

/// Everything that is shown at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewModel {
    /// Plant time.
    pub at: Timestamp,
    /// Seconds of the plant in a second of the wall clock.
    pub speed: f64,
    /// Whether the plant stands still because the loop has fallen behind.
    pub halted: bool,
    /// SLO-violation minutes so far, all services.
    pub violations: Violations,
    /// The kill switch.
    pub kill: KillState,
    /// The policy set in force.
    pub revision: Option<PolicyRevision>,
    /// What is wrong with the newest set, if it was refused; the one before it stays in force.
    pub policy_faults: Vec<String>,
    /// Services in name order.
    pub services: Vec<ServiceRow>,
    /// What a person can do.
    pub hints: Hints,
}

/// SLO-violation minutes of the plant and of its twin.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Violations {
    /// Under flyball.
    pub flyball: f64,
    /// Under the stock autoscaler.
    pub stock_autoscaler: f64,
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceRow {
    /// Which.
    pub service: ServiceId,
    /// How far the loop may go.
    pub mode: Mode,
    /// Requests a second as last seen; `None` without fresh telemetry.
    pub load: Option<f64>,
    /// Requests a second expected when pods asked for now would be ready.
    pub ahead: Option<Ahead>,
    /// Replicas asked for.
    pub replicas: u32,
    /// Replicas that serve.
    pub ready: u32,
    /// p99 latency as last seen, seconds.
    pub p99: Option<f64>,
    /// p99 latency of the objective, seconds.
    pub slo_p99: f64,
    /// The last decision.
    pub decision: Option<LastDecision>,
    /// Requests a second over the last minutes, oldest first.
    pub loads: Vec<f64>,
}

/// A forecast of the arrival rate with its 90 % interval, requests a second.
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
    /// Returns what `outlook` expects at `lead_time`; `None` without a forecast that reaches so far.
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastDecision {
    /// When, plant time.
    pub at: Timestamp,
    /// What and why.
    pub text: String,
}

/// What a person can do, as to be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hints {
    /// The policy file or directory to edit.
    pub policy: String,
    /// Command that stops all writes.
    pub kill: String,
    /// Command that lets them go on.
    pub resume: String,
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
        };
        let mut checkout = row("checkout", 404.4, 12, 7);
        checkout.decision = Some(LastDecision {
            at: "2026-03-03T11:59:00Z".parse().unwrap(),
            text: "scale to 12: capacity needs 12 at the lead time, 7 are there".to_owned(),
        });
        let mut search = row("search", 931.0, 16, 16);
        search.p99 = Some(0.612);
        let mut catalog = row("catalog", 512.0, 9, 9);
        (catalog.load, catalog.ahead, catalog.p99, catalog.mode) = (None, None, None, Mode::Shadow);
        ViewModel {
            at,
            speed: 60.0,
            halted: false,
            violations: Violations { flyball: 0.25, stock_autoscaler: 2.5 },
            kill: KillState::released(),
            revision: Some(PolicyRevision::of([("capacity.rhai", "")])),
            policy_faults: Vec::new(),
            services: vec![catalog, checkout, search],
            hints: Hints {
                policy: "demo/policies/".to_owned(),
                kill: "flyball kill".to_owned(),
                resume: "flyball resume".to_owned(),
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

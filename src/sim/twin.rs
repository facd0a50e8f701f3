//! The same plant and seed under the stock autoscaler: flyball's baseline.

use std::collections::BTreeMap;

use crate::model::{ServiceId, Timestamp};

use super::plant::Plant;
use super::scenario::Scenario;
use super::service::SimService;
use super::stock::{Phase, PodView, SYNC_SECONDS, StockAutoscaler, Usage};
use super::{TELEMETRY_LAG_SECONDS, TICK_SECONDS};

/// CPU target, percent of the request.
pub const CPU_TARGET_PERCENT: u32 = 60;

/// Window of the CPU measurement, seconds.
const WINDOW_SECONDS: i64 = 15;

/// CPU request of a pod, millicores: what it uses when saturated.
const REQUEST_MILLICORES: u64 = 1000;

/// A plant with a stock autoscaler for each service.
#[derive(Debug, Clone)]
pub struct StockTwin {
    plant: Plant,
    autoscalers: BTreeMap<ServiceId, StockAutoscaler>,
}

impl StockTwin {
    /// Returns the plant of `scenario` under `seed` at `start` with autoscalers at the bounds of the services.
    pub fn new(scenario: &Scenario, seed: u64, start: Timestamp) -> Self {
        let autoscaler = |bounds| StockAutoscaler::new(CPU_TARGET_PERCENT, bounds);
        let autoscalers = scenario.services.iter().map(|plan| (plan.id.clone(), autoscaler(plan.bounds))).collect();
        Self { plant: Plant::new(scenario, seed, start), autoscalers }
    }

    /// Advances plant and autoscalers to `to`.
    pub fn advance(&mut self, to: Timestamp) {
        loop {
            let next = (self.plant.seconds().div_euclid(SYNC_SECONDS) + 1) * SYNC_SECONDS;
            let Some(turn) = Timestamp::from_second(next).ok().filter(|turn| *turn <= to) else { break };
            self.plant.advance(turn);
            self.sync(next);
        }
        self.plant.advance(to);
    }

    /// Returns the plant.
    pub fn plant(&self) -> &Plant {
        &self.plant
    }

    fn sync(&mut self, now: i64) {
        for (id, autoscaler) in &mut self.autoscalers {
            let Some(service) = self.plant.service(id) else { continue };
            let pods = views(service, now);
            let wanted = autoscaler.sync(service.wanted(), &pods, now);
            self.plant.set_wanted(id, wanted);
        }
    }
}

/// Pods as the API server and the metrics pipeline show them at second `now`: started when created, CPU published one
/// lag after its window ended.
fn views(service: &SimService, now: i64) -> Vec<PodView> {
    let ticks = |seconds: i64| (seconds / TICK_SECONDS) as usize;
    let cpu = service.cpu_window(ticks(TELEMETRY_LAG_SECONDS), ticks(WINDOW_SECONDS));
    let at = now - TELEMETRY_LAG_SECONDS;
    let view = |pod: &super::pod::Pod| {
        let ready = pod.ready(now.saturating_mul(1000));
        // The CPU of a starting pod is not modelled; the rule ignores it.
        let share = if ready { cpu? } else { 0.0 };
        Some(Usage { at, window: WINDOW_SECONDS, millicores: (share * REQUEST_MILLICORES as f64).round() as u64 })
    };
    let phase = |pod: &super::pod::Pod| {
        let ready = pod.ready(now.saturating_mul(1000));
        let since = (if ready { pod.ready_at } else { pod.created }).div_euclid(1000);
        Phase::Running { started: pod.created.div_euclid(1000), ready, since }
    };
    service
        .pods()
        .iter()
        .map(|pod| PodView { phase: phase(pod), request: REQUEST_MILLICORES, usage: view(pod) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::score::Score;

    fn start() -> Timestamp {
        Scenario::demo_start("2026-03-03T00:00:00Z".parse().unwrap())
    }

    fn after(hours: i64) -> Timestamp {
        start() + jiff::SignedDuration::from_hours(hours)
    }

    /// Runs `scenario` under `seed` with the stock autoscaler from `from` to `to` and returns the cost.
    fn run_stock(scenario: &Scenario, seed: u64, from: Timestamp, to: Timestamp) -> BTreeMap<ServiceId, Score> {
        let mut twin = StockTwin::new(scenario, seed, from);
        twin.advance(to);
        twin.plant.scores()
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_another_seed_another() {
        let scenario = Scenario::demo(start()).unwrap();
        let run = |seed| run_stock(&scenario, seed, start(), after(2));
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn steps_of_any_length_lead_to_the_same_place() {
        let scenario = Scenario::demo(start()).unwrap();
        let mut stepped = StockTwin::new(&scenario, 4, start());
        for second in (0..3600).step_by(7) {
            stepped.advance(start() + jiff::SignedDuration::from_secs(second));
        }
        stepped.advance(after(1));
        assert_eq!(stepped.plant().scores(), run_stock(&scenario, 4, start(), after(1)));
    }

    #[test]
    fn the_stock_autoscaler_follows_the_day_but_is_late_for_a_surge() {
        let scenario = Scenario::demo(start()).unwrap();
        let scores = run_stock(&scenario, 1, start(), after(2));
        let of = |name: &str| scores[&ServiceId::new("shop", name).unwrap()];
        assert!((1.0..8.0).contains(&of("checkout").slo_violation_minutes), "{scores:?}");
        assert!((1.0..8.0).contains(&of("catalog").slo_violation_minutes), "{scores:?}");
        assert!(of("search").slo_violation_minutes < 1.0, "{scores:?}");
        assert!(of("checkout").actions >= 4, "{scores:?}");
    }
}

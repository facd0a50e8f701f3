//! Validity of the plant: it agrees with its queue model, loses nothing, and is reproducible.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::sim::service::CLIENT_TIMEOUT;
use crate::sim::workload::Workload;
use crate::sim::{SCRAPE_SECONDS, Signal};

fn start() -> Timestamp {
    Scenario::demo_start("2026-03-03T00:00:00Z".parse().unwrap())
}

fn id(name: &str) -> ServiceId {
    ServiceId::new("shop", name).unwrap()
}

fn later(seconds: i64) -> Timestamp {
    start() + jiff::SignedDuration::from_secs(seconds)
}

/// One service under constant load (except for counting noise).
fn constant(rps: f64) -> Scenario {
    let mut plan = (*Scenario::demo(start()).unwrap().services[1]).clone();
    plan.workload = Workload { mean: rps, swing: 0.0, weekend: 1.0, wander: 0.0, bursts: Vec::new() };
    Scenario { services: vec![Arc::new(plan)] }
}

#[test]
fn under_steady_load_p99_is_that_of_the_queue() {
    let scenario = constant(2000.0);
    let search = id("search");
    for pods in [24, 28, 33, 40] {
        let mut plant = Plant::new(&scenario, 5, start());
        plant.set_wanted(&search, pods);
        plant.advance(later(600));
        let service = plant.service(&search).unwrap();
        let rho = service.rps_now() / (f64::from(pods) * 100.0);
        let expected = scenario.services[0].queue.p99(rho);
        assert!((service.p99_now() - expected).abs() < 1e-9, "{pods} pods: {} not {expected}", service.p99_now());
        assert_eq!(plant.status(&search).unwrap(), PodCounts { replicas: pods, ready: pods });
    }
}

#[test]
fn overload_fills_the_backlog_up_to_the_time_out_and_fails_the_rest() {
    let search = id("search");
    let mut plant = Plant::new(&constant(2000.0), 5, start());
    plant.set_wanted(&search, 10);
    plant.advance(later(120));
    let service = plant.service(&search).unwrap();
    assert!((service.backlog() - CLIENT_TIMEOUT * 1000.0).abs() < 1e-6);
    assert!((service.p99_now() - CLIENT_TIMEOUT).abs() < 1e-9);
    let at = later(120).as_second();
    let scrape = service.scraped(at).unwrap();
    assert!((scrape.get(Signal::Errors) - 0.5).abs() < 0.05, "{scrape:?}");
    assert!((scrape.get(Signal::Cpu) - 1.0).abs() < 1e-9);
    assert!(service.scraped(at + SCRAPE_SECONDS).is_none(), "not scraped yet");
}

#[test]
fn a_service_without_pods_fails_everything() {
    let search = id("search");
    let mut plant = Plant::new(&constant(500.0), 5, start());
    plant.set_wanted(&search, 0);
    plant.advance(later(60));
    let service = plant.service(&search).unwrap();
    assert!((service.counters().failed / service.counters().arrived - 1.0).abs() < 1e-9);
    assert!((service.score().slo_violation_minutes - 1.0).abs() < 1e-9);
}

#[test]
fn pods_are_billed_and_actions_counted() {
    let search = id("search");
    let mut plant = Plant::new(&constant(570.0), 5, start());
    assert_eq!(plant.status(&search).unwrap().replicas, 10);
    plant.advance(later(3600));
    assert!((plant.service(&search).unwrap().score().replica_hours - 10.0).abs() < 1e-6);
    plant.set_wanted(&search, 10);
    plant.set_wanted(&search, 9);
    plant.advance(later(7200));
    let score = plant.service(&search).unwrap().score();
    // One pod lived 30 s into the second hour: its termination.
    assert!((score.replica_hours - 19.0 - 30.0 / 3600.0).abs() < 1e-6, "{score:?}");
    assert_eq!(score.actions, 1);
    assert!(!plant.set_wanted(&id("nobody"), 3) && plant.status(&id("nobody")).is_none());
}

#[test]
fn the_past_of_the_load_is_the_load_that_a_plant_sees() {
    let scenario = Scenario::demo(start()).unwrap();
    let mut early = Plant::new(&scenario, 9, start());
    early.advance(later(1800));
    let late = Plant::new(&scenario, 9, later(1800));
    for service in ["checkout", "search", "catalog"].map(id) {
        for at in (start().as_second()..=later(1800).as_second()).step_by(15) {
            let seen = early.service(&service).unwrap().scraped(at).unwrap().rps;
            let told = late.service(&service).unwrap().scraped(at).unwrap().rps;
            assert!((seen - told).abs() < 1e-9, "{service} at {at}");
        }
    }
}

#[test]
fn a_well_run_past_is_within_its_objective() {
    let plant = Plant::new(&Scenario::demo(start()).unwrap(), 9, start());
    for (name, service) in plant.services() {
        for at in (start().as_second() - 14 * 86_400..start().as_second()).step_by(1800) {
            let scrape = service.scraped(at - at.rem_euclid(SCRAPE_SECONDS)).unwrap();
            assert!(scrape.p99 < 0.2 && scrape.errors == 0.0 && scrape.cpu <= 0.75, "{name} at {at}: {scrape:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_is_lost(seed: u64, wanted in prop::collection::vec(0_u32..30, 1..12)) {
        let checkout = id("checkout");
        let mut plant = Plant::new(&Scenario::demo(start()).unwrap(), seed, later(540));
        for (step, replicas) in (1_i64..).zip(&wanted) {
            plant.set_wanted(&checkout, *replicas);
            plant.advance(later(540 + 45 * step));
            let service = plant.service(&checkout).unwrap();
            let counters = service.counters();
            let accounted = counters.served + counters.failed + service.backlog();
            prop_assert!((counters.arrived - accounted).abs() < 1e-6 * counters.arrived.max(1.0));
        }
    }

    #[test]
    fn more_pods_are_never_worse(seed: u64, pods in 0_u32..30, more in 0_u32..10) {
        let checkout = id("checkout");
        let run = |replicas| {
            let mut plant = Plant::new(&Scenario::demo(start()).unwrap(), seed, later(540));
            plant.set_wanted(&checkout, replicas);
            plant.advance(later(1500));
            let service = plant.service(&checkout).unwrap();
            (service.score().slo_violation_minutes, service.counters().failed, service.p99_now())
        };
        let (few, many) = (run(pods), run(pods + more));
        prop_assert!(many.0 <= few.0 + 1e-9 && many.1 <= few.1 + 1e-6 && many.2 <= few.2 + 1e-9, "{few:?} {many:?}");
    }
}

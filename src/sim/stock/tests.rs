//! Reference vectors: facts from the replica calculator's own tests, and the rules around it.

use super::*;

const NOW: i64 = 10_000;

#[derive(Clone, Copy)]
enum State {
    Ready,
    Unready,
    Failed,
    Pending,
    Unmeasured,
}
use State::{Failed, Pending, Ready, Unmeasured, Unready};

fn pod(millicores: u64, state: State) -> PodView {
    let usage = Some(Usage { at: NOW - 15, window: 15, millicores });
    let running = |ready| Phase::Running { started: NOW - 200, ready, since: NOW - 190 };
    let (phase, usage) = match state {
        Ready => (running(true), usage),
        Unready => (running(false), usage),
        Failed => (Phase::Gone, usage),
        Pending => (Phase::Pending, None),
        Unmeasured => (running(true), None),
    };
    PodView { phase, request: 1000, usage }
}

fn check(current: u32, pods: &[(u64, State)], target: u32, expected: Option<u32>) {
    let views: Vec<PodView> = pods.iter().map(|(used, state)| pod(*used, *state)).collect();
    assert_eq!(recommend(current, &views, target, NOW), expected, "current {current}, target {target}");
}

#[test]
fn the_replica_calculator_agrees_with_its_source() {
    check(3, &[(300, Ready), (500, Ready), (700, Ready)], 30, Some(5));
    check(3, &[(300, Unready), (500, Ready), (700, Ready)], 30, Some(4));
    check(3, &[(400, Ready), (500, Unready), (700, Unready)], 30, Some(3));
    check(2, &[(500, Ready), (700, Ready), (0, Failed), (0, Failed)], 30, Some(4));
    let five = [100, 300, 500, 250, 250];
    check(5, &five.map(|used| (used, Ready)), 50, Some(3));
    check(5, &[(100, Ready), (300, Ready), (500, Ready), (250, Unready), (250, Unready)], 50, Some(2));
    check(5, &[(100, Ready), (0, Pending), (0, Pending), (0, Pending), (0, Pending)], 50, Some(1));
}

#[test]
fn tolerance_is_ten_percent_of_whole_percents() {
    check(2, &[(669, Ready), (669, Ready)], 60, Some(2)); // 66 % of 60 %: 1.1
    check(2, &[(670, Ready), (670, Ready)], 60, Some(3)); // 67 %
    check(2, &[(540, Ready), (540, Ready)], 60, Some(2)); // 54 %: 0.9
    check(4, &[(530, Ready), (530, Ready), (530, Ready), (530, Ready)], 60, Some(4)); // 53 % requires 3.53
    check(9, &[(530, Ready); 9], 60, Some(8));
}

#[test]
fn pods_without_a_measurement_dampen_either_direction() {
    // Lowering: counted as using their whole request.
    check(4, &[(100, Ready), (100, Ready), (0, Unmeasured), (0, Unmeasured)], 60, Some(4));
    check(4, &[(100, Ready), (100, Ready), (100, Ready), (0, Unmeasured)], 60, Some(3));
    // Raising: counted as idle.
    check(3, &[(900, Ready), (900, Ready), (0, Unmeasured)], 60, Some(3));
    check(3, &[(1000, Ready), (1000, Ready), (1000, Ready), (0, Unmeasured)], 60, Some(5));
    // Nothing measured: no recommendation.
    check(2, &[(0, Unmeasured), (0, Pending)], 60, None);
    check(2, &[], 60, None);
}

#[test]
fn a_pod_counts_as_ready_once_a_whole_window_has_been_measured() {
    let at = |started, ready, since, sampled| PodView {
        phase: Phase::Running { started, ready, since },
        request: 1000,
        usage: Some(Usage { at: sampled, window: 15, millicores: 500 }),
    };
    for (view, ready) in [
        (at(NOW - 100, true, NOW - 40, NOW - 26), false),
        (at(NOW - 100, true, NOW - 40, NOW - 25), true),
        (at(NOW - 100, false, NOW - 100, NOW), false),
        (at(NOW - 299, false, NOW - 200, NOW), false),
        (at(NOW - 300, false, NOW - 271, NOW), false), // never was ready
        (at(NOW - 300, false, NOW - 270, NOW), true),  // was ready, fell over: its load counts
        (at(NOW - 300, true, NOW - 1, NOW - 15), true),
    ] {
        assert_eq!(classify(&view, NOW) == Class::Ready(500), ready, "{view:?}");
    }
}

fn bounds(min: u32, max: u32) -> Bounds {
    Bounds { min, max }
}

/// Runs one sync in which CPU requires `wanted`, from `current`.
fn turn(scaler: &mut StockAutoscaler, current: u32, wanted: u32, now: i64) -> u32 {
    let stable = scaler.stabilise(current, wanted, now);
    scaler.limit(current, stable)
}

#[test]
fn the_highest_recommendation_of_five_minutes_holds() {
    let mut scaler = StockAutoscaler::new(60, bounds(1, 100));
    let recommendations = [10, 9, 8, 9, 9, 8, 9, 8, 9, 8];
    let mut now = NOW;
    for wanted in recommendations {
        assert_eq!(turn(&mut scaler, 10, wanted, now), 10);
        now += 31;
    }
    // 310 s after the first: the 10 has left the window.
    assert_eq!(turn(&mut scaler, 10, 7, now), 9);
    // Inclusive of the recommendation exactly 300 s old.
    let mut scaler = StockAutoscaler::new(60, bounds(1, 100));
    turn(&mut scaler, 10, 10, NOW);
    assert_eq!(turn(&mut scaler, 10, 5, NOW + 300), 10);
    assert_eq!(turn(&mut scaler, 10, 5, NOW + 301), 5);
}

#[test]
fn one_turn_adds_at_most_the_double_or_up_to_four() {
    let raise = |current, wanted| turn(&mut StockAutoscaler::new(60, bounds(1, 40)), current, wanted, NOW);
    assert_eq!(raise(1, 30), 4);
    assert_eq!(raise(3, 30), 6);
    assert_eq!(raise(30, 70), 40);
}

#[test]
fn outside_its_bounds_it_returns_to_them_and_zero_means_off() {
    let sync = |current| {
        let pods = [pod(500, Ready)];
        StockAutoscaler::new(60, bounds(2, 10)).sync(current, &pods, NOW)
    };
    assert_eq!((sync(0), sync(1), sync(11)), (0, 2, 10));
    assert_eq!(StockAutoscaler::new(60, bounds(2, 10)).sync(5, &[], NOW), 5);
}

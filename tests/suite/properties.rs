//! Invariants INV-n over random histories of judge and plan. `docs/safety.md` says what each one means.

mod history;
mod undo;

use std::time::Duration;

use flyball::act::{recheck, settle};
use flyball::guard::{FleetBudget, chain};
use flyball::model::{
    ChangeSet, CycleId, DecisionId, Finding, GuardName, Mode, Now, TargetKind, TargetRef, Timestamp, VerdictKind,
    WriteOutcome,
};
use history::{Ban, Cycle, Switch, histories, run};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::records;

/// Histories per property; each has up to 360 cycles.
fn config() -> Config {
    Config { cases: 150, failure_persistence: None, ..Config::default() }
}

/// Calls `check` with every cycle that plans a write, the cycles before it, and the write.
fn for_each_write(log: &[Cycle], mut check: impl FnMut(&Cycle, &[Cycle], &ChangeSet)) {
    for (index, cycle) in log.iter().enumerate() {
        if let Some(change) = &cycle.change {
            check(cycle, &log[..index], change);
        }
    }
}

/// Seconds since the last write of this direction that reached the object.
fn since(cycle: &Cycle, before: &[Cycle], raise: bool) -> Option<(u64, Cycle)> {
    let last = before.iter().rfind(|past| past.applied.is_some_and(|(from, to)| (to > from) == raise))?;
    Some((cycle.at - last.at, last.clone()))
}

/// Whether a restart and a forward clock jump lie between two cycles: then wall times in the journal mislead.
fn misled(past: &Cycle, cycle: &Cycle) -> bool {
    past.run != cycle.run && past.forward != cycle.forward
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn inv_01_what_is_written_is_inside_the_bounds_and_never_zero(history in histories()) {
        for_each_write(&run(&history), |cycle, _, change| {
            assert!((cycle.bounds.min.max(1)..=cycle.bounds.max).contains(&change.to), "{cycle:?}");
        });
    }

    #[test]
    fn inv_04_a_service_stays_inside_its_write_budgets(history in histories()) {
        for_each_write(&run(&history), |cycle, before, _| {
            let counted = |past: &&Cycle| past.sent && !misled(past, cycle) && (past.run == cycle.run || past.applied.is_some());
            let within = |span| before.iter().filter(counted).filter(|past| cycle.at - past.at < span).count();
            assert!(within(600) < 4, "{cycle:?}");
            assert!(within(3600) < 12 || cycle.backed_now, "{cycle:?}");
        });
    }

    #[test]
    fn inv_06_a_step_is_limited_both_ways(history in histories()) {
        for_each_write(&run(&history), |cycle, _, change| {
            let (from, to) = (change.from, change.to);
            let mut most = (from * 2).max(from + 4);
            if cycle.backed_now {
                most = most.max(cycle.regime.needed.unwrap_or(0).min(from * 4));
            }
            if cycle.regime.suspect {
                most = (from * 2).max(from + 1);
            }
            assert!(to <= most, "{from} to {to}, at most {most}");
            assert!(from.saturating_sub(to) <= (from * 3 / 10).max(1), "{from} to {to}");
        });
    }

    #[test]
    fn inv_07_a_lowering_needs_a_full_window_without_a_gap(history in histories()) {
        for_each_write(&run(&history), |cycle, before, change| {
            if change.to > change.from {
                return;
            }
            // A count proposed on other grounds says nothing about what the arrivals need, and vice versa.
            let need = |cycle: &Cycle| if change.backed_by_arrivals { cycle.arrivals } else { Some(cycle.need) };
            let (mut later, mut peak, mut full) = (cycle, need(cycle), false);
            for past in before.iter().rev() {
                assert_eq!(past.run, cycle.run, "nobody looked while the process was down");
                assert!(later.at - past.at <= 90, "a silence of {} s", later.at - past.at);
                assert!(past.regime.arrivals_fresh && past.regime.target_known, "{past:?}");
                assert!(need(past).is_some(), "what was needed is not known: {past:?}");
                if cycle.at - past.at <= 300 {
                    peak = peak.max(need(past));
                }
                later = past;
                if cycle.at - past.at >= 300 {
                    full = true;
                    break;
                }
            }
            assert!(full, "a lowering {} s after the start", cycle.at);
            assert!(Some(change.to) >= peak, "lowered to {} where {peak:?} was needed", change.to);
        });
    }

    #[test]
    fn inv_09_an_unknown_or_engaged_kill_switch_never_passes(history in histories()) {
        for_each_write(&run(&history), |cycle, _, _| assert_eq!(cycle.regime.switch, Switch::Released));
    }

    #[test]
    fn inv_17_a_process_that_does_not_lead_never_passes(history in histories()) {
        for_each_write(&run(&history), |cycle, _, _| assert!(cycle.regime.leads));
    }

    #[test]
    fn inv_31_what_the_policies_forbid_is_never_written(history in histories()) {
        for_each_write(&run(&history), |cycle, _, change| match cycle.regime.limit {
            Some(Ban::Raise) => assert!(change.to < change.from, "{cycle:?}"),
            Some(Ban::Lower) => assert!(change.to > change.from, "{cycle:?}"),
            Some(Ban::Cap(most)) => assert!(change.to <= most.max(change.from), "{cycle:?}"),
            None => {}
        });
    }

    #[test]
    fn x5_no_raise_of_a_rule_follows_one_whose_pods_are_missing(history in histories()) {
        for_each_write(&run(&history), |cycle, before, change| {
            if change.to < change.from || cycle.regime.missing == 0 || cycle.backed_now {
                return;
            }
            if let Some((age, past)) = since(cycle, before, true) {
                assert!(age >= 300 || misled(&past, cycle), "{age} s: {cycle:?}");
            }
        });
    }

    #[test]
    fn inv_20_a_foreign_edit_or_a_switched_off_target_is_left_alone(history in histories()) {
        for_each_write(&run(&history), |cycle, _, _| {
            assert!(!cycle.foreign, "{cycle:?}");
            assert_ne!(cycle.replicas, 0);
        });
    }

    #[test]
    fn inv_21_one_write_at_a_time(history in histories()) {
        for_each_write(&run(&history), |cycle, _, _| assert!(!cycle.in_flight, "{cycle:?}"));
    }

    #[test]
    fn inv_22_only_auto_writes_and_lowers_only_where_allowed(history in histories()) {
        for_each_write(&run(&history), |cycle, _, change| {
            assert_eq!(cycle.regime.mode, Mode::Auto);
            assert!(change.to > change.from || cycle.regime.allow_lowering);
        });
    }

    #[test]
    fn inv_23_cooldowns_never_get_shorter(history in histories()) {
        for_each_write(&run(&history), |cycle, before, change| {
            let (raise, lower) = (since(cycle, before, true), since(cycle, before, false));
            if change.to < change.from {
                assert!(lower.is_none_or(|(age, _)| age >= 600), "{cycle:?}");
                assert!(raise.is_none_or(|(age, _)| age >= 600), "{cycle:?}");
            } else if let Some((age, past)) = raise {
                let cooldown = if cycle.backed_now { 15 } else { 180 };
                assert!(age >= cooldown || misled(&past, cycle), "{age} s: {cycle:?}");
            }
        });
    }

    #[test]
    fn inv_27_nothing_is_lowered_without_the_controlling_signal(history in histories()) {
        for_each_write(&run(&history), |cycle, _, change| {
            let regime = &cycle.regime;
            assert!(regime.target_known);
            if change.to < change.from {
                assert!(regime.arrivals_fresh && !regime.rollout);
                assert!(regime.floor.is_some_and(|floor| floor <= change.to), "{cycle:?}");
            }
        });
    }

    #[test]
    fn inv_29_the_same_history_gives_the_same_decisions(history in histories()) {
        let decisions = || run(&history).into_iter().map(|cycle| (cycle.verdict, cycle.change)).collect::<Vec<_>>();
        assert_eq!(decisions(), decisions());
    }

    #[test]
    fn every_guard_is_recorded_and_the_first_that_stops_decides(history in histories()) {
        for cycle in run(&history) {
            let verdict = &cycle.verdict;
            if verdict.kind == VerdictKind::Idle {
                assert!(cycle.regime.wanted.is_none() && verdict.findings.is_empty());
                continue;
            }
            let names: Vec<GuardName> = verdict.findings.iter().map(|found| found.guard).collect();
            assert_eq!(names, chain().map(|(name, _)| name));
            assert!(verdict.findings.iter().all(|found| !found.why.is_empty()));
            let stop = verdict.findings.iter().find(|found| matches!(found.finding, Finding::Hold | Finding::Reject));
            assert_eq!(verdict.kind.permits(), stop.is_none());
            if let Some(stop) = stop {
                assert_eq!(verdict.decided_by, Some(stop.guard));
                assert!(cycle.change.is_none());
            }
        }
    }

    #[test]
    fn a_clamp_goes_on_from_the_clamp_before_and_keeps_the_direction(history in histories()) {
        for cycle in run(&history) {
            let Some(mut wanted) = cycle.verdict.wanted else { continue };
            let raise = wanted > cycle.replicas;
            for found in &cycle.verdict.findings {
                if let Finding::Clamp { from, to } = found.finding {
                    assert_eq!(from, wanted);
                    assert!(to != cycle.replicas && (to > cycle.replicas) == raise, "{cycle:?}");
                    wanted = to;
                }
            }
            assert!(cycle.verdict.permitted.is_none_or(|permitted| permitted == wanted));
        }
    }

    #[test]
    fn inv_03_a_change_too_old_by_either_clock_is_not_sent(mono in 0_u64..120, wall in -100_i64..120) {
        let change = change("a", 4, 6);
        let later = Now {
            mono: change.decided.mono + Duration::from_secs(mono),
            wall: Timestamp::from_second(change.decided.wall.as_second() + wall).unwrap(),
        };
        let expired = recheck(&change, "uid", 4, later) == Err(WriteOutcome::Expired);
        assert_eq!(expired, mono > 30 || wall > 30);
    }

    #[test]
    fn inv_02_a_change_on_data_no_longer_fresh_is_not_sent(fresh_for in 0_u64..60, mono in 0_u64..60, wall in -60_i64..60) {
        let change = ChangeSet { fresh_for: Duration::from_secs(fresh_for), ..change("a", 4, 6) };
        let later = Now {
            mono: change.decided.mono + Duration::from_secs(mono),
            wall: Timestamp::from_second(change.decided.wall.as_second() + wall).unwrap(),
        };
        let age = mono.max(u64::try_from(wall).unwrap_or(0));
        let sent = recheck(&change, "uid", 4, later).is_ok();
        assert_eq!(sent, age <= fresh_for.min(30));
    }

    #[test]
    fn inv_12_only_the_value_found_settles_a_write(from in 1_u32..50, to in 1_u32..50, found in 1_u32..50, same in any::<bool>()) {
        prop_assume!(from != to);
        let change = change("a", from, to);
        let uid = if same { "uid" } else { "other" };
        assert_eq!(settle(&change, Some((uid, found))) == WriteOutcome::Applied, same && found == to);
        let sent = recheck(&change, uid, found, change.decided).is_ok();
        assert_eq!(sent, same && found == from, "a write goes out only where it found what it expected");
    }

    #[test]
    fn inv_05_at_most_a_tenth_of_the_fleet_is_removed_in_ten_minutes(
        writes in prop::collection::vec((0_u64..120, 0_usize..4, 2_u32..40, 1_u32..40), 1..80),
    ) {
        let (mut budget, mut at, total) = (FleetBudget::default(), 0, 300);
        let mut granted: Vec<(u64, u32)> = Vec::new();
        for (pause, namespace, from, to) in writes {
            at += pause;
            let change = change(["a", "b", "c", "d"][namespace], from, to);
            let removed = from.saturating_sub(to);
            let recent = granted.iter().filter(|(then, _)| at - then < 600).map(|(_, removed)| *removed);
            let before = recent.sum::<u32>();
            let too_much = removed > 0 && before > 0 && before + removed > total / 10;
            let charged = budget.charge(&change, total, change.decided.plus(Duration::from_secs(at)));
            assert_eq!(charged.is_err(), too_much, "{removed} at {at} s after {granted:?}: {charged:?}");
            if charged.is_ok() {
                granted.push((at, removed));
            }
        }
    }

    #[test]
    fn inv_04_namespace_and_fleet_stay_inside_their_write_budgets(
        // Two a second, half of them in one namespace: either limit is reached.
        writes in prop::collection::vec((0_u64..2, prop_oneof![Just(0_usize), 0_usize..6]), 60..300),
    ) {
        let (mut budget, mut at) = (FleetBudget::default(), 0);
        let mut granted: Vec<(u64, usize)> = Vec::new();
        for (pause, namespace) in writes {
            at += pause;
            let change = change(["a", "b", "c", "d", "e", "f"][namespace], 4, 5);
            let minute: Vec<usize> = granted.iter().filter(|(then, _)| at - then < 60).map(|(_, name)| *name).collect();
            let spent = minute.len() >= 60 || minute.iter().filter(|name| **name == namespace).count() >= 20;
            let charged = budget.charge(&change, 300, change.decided.plus(Duration::from_secs(at)));
            assert_eq!(charged.is_err(), spent, "{charged:?}");
            if charged.is_ok() {
                granted.push((at, namespace));
            }
        }
    }
}

fn change(namespace: &str, from: u32, to: u32) -> ChangeSet {
    let decision = DecisionId { service: "shop/checkout".parse().unwrap(), cycle: CycleId { run: 1, seq: 1 } };
    let decided = Now { wall: Timestamp::from_second(1_700_000_000).unwrap(), mono: Duration::from_secs(100) };
    let target = TargetRef { kind: TargetKind::Deployment, namespace: namespace.to_owned(), name: "web".to_owned() };
    ChangeSet { target, ..records::replicas(&decision, "uid", (from, to), decided) }
}

/// Properties over histories without writes would hold vacuously: the generator must reach all of them.
#[test]
fn the_histories_reach_every_kind_of_write_and_every_guard() {
    let mut runner = TestRunner::deterministic();
    let mut cycles = Vec::new();
    for _ in 0..200 {
        cycles.extend(run(&histories().new_tree(&mut runner).unwrap().current()));
    }
    let count = |wanted: &dyn Fn(&Cycle) -> bool| cycles.iter().filter(|cycle| wanted(cycle)).count();
    let raises = count(&|cycle| cycle.change.as_ref().is_some_and(|change| change.to > change.from));
    let lowerings = count(&|cycle| cycle.change.as_ref().is_some_and(|change| change.to < change.from));
    let restarted = count(&|cycle| cycle.run > 1 && cycle.change.is_some());
    assert!(raises > 200 && lowerings > 50 && restarted > 100, "{raises} {lowerings} {restarted}");
    for (name, _) in chain() {
        let decided = count(&|cycle| cycle.verdict.decided_by == Some(name));
        assert!(decided > 10, "{name:?} decided {decided} of {} cycles", cycles.len());
    }
}

/// Every test that `docs/safety.md` names (in back quotes, in the last column) exists.
#[test]
fn the_safety_page_names_tests_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/safety.md")).unwrap();
    let rows: Vec<Vec<&str>> =
        page.lines().filter(|line| line.starts_with("| INV-")).map(|line| line.split('|').collect()).collect();
    assert!(rows.len() >= 14);
    let source = [source_of(&root.join("src")), source_of(&root.join("tests"))].concat();
    for row in rows {
        let [_, id, _, _, tests, _] = row.as_slice() else { panic!("not four columns: {row:?}") };
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{id} names no test");
        for name in names {
            assert!(source.contains(&format!("fn {name}(")), "{id} names `{name}`, which does not exist");
        }
    }
}

/// All Rust source under `directory`, in one text.
fn source_of(directory: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&source_of(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
    text
}

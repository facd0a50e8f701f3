//! Faults: what they cost the service they hit, and that they cost the others nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flyball::model::{
    ChangeSet, CycleId, DecisionId, DecisionRecord, Foreseen, GuardName, Intent, Now, ServiceId, Timestamp,
    explain::sentence, outlook::ForecastFlag,
};
use flyball::ports::journal::Entry;
use flyball::ports::{Awaited, Clock, Control, Journal, News, Stop};

use crate::records;

use super::world::{Script, World, origin, policy_set, script, settings, shipped_policies, steady};

const MINUTE: Duration = Duration::from_secs(60);

/// Each service has its own load, so that each has its own records.
fn waves(service: &str, at: Timestamp) -> f64 {
    let shift = service.len() as i64 * 100;
    let phase = (at.as_second() + shift).rem_euclid(1800) as f64 / 1800.0 * std::f64::consts::TAU;
    350.0 + 150.0 * phase.sin()
}

pub fn change(world: &World, from: u32, to: u32) -> ChangeSet {
    let spec = &world.settings.listed()[0];
    let decision = DecisionId { service: spec.id.clone(), cycle: CycleId { run: 1, seq: 1 } };
    let decided = Now { wall: origin(), mono: world.clock.now().mono };
    records::replicas(&decision, &format!("uid-{}", spec.target.name), (from, to), decided)
}

const NEIGHBOURS: [&str; 3] = ["shop/cart", "shop/checkout", "shop/search-page"];

/// What five pods carry, and four a quarter of an hour after the previous service: the fleet budget, which counts the
/// replicas of all services, never refuses one lowering at a time.
fn falls(service: &str, at: Timestamp) -> f64 {
    let minute = at.duration_since(origin()).as_secs() / 60;
    let small = (waves(service, at) - 350.0) / 10.0;
    let falls = NEIGHBOURS.iter().position(|name| *name == service).map(|index| 10 + 15 * index as i64);
    small + if falls.is_some_and(|falls| minute >= falls) { 280.0 } else { 355.0 }
}

async fn neighbours_records(bad: &[&str], prepare: impl FnOnce(&World)) -> Vec<Vec<DecisionRecord>> {
    let services: Vec<&str> = NEIGHBOURS.iter().chain(bad).copied().collect();
    let world = World::new(&services, steady(falls));
    prepare(&world);
    world.run_for(MINUTE * 60).await;
    NEIGHBOURS.iter().map(|service| world.records(service)).collect()
}

/// Printing all records would fill pages.
fn first_difference(left: &[Vec<DecisionRecord>], right: &[Vec<DecisionRecord>]) -> String {
    let pairs = left.iter().flatten().zip(right.iter().flatten());
    pairs.filter(|(left, right)| left != right).map(|pair| format!("{pair:?}")).next().unwrap_or_default()
}

/// A rule that never ends.
const ENDLESS: &str = r#"
rule("spin", #{ priority: 1, goal: "protect" }, |s, p| [
    when({ while true {} s.rps.current > rps(1) }),
    scale_to(5),
]);
"#;

#[tokio::test(start_paused = true)]
async fn r2_a_panicking_a_slow_and_a_blind_service_leave_their_neighbours_records_as_they_are() {
    let alone = neighbours_records(&[], |_| {}).await;
    let beside = neighbours_records(&["shop/cursed", "shop/slow", "shop/blind"], |world| {
        world.cluster.cursed.lock().insert("cursed".to_owned());
        world.cluster.slow.lock().insert("slow".to_owned());
    })
    .await;
    assert!(alone.iter().all(|records| records.len() > 3));
    let lowered = |record: &DecisionRecord| record.change.as_ref().is_some_and(|change| change.to < change.from);
    assert!(alone.iter().all(|records| records.iter().any(lowered)));
    assert!(alone == beside, "{}", first_difference(&alone, &beside));
}

#[tokio::test(start_paused = true)]
async fn c2_an_endless_rule_is_refused_and_the_loop_goes_on() {
    let world = World::new(&["shop/cart"], script(|_, _| Some(560.0)));
    let mut files = shipped_policies().files.unwrap();
    files.extend(policy_set(&[("zz_endless.rhai", ENDLESS)]).files.unwrap());
    let set = flyball::ports::PolicyFiles { files: Ok(files), ..shipped_policies() };
    let (tree, control) = world.start().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.policies.send_replace(std::sync::Arc::new(set));
    tokio::time::sleep(MINUTE * 5).await;
    let status = control.status();
    let faults = &status.policy_faults;
    assert!(faults.len() == 1 && faults[0].starts_with("zz_endless.rhai:"), "{faults:?}");
    assert!(status.revision.is_some(), "the set before stays in force");
    assert_eq!(world.cluster.replicas("cart"), 8);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn r4_a_service_that_keeps_failing_is_quarantined_and_probed_again() {
    let text = settings(&["shop/cart", "shop/checkout"], "").replace("interval: 15s", "interval: 5s");
    let world = World::with_settings(&text, steady(waves));
    let cart: ServiceId = "shop/cart".parse().unwrap();
    world.cluster.cursed.lock().insert("cart".to_owned());
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    let sick = control.service(&cart).unwrap();
    assert_eq!(sick.restarts, 6, "five restarts, then quarantine");
    assert_eq!(sick.quarantined.as_deref(), Some("keeps failing; next attempt in 60 s"));
    // The probe fails immediately: back for twice as long.
    tokio::time::sleep(MINUTE).await;
    let sick = control.service(&cart).unwrap();
    assert_eq!(sick.quarantined.as_deref(), Some("keeps failing; next attempt in 120 s"));
    world.cluster.cursed.lock().clear();
    tokio::time::sleep(MINUTE * 2).await;
    let well = control.service(&cart).unwrap();
    assert_eq!(well.quarantined, None);
    assert!(well.features.is_some() && well.last.is_some(), "it came back by itself");
    tree.stop().await;
}

/// A decider that dies between its decision and its actuator: the change has ended, and the next one is made.
#[tokio::test(start_paused = true)]
async fn r2_a_decider_that_dies_before_it_hands_its_change_on_does_not_shut_its_service() {
    let world = World::new(&["shop/cart"], steady(|_, _| 560.0));
    *world.services.meanwhile.lock() = Some(Box::new(|| panic!("the adapter breaks over the news")));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 3).await;
    assert!(world.services.meanwhile.lock().is_none(), "it did");
    let service = control.service(&"shop/cart".parse().unwrap()).unwrap();
    assert_eq!(service.restarts, 1);
    assert_eq!(world.cluster.replicas("cart"), 8, "{}", sentence(&service.last.unwrap()));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_survives_a_restart_of_its_actors() {
    let text = settings(&["shop/cart"], "").replace("history: 0s", "history: 3d");
    let world = World::with_settings(&text, steady(waves));
    let cart: ServiceId = "shop/cart".parse().unwrap();
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    world.cluster.cursed.lock().insert("cart".to_owned());
    tokio::time::sleep(Duration::from_secs(15)).await;
    world.cluster.cursed.lock().clear();
    tokio::time::sleep(MINUTE).await;
    let service = control.service(&cart).unwrap();
    assert_eq!(service.restarts, 1);
    let outlook = service.outlook.unwrap();
    let signal = outlook.signals[0].as_ref().unwrap();
    assert!(signal.flags.iter().all(|flag| *flag != ForecastFlag::Cold), "three days are still known: {signal:?}");
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn p1_a_source_that_goes_silent_in_a_surge_lowers_nothing() {
    let world = World::new(
        &["shop/cart"],
        script(|_, at| {
            let minute = (at.as_second() - origin().as_second()).div_euclid(60);
            match minute {
                ..12 | 60.. => Some(280.0),
                12..20 => Some(560.0),
                // Silent, and when it returns the load is low again.
                _ => None,
            }
        }),
    );
    let (tree, _) = world.start().await;
    tokio::time::sleep(MINUTE * 59).await;
    assert_eq!(world.cluster.replicas("cart"), 8, "held through the outage");
    tokio::time::sleep(MINUTE * 4).await;
    assert_eq!(world.cluster.replicas("cart"), 8, "the windows have to fill again first");
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(world.cluster.replicas("cart"), 4);
    tree.stop().await;
}

/// Right after its source is back, a rate is below the load. Acting on it would spend the writes of ten minutes in
/// small steps.
#[tokio::test(start_paused = true)]
async fn p1_after_an_outage_a_surge_is_raised_for_once_the_windows_have_refilled() {
    const AWAY: std::ops::Range<i64> = 300..420;
    let text = settings(&["shop/cart"], "").replace("(rps{$selector})", "(rate(rps{$selector}[1m]))");
    let load = |_: &str, at: Timestamp| {
        let second = at.as_second() - origin().as_second();
        let refilled = ((second - AWAY.end + 15) as f64 / 60.0).min(1.0);
        (!AWAY.contains(&second)).then_some(if second < AWAY.start { 280.0 } else { 560.0 * refilled })
    };
    let world = World::with_settings(&text, script(load));
    let (tree, control) = world.start().await;
    tokio::time::sleep(Duration::from_secs(475)).await;
    assert_eq!(world.cluster.replicas("cart"), 4, "acted on windows that are not whole");
    let told = sentence(&control.service(&"shop/cart".parse().unwrap()).unwrap().last.unwrap());
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(world.cluster.replicas("cart"), 8, "{told}");
    let writes = world.records("shop/cart").into_iter().filter(|record| record.outcome.is_some()).count();
    assert_eq!(writes, 1, "the surge is met in one step");
    assert!(told.contains("gap: telemetry came back ") && told.contains(" s ago; its windows refill in "), "{told}");
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn k1_an_api_server_that_was_away_costs_no_budget() {
    let world = World::new(&["shop/cart"], steady(|_, _| 560.0));
    world.cluster.away.store(true, Ordering::Relaxed);
    let (tree, _) = world.start().await;
    tokio::time::sleep(MINUTE * 3).await;
    let refused = world.records("shop/cart").into_iter().filter(|record| record.outcome.is_some()).count();
    assert!(refused > 4, "{refused} writes were tried");
    world.cluster.away.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(world.cluster.replicas("cart"), 8);
    tree.stop().await;
}

/// Only the services behind the silent watch are held; the probe shows that it is silent.
#[tokio::test(start_paused = true)]
async fn inv_18_k7_a_silent_watch_holds_its_services_and_makes_the_process_unready() {
    let world = World::new(&["shop/cart", "shop/checkout"], steady(|_, _| 560.0));
    world.cluster.silent.lock().insert("cart".to_owned());
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 5).await;
    let status = control.status();
    assert!(!status.ready);
    assert!(matches!(&*status.waiting_for, [Awaited::Watch { of, .. }] if of == "Deployment cart"), "{status:?}");
    assert_eq!((world.cluster.replicas("cart"), world.cluster.replicas("checkout")), (4, 8));
    let record = control.service(&"shop/cart".parse().unwrap()).unwrap().last.unwrap();
    assert!(sentence(&record).contains("no update from the cluster for 121 s"), "{}", sentence(&record));
    world.cluster.silent.lock().clear();
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert!(control.status().ready, "{:?}", control.status().waiting_for);
    assert_eq!(world.cluster.replicas("cart"), 8, "what held meanwhile is acted on at once");
    tree.stop().await;
}

/// Four services of six lose their series at the same moment, and one of the others a little before.
#[tokio::test(start_paused = true)]
async fn services_that_fall_silent_together_are_the_trouble_of_their_source() {
    let lost_at = |service: &str| match service {
        "shop/cart" | "shop/checkout" | "shop/mail" | "shop/search" => 10..20,
        "shop/alone" => 5..20,
        _ => 0..0,
    };
    let services = ["shop/alone", "shop/cart", "shop/checkout", "shop/mail", "shop/search", "shop/steady"];
    let healthy = steady(|_, _| 280.0);
    let script: Script = Arc::new(move |service, signal, at| {
        let minute = (at.as_second() - origin().as_second()).div_euclid(60);
        if lost_at(service).contains(&minute) { Some(f64::NAN) } else { healthy(service, signal, at) }
    });
    let world = World::new(&services, script);
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 8).await;
    let missing = |service: &str| {
        let features = control.service(&service.parse().unwrap()).unwrap().features.unwrap();
        features.signals[0].reading.to_string()
    };
    assert!(missing("shop/alone").contains("not a finite number"), "{}", missing("shop/alone"));
    tokio::time::sleep(MINUTE * 5).await;
    for service in ["shop/cart", "shop/checkout", "shop/mail", "shop/search"] {
        let said = missing(service);
        assert!(
            said.contains("source down: 4 of 5 services lost telemetry at once: not a finite number"),
            "{service}: {said}"
        );
    }
    assert!(
        missing("shop/alone").contains("not a finite number"),
        "it fell silent by itself: {}",
        missing("shop/alone")
    );
    assert_eq!(missing("shop/steady"), "fresh");
    let status = control.status();
    let error = "4 of 5 services lost telemetry at once: not a finite number".to_owned();
    assert_eq!(status.services_wait_for, [Awaited::Telemetry { services: 4, error }]);
    assert!(status.ready, "what services lack is no fault of the process: {:?}", status.waiting_for);
    tokio::time::sleep(MINUTE * 10).await;
    assert!(services.iter().all(|service| missing(service) == "fresh"));
    assert!(control.status().services_wait_for.is_empty());
    tree.stop().await;
}

/// An invalid answer has its own reason, which says more than that many services lack data.
#[tokio::test(start_paused = true)]
async fn what_a_source_says_of_its_trouble_is_not_covered_by_how_many_it_concerns() {
    let healthy = steady(|_, _| 280.0);
    let script: Script = Arc::new(move |service, signal, at| {
        (at.as_second() - origin().as_second() < 600).then(|| healthy(service, signal, at)).flatten()
    });
    let world = World::new(&["shop/cart", "shop/checkout", "shop/mail", "shop/search"], script);
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 14).await;
    let features = control.service(&"shop/cart".parse().unwrap()).unwrap().features.unwrap();
    let said = features.signals[0].reading.to_string();
    assert!(said.contains("source down: scripted"), "{said}");
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn signals_of_two_sources_meet_in_one_picture() {
    let text = settings(&["shop/cart"], "").replace(
        "sources:\n",
        "sources:\n  aside: { kind: prometheus, url: 'http://127.0.0.1:8', interval: 15s, history: 3d }\n",
    );
    let text = text.replace("history: 0s", "history: 3d").replace("p99: { source: main", "p99: { source: aside");
    let text = text.replace("role: latency, forecast: false", "role: latency, forecast: true");
    let world = World::with_settings(&text, steady(waves));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 5).await;
    let service = control.service(&"shop/cart".parse().unwrap()).unwrap();
    let fresh = service.features.unwrap().signals.iter().filter(|signal| signal.reading.fresh().is_some()).count();
    assert_eq!(fresh, 3, "each source's signals stay");
    let outlook = service.outlook.unwrap();
    for signal in outlook.signals.iter().flatten() {
        assert!(signal.flags.iter().all(|flag| *flag != ForecastFlag::Cold), "each history is learned: {signal:?}");
    }
    assert_eq!(outlook.signals.iter().flatten().count(), 2);
    assert!(control.status().ready, "{:?}", control.status().waiting_for);
    tree.stop().await;
}

/// A rule that requests half as many again every three minutes, in a cluster with room and in one without.
#[tokio::test(start_paused = true)]
async fn x5_no_further_raise_while_the_pods_of_the_last_one_do_not_come() {
    let more =
        "rule(\"more\", #{ priority: 1, goal: \"protect\" }, |s, p| [ when(s.rps.current > rps(1)), scale_by(1.5) ]);";
    for (full, expected) in [(false, [6, 9]), (true, [6, 6])] {
        let world = World::new(&["shop/cart"], steady(|_, _| 200.0));
        world.policies.send_replace(std::sync::Arc::new(policy_set(&[("more.rhai", more)])));
        world.cluster.full.store(full, Ordering::Relaxed);
        let (tree, control) = world.start().await;
        tokio::time::sleep(MINUTE).await;
        let first = world.cluster.replicas("cart");
        tokio::time::sleep(Duration::from_secs(225)).await;
        assert_eq!([first, world.cluster.replicas("cart")], expected, "full: {full}");
        let last = control.service(&"shop/cart".parse().unwrap()).unwrap().last.unwrap();
        let held = last.verdict.decided_by == Some(GuardName::Convergence);
        assert_eq!(held, full, "{}", sentence(&last));
        tokio::time::sleep(MINUTE).await;
        assert_eq!(world.cluster.replicas("cart"), 9, "no longer waiting for the rest after five minutes");
        tree.stop().await;
    }
}

/// Another client resets what flyball writes; the second time flyball stands down, across a restart too.
#[tokio::test(start_paused = true)]
async fn x3_who_reverts_twice_is_named_and_left_alone_over_a_restart() {
    let world = World::new(&["shop/cart"], steady(|_, _| 560.0));
    let target = world.settings.listed()[0].target.clone();
    *world.cluster.editor.lock() = Some("argocd-controller".into());
    let (tree, _) = world.start().await;
    for _ in 0..2 {
        while world.cluster.replicas("cart") != 8 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.cluster.write(&target, 4);
    }
    tokio::time::sleep(MINUTE).await;
    tree.stop().await;
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 20).await;
    assert_eq!(world.cluster.replicas("cart"), 4, "standing down");
    let last = control.service(&"shop/cart".parse().unwrap()).unwrap().last.unwrap();
    let told = sentence(&last);
    assert!(told.starts_with("held by ownership: two writes were reverted within an hour"), "{told}");
    assert!(told.contains("last 8 to 4 by argocd-controller: Deployment shop/cart has another owner"), "{told}");
    tokio::time::sleep(MINUTE * 10).await;
    assert_eq!(world.cluster.replicas("cart"), 8, "half an hour after the second revert it tries again");
    tree.stop().await;
}

/// A write had landed when the process died before learning of it: its cooldown counts.
#[tokio::test(start_paused = true)]
async fn inv_23_a_write_that_was_open_at_a_crash_keeps_its_cooldown() {
    let world = World::new(&["shop/cart"], steady(|_, _| 200.0));
    let six =
        "rule(\"more\", #{ priority: 1, goal: \"protect\" }, |s, p| [ when(s.rps.current > rps(1)), scale_by(1.5) ]);";
    world.policies.send_replace(std::sync::Arc::new(policy_set(&[("more.rhai", six)])));
    world.run_for(Duration::from_secs(1)).await;
    let mut landed = change(&world, 4, 6);
    landed.decision = world.records("shop/cart")[0].id.clone();
    let intent = Intent::open(landed.clone(), world.clock.now().wall, Foreseen::default());
    world.journal.append(Entry::Prepared(intent)).await.unwrap();
    world.cluster.write(&landed.target, 6);
    let (tree, _) = world.start().await;
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert_eq!(world.cluster.replicas("cart"), 6, "a raise has a cooldown of 180 s");
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(world.cluster.replicas("cart"), 9);
    tree.stop().await;
}

/// A person sets the replicas again and again, also where nothing is wanted: each edit is told, and the second that goes
/// against what was written stops the writes, whatever was edited in between.
#[tokio::test(start_paused = true)]
async fn x1_every_edit_of_a_person_is_told_and_the_second_against_a_write_stops_it() {
    let world = World::new(&["shop/cart"], steady(|_, _| 560.0));
    let target = world.settings.listed()[0].target.clone();
    *world.cluster.editor.lock() = Some("kubectl".into());
    let (tree, control) = world.start().await;
    while world.cluster.replicas("cart") != 8 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(40)).await;
    let edits = || world.services.news.lock().iter().filter(|(_, news)| matches!(news, News::Edited(_))).count();
    for (to, told) in [(12, 1), (4, 2), (6, 3)] {
        world.cluster.write(&target, to);
        tokio::time::sleep(Duration::from_secs(16)).await;
        assert_eq!(edits(), told, "{to}");
    }
    tokio::time::sleep(MINUTE * 20).await;
    assert_eq!(world.cluster.replicas("cart"), 6, "standing down");
    let why = control.service(&"shop/cart".parse().unwrap()).unwrap().stood_down.unwrap();
    assert!(why.contains("by kubectl: Deployment shop/cart has another owner"), "{why}");
    let told: Vec<News> = world.services.news.lock().iter().map(|(_, news)| news.clone()).collect();
    let stopped: Vec<&News> = told.iter().filter(|news| matches!(news, News::Stopped(_))).collect();
    assert!(matches!(stopped[..], [News::Stopped(Some(Stop::StoodDown(_)))]), "{stopped:?}");
    tokio::time::sleep(MINUTE * 11).await;
    assert_eq!(world.cluster.replicas("cart"), 8, "half an hour after the second it tries again");
    assert_eq!(control.service(&"shop/cart".parse().unwrap()).unwrap().stood_down, None);
    tree.stop().await;
}

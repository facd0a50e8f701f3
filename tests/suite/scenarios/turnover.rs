//! Services that are added, changed and removed at runtime: what they keep, and that it costs the others nothing.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flyball::model::{
    Authority, Bounds, Cause, CycleId, DecisionId, DecisionRecord, Foreseen, GuardName, Intent, KillState, Mode, Role,
    ServiceId, ServiceSpec, Timestamp, WriteOutcome,
};
use flyball::ports::journal::Entry;
use flyball::ports::{Clock, Control, Journal, News};

use super::world::{World, origin, policy_set, settings, steady};

const MINUTE: Duration = Duration::from_secs(60);
const CART: &str = "shop/cart";

/// Each service has its own load, so that each has its own records.
fn waves(service: &str, at: Timestamp) -> f64 {
    let shift = service.len() as i64 * 100;
    let phase = (at.as_second() + shift).rem_euclid(1800) as f64 / 1800.0 * std::f64::consts::TAU;
    350.0 + 150.0 * phase.sin()
}

fn with_bounds(spec: &ServiceSpec, min: u32, max: u32) -> ServiceSpec {
    ServiceSpec { bounds: Bounds { min, max }, ..spec.clone() }
}

fn cycles(records: &[DecisionRecord]) -> Vec<CycleId> {
    records.iter().map(|record| record.id.cycle).collect()
}

fn minute_of(record: &DecisionRecord) -> i64 {
    (record.at.as_second() - origin().as_second()).div_euclid(60)
}

#[tokio::test(start_paused = true)]
async fn inv_14_services_come_change_and_go_and_their_neighbours_records_stay_as_they_are() {
    let neighbours = ["shop/checkout", "shop/search"];
    // What the fleet may remove in total depends on all services, by design: here none is lowered.
    let raising = ", allow_lowering: false";
    let alone = World::with_settings(&settings(&neighbours, raising), steady(waves));
    alone.run_for(MINUTE * 60).await;

    let world = World::with_settings(&settings(&[CART, neighbours[0], neighbours[1]], raising), steady(waves));
    let all = world.settings.listed().to_vec();
    world.services.are(&all[1..]);
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 20).await;
    world.services.are(&all);
    tokio::time::sleep(MINUTE * 10).await;
    world.services.are(&[with_bounds(&all[0], 2, 5), all[1].clone(), all[2].clone()]);
    tokio::time::sleep(MINUTE * 10).await;
    assert_eq!(control.service(&all[0].id).unwrap().bounds.max, 5);
    world.services.are(&all[1..]);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(control.service(&all[0].id), None);
    assert_eq!(control.services(None, usize::MAX).len(), 2);
    let names = |after: Option<&ServiceId>, limit| {
        let listed = control.services(after, limit);
        listed.into_iter().map(|snapshot| snapshot.service.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(None, 1), [neighbours[0]]);
    assert_eq!(names(Some(&all[1].id), 2), [neighbours[1]]);
    assert_eq!(names(Some(&all[0].id), 2), neighbours, "after one that is there no more");
    tokio::time::sleep(MINUTE * 19).await;
    tree.stop().await;

    for neighbour in neighbours {
        let records = world.records(neighbour);
        assert!(records.len() > 3);
        let undisturbed = alone.records(neighbour);
        let other = records.iter().zip(&undisturbed).find(|(record, undisturbed)| record != undisturbed);
        assert!(other.is_none(), "{neighbour}: {:?}", other.map(|(record, _)| &record.id));
        assert_eq!(records.len(), undisturbed.len(), "{neighbour}");
    }
    let minutes: BTreeSet<i64> = world.records(CART).iter().map(minute_of).collect();
    assert!(minutes.len() > 1 && minutes.iter().all(|minute| (20..=40).contains(minute)), "{minutes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_bounds_keeps_what_was_learned_and_binds_the_next_write() {
    let text = settings(&[CART], "").replace("history: 0s", "history: 4d");
    // A daily season, plus a rise that starts when the bounds are changed.
    let load = |_: &str, at: Timestamp| {
        let phase = at.as_second().rem_euclid(86_400) as f64 / 86_400.0 * std::f64::consts::TAU;
        let rise = if at.as_second() - origin().as_second() >= 600 { 600.0 } else { 0.0 };
        200.0 + 50.0 * phase.sin() + rise
    };
    let world = World::with_settings(&text, steady(load));
    let spec = world.settings.listed()[0].clone();
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 9).await;
    let before = control.service(&spec.id).unwrap();
    world.services.are(&[with_bounds(&spec, 2, 6)]);
    tokio::time::sleep(MINUTE).await;
    let after = control.service(&spec.id).unwrap();
    let authority = |outlook: Option<std::sync::Arc<flyball::model::Outlook>>| {
        outlook.unwrap().signals[spec.role(Role::ArrivalRate).unwrap()].as_ref().unwrap().authority
    };
    assert!(authority(before.outlook) >= Authority::MayAdd);
    assert!(authority(after.outlook) >= Authority::MayAdd, "still knows the season");
    assert_eq!(after.last.unwrap().id.cycle.run, before.last.unwrap().id.cycle.run);
    tokio::time::sleep(MINUTE * 5).await;
    tree.stop().await;
    assert_eq!(world.cluster.replicas("cart"), 6, "needs 11, may have 6");
    let cycles = cycles(&world.records(CART));
    assert!(cycles.windows(2).all(|pair| pair[0] < pair[1]), "{cycles:?}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_mode_is_a_decision_to_remember_and_stops_the_next_write() {
    let load = |_: &str, at: Timestamp| if at.as_second() - origin().as_second() < 600 { 280.0 } else { 560.0 };
    let world = World::new(&[CART], steady(load));
    let spec = world.settings.listed()[0].clone();
    let (tree, _) = world.start().await;
    tokio::time::sleep(MINUTE * 9).await;
    let kept = world.records(CART).len();
    world.services.are(&[ServiceSpec { mode: Mode::Observe, ..spec }]);
    tokio::time::sleep(MINUTE).await;
    let records = world.records(CART);
    assert_eq!((records.len(), records[kept].mode), (kept + 1, Mode::Observe));
    tokio::time::sleep(MINUTE * 10).await;
    tree.stop().await;
    assert_eq!(world.cluster.replicas("cart"), 4);
}

#[tokio::test(start_paused = true)]
async fn inv_10_a_write_under_way_ends_although_its_service_was_deleted() {
    let world = World::new(&[CART], steady(|_, _| 560.0));
    *world.cluster.answers_after.lock() = MINUTE;
    let (tree, _) = world.start().await;
    while world.journal.open_intents().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.services.are(&[]);
    tokio::time::sleep(MINUTE * 2).await;
    assert!(world.journal.open_intents().unwrap().is_empty(), "ended");
    let ends: Vec<_> = world.records(CART).into_iter().filter_map(|record| record.outcome).collect();
    assert_eq!(ends, [WriteOutcome::Applied]);
    let told = world.services.news.lock().iter().filter(|(_, news)| matches!(news, News::WriteEnded { .. })).count();
    assert_eq!(told, 0, "nobody is left to be told");
    tree.stop().await;
}

/// The heir of a name learns how its predecessor's write ended: it neither waits forever nor forgets it.
#[tokio::test(start_paused = true)]
async fn inv_23_a_service_that_is_declared_anew_goes_on_where_the_one_before_ended() {
    // The heir needs more than its predecessor asked for.
    let world =
        World::new(&[CART], steady(|_, at| if at.as_second() < origin().as_second() + 10 { 560.0 } else { 1120.0 }));
    let spec = world.settings.listed()[0].clone();
    *world.cluster.answers_after.lock() = MINUTE;
    let (tree, control) = world.start().await;
    while world.journal.open_intents().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.services.are(&[]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.services.are(std::slice::from_ref(&spec));
    tokio::time::sleep(Duration::from_secs(45)).await;
    let last = control.service(&spec.id).unwrap().last.unwrap();
    let held: Vec<&str> = last.verdict.findings.iter().map(|finding| finding.why.as_str()).collect();
    assert!(held.iter().any(|why| why.contains("is in flight")), "{held:?} {:?}", last.proposal.choice);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let told = world.services.news.lock().iter().filter(|(_, news)| matches!(news, News::WriteEnded { .. })).count();
    assert_eq!(told, 1, "the heir was told");
    tokio::time::sleep(MINUTE * 5).await;
    tree.stop().await;
    let ids: Vec<DecisionId> = world.records(CART).into_iter().map(|record| record.id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "no id twice: {ids:?}");
    assert_eq!(world.cluster.replicas("cart"), 15, "then it goes on");
}

/// A rule that scales to this many replicas.
fn to(replicas: u32) -> String {
    format!(
        "rule(\"to_{replicas}\", #{{ priority: 900, goal: \"protect\" }}, |s, p| \
         [ when(s.rps.current > rps(1)), scale_to({replicas}) ]);"
    )
}

#[tokio::test(start_paused = true)]
async fn policies_of_a_namespace_bind_its_services_alone_and_its_faults_nobody_else() {
    let world = World::new(&[CART, "bank/ledger"], steady(|_, _| 200.0));
    let (tree, control) = world.start().await;
    let with = |base: &str, own: &str| {
        let mut files = policy_set(&[("base.rhai", base)]);
        files.namespaces.insert("shop".to_owned(), policy_set(&[("shop/own.rhai", own)]).files);
        world.policies.send_replace(std::sync::Arc::new(files));
    };
    let base = to(5).replace("900", "100");
    with(&base, &to(6));
    tokio::time::sleep(MINUTE).await;
    assert_eq!((world.cluster.replicas("cart"), world.cluster.replicas("ledger")), (6, 5));
    // A fault in the namespace: its last good policy stays, on the current base; the others use theirs.
    with(&to(8).replace("900", "100"), "rule(");
    tokio::time::sleep(MINUTE * 4).await;
    let faults = control.status().policy_faults;
    assert!(faults.len() == 1 && faults[0].starts_with("namespace shop: shop/own.rhai:1:"), "{faults:?}");
    assert_eq!((world.cluster.replicas("cart"), world.cluster.replicas("ledger")), (6, 8));
    tree.stop().await;
}

/// INV-31: a team may outrank a rule of the fleet, but never a limit.
#[tokio::test(start_paused = true)]
async fn a_limit_of_the_fleet_holds_against_the_rules_of_a_namespace() {
    let world = World::new(&[CART, "bank/ledger"], steady(|_, _| 200.0));
    let (tree, control) = world.start().await;
    let cap = "limit(\"quota\", |s, p| [when(s.rps.current > rps(1)), cap(6)]);";
    let with = |own: &str| {
        let mut files = policy_set(&[("base.rhai", &format!("{}\n{cap}", to(5).replace("900", "100")))]);
        files.namespaces.insert("shop".to_owned(), policy_set(&[("shop/own.rhai", own)]).files);
        world.policies.send_replace(std::sync::Arc::new(files));
    };
    with(&to(8).replace("900", "1000000"));
    tokio::time::sleep(MINUTE).await;
    assert_eq!((world.cluster.replicas("cart"), world.cluster.replicas("ledger")), (6, 5));
    // Its name cannot be reused to get rid of it: such files are refused, and the good ones stay.
    with("limit(\"quota\", |s, p| [when(s.rps.current > rps(1)), cap(50)]);");
    tokio::time::sleep(MINUTE * 2).await;
    let faults = control.status().policy_faults;
    assert!(faults.len() == 1 && faults[0].contains("`quota` is already declared in base.rhai:2:1"), "{faults:?}");
    assert_eq!(world.cluster.replicas("cart"), 6);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_measured_in_another_way_starts_to_learn_anew() {
    let text = settings(&[CART, "shop/search"], "");
    let world = World::with_settings(&text, steady(waves));
    let (mut cart, search) = (world.settings.listed()[0].clone(), world.settings.listed()[1].clone());
    world.services.are(std::slice::from_ref(&cart));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 30).await;
    let known = |control: &flyball::actors::LoopControl| {
        let features = control.service(&CART.parse().unwrap()).unwrap().features.unwrap();
        features.signals.iter().filter(|signal| signal.reading.fresh().is_some()).count()
    };
    assert_eq!(known(&control), 3);
    cart.labels = search.labels;
    world.services.are(std::slice::from_ref(&cart));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(known(&control), 3, "asked for under its new labels");
    let held = control.service(&cart.id).unwrap().last.unwrap();
    assert!(held.id.cycle.seq > 120, "{}: numbered on", held.id);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn x2_a_floor_that_was_raised_goes_back_after_its_declaration_as_far_as_the_load_allows() {
    // Needs 8 replicas for the first half hour, then 6, and from the second hour on 2.
    let load = |_: &str, at: Timestamp| match (at.as_second() - origin().as_second()).div_euclid(1800) {
        0 => 560.0,
        1 => 420.0,
        _ => 100.0,
    };
    let world = World::with_settings(&settings(&[CART], ", bounds: { min: 5, max: 40 }"), steady(load));
    *world.cluster.baseline.lock() = Some(4);
    let (tree, control) = world.start().await;
    let id: ServiceId = CART.parse().unwrap();
    tokio::time::sleep(MINUTE * 10).await;
    assert_eq!(world.cluster.replicas("cart"), 8);
    let follows = world.cluster.follows.load(Ordering::Relaxed);
    world.services.are(&[]);
    tokio::time::sleep(MINUTE * 10).await;
    assert_eq!(world.cluster.replicas("cart"), 8, "the load does not allow it");
    assert_eq!(world.cluster.follows.load(Ordering::Relaxed), follows + 1, "looked at only, until something changes");
    tokio::time::sleep(MINUTE * 38).await;
    assert_eq!(world.cluster.replicas("cart"), 6, "no further than the load allows");
    assert!(control.service(&id).is_some());
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(world.cluster.replicas("cart"), 4, "where it was found, whatever the bounds of the loop were");
    assert!(control.service(&id).is_none(), "nothing is left to do");
    let lowered: Vec<_> = world.records(CART).into_iter().filter_map(|record| record.change).collect();
    let lowered: Vec<_> = lowered.iter().filter(|change| change.to < change.from).collect();
    assert!(lowered.len() > 1 && lowered.iter().all(|change| change.cause == Cause::ReturnFloor), "{lowered:?}");
    tree.stop().await;
}

/// As a platform limits them: a cap on raises keeps nothing up.
#[tokio::test(start_paused = true)]
async fn x2_a_floor_above_bounds_that_were_lowered_meanwhile_goes_back_too() {
    let load = |_: &str, at: Timestamp| if at.as_second() - origin().as_second() < 1200 { 560.0 } else { 100.0 };
    let world = World::with_settings(&settings(&[CART], ", bounds: { min: 2, max: 40 }"), steady(load));
    *world.cluster.baseline.lock() = Some(4);
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 10).await;
    assert_eq!(world.cluster.replicas("cart"), 8);
    let mut cut = world.settings.listed()[0].clone();
    cut.bounds.max = 5;
    world.services.are(std::slice::from_ref(&cut));
    tokio::time::sleep(MINUTE * 5).await;
    world.services.are(&[]);
    tokio::time::sleep(MINUTE * 90).await;
    assert_eq!(world.cluster.replicas("cart"), 4, "where it was found");
    assert!(control.service(&CART.parse().unwrap()).is_none(), "nothing is left to do");
    tree.stop().await;
}

/// An API server that is away takes the bound with it, but no declaration.
#[tokio::test(start_paused = true)]
async fn x2_a_loop_deleted_while_the_platform_bound_cannot_be_read_returns_its_floor_once_it_can() {
    let load = |_: &str, at: Timestamp| if at.as_second() - origin().as_second() < 600 { 560.0 } else { 100.0 };
    let world = World::new(&[CART], steady(load));
    *world.cluster.baseline.lock() = Some(4);
    let id: ServiceId = CART.parse().unwrap();
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 9).await;
    assert_eq!(world.cluster.replicas("cart"), 8);
    let kept = world.records(CART).len();
    for unbounded in [Some("the PlatformBound cannot be read: silent for 121 s"), None] {
        *world.services.unbounded.lock() = unbounded.map(str::to_owned);
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    assert_eq!(world.records(CART).len(), kept, "who wants nothing has nothing new to say");
    *world.services.unbounded.lock() = Some("the PlatformBound cannot be read: silent for 121 s".to_owned());
    world.services.are(&[]);
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(world.cluster.replicas("cart"), 8, "nothing is written");
    let held = control.service(&id).unwrap().last.unwrap();
    assert_eq!(held.verdict.decided_by, Some(GuardName::Mode), "{:?}", held.verdict);
    *world.services.unbounded.lock() = None;
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(world.cluster.replicas("cart"), 4);
    assert!(control.service(&id).is_none(), "nothing is left to do");
    tree.stop().await;
}

/// If the cluster lets an autoscaler go to zero (`HPAScaleToZero`).
#[tokio::test(start_paused = true)]
async fn x2_a_floor_that_was_found_at_zero_goes_back_to_one_and_its_loop_ends() {
    let load = |_: &str, at: Timestamp| if at.as_second() - origin().as_second() < 600 { 560.0 } else { 1.0 };
    let world = World::new(&[CART], steady(load));
    *world.cluster.baseline.lock() = Some(0);
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 9).await;
    assert_eq!(world.cluster.replicas("cart"), 8);
    world.services.are(&[]);
    tokio::time::sleep(MINUTE * 180).await;
    assert_eq!(world.cluster.replicas("cart"), 1);
    assert!(control.service(&CART.parse().unwrap()).is_none(), "nothing is left to do");
    tree.stop().await;
}

/// The watch lags behind the write, or is old: neither proves that nothing is held up.
#[tokio::test(start_paused = true)]
async fn x2_a_floor_whose_raise_the_watch_has_not_shown_yet_goes_back_too() {
    let load = |_: &str, at: Timestamp| if at.as_second() - origin().as_second() < 600 { 560.0 } else { 100.0 };
    let world = World::new(&[CART], steady(load));
    *world.cluster.baseline.lock() = Some(4);
    *world.cluster.watch_lags.lock() = Duration::from_secs(10);
    *world.cluster.read_takes.lock() = Duration::from_secs(5);
    let (tree, control) = world.start().await;
    let id: ServiceId = CART.parse().unwrap();
    for is_open in [true, false] {
        while world.journal.open_intents().unwrap().is_empty() == is_open {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    world.services.are(&[]);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(world.cluster.replicas("cart"), 8);
    assert!(control.service(&id).is_some(), "the floor is up");
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(world.cluster.replicas("cart"), 4);
    assert!(control.service(&id).is_none(), "nothing is left to do");

    world.cluster.silent.lock().insert("cart".to_owned());
    world.services.are(world.settings.listed());
    tokio::time::sleep(MINUTE).await;
    world.services.are(&[]);
    tokio::time::sleep(MINUTE * 5).await;
    assert!(control.service(&id).is_some(), "what is held up cannot be seen");
    world.cluster.silent.lock().clear();
    tokio::time::sleep(MINUTE).await;
    assert!(control.service(&id).is_none());
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn x2_a_write_of_an_earlier_run_is_settled_before_its_service_goes() {
    let world = World::new(&[CART], steady(|_, _| 280.0));
    *world.cluster.baseline.lock() = Some(4);
    world.run_for(MINUTE).await;
    let mut change = super::faults::change(&world, 4, 6);
    change.decision = world.records(CART)[0].id.clone();
    let intent = Intent::open(change, world.clock.now().wall, Foreseen::default());
    world.journal.append(Entry::Prepared(intent)).await.unwrap();
    world.cluster.away.store(true, Ordering::Relaxed);
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    world.services.are(&[]);
    tokio::time::sleep(MINUTE * 5).await;
    assert_eq!(control.services(None, usize::MAX).len(), 1, "it may have raised the floor");
    world.cluster.away.store(false, Ordering::Relaxed);
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(control.services(None, usize::MAX).len(), 0);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_returns_a_floor_stops_for_the_switch_and_goes_on_where_it_is_declared_anew() {
    let load = |_: &str, at: Timestamp| if at.as_second() - origin().as_second() < 600 { 560.0 } else { 100.0 };
    let world = World::new(&[CART], steady(load));
    *world.cluster.baseline.lock() = Some(4);
    let spec = world.settings.listed()[0].clone();
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 5).await;
    *world.switch.0.lock() = KillState::Unreadable { error: "drill".to_owned() };
    world.services.are(&[]);
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(world.cluster.replicas("cart"), 8);
    world.services.are(&[ServiceSpec { mode: Mode::Shadow, ..spec.clone() }]);
    *world.switch.0.lock() = KillState::released();
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(world.cluster.replicas("cart"), 8, "a loop of its own again, and in shadow");
    assert_eq!(control.service(&spec.id).unwrap().mode, Mode::Shadow);
    world.services.are(&[]);
    tokio::time::sleep(MINUTE).await;
    assert!(control.service(&spec.id).is_none(), "in shadow nothing is written, so nothing is waited for");

    // The same target under another name: two services would turn one floor.
    world.services.are(std::slice::from_ref(&spec));
    tokio::time::sleep(MINUTE).await;
    world.services.are(&[ServiceSpec { id: "shop/other".parse().unwrap(), ..spec.clone() }]);
    tokio::time::sleep(MINUTE).await;
    assert!(control.service(&spec.id).is_none(), "the target is another one's now");
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn inv_31_what_policies_forbid_holds_against_the_return_of_a_floor() {
    let load = |_: &str, at: Timestamp| if at.as_second() - origin().as_second() < 600 { 560.0 } else { 100.0 };
    let world = World::new(&[CART], steady(load));
    *world.cluster.baseline.lock() = Some(4);
    let (tree, _) = world.start().await;
    tokio::time::sleep(MINUTE * 5).await;
    assert_eq!(world.cluster.replicas("cart"), 8);
    let veto = "limit(\"drill\", |s, p| [when(s.rps.current > rps(1)), veto(\"lower\", \"a drill\")]);";
    world.policies.send_replace(std::sync::Arc::new(policy_set(&[("base.rhai", veto)])));
    world.services.are(&[]);
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(world.cluster.replicas("cart"), 8, "forbidden");
    let held = world.records(CART).into_iter().find(|record| record.verdict.decided_by == Some(GuardName::PolicyLimit));
    assert_eq!(
        held.and_then(|record| record.proposal.choice.rule().map(str::to_owned)).as_deref(),
        Some("return_floor")
    );
    world.policies.send_replace(std::sync::Arc::new(policy_set(&[("base.rhai", &to(5))])));
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(world.cluster.replicas("cart"), 4);
    tree.stop().await;
}

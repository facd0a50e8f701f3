//! A process ends between a write and its follow-up, or its undo fails: the next process measures the write and rolls
//! back what hurt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flyball::actors::{LoopControl, Tree};
use flyball::adapters::clock::ScaledClock;
use flyball::app::assemble;
use flyball::instrument::Metrics;
use flyball::model::{
    Choice, Convergence, DecisionRecord, Effect, Epoch, Foreseen, Impact, Intent, KillState, Timestamp, WriteOutcome,
};
use flyball::ports::journal::Entry;
use flyball::ports::{Clock, Journal};

use super::faults::change;
use super::replicas::{follows, holds, process};
use super::world::{Script, World, origin, settings};

const MINUTE: Duration = Duration::from_secs(60);
const SHOP: &str = "shop/checkout";

/// Load that doubles twelve minutes after the start and falls back half an hour later.
fn step(at: Timestamp) -> f64 {
    let minute = (at.as_second() - origin().as_second()).div_euclid(60);
    if (12..42).contains(&minute) { 560.0 } else { 280.0 }
}

/// A world whose latency breaks on demand; nothing else changes, so no rule raises on its own.
fn hurting() -> (World, Arc<AtomicBool>) {
    hurting_with(&settings(&[SHOP], ""))
}

fn hurting_with(settings: &str) -> (World, Arc<AtomicBool>) {
    let hurts = Arc::new(AtomicBool::new(false));
    let latency = hurts.clone();
    let script: Script = Arc::new(move |_, signal, at| {
        Some(match signal {
            "rps" => step(at),
            "p99" if latency.load(Ordering::Relaxed) => 0.5,
            "p99" => 0.1,
            _ => 0.5,
        })
    });
    (World::with_settings(settings, script), hurts)
}

/// Starts a process on the world's journal. Its clock counts from its own start, as in a new process.
async fn start(world: &World, run: u32) -> (Tree, Arc<LoopControl>) {
    let mut ports = world.ports();
    ports.clock = Arc::new(ScaledClock::start(world.clock.now().wall, 1.0).unwrap());
    ports.journal = Arc::new(world.journal.as_run(run));
    assemble(&world.settings, ports, Arc::new(Metrics::new())).await.unwrap()
}

async fn lowered(world: &World) {
    tokio::time::sleep(MINUTE * 30).await;
    assert_eq!(world.cluster.replicas("checkout"), 8);
    while world.cluster.replicas("checkout") == 8 {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(world.cluster.replicas("checkout"), 6);
}

fn lowering(world: &World) -> DecisionRecord {
    let lowers = |record: &DecisionRecord| record.change.as_ref().is_some_and(|change| change.from == 8);
    world.records(SHOP).into_iter().find(lowers).unwrap()
}

fn effect(world: &World) -> Option<Effect> {
    lowering(world).effect
}

/// Returns the undos of the lowering that were written.
fn undone(world: &World) -> Vec<DecisionRecord> {
    let id = lowering(world).id;
    let undoes = |record: &DecisionRecord| matches!(&record.proposal.choice, Choice::Undo { of, .. } if *of == id);
    let applied = |record: &DecisionRecord| record.outcome == Some(WriteOutcome::Applied);
    world.records(SHOP).into_iter().filter(|record| undoes(record) && applied(record)).collect()
}

#[tokio::test(start_paused = true)]
async fn inv_12_x6_a_write_that_is_measured_when_the_process_ends_is_measured_by_the_next_one_and_taken_back_once() {
    let (world, hurts) = hurting();
    let (first, _) = start(&world, 1).await;
    lowered(&world).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    hurts.store(true, Ordering::Relaxed);
    first.stop().await;
    assert_eq!(effect(&world), None, "its window is not over");
    tokio::time::sleep(MINUTE * 3).await;

    let (second, _) = start(&world, 2).await;
    tokio::time::sleep(MINUTE * 4).await;
    assert_eq!(effect(&world), None, "nobody looked for three minutes: its window begins anew");
    tokio::time::sleep(MINUTE * 4).await;
    let measured = effect(&world).expect("measured");
    assert_eq!(measured.impact, Impact::Hurt);
    let Convergence::Converged { after } = measured.convergence else { panic!("{measured:?}") };
    assert!(after >= MINUTE * 3, "{after:?}: by the wall clock, over the restart");
    assert_eq!(world.cluster.replicas("checkout"), 8, "back to what was there");
    let [undo] = undone(&world).try_into().unwrap();
    assert_eq!(undo.id.cycle.run, 2);

    second.stop().await;
    let (third, _) = start(&world, 3).await;
    hurts.store(false, Ordering::Relaxed);
    tokio::time::sleep(MINUTE * 15).await;
    third.stop().await;
    assert_eq!(undone(&world).len(), 1, "taken back once");
}

#[tokio::test(start_paused = true)]
async fn inv_12_x6_an_undo_that_is_owed_when_the_process_ends_is_owed_by_the_next_one_and_not_for_ever() {
    for (downtime, replicas) in [(MINUTE, 8), (MINUTE * 5, 6)] {
        let (world, hurts) = hurting();
        let (first, _) = start(&world, 1).await;
        lowered(&world).await;
        hurts.store(true, Ordering::Relaxed);
        // A person stops everything, so the undo is held until the process ends.
        *world.switch.0.lock() = KillState::Unreadable { error: "drill".to_owned() };
        while effect(&world).is_none() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!((effect(&world).unwrap().impact, world.cluster.replicas("checkout")), (Impact::Hurt, 6));
        first.stop().await;
        tokio::time::sleep(downtime).await;
        *world.switch.0.lock() = KillState::released();
        let (second, _) = start(&world, 2).await;
        tokio::time::sleep(MINUTE * 2).await;
        second.stop().await;
        assert_eq!(world.cluster.replicas("checkout"), replicas, "after {downtime:?}");
        assert_eq!(undone(&world).len(), usize::from(replicas == 8), "after {downtime:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn inv_12_x6_a_new_leader_measures_the_write_of_its_predecessor_and_takes_it_back_once() {
    let (world, hurts) = hurting();
    let (first, _, first_lease) = process(&world, 1, holds(1, 15_000)).await;
    let (second, _, second_lease) = process(&world, 2, follows()).await;
    lowered(&world).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    hurts.store(true, Ordering::Relaxed);
    first_lease.set(follows());
    second_lease.set(holds(2, 15_000));
    tokio::time::sleep(MINUTE * 9).await;
    // The first one still runs, has measured it too, and writes nothing.
    first.stop().await;
    second.stop().await;
    assert_eq!(effect(&world).unwrap().impact, Impact::Hurt);
    assert_eq!(world.cluster.replicas("checkout"), 8);
    let [undo] = undone(&world).try_into().unwrap();
    assert_eq!(undo.change.unwrap().epoch, Epoch::new(2));
}

/// The write had landed but its end was not recorded when the process died.
#[tokio::test(start_paused = true)]
async fn inv_12_x6_a_write_whose_end_was_lost_with_the_process_is_measured_once_it_is_settled() {
    let script: Script = Arc::new(|_, signal, _| Some(if signal == "rps" { 280.0 } else { 0.5 }));
    let world = World::new(&[SHOP], script);
    let (first, _) = start(&world, 1).await;
    tokio::time::sleep(MINUTE).await;
    first.stop().await;
    let mut landed = change(&world, 6, 4);
    landed.decision = world.records(SHOP)[0].id.clone();
    let now = world.clock.now();
    landed.decided = now;
    let foreseen = Foreseen { before: Some(0.1), ..Foreseen::default() };
    world.journal.append(Entry::Prepared(Intent::open(landed, now.wall, foreseen))).await.unwrap();
    let (second, _) = start(&world, 2).await;
    tokio::time::sleep(MINUTE * 8).await;
    second.stop().await;
    let settled = &world.records(SHOP)[0];
    assert_eq!(settled.outcome, Some(WriteOutcome::Applied));
    assert_eq!(settled.effect.as_ref().map(|effect| effect.impact), Some(Impact::Hurt), "{:?}", settled.effect);
    assert_eq!(world.cluster.replicas("checkout"), 6, "taken back");
}

/// Expected latency and load are not in the journal, so only the process that wrote can judge whether it hurt.
#[tokio::test(start_paused = true)]
async fn inv_32_what_is_masked_is_measured_by_the_process_that_wrote_and_inconclusive_to_the_next_one() {
    let masked = settings(&[SHOP], "").replacen("state:", "records: { mask: { signals: [p99] } }\nstate:", 1);
    for (is_restarted, impact, replicas) in [(false, Impact::Hurt, 8), (true, Impact::Inconclusive, 6)] {
        let (world, hurts) = hurting_with(&masked);
        let (mut tree, _) = start(&world, 1).await;
        lowered(&world).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        hurts.store(true, Ordering::Relaxed);
        if is_restarted {
            tree.stop().await;
            (tree, _) = start(&world, 2).await;
        }
        tokio::time::sleep(MINUTE * 9).await;
        tree.stop().await;
        let effect = effect(&world).unwrap();
        assert_eq!((effect.impact, effect.why.as_str()), (impact, "the numbers are masked"));
        assert_eq!(world.cluster.replicas("checkout"), replicas);
    }
}

/// The API server goes away just as the undo is written.
#[tokio::test(start_paused = true)]
async fn inv_12_x6_an_undo_that_the_gate_refused_is_asked_again_until_it_is_done_or_has_lost_its_sense() {
    for is_taken_over in [false, true] {
        let (world, hurts) = hurting();
        let (tree, _) = start(&world, 1).await;
        lowered(&world).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        hurts.store(true, Ordering::Relaxed);
        world.cluster.away.store(true, Ordering::Relaxed);
        while effect(&world).is_none() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        tokio::time::sleep(MINUTE).await;
        assert_eq!(world.cluster.replicas("checkout"), 6);
        if is_taken_over {
            world.cluster.write(&world.settings.listed()[0].target, 7);
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        world.cluster.away.store(false, Ordering::Relaxed);
        tokio::time::sleep(MINUTE * 2).await;
        tree.stop().await;
        assert_eq!(world.cluster.replicas("checkout"), if is_taken_over { 7 } else { 8 });
        assert_eq!(undone(&world).len(), usize::from(!is_taken_over));
        let is_refused = |record: &DecisionRecord| matches!(record.outcome, Some(WriteOutcome::Refused(_)));
        let refused = world.records(SHOP).into_iter().filter(is_refused).count();
        assert!((2..=5).contains(&refused), "asked {refused} times while the API server was away");
    }
}

//! Failed writes: what they cost, where they are reported, and when the next one is made.

use std::sync::atomic::Ordering;
use std::time::Duration;

use flyball::model::{Foreseen, Refusal, WriteOutcome};
use flyball::ports::{Clock, ClusterError, Control};

use tokio::sync::oneshot;

use crate::records;

use super::world::{World, steady};

const MINUTE: Duration = Duration::from_secs(60);
const SHOP: &str = "shop/checkout";
const WORDS: &str = "failed calling webhook";

fn unknown() -> ClusterError {
    ClusterError::Unknown { reason: WORDS.to_owned() }
}

fn forbidden() -> ClusterError {
    ClusterError::Forbidden { reason: WORDS.to_owned() }
}

fn denied() -> ClusterError {
    ClusterError::Denied { reason: WORDS.to_owned() }
}

fn gone(world: &World) -> ClusterError {
    ClusterError::NotFound { target: world.settings.listed()[0].target.clone() }
}

/// A surge starts together with the fault; four minutes later the server is healthy.
async fn surge_through(break_it: impl Fn(&World), words: &str) {
    let world = World::new(&[SHOP], steady(|_, _| 560.0));
    break_it(&world);
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 4).await;
    let cluster = &world.cluster;
    assert_eq!(cluster.replicas("checkout"), 4);
    let (writes, reads) = (cluster.declined.load(Ordering::Relaxed), cluster.reads.load(Ordering::Relaxed));
    assert!((2..=20).contains(&reads) && writes <= 8, "{words}: {writes} writes, {reads} reads");
    let told = control.service(&SHOP.parse().unwrap()).unwrap().denied;
    assert!(told.as_ref().is_some_and(|told| told.contains(words)), "{words}: {told:?}");
    (*cluster.refuses.lock(), *cluster.unreadable.lock()) = (None, None);
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(cluster.replicas("checkout"), 8, "{words}: what did nothing has spent nothing");
    assert_eq!(control.service(&SHOP.parse().unwrap()).unwrap().denied, None);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn inv_04_writes_that_are_known_to_have_done_nothing_leave_a_surge_its_budget() {
    for refused in [unknown(), forbidden(), denied()] {
        surge_through(|world| *world.cluster.refuses.lock() = Some(refused.clone()), WORDS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn inv_04_live_reads_that_fail_spend_nothing_are_made_ever_more_seldom_and_are_told() {
    for failed in [unknown(), forbidden()] {
        surge_through(|world| *world.cluster.unreadable.lock() = Some(failed.clone()), WORDS).await;
    }
    surge_through(|world| *world.cluster.unreadable.lock() = Some(gone(world)), "does not exist").await;
}

/// A write whose answer was lost is refunded once it can no longer land, and not before.
#[tokio::test(start_paused = true)]
async fn inv_04_inv_12_a_write_that_may_still_land_is_not_given_back_yet() {
    let names: Vec<String> = (0..22).map(|number| format!("shop/s{number}")).collect();
    let world = World::new(&names.iter().map(String::as_str).collect::<Vec<_>>(), steady(|_, _| 200.0));
    world.run_for(MINUTE).await;
    let gate = world.gate(world.leadership.clone());
    let raise = |number: usize| {
        let decision = world.records(&names[number])[0].id.clone();
        let uid = format!("uid-s{number}");
        let change = records::replicas(&decision, &uid, (4, 6), world.clock.now());
        let (told, ended) = oneshot::channel();
        gate.submit(change, Foreseen::default(), move |end| drop(told.send(end.outcome)));
        ended
    };
    *world.cluster.refuses.lock() = Some(unknown());
    let lost: Vec<_> = (0..20).map(raise).collect();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.cluster.declined.load(Ordering::Relaxed), 20);
    *world.cluster.refuses.lock() = None;
    let refused = raise(20).await.unwrap();
    assert!(matches!(refused, WriteOutcome::Refused(Refusal::Budget { .. })), "{refused}");
    for ended in lost {
        let ended = ended.await.unwrap();
        assert_eq!(ended.to_string(), format!("abandoned: found 4, expected 6 ({WORDS})"));
        assert!(!ended.is_charged());
    }
    assert_eq!(raise(21).await.unwrap(), WriteOutcome::Applied);
}

/// The namespace may see 20 writes a minute: those settled as not landed are refunded before it is over.
#[tokio::test(start_paused = true)]
async fn inv_04_writes_that_have_not_landed_are_given_back_to_their_neighbours() {
    let names: Vec<String> = (0..20).map(|number| format!("shop/s{number}")).collect();
    let world = World::new(&names.iter().map(String::as_str).collect::<Vec<_>>(), steady(|_, _| 560.0));
    *world.cluster.refuses.lock() = Some(unknown());
    let (tree, _) = world.start().await;
    while world.cluster.declined.load(Ordering::Relaxed) < names.len() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    *world.cluster.refuses.lock() = None;
    tokio::time::sleep(Duration::from_secs(50)).await;
    for name in &names {
        assert_eq!(world.cluster.replicas(name.trim_start_matches("shop/")), 8, "{name}");
    }
    tree.stop().await;
}

//! Two trees over one cluster and one shared journal: the leader writes, the other is ready to take over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use flyball::actors::{LoopControl, Tree};
use flyball::adapters::store::MemoryJournal;
use flyball::app::assemble;
use flyball::guard::FleetLimits;
use flyball::instrument::Metrics;
use flyball::model::{
    ChangeSet, Choice, DecisionRecord, Epoch, Foreseen, GuardName, Intent, Lead, Refusal, Timestamp, WriteOutcome,
};
use flyball::ports::journal::{Entry, Journal, JournalError, Unreadable};
use flyball::ports::policy_memory::{KeptPolicies, PolicyOperation};
use flyball::ports::{Awaited, Clock, Control, Leadership};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::faults::change;
use super::world::{Hesitant, Remembered, World, origin, policy_set, settings, steady};
use crate::records;
use crate::support::delegating::{Delegating, Differs};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const SHOP: &str = "shop/checkout";

/// A lease scripted by a test.
pub struct Scripted {
    lead: Mutex<Lead>,
    terms: watch::Sender<Option<Epoch>>,
    announcements: watch::Sender<Option<Arc<str>>>,
    /// Whether the next fence panics.
    pub breaks: AtomicBool,
    /// The process that receives its announcements.
    other: Mutex<Option<Arc<Scripted>>>,
}

impl Scripted {
    pub fn new(lead: Lead) -> Arc<Self> {
        let (terms, announcements) = (watch::Sender::new(lead.epoch()), watch::Sender::new(None));
        let (lead, other, breaks) = (Mutex::new(lead), Mutex::default(), AtomicBool::default());
        Arc::new(Self { lead, terms, announcements, breaks, other })
    }

    pub fn set(&self, lead: Lead) {
        let term = lead.epoch();
        *self.lead.lock() = lead;
        self.terms.send_if_modified(|known| std::mem::replace(known, term) != term);
    }
}

impl Leadership for Scripted {
    fn lead(&self) -> Lead {
        self.lead.lock().clone()
    }

    fn terms(&self) -> watch::Receiver<Option<Epoch>> {
        self.terms.subscribe()
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.set(follows()) })
    }

    fn fence(&self, _: Epoch) -> BoxFuture<'_, Result<(), String>> {
        assert!(!self.breaks.swap(false, Ordering::Relaxed), "the adapter breaks at the fence");
        Box::pin(async { Ok(()) })
    }

    fn announce(&self, word: &str) {
        self.announcements.send_replace(None);
        if let Some(other) = &*self.other.lock() {
            other.announcements.send_replace(Some(word.into()));
        }
    }

    fn announcements(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.announcements.subscribe()
    }
}

pub fn holds(epoch: u64, milliseconds: u64) -> Lead {
    Lead::Holds { epoch: Epoch::new(epoch), left: Duration::from_millis(milliseconds) }
}

pub fn follows() -> Lead {
    Lead::Follows { holder: Some("the other".to_owned()) }
}

/// One journal of several processes, as seen by one of them.
struct SharedJournal {
    journal: MemoryJournal,
    unreadable: Vec<Unreadable>,
    past: Arc<Past>,
}

/// A journal's answers about its past.
#[derive(Default)]
struct Past {
    /// Whether it fails.
    is_lost: AtomicBool,
    /// How often it was queried.
    asked: AtomicUsize,
}

impl SharedJournal {
    fn of_run(world: &World, run: u32) -> Self {
        Self { journal: world.journal.as_run(run), unreadable: Vec::new(), past: Arc::default() }
    }
}

impl Differs for SharedJournal {
    fn below(&self) -> &dyn Journal {
        &self.journal
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn unreadable(&self) -> Vec<Unreadable> {
        self.unreadable.clone()
    }

    fn remembered_since(&self, now: Timestamp, span: Duration) -> Result<Vec<Intent>, JournalError> {
        self.past.asked.fetch_add(1, Ordering::Relaxed);
        if self.past.is_lost.load(Ordering::Relaxed) {
            return Err(JournalError::Closed);
        }
        self.journal.remembered_since(now, span)
    }
}

/// Starts a process over the world.
pub async fn process(world: &World, run: u32, lead: Lead) -> (Tree, Arc<LoopControl>, Arc<Scripted>) {
    process_beside(world, run, lead, Vec::new()).await
}

/// The same with these intents in the journal.
async fn process_beside(
    world: &World,
    run: u32,
    lead: Lead,
    unreadable: Vec<Unreadable>,
) -> (Tree, Arc<LoopControl>, Arc<Scripted>) {
    let leadership = Scripted::new(lead);
    let mut ports = world.ports();
    ports.leadership = leadership.clone();
    // The fleet budget would hide what the services remember.
    ports.budgets = FleetLimits { removal_share: 1.0, ..FleetLimits::default() };
    ports.journal = Arc::new(Delegating(SharedJournal { unreadable, ..SharedJournal::of_run(world, run) }));
    let (tree, control) = assemble(&world.settings, ports, Arc::new(Metrics::new())).await.unwrap();
    (tree, control, leadership)
}

/// Load that doubles twelve minutes after the start and falls back half an hour later.
fn step(_: &str, at: Timestamp) -> f64 {
    let minute = (at.as_second() - origin().as_second()).div_euclid(60);
    if (12..42).contains(&minute) { 560.0 } else { 280.0 }
}

fn of_run(world: &World, run: u32) -> Vec<DecisionRecord> {
    world.records(SHOP).into_iter().filter(|record| record.id.cycle.run == run).collect()
}

fn writes(records: &[DecisionRecord]) -> Vec<&ChangeSet> {
    let applied = records.iter().filter(|record| record.outcome == Some(WriteOutcome::Applied));
    applied.filter_map(|record| record.change.as_ref()).collect()
}

#[tokio::test(start_paused = true)]
async fn inv_17_inv_23_a_follower_decides_and_writes_nothing_and_goes_on_with_the_cooldowns_of_its_predecessor() {
    let world = World::new(&[SHOP], steady(step));
    let (first, _, first_lease) = process(&world, 1, holds(1, 15_000)).await;
    let (second, control, second_lease) = process(&world, 2, follows()).await;
    tokio::time::sleep(MINUTE * 25).await;
    assert_eq!(world.cluster.replicas("checkout"), 8, "raised once");
    let status = control.status();
    assert!(status.ready, "a follower is ready: {:?}", status.waiting_for);
    assert_eq!(status.lead, follows());
    let follower = of_run(&world, 2);
    assert!(follower.iter().all(|record| record.change.is_none()));
    let held = follower.iter().find(|record| record.verdict.decided_by == Some(GuardName::LeaderFence)).unwrap();
    assert_eq!(held.verdict.permitted, Some(8), "it shows what it would do");
    assert!(flyball::model::explain::sentence(held).contains("the other holds the lease"));

    // After the first lowering, the other process leads.
    while world.cluster.replicas("checkout") == 8 {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    first_lease.set(follows());
    second_lease.set(holds(2, 15_000));
    let taken_over = world.clock.now().wall;
    tokio::time::sleep(MINUTE * 60).await;
    first.stop().await;
    second.stop().await;
    assert_eq!(world.cluster.replicas("checkout"), 4);
    let (before, after) = (of_run(&world, 1), of_run(&world, 2));
    let (before, after) = (writes(&before), writes(&after));
    assert!(!before.is_empty() && before.iter().all(|change| change.epoch == Epoch::new(1)), "{before:?}");
    assert!(!after.is_empty() && after.iter().all(|change| change.epoch == Epoch::new(2)), "{after:?}");
    assert!(before.iter().all(|change| change.decided.wall <= taken_over));
    let waited = after[0].decided.wall.duration_since(taken_over);
    assert!(waited.as_secs() >= 590, "the cooldown of ten minutes is not shorter for the new leader: {waited:#}");
}

#[tokio::test(start_paused = true)]
async fn inv_17_a_taking_over_that_panics_is_begun_anew() {
    let world = World::new(&[SHOP], steady(|_, _| 560.0));
    let (tree, control, leadership) = process(&world, 1, follows()).await;
    leadership.breaks.store(true, Ordering::Relaxed);
    leadership.set(holds(1, 15_000));
    tokio::time::sleep(MINUTE * 3).await;
    assert_eq!(control.status().lead, holds(1, 15_000));
    assert_eq!(world.cluster.replicas("checkout"), 8);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn l2_a_lease_with_too_little_left_holds_every_write() {
    let world = World::new(&[SHOP], steady(step));
    let (tree, _, _) = process(&world, 1, holds(1, 5_900)).await;
    tokio::time::sleep(MINUTE * 20).await;
    tree.stop().await;
    assert_eq!(world.cluster.replicas("checkout"), 4);
    let held = |record: &DecisionRecord| record.verdict.decided_by == Some(GuardName::LeaderFence);
    assert!(world.records(SHOP).iter().any(held));
}

#[tokio::test(start_paused = true)]
async fn inv_17_the_write_gate_asks_for_the_lease_and_the_epoch_at_the_write() {
    let world = World::new(&[SHOP], steady(step));
    world.run_for(MINUTE).await;
    let leadership = Scripted::new(holds(2, 15_000));
    let gate = world.gate(leadership.clone());
    let seq = AtomicU32::new(1_000);
    let outcome = async |epoch: u64| {
        let mut change = change(&world, 4, 6);
        change.decision = records::id(SHOP, seq.fetch_add(1, Ordering::Relaxed));
        world.journal.submit(Entry::Decision(Arc::new(records::acted(change.decision.clone()))));
        change.decided = world.clock.now();
        change.epoch = Epoch::new(epoch);
        let (told, ended) = oneshot::channel();
        gate.submit(change, Foreseen::default(), move |end| drop(told.send(end.outcome)));
        ended.await.unwrap()
    };
    let is_refused = |outcome: &WriteOutcome, words: &str| {
        let WriteOutcome::Refused(Refusal::Leadership { reason }) = outcome else { panic!("{outcome}") };
        assert!(reason.contains(words), "{reason}");
    };
    is_refused(&outcome(2).await, "taking over");
    gate.take_over(Epoch::new(2)).unwrap();
    is_refused(&outcome(1).await, "decided in epoch 1, the current one is 2");
    // Lost while the kill switch is read, right before the write.
    *world.switch.1.lock() = Duration::from_millis(400);
    let losing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        leadership.set(follows());
    };
    let (late, ()) = tokio::join!(outcome(2), losing);
    is_refused(&late, "the other holds the lease");
    assert_eq!(world.cluster.replicas("checkout"), 4);
    assert!(world.journal.open_intents().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn inv_12_the_new_leader_settles_what_its_predecessor_left_and_a_follower_does_not() {
    let world = World::new(&[SHOP], steady(|_, _| 280.0));
    world.run_for(MINUTE).await;
    let mut left = change(&world, 4, 6);
    left.decision = world.records(SHOP)[0].id.clone();
    left.epoch = Epoch::new(1);
    let (tree, control, leadership) = process(&world, 2, follows()).await;
    let intent = Intent::open(left.clone(), world.clock.now().wall, Foreseen::default());
    world.journal.append(Entry::Prepared(intent)).await.unwrap();
    world.cluster.write(&left.target, 6);
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(world.journal.open_intents().unwrap().len(), 1, "its owner may still be at it");
    assert!(control.status().ready, "{:?}", control.status().waiting_for);
    leadership.set(holds(2, 15_000));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(world.journal.open_intents().unwrap().is_empty());
    let [settled] = world.journal.remembered_since(world.clock.now().wall, MINUTE * 60).unwrap().try_into().unwrap();
    assert_eq!(settled.change, left);
    assert_eq!(world.cluster.replicas("checkout"), 6, "found, and not sent again");
    tree.stop().await;
}

/// A disk may take its time: meanwhile the loop continues, and writes nothing.
#[tokio::test(start_paused = true)]
async fn inv_17_inv_23_taking_over_waits_for_the_journal_off_the_threads_of_the_loop() {
    let mut world = World::new(&[SHOP], steady(|_, _| 280.0));
    world.run_for(MINUTE).await;
    let mut left = change(&world, 4, 6);
    left.decision = world.records(SHOP)[0].id.clone();
    left.epoch = Epoch::new(1);
    let pool = Arc::new(Hesitant::default());
    world.executor = pool.clone();
    let (tree, control, leadership) = process(&world, 4, follows()).await;
    let intent = Intent::open(left, world.clock.now().wall, Foreseen::default());
    world.journal.append(Entry::Prepared(intent)).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    pool.hesitates.store(true, Ordering::Relaxed);
    leadership.set(holds(2, 15_000));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(control.status().lead, Lead::TakesOver { epoch: Epoch::new(2) });
    // A request from an expired term changes nothing in the next one.
    leadership.set(holds(3, 15_000));
    tokio::time::sleep(SECOND).await;
    assert_eq!(pool.catches_up(), 2);
    assert_eq!(control.status().lead, holds(3, 15_000));
    while !world.journal.open_intents().unwrap().is_empty() {
        tokio::time::sleep(SECOND).await;
    }
    tokio::time::sleep(MINUTE).await;
    let unsettled = || control.status().services_wait_for.contains(&Awaited::EarlierWrites { writes: 1 });
    assert!(unsettled(), "its target is shut until its service was told");
    assert_eq!(pool.catches_up(), 1);
    tokio::time::sleep(SECOND).await;
    assert!(!unsettled());
    tree.stop().await;
}

/// One chain of retries, however often the declarations change meanwhile.
#[tokio::test(start_paused = true)]
async fn services_that_come_while_the_journal_cannot_tell_are_taken_up_by_one_try_after_another() {
    let world = World::new(&["shop/cart", SHOP], steady(|_, _| 280.0));
    let all = world.settings.listed().to_vec();
    world.services.are(&all[1..]);
    let mut ports = world.ports();
    let past = Arc::<Past>::default();
    ports.journal = Arc::new(Delegating(SharedJournal { past: past.clone(), ..SharedJournal::of_run(&world, 1) }));
    ports.leadership = Scripted::new(holds(1, 15_000));
    let (tree, control) = assemble(&world.settings, ports, Arc::new(Metrics::new())).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    past.is_lost.store(true, Ordering::Relaxed);
    for _ in 0..10 {
        world.services.are(&all);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    past.asked.store(0, Ordering::Relaxed);
    tokio::time::sleep(MINUTE).await;
    let asked = past.asked.load(Ordering::Relaxed);
    assert!((11..=13).contains(&asked), "asked {asked} times in a minute, once in 5 s is due");
    assert_eq!(control.service(&all[0].id), None);
    past.is_lost.store(false, Ordering::Relaxed);
    tokio::time::sleep(SECOND * 6).await;
    assert!(control.service(&all[0].id).is_some());
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn inv_18_an_open_intent_that_cannot_be_read_holds_its_own_service_and_no_other() {
    let world = World::new(&["shop/checkout", "shop/search"], steady(|_, _| 560.0));
    let unreadable = Unreadable {
        namespace: "shop".to_owned(),
        object: "checkout-1".to_owned(),
        service: Some("checkout".to_owned()),
        why: "missing field `spec`".to_owned(),
    };
    let (tree, control, _) = process_beside(&world, 1, holds(1, 15_000), vec![unreadable]).await;
    tokio::time::sleep(MINUTE * 5).await;
    assert_eq!((world.cluster.replicas("checkout"), world.cluster.replicas("search")), (4, 8));
    let told = "LoopAction shop/checkout-1 is open and cannot be read (missing field `spec`); delete it";
    let status = control.status();
    assert!(status.services_wait_for.iter().any(|wait| wait.to_string() == told), "{:?}", status.services_wait_for);
    assert!(status.ready, "what one service lacks is no fault of the process: {:?}", status.waiting_for);
    let last = control.service(&SHOP.parse().unwrap()).unwrap().last.unwrap();
    assert_eq!(last.proposal.choice, Choice::Nothing(told.into()));
    tree.stop().await;
}

/// A rollback that ended with the pod that received it would be useless.
#[tokio::test(start_paused = true)]
async fn inv_15_who_follows_goes_by_what_the_leader_put_in_force_and_goes_on_with_it() {
    let text = settings(&[SHOP], "").replacen("state:", "policy_shadow: 10m\nstate:", 1);
    let world = World::with_settings(&text, steady(|_, _| 200.0));
    let announce = |replicas: u32| {
        let rule = format!(
            "rule(\"to_{replicas}\", #{{ priority: 900, goal: \"protect\" }}, |s, p| \
             [ when(s.rps.current > rps(1)), scale_to({replicas}) ]);"
        );
        world.policies.send_replace(Arc::new(policy_set(&[("t.rhai", &rule)])));
    };
    let start = async |run: u32, leadership: &Arc<Scripted>| {
        let memory = Arc::new(Remembered::default());
        let mut ports = world.ports();
        ports.leadership = leadership.clone();
        ports.policy_memory = memory.clone();
        ports.journal = Arc::new(Delegating(SharedJournal::of_run(&world, run)));
        let (tree, control) = assemble(&world.settings, ports, Arc::new(Metrics::new())).await.unwrap();
        (tree, control, memory)
    };
    let (one, other) = (Scripted::new(holds(1, 15_000)), Scripted::new(follows()));
    *one.other.lock() = Some(other.clone());
    *other.other.lock() = Some(one.clone());
    announce(5);
    let (first, leader, orders) = start(1, &one).await;
    let (second, follower, refused) = start(2, &other).await;
    tokio::time::sleep(MINUTE).await;
    let before = leader.policies().in_force;
    announce(6);
    tokio::time::sleep(MINUTE).await;
    let candidate = Some(leader.policies().candidate.unwrap().revision);
    refused.order("1", PolicyOperation::Promote, None);
    tokio::time::sleep(SECOND).await;
    let end = follower.policies().last_order.unwrap();
    assert!(!end.done && end.words.contains("send the order to the leader"), "{end:?}");
    orders.order("2", PolicyOperation::Promote, None);
    tokio::time::sleep(SECOND).await;
    assert_eq!((leader.policies().in_force, follower.policies().in_force), (candidate.clone(), candidate.clone()));
    orders.order("3", PolicyOperation::Rollback, None);
    tokio::time::sleep(SECOND).await;
    first.stop().await;
    one.set(follows());
    other.set(holds(2, 15_000));
    tokio::time::sleep(MINUTE * 30).await;
    let status = follower.policies();
    assert_eq!((&status.in_force, &status.rolled_back), (&before, &candidate), "the new leader keeps it out");
    // The former leader is back: nothing that it missed is overridden by what it stored.
    refused.order("4", PolicyOperation::Promote, None);
    tokio::time::sleep(SECOND).await;
    let (first, back, _) = start(3, &one).await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!((follower.policies().in_force, back.policies().in_force), (candidate.clone(), candidate));
    first.stop().await;
    second.stop().await;
}

/// A ConfigMap has room for a mebibyte, two sets with recordings do not fit: files that do not count towards a revision
/// are omitted.
#[tokio::test(start_paused = true)]
async fn the_copy_that_all_have_together_holds_no_tests_and_no_recordings() {
    let world = World::new(&[SHOP], steady(|_, _| 200.0));
    let memory = Arc::new(Remembered::default());
    let mut ports = world.ports();
    ports.policy_memory = memory.clone();
    let (tree, control) = assemble(&world.settings, ports, Arc::new(Metrics::new())).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    let rule =
        "rule(\"to_9\", #{ priority: 900, goal: \"protect\" }, |s, p| [ when(s.rps.current > rps(1)), scale_to(9) ]);";
    let set = [("t.rhai", rule), ("t_test.rhai", "test(\"x\", || 1);"), ("was.jsonl", "\n"), ("x.data.json", "{}")];
    world.policies.send_replace(Arc::new(policy_set(&set)));
    tokio::time::sleep(SECOND).await;
    let paths = |kept: &KeptPolicies| -> Vec<String> {
        kept.in_force.iter().flat_map(|files| &files.files).map(|file| file.path.clone()).collect()
    };
    assert_eq!(paths(&memory.shared.lock()), ["t.rhai", "x.data.json"]);
    assert_eq!(paths(&memory.kept.lock()).len(), 4, "what one process keeps for itself is whole");
    assert!(control.policies().in_force.is_some());
    tree.stop().await;
}

/// The files include what was rolled back, and no other process has read its predecessor.
#[tokio::test(start_paused = true)]
async fn inv_15_a_process_with_an_empty_state_directory_starts_by_what_the_others_go_by() {
    for is_shared in [true, false] {
        let world = World::new(&[SHOP], steady(|_, _| 200.0));
        let copy: Arc<Mutex<KeptPolicies>> = Arc::default();
        let lease = Scripted::new(holds(1, 15_000));
        let start = async |run: u32, leadership: &Arc<Scripted>| {
            let shared = if is_shared { copy.clone() } else { Arc::default() };
            let memory = Arc::new(Remembered { shared, ..Remembered::default() });
            let mut ports = world.ports();
            (ports.leadership, ports.policy_memory) = (leadership.clone(), memory.clone());
            ports.journal = Arc::new(Delegating(SharedJournal::of_run(&world, run)));
            let (tree, control) = assemble(&world.settings, ports, Arc::new(Metrics::new())).await.unwrap();
            (tree, control, memory)
        };
        let newcomer = Scripted::new(follows());
        *lease.other.lock() = Some(newcomer.clone());
        let (first, leader, orders) = start(1, &lease).await;
        tokio::time::sleep(MINUTE).await;
        let good = leader.policies().in_force;
        let bad = "rule(\"to_9\", #{ priority: 900, goal: \"protect\" }, |s, p| [ when(s.rps.current > rps(1)), scale_to(9) ]);";
        world.policies.send_replace(Arc::new(policy_set(&[("t.rhai", bad)])));
        tokio::time::sleep(SECOND).await;
        orders.order("1", PolicyOperation::Rollback, None);
        tokio::time::sleep(SECOND).await;
        assert_eq!(leader.policies().in_force, good, "{:?}", leader.policies());
        first.stop().await;
        newcomer.set(holds(2, 15_000));
        let (second, late, _) = start(2, &newcomer).await;
        tokio::time::sleep(MINUTE).await;
        let (status, waiting) = (late.policies(), late.status().waiting_for);
        second.stop().await;
        assert!(status.rolled_back.is_some(), "{status:?}");
        if is_shared {
            assert_eq!((status.in_force, waiting), (good, Vec::new()));
            continue;
        }
        assert_eq!(status.in_force, None);
        assert!(waiting.iter().any(|wait| matches!(wait, Awaited::PolicySetAfterRollback { .. })), "{waiting:?}");
        let last = late.service(&SHOP.parse().unwrap()).unwrap().last.unwrap();
        assert_eq!(last.proposal.choice, Choice::Nothing("no policy set is active".into()));
    }
}

/// Time alone activates nothing if another process decides that.
#[tokio::test(start_paused = true)]
async fn inv_15_a_follower_waits_for_the_word_of_the_leader_however_long_its_candidate_stands() {
    let text = settings(&[SHOP], "").replacen("state:", "policy_shadow: 10m\nstate:", 1);
    let world = World::with_settings(&text, steady(|_, _| 200.0));
    let leadership = Scripted::new(follows());
    let mut ports = world.ports();
    ports.leadership = leadership.clone();
    let (tree, control) = assemble(&world.settings, ports, Arc::new(Metrics::new())).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    let before = control.policies().in_force;
    assert!(before.is_some(), "never without policies");
    let empty = "rule(\"to_6\", #{ priority: 1, goal: \"cost\" }, |s, p| [when(s.can_scale_up), scale_to(6)]);";
    world.policies.send_replace(Arc::new(policy_set(&[("t.rhai", empty)])));
    tokio::time::sleep(MINUTE * 30).await;
    assert!(control.policies().in_force == before && control.policies().candidate.is_some());
    leadership.set(holds(1, 15_000));
    tokio::time::sleep(SECOND).await;
    assert!(control.policies().in_force != before, "its time is over, and now it decides");
    tree.stop().await;
}

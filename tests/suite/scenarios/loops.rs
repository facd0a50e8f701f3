//! A sample's way through the whole tree, and the same without actors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flyball::actors::write_gate::WriteGate;
use flyball::adapters::store::MemoryJournal;
use flyball::cycle::{ActuatorEffect, Inputs, RoundArrived, ServiceLine};
use flyball::decide::{Vocabulary, compile};
use flyball::model::{
    ActionClass, Authority, ChangeSet, Choice, DecisionRecord, Effect, Foreseen, Impact, Intent, KillState, Measured,
    Now, Refusal, Role, ServiceSpec, TargetReading, TargetRef, Timestamp, VerdictKind, WriteEnd, WriteOutcome,
    explain::sentence, kill::KillOrder,
};
use flyball::ports::journal::Entry;
use flyball::ports::{Clock, Cluster, Control, Journal};

use tokio::sync::oneshot;

use super::world::{ObedientCluster, Script, ScriptedSource, World, no_deadline, origin, policy_set, settings, steady};

const MINUTE: Duration = Duration::from_secs(60);
const SHOP: &str = "shop/checkout";

/// Load that doubles twelve minutes after the start and falls back half an hour later.
fn step(_: &str, at: Timestamp) -> f64 {
    let minute = (at.as_second() - origin().as_second()).div_euclid(60);
    if (12..42).contains(&minute) { 560.0 } else { 280.0 }
}

fn applied(records: &[DecisionRecord]) -> Vec<(u32, u32)> {
    let applied = records.iter().filter(|record| record.outcome == Some(WriteOutcome::Applied));
    applied.filter_map(|record| record.change.as_ref()).map(|change| (change.from, change.to)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_rise_in_load_travels_all_stages_to_a_write_and_its_effect() {
    let world = World::new(&[SHOP], steady(step));
    world.run_for(MINUTE * 25).await;
    assert_eq!(world.cluster.replicas("checkout"), 8, "560/s need 8 pods of 75/s");
    let records = world.records(SHOP);
    assert_eq!(applied(&records), [(4, 8)]);
    let raise = records.iter().find(|record| record.change.is_some()).unwrap();
    assert_eq!(raise.verdict.kind, VerdictKind::Pass);
    assert!(raise.proposal.rules.iter().any(|rule| !rule.conditions.is_empty()));
    assert!(raise.effect.is_some(), "measured within 13 minutes");
    // Raised on the second sample that showed the need: one confirms the other.
    let waited = raise.at.as_second() - origin().as_second() - 12 * 60;
    assert!((15..=45).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn capacity_is_let_go_in_steps_once_the_need_is_over() {
    let world = World::new(&[SHOP], steady(step));
    world.run_for(MINUTE * 120).await;
    let writes = applied(&world.records(SHOP));
    assert_eq!(writes[0], (4, 8));
    assert_eq!(writes.last().unwrap().1, 4, "{writes:?}");
    for (from, to) in &writes[1..] {
        assert!(to < from && f64::from(from - to) <= (f64::from(*from) * 0.3).max(1.0), "{writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn tree_and_inline_runner_write_identical_records() {
    let world = World::new(&[SHOP], steady(step));
    let span = MINUTE * 90;
    world.run_for(span).await;
    let tree = world.records(SHOP);
    let inline = inline_records(&World::new(&[SHOP], steady(step)), span);
    assert!(tree.len() > 5, "{} records", tree.len());
    for (tree, inline) in tree.iter().zip(&inline) {
        assert_eq!(tree, inline);
    }
    assert_eq!(tree.len(), inline.len());
}

/// Runs the same world without actors: one turn every 15 s, its write immediately.
fn inline_records(world: &World, span: Duration) -> Vec<DecisionRecord> {
    let spec = Arc::new(world.settings.listed()[0].clone());
    let files = super::world::shipped_policies().files.unwrap();
    let texts = files.iter().map(|file| (file.path.as_str(), &*file.text));
    let policy = compile(texts, &Vocabulary::of(world.settings.listed()).unwrap(), &no_deadline()).unwrap();
    let (kill, journal) = (KillState::released(), MemoryJournal::new());
    let start = Now { wall: origin(), mono: Duration::ZERO };
    let mut line = ServiceLine::new(&spec, &Arc::default(), journal.run(), &[], start);
    let mut plant = InlinePlant { spec: spec.clone(), replicas: 4, ready: 4, ready_at: Duration::ZERO, version: 1 };
    let mut after = Duration::ZERO;
    while after < span {
        // A tokio timer fires at the first millisecond after its time.
        let now = start.plus(after + if after.is_zero() { Duration::ZERO } else { Duration::from_millis(1) });
        let arrival = |signal: &str| Some(ScriptedSource::arrival(&world.script, SHOP, signal, now.wall));
        let arrivals = spec.signals.iter().map(|signal| arrival(signal.name.as_str())).collect();
        let round = RoundArrived { arrivals, target: plant.observed(now), now };
        let inputs = Inputs {
            policy: Some(&policy),
            candidate: None,
            kill: &kill,
            lead: &flyball::model::Lead::Alone,
            mask: &flyball::model::RecordMask::default(),
            hold: None,
            unbounded: None,
            withdrawn: false,
        };
        let turn = line.turn(&round, inputs);
        let decided = turn.decided.unwrap();
        if decided.keep {
            journal.submit(Entry::Decision(decided.record.clone()));
        }
        for effect in turn.effects {
            match effect {
                ActuatorEffect::Write { change, foreseen } => {
                    plant.write(&change, now);
                    remember(&journal, &change, foreseen, now);
                    let end = WriteEnd { change, outcome: WriteOutcome::Applied, now, version: None };
                    for effect in line.write_ended(end) {
                        let ActuatorEffect::Measured { change, effect, now } = effect else { panic!("{effect:?}") };
                        journal.submit(measured(change, effect, now));
                    }
                }
                ActuatorEffect::Measured { change, effect, now } => journal.submit(measured(change, effect, now)),
            }
        }
        after += Duration::from_secs(15);
    }
    let mut records = journal.decisions(None, None, 100_000).unwrap();
    records.reverse();
    records
}

fn measured(change: ChangeSet, effect: Effect, now: Now) -> Entry {
    Entry::Measured { change: change.id, measured: Measured { at: now.wall, effect } }
}

fn remember(journal: &MemoryJournal, change: &ChangeSet, foreseen: Foreseen, now: Now) {
    journal.submit(Entry::Prepared(Intent::open(change.clone(), now.wall, foreseen)));
    journal.submit(Entry::Ended { change: change.id.clone(), at: now.wall, outcome: WriteOutcome::Applied });
}

/// The behaviour of [`ObedientCluster`], without its own clock.
struct InlinePlant {
    spec: Arc<ServiceSpec>,
    replicas: u32,
    ready: u32,
    ready_at: Duration,
    version: u64,
}

impl InlinePlant {
    fn observed(&mut self, now: Now) -> TargetReading {
        if now.mono >= self.ready_at {
            self.ready = self.replicas;
        }
        let (name, version) = (&self.spec.target.name, self.version);
        ObedientCluster::known(name, version, self.replicas, self.ready)
    }

    fn write(&mut self, change: &ChangeSet, now: Now) {
        self.ready = self.ready.min(change.to);
        (self.replicas, self.ready_at) = (change.to, now.mono + MINUTE);
        self.version += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn shadow_decides_and_records_but_writes_nothing() {
    let world = World::with_settings(&settings(&[SHOP], ", mode: shadow"), steady(step));
    world.run_for(MINUTE * 30).await;
    let records = world.records(SHOP);
    assert_eq!(world.cluster.replicas("checkout"), 4);
    assert!(records.iter().all(|record| record.change.is_none()));
    assert!(records.iter().any(|record| record.verdict.permitted == Some(8)), "it would have");
}

#[tokio::test(start_paused = true)]
async fn observe_asks_no_policy() {
    let world = World::with_settings(&settings(&[SHOP], ", mode: observe"), steady(step));
    world.run_for(MINUTE * 30).await;
    let records = world.records(SHOP);
    assert_eq!(world.cluster.replicas("checkout"), 4);
    assert!(!records.is_empty() && records.iter().all(|record| record.proposal.rules.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn an_engaged_kill_switch_stops_every_write_and_a_released_one_lets_them_go_on() {
    let world = World::new(&[SHOP], steady(step));
    let (tree, _) = world.start().await;
    let order = KillOrder { classes: [ActionClass::Scale].into(), ..KillOrder::default() };
    *world.switch.0.lock() = KillState::readable(order);
    tokio::time::sleep(MINUTE * 20).await;
    assert_eq!(world.cluster.replicas("checkout"), 4);
    *world.switch.0.lock() = KillState::released();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(world.cluster.replicas("checkout"), 8);
    tree.stop().await;
}

/// Samples are 30 s old when they are decided on, and fresh for 15 s more.
#[tokio::test(start_paused = true)]
async fn inv_02_data_that_goes_stale_before_the_write_stops_it() {
    let stale = |record: &DecisionRecord| matches!(record.outcome, Some(WriteOutcome::Stale { .. }));
    for (read_takes, replicas) in [(Duration::from_secs(20), 4), (Duration::from_secs(10), 8)] {
        let mut world = World::new(&[SHOP], steady(step));
        world.lag = Duration::from_secs(30);
        *world.cluster.read_takes.lock() = read_takes;
        world.run_for(MINUTE * 15).await;
        let records = world.records(SHOP);
        assert_eq!(world.cluster.replicas("checkout"), replicas, "a read of {read_takes:?}");
        assert_eq!(records.iter().any(stale), replicas == 4, "a read of {read_takes:?}");
        assert!(world.journal.open_intents().unwrap().is_empty(), "each intent has its end");
    }
}

/// Another client sets the replicas while the kill switch is read, between the live read and the write.
#[tokio::test(start_paused = true)]
async fn inv_19_an_edit_between_read_and_write_wins() {
    let world = World::new(&[SHOP], steady(|_, _| 560.0));
    *world.switch.1.lock() = Duration::from_millis(400);
    let (tree, _) = world.start().await;
    while world.cluster.reads.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.cluster.write(&world.settings.listed()[0].target, 6);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.cluster.replicas("checkout"), 6);
    tree.stop().await;
    let outcomes: Vec<_> = world.records(SHOP).into_iter().filter_map(|record| record.outcome).collect();
    assert!(matches!(outcomes.as_slice(), [WriteOutcome::Superseded { .. }]), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn x2_a_change_whose_lever_was_displaced_is_superseded() {
    let world = World::new(&[SHOP], steady(|_, _| 560.0));
    *world.cluster.displaced.lock() = Some("HPA checkout scales it now".to_owned());
    let (tree, _) = world.start().await;
    while world.cluster.reads.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.cluster.replicas("checkout"), 4);
    tree.stop().await;
    let outcomes: Vec<_> = world.records(SHOP).into_iter().filter_map(|record| record.outcome).collect();
    let superseded = WriteOutcome::Superseded { found: "HPA checkout scales it now".to_owned() };
    assert!(!outcomes.is_empty() && outcomes.iter().all(|outcome| *outcome == superseded), "{outcomes:?}");
}

/// Latency breaks once replicas were removed; nothing else changes, so no rule raises on its own.
#[tokio::test(start_paused = true)]
async fn x6_a_lowering_that_hurt_is_taken_back_once_by_a_decision_of_its_own() {
    let hurts = Arc::new(AtomicBool::new(false));
    let latency = hurts.clone();
    let script: Script = Arc::new(move |service, signal, at| {
        Some(match signal {
            "rps" => step(service, at),
            "p99" if latency.load(Ordering::Relaxed) => 0.5,
            "p99" => 0.1,
            _ => 0.5,
        })
    });
    let world = World::new(&[SHOP], script);
    let (tree, _) = world.start().await;
    tokio::time::sleep(MINUTE * 30).await;
    assert_eq!(world.cluster.replicas("checkout"), 8);
    while world.cluster.replicas("checkout") == 8 {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    hurts.store(true, Ordering::Relaxed);
    tokio::time::sleep(MINUTE * 9).await;
    assert_eq!(world.cluster.replicas("checkout"), 8, "back to what was there");
    tree.stop().await;

    let records = world.records(SHOP);
    let lowering = records.iter().find(|record| record.change.as_ref().is_some_and(|change| change.from == 8)).unwrap();
    assert_eq!(lowering.effect.as_ref().unwrap().impact, Impact::Hurt);
    let undoes =
        |record: &&DecisionRecord| matches!(&record.proposal.choice, Choice::Undo { of, .. } if *of == lowering.id);
    let undone: Vec<_> = records.iter().filter(undoes).collect();
    let [undo] = undone.as_slice() else { panic!("{} undos", undone.len()) };
    let Choice::Undo { trace, .. } = &undo.proposal.choice else { unreachable!() };
    assert_eq!(*trace, lowering.trace);
    assert!(!undo.verdict.findings.is_empty() && !undo.proposal.rules.is_empty());
    assert_eq!(undo.outcome, Some(WriteOutcome::Applied));
    let told =
        format!("scaled {SHOP} from 6 to 8: reverts decision {}, which made things worse (latency 500 ms", lowering.id);
    assert!(sentence(undo).starts_with(&told), "{}", sentence(undo));
}

#[tokio::test(start_paused = true)]
async fn a_policy_set_is_swapped_whole_and_a_bad_one_changes_nothing() {
    let world = World::new(&[SHOP], steady(|_, _| 200.0));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    let shipped = control.status().revision.unwrap();
    world.policies.send_replace(Arc::new(policy_set(&[("bad.rhai", "rule(\"x\", #{}, |s, p| [ when(s.tpyo) ]);")])));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(control.status().revision.unwrap(), shipped);
    let faults = control.status().policy_faults;
    assert!(faults[0].starts_with("bad.rhai:1:"), "{faults:?}");
    let six =
        "rule(\"six\", #{ priority: 1, goal: \"protect\" }, |s, p| [ when(s.rps.current > rps(1)), scale_to(6) ]);";
    world.policies.send_replace(Arc::new(policy_set(&[("six.rhai", six)])));
    tokio::time::sleep(MINUTE).await;
    assert_ne!(control.status().revision.unwrap(), shipped);
    assert!(control.status().policy_faults.is_empty());
    assert_eq!(world.cluster.replicas("checkout"), 6);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn history_is_learned_before_the_first_decision_and_earns_authority() {
    let day = |_: &str, at: Timestamp| {
        let phase = at.as_second().rem_euclid(86_400) as f64 / 86_400.0 * std::f64::consts::TAU;
        300.0 + 200.0 * phase.sin()
    };
    let text = settings(&[SHOP], "").replace("history: 0s", "history: 4d");
    let world = World::with_settings(&text, steady(day));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 3).await;
    let service = control.service(&SHOP.parse().unwrap()).unwrap();
    let position = world.settings.listed()[0].role(Role::ArrivalRate).unwrap();
    let outlook = service.outlook.unwrap();
    let signal = outlook.signals[position].as_ref().unwrap();
    assert!(signal.authority >= Authority::MayAdd, "{signal:?}");
    assert!(control.status().ready, "{:?}", control.status().waiting_for);
    let first = &world.records(SHOP)[0];
    assert!(first.change.is_none(), "nothing is decided before the history is learned");
    tree.stop().await;
}

/// A surge that comes each day at 12:20, on a daily wave.
fn daily_surge(_: &str, at: Timestamp) -> f64 {
    let second = at.as_second().rem_euclid(86_400);
    let wave = 300.0 + 60.0 * (second as f64 / 86_400.0 * std::f64::consts::TAU).sin();
    let ripple = (second / 60 * 7_919 % 13) as f64;
    wave + ripple + if (44_400..46_800).contains(&second) { 240.0 } else { 0.0 }
}

#[tokio::test(start_paused = true)]
async fn a_recurring_surge_finds_its_pods_ready_and_they_are_bought_for_the_lead_time() {
    let text = settings(&[SHOP], "").replace("history: 0s", "history: 5d");
    let world = World::with_settings(&text, steady(daily_surge));
    world.run_for(MINUTE * 25).await;
    let records = world.records(SHOP);
    let raise = records.iter().find(|record| record.change.as_ref().is_some_and(|change| change.to >= 8)).unwrap();
    let ahead = 20 * 60 - (raise.at.as_second() - origin().as_second());
    // A pod takes 60 s to start, the loop 15 s to see and 15 s to act, and the next raise comes 180 s later at best;
    // minutes count as a whole.
    assert!((90..=330).contains(&ahead), "bought {ahead} s before the surge: {:?}", raise.outlook.capacity);
}

/// What a rate over a minute shows of a load that triples within `ramp` minutes from 12:12 on, and stays there.
fn ramp(ramp: f64, at: Timestamp) -> f64 {
    let since = (at.as_second() - origin().as_second() - 12 * 60) as f64;
    // Minutes since the start of the extra load.
    let more = |since: f64| {
        let minutes = since.max(0.0) / 60.0;
        if minutes < ramp { minutes.powi(2) / (2.0 * ramp) } else { minutes - ramp / 2.0 }
    };
    280.0 * (1.0 + 2.0 * (more(since) - more(since - 60.0)))
}

#[tokio::test(start_paused = true)]
async fn a_flash_crowd_is_sized_by_what_arrives_and_not_by_what_its_window_shows() {
    let text = settings(&[SHOP], "").replace("role: arrival_rate", "role: arrival_rate, window: 1m");
    let world = World::with_settings(&text, steady(|_, at| ramp(1.0, at)));
    world.run_for(MINUTE * 20).await;
    let records = world.records(SHOP);
    let raise = records.iter().find(|record| record.change.as_ref().is_some_and(|change| change.to >= 12)).unwrap();
    let waited = raise.at.as_second() - origin().as_second() - 12 * 60;
    // 840/s need 12 pods of 75/s. The load is complete after 60 s, the rate shows it after 120 s.
    assert!(waited <= 75, "{waited} s");
    let writes = applied(&records);
    assert!((1..=3).contains(&writes.len()) && writes.iter().all(|(_, to)| *to <= 14), "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn inv_04_a_load_that_climbs_for_minutes_does_not_spend_the_budget_on_its_way() {
    let text = settings(&[SHOP], "").replace("role: arrival_rate", "role: arrival_rate, window: 1m");
    for (minutes, latest) in [(3.0, 180), (5.0, 300)] {
        let world = World::with_settings(&text, steady(move |_, at| ramp(minutes, at)));
        world.run_for(MINUTE * 22).await;
        let records = world.records(SHOP);
        let writes = applied(&records);
        let enough = |record: &&DecisionRecord| record.change.as_ref().is_some_and(|change| change.to >= 12);
        let raise = records.iter().find(enough).unwrap_or_else(|| panic!("never asked for 12 pods: {writes:?}"));
        let waited = raise.at.as_second() - origin().as_second() - 12 * 60;
        assert!(waited <= latest, "{minutes} min: {waited} s, {writes:?}");
        assert!(!writes.is_empty() && writes.iter().all(|(_, to)| *to <= 20), "{minutes} min: {writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_intent_of_an_earlier_run_is_settled_by_reading_before_anything_else() {
    let world = World::new(&[SHOP], steady(|_, _| 200.0));
    let target = world.settings.listed()[0].target.clone();
    world.run_for(MINUTE).await;
    let mut change = super::faults::change(&world, 4, 6);
    change.decision = world.records(SHOP)[0].id.clone();
    let intent = Intent::open(change.clone(), origin(), Foreseen::default());
    world.journal.append(Entry::Prepared(intent)).await.unwrap();
    world.cluster.write(&target, 6);
    let gate = world.gate(world.leadership.clone());
    assert!(gate.unsettled(&target));
    gate.settle_open(|_| async {}).await;
    assert!(!gate.unsettled(&target) && world.journal.open_intents().unwrap().is_empty());
    let applied = world.journal.remembered_since(world.clock.now().wall, MINUTE * 60).unwrap();
    assert_eq!(applied.len(), 1, "it was there: applied, and not sent again");
    assert_eq!(applied[0].change, change);
    assert!(matches!(world.cluster.observed(&target), TargetReading::Known { target } if target.replicas == 6));
}

/// Sends a raise from 4 to 6 through a gate; returns its target, and the receiver of its end.
fn raise(world: &World, gate: &Arc<WriteGate>) -> (TargetRef, oneshot::Receiver<WriteOutcome>) {
    let mut change = super::faults::change(world, 4, 6);
    change.decision = world.records(SHOP)[0].id.clone();
    change.decided = world.clock.now();
    let target = change.target.clone();
    let (told, ended) = oneshot::channel();
    gate.submit(change, Foreseen::default(), move |end| drop(told.send(end.outcome)));
    (target, ended)
}

#[tokio::test(start_paused = true)]
async fn inv_12_a_write_that_panics_is_settled_by_reading_and_its_target_is_shut_until_then() {
    let world = World::new(&[SHOP], steady(|_, _| 200.0));
    world.run_for(MINUTE).await;
    let gate = world.gate(world.leadership.clone());
    world.cluster.breaks.store(true, Ordering::Relaxed);
    *world.cluster.read_takes.lock() = Duration::from_secs(1);
    let (target, ended) = raise(&world, &gate);
    // The live read before the write is answered, later ones are not for a minute.
    while world.cluster.replicas("checkout") == 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.cluster.away.store(true, Ordering::Relaxed);
    tokio::time::sleep(MINUTE).await;
    assert!(gate.is_writing(&target), "not known yet");
    world.cluster.away.store(false, Ordering::Relaxed);
    assert_eq!(ended.await.unwrap(), WriteOutcome::Applied, "found, and not sent again");
    assert!(!gate.is_writing(&target) && world.journal.open_intents().unwrap().is_empty());
    assert_eq!(world.cluster.replicas("checkout"), 6);
}

#[tokio::test(start_paused = true)]
async fn inv_12_where_settling_panics_too_the_target_stays_shut_and_the_end_is_told() {
    let world = World::new(&[SHOP], steady(|_, _| 200.0));
    world.run_for(MINUTE).await;
    let gate = world.gate(world.leadership.clone());
    // The live read panics while the intent is being written to the journal, and so does every later one.
    world.cluster.breaks_reading.store(true, Ordering::Relaxed);
    let (target, ended) = raise(&world, &gate);
    assert!(matches!(ended.await.unwrap(), WriteOutcome::Abandoned { .. }));
    assert!(gate.unsettled(&target), "nobody knows what became of it");
}

/// A write refused by the fleet budget leaves no intent, and replicas of departed services no longer count.
#[tokio::test(start_paused = true)]
async fn inv_05_what_the_fleet_cannot_afford_has_no_intent_and_who_is_gone_counts_for_nothing() {
    let world = World::new(&[SHOP, "shop/search"], steady(|_, _| 280.0));
    world.run_for(MINUTE).await;
    let gate = world.gate(world.leadership.clone());
    let of = |service: &'static str| {
        let (world, gate) = (&world, &gate);
        async move {
            let mut change = super::faults::change(world, 4, 3);
            change.decision = world.records(service)[0].id.clone();
            change.decided = world.clock.now();
            change.target.name = service.rsplit('/').next().unwrap().to_owned();
            change.uid = format!("uid-{}", change.target.name);
            let (told, ended) = oneshot::channel();
            gate.submit(change, Foreseen::default(), move |end| drop(told.send(end.outcome)));
            ended.await.unwrap()
        }
    };
    let gone = "shop/gone".parse().unwrap();
    gate.seen_replicas(&gone, 100, || true);
    gate.forget_replicas(&gone);
    // A step that was in progress when it departed.
    gate.seen_replicas(&gone, 100, || false);
    assert_eq!(of(SHOP).await, WriteOutcome::Applied);
    let intents = || world.journal.remembered_since(world.clock.now().wall, MINUTE * 60).unwrap().len();
    let before = (intents(), world.cluster.reads.load(Ordering::Relaxed));
    let WriteOutcome::Refused(Refusal::Budget { reason }) = of("shop/search").await else { panic!() };
    assert!(reason.starts_with("1 of 0 replicas were removed"), "{reason}");
    assert_eq!((intents(), world.cluster.reads.load(Ordering::Relaxed)), before, "nothing was started");
}

/// The request may reach the server as its sender gives up, and the server counts its own deadline from there.
#[tokio::test(start_paused = true)]
async fn inv_12_a_write_that_lands_late_is_settled_as_applied_and_not_before() {
    let world = World::new(&[SHOP], steady(|_, _| 200.0));
    world.run_for(MINUTE).await;
    let gate = world.gate(world.leadership.clone());
    *world.cluster.lands_after.lock() = Some(Duration::from_millis(9_900));
    let (target, ended) = raise(&world, &gate);
    assert_eq!(ended.await.unwrap(), WriteOutcome::Applied);
    assert!(!gate.is_writing(&target));
    assert_eq!(world.cluster.replicas("checkout"), 6);
}

#[tokio::test(start_paused = true)]
async fn inv_08_a_switch_that_was_read_too_long_ago_stops_the_write() {
    let world = World::new(&[SHOP], steady(|_, _| 200.0));
    world.run_for(MINUTE).await;
    let gate = world.gate(world.leadership.clone());
    *world.switch.1.lock() = Duration::from_millis(600);
    let WriteOutcome::Refused(Refusal::KillSwitch { reason }) = raise(&world, &gate).1.await.unwrap() else { panic!() };
    assert_eq!(reason, "read more than 550 ms before the write");
    *world.switch.1.lock() = Duration::from_millis(500);
    assert_eq!(world.cluster.replicas("checkout"), 4);
}

#[tokio::test(start_paused = true)]
async fn inv_04_a_write_that_meets_a_conflict_each_time_is_tried_ever_more_seldom() {
    let world = World::new(&[SHOP], steady(|_, _| 400.0));
    world.cluster.conflicts.lock().insert("checkout".to_owned());
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 8).await;
    let tried = world.cluster.declined.load(Ordering::Relaxed);
    assert!((4..=12).contains(&tried), "{tried} in 8 minutes");
    let denied = control.service(&SHOP.parse().unwrap()).unwrap().denied.unwrap();
    assert!(denied.ends_with("Deployment shop/checkout changed since it was read"), "{denied}");
    world.cluster.conflicts.lock().clear();
    tokio::time::sleep(MINUTE * 2).await;
    assert!(world.cluster.replicas("checkout") > 4, "what was declined has spent no budget");
    assert_eq!(control.service(&SHOP.parse().unwrap()).unwrap().denied, None);
    tree.stop().await;
}

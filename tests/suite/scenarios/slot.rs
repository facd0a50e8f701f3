//! One slot and its supervisor without a tree: the test decides what happens between which steps.

use std::future::poll_fn;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use flyball::actors::policy_library::InForce;
use flyball::actors::service::{Past, Service, Share, Supervisor};
use flyball::adapters::alone::Alone;
use flyball::app::vocabulary;
use flyball::instrument::Metrics;
use flyball::model::{
    CycleId, Epoch, Foreseen, GuardName, Intent, Lead, RecordMask, SignalSpec, WriteEnd, WriteOutcome,
    explain::sentence,
};
use flyball::ports::{Clock, Leadership};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use ractor::{Actor, ActorRef};
use tokio::sync::watch;

use super::faults::change;
use super::world::{ScriptedSource, World, no_deadline, policy_set, settings, steady};

const CART: &str = "shop/cart";
const TICK: Duration = Duration::from_secs(15);
const TO_5: &str =
    "rule(\"to_5\", #{ priority: 900, goal: \"protect\" }, |s, p| [ when(s.rps.current > rps(1)), scale_to(5) ]);";

/// A single process; runs this, once, when a decider checks whether it leads.
#[derive(Default)]
struct Meanwhile {
    alone: Alone,
    next: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Meanwhile {
    fn set(&self, next: impl FnOnce() + Send + 'static) {
        *self.next.lock() = Some(Box::new(next));
    }

    fn is_over(&self) -> bool {
        self.next.lock().is_none()
    }
}

impl Leadership for Meanwhile {
    fn lead(&self) -> Lead {
        let next = self.next.lock().take();
        if let Some(next) = next {
            next();
        }
        Lead::Alone
    }

    fn terms(&self) -> watch::Receiver<Option<Epoch>> {
        self.alone.terms()
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        self.alone.release()
    }
}

struct Slot {
    world: World,
    service: Arc<Service>,
    meanwhile: Arc<Meanwhile>,
    metrics: Arc<Metrics>,
}

impl Slot {
    /// Returns the slot of the only service, which remembers `intents` and waits for the history of this many sources.
    fn new(text: &str, intents: impl FnOnce(&World) -> Vec<Intent>, histories: usize) -> Self {
        let world = World::with_settings(text, steady(|_, _| 200.0));
        let (meanwhile, metrics) = (Arc::<Meanwhile>::default(), Arc::new(Metrics::new()));
        let mut ports = world.ports();
        ports.leadership = meanwhile.clone();
        let policy = InForce::default();
        let (files, process) = (policy_set(&[("t.rhai", TO_5)]), metrics.process());
        policy.take(&files, &vocabulary(&world.settings).unwrap(), no_deadline, &process);
        let around = flyball::actors::World {
            gate: world.gate(meanwhile.clone()),
            policy,
            metrics: metrics.clone(),
            process,
            mask: RecordMask::default(),
            forecast: Arc::new(world.settings.forecast.clone()),
            ports: Arc::new(ports),
        };
        let past = Past { cycle: CycleId { run: 1, seq: 0 }, intents: intents(&world), fits: Vec::new() };
        let spec = Arc::new(world.settings.listed()[0].clone());
        let service = Arc::new(Service::new(spec, Arc::new(around), &past, histories));
        Self { world, service, meanwhile, metrics }
    }

    async fn supervised(&self) -> ActorRef<flyball::actors::service::SupervisorMsg> {
        let (supervisor, _) = Actor::spawn(None, Supervisor, self.service.clone()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        supervisor
    }

    /// Delivers a round in which all signals are fresh.
    fn round(&self) {
        let now = self.world.clock.now();
        let arrival = |signal: &SignalSpec| {
            Some(ScriptedSource::arrival(&self.world.script, CART, signal.name.as_str(), now.wall))
        };
        let arrivals = self.service.spec().signals.iter().map(arrival).collect();
        self.service.round_arrived(Share { arrivals, now });
    }

    /// Lets a tick pass with a round, and returns the rule on which the decision acts.
    async fn decides(&self) -> Option<String> {
        self.round();
        tokio::time::sleep(TICK).await;
        self.service.view().record.unwrap().proposal.choice.rule().map(str::to_owned)
    }

    fn restarts(&self, actor: &str) -> u64 {
        let named = format!("flyball_restarts_total{{service=\"{CART}\",actor=\"{actor}\"}} ");
        let page = self.metrics.encode().unwrap();
        page.lines().find_map(|line| line.strip_prefix(&named)).map_or(0, |count| count.parse().unwrap())
    }
}

/// With the bounds of one declaration and the standing of another, policies would lower a declared service to 1, or a
/// removed one would return a floor no further than its owner's bounds.
#[tokio::test(start_paused = true)]
async fn a_step_under_way_goes_by_one_declaration_and_how_the_service_stands_to_that_one() {
    let slot = Slot::new(&settings(&[CART], ", bounds: { min: 8, max: 40 }"), |_| Vec::new(), 0);
    *slot.world.cluster.baseline.lock() = Some(4);
    slot.world.cluster.write(&slot.service.spec().target, 8);
    let (service, spec) = (slot.service.clone(), slot.service.spec());
    let supervisor = slot.supervised().await;
    assert_eq!(slot.decides().await.as_deref(), Some("to_5"));
    let withdrawn = service.clone();
    slot.meanwhile.set(move || withdrawn.withdraw(None));
    assert_eq!(slot.decides().await.as_deref(), Some("to_5"), "taken back while it was decided");
    assert!(slot.meanwhile.is_over() && service.is_withdrawn() && service.spec().bounds.min == 1);
    assert_eq!(slot.decides().await.as_deref(), Some("return_floor"));
    let declared = service.clone();
    slot.meanwhile.set(move || declared.declared(spec));
    assert_eq!(slot.decides().await.as_deref(), Some("return_floor"), "declared anew while it was decided");
    assert!(slot.meanwhile.is_over() && !service.is_withdrawn() && service.spec().bounds.min == 8);
    assert_eq!(slot.decides().await.as_deref(), Some("to_5"));
    supervisor.stop(None);
}

/// Its actuator starts nothing more, and what waited for it was settled already.
#[tokio::test(start_paused = true)]
async fn a_change_that_is_handed_on_while_its_service_is_retired_has_ended_unsent() {
    let slot = Slot::new(&settings(&[CART], ""), |_| Vec::new(), 0);
    let (service, retired) = (slot.service.clone(), Arc::new(AtomicBool::new(false)));
    let told = retired.clone();
    *slot.world.services.meanwhile.lock() = Some(Box::new(move || {
        service.retire();
        told.store(true, Ordering::Relaxed);
    }));
    let supervisor = slot.supervised().await;
    while !retired.load(Ordering::Relaxed) {
        slot.decides().await;
    }
    tokio::time::sleep(TICK).await;
    let planned: Vec<_> = slot.world.records(CART).into_iter().filter(|record| record.change.is_some()).collect();
    let outcomes: Vec<_> = planned.iter().map(|record| record.outcome.clone()).collect();
    assert_eq!(outcomes, [Some(WriteOutcome::unsent("its service is no longer supervised"))]);
    supervisor.stop(None);
}

/// A fact that was pushed out keeps nothing waiting.
#[tokio::test(start_paused = true)]
async fn a_fact_that_too_many_push_out_is_not_waited_for() {
    let open = |world: &World| vec![Intent::open(change(world, 4, 6), world.clock.now().wall, Foreseen::default())];
    let slot = Slot::new(&settings(&[CART], ""), open, 1);
    for _ in 0..64 {
        slot.service.history_read(Vec::new());
    }
    assert!(!slot.service.is_warm());
    slot.service.history_read(Vec::new());
    assert!(slot.service.is_warm(), "starts cold");

    let end = |outcome, change| WriteEnd { change, outcome, now: slot.world.clock.now(), version: None };
    slot.service.write_ended(end(WriteOutcome::Applied, change(&slot.world, 4, 6)));
    for _ in 0..64 {
        slot.service.write_ended(end(WriteOutcome::unsent("a drill"), change(&slot.world, 4, 5)));
    }
    let supervisor = slot.supervised().await;
    slot.decides().await;
    let record = slot.service.view().record.unwrap();
    assert_ne!(record.verdict.decided_by, Some(GuardName::InFlight), "{}", sentence(&record));
    supervisor.stop(None);
}

/// A service whose stages are not running receives so much meanwhile that its inboxes are full.
#[tokio::test(start_paused = true)]
async fn inv_23_what_a_predecessor_left_is_heard_however_much_comes_after_it() {
    let slot = Slot::new(&settings(&[CART], ""), |_| Vec::new(), 0);
    let now = slot.world.clock.now();
    let open = vec![Intent::open(change(&slot.world, 4, 6), now.wall, Foreseen::default())];
    slot.service.took_over(open, now);
    for _ in 0..64 {
        let (change, outcome) = (change(&slot.world, 4, 5), WriteOutcome::unsent("a drill"));
        slot.service.write_ended(WriteEnd { change, outcome, now, version: None });
    }
    let supervisor = slot.supervised().await;
    slot.decides().await;
    let record = slot.service.view().record.unwrap();
    assert_eq!(record.verdict.decided_by, Some(GuardName::InFlight), "{}", sentence(&record));
    supervisor.stop(None);
}

/// Lets every ready task run once before this one continues.
async fn others_go_first() {
    let mut is_over = false;
    let turn = poll_fn(|context| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    turn.await;
}

/// Whichever of two stages dies first, and whether or not the other one dies before the supervisor learns of it.
#[tokio::test(start_paused = true)]
async fn each_restart_is_counted_for_the_stage_that_failed() {
    let mut together = 0;
    for turns in 0..12 {
        let slot = Arc::new(Slot::new(&settings(&[CART], ""), |_| Vec::new(), 0));
        let supervisor = slot.supervised().await;
        slot.decides().await;
        let of_task = slot.clone();
        let two_rounds = async move {
            of_task.meanwhile.set(|| panic_any("the decider dies"));
            of_task.round();
            for _ in 0..turns {
                others_go_first().await;
            }
            of_task.world.cluster.cursed.lock().insert("cart".to_owned());
            of_task.round();
            for _ in 0..100 {
                others_go_first().await;
            }
            of_task.world.cluster.cursed.lock().clear();
        };
        tokio::spawn(two_rounds).await.unwrap();
        let (failed, decider) = (slot.service.view().restarts, u64::from(slot.meanwhile.is_over()));
        let counted = (slot.restarts("observer"), slot.restarts("decider"));
        assert_eq!(counted, (failed - decider, decider), "after {turns} turns");
        together += u32::from(failed == 2);
        supervisor.stop(None);
    }
    assert!(together > 0, "two stages died in one generation");
}

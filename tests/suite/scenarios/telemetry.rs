//! What trouble with telemetry costs, and what it does not: the loop of the affected services, and the readiness of the
//! process.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use flyball::actors::{LoopControl, Tree};
use flyball::app::assemble;
use flyball::console::ServiceSummary;
use flyball::instrument::Metrics;
use flyball::model::{Arrival, Choice, Finite, Missing, Timestamp, explain::sentence};
use flyball::ports::{Answer, Awaited, Clock, Control, Round, SourceError, TelemetrySource, Template};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::world::{ScriptedSource, World, settings, steady};

const MINUTE: Duration = Duration::from_secs(60);

/// A scripted source with a query that never finishes in time, one whose rounds take long, or one whose history never
/// arrives.
struct Troubled {
    scripted: ScriptedSource,
    /// Whether the query for p99 runs out of time.
    stuck: AtomicBool,
    /// How often it was queried.
    asked: AtomicUsize,
    /// Whether every round starts with the arrival rate.
    rate_first: AtomicBool,
    /// How long a round takes, which then fails.
    fails_after: Option<Duration>,
    /// Whether a read of history ends.
    has_past: bool,
    /// Whether a read of history panics.
    breaks_over_past: bool,
    /// Whether the next round panics.
    breaks: AtomicBool,
    /// When a round was requested.
    rounds: Mutex<Vec<Duration>>,
}

thread_local! {
    /// Whether the root dies on the next child that it restarts.
    static ROOT_DIES: Cell<bool> = const { Cell::new(false) };
}

impl Troubled {
    fn of(world: &World) -> Self {
        let (clock, script) = (world.clock.clone(), world.script.clone());
        Self {
            scripted: ScriptedSource { clock, script, lag: world.lag },
            stuck: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            rate_first: AtomicBool::new(true),
            fails_after: None,
            has_past: true,
            breaks_over_past: false,
            breaks: AtomicBool::new(false),
            rounds: Mutex::default(),
        }
    }
}

/// Starts the world with this source instead of its own.
async fn start(world: &World, source: Arc<Troubled>) -> (Tree, Arc<LoopControl>) {
    let mut ports = world.ports();
    ports.sources.insert("main".to_owned(), source);
    assemble(&world.settings, ports, Arc::new(Metrics::new())).await.unwrap()
}

impl TelemetrySource for Troubled {
    fn read<'a>(&'a self, round: &'a Round) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            assert!(!self.breaks.swap(false, Ordering::Relaxed), "the round breaks");
            self.rounds.lock().push(self.scripted.clock.now().mono);
            if let Some(after) = self.fails_after {
                tokio::time::sleep(after).await;
                let error = SourceError::TimedOut(after);
                let missing = Arrival::Missing(Missing::SourceDown { error: error.to_string() });
                let arrivals = round.templates.iter().map(|template| vec![missing.clone(); template.width]).collect();
                return Answer { arrivals, queries: 1, error: Some(error), ..Answer::default() };
            }
            let mut answer = self.scripted.read(round).await;
            answer.faults = vec![None; round.templates.len()];
            if round.templates[0].signal.as_str() != "rps" {
                self.rate_first.store(false, Ordering::Relaxed);
            }
            if let Some(at) = round.templates.iter().position(|template| template.signal.as_str() == "p99") {
                self.asked.fetch_add(1, Ordering::Relaxed);
                if self.stuck.load(Ordering::Relaxed) {
                    let error = SourceError::TimedOut(Duration::from_secs(5));
                    answer.arrivals[at].fill(Arrival::Missing(Missing::SourceDown { error: error.to_string() }));
                    answer.faults[at] = Some(error);
                }
            }
            answer
        })
    }

    fn history<'a>(
        &'a self,
        template: &'a Template,
        places: &'a [usize],
        from: Timestamp,
        to: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Vec<Option<Finite>>>, SourceError>> {
        assert!(!self.breaks_over_past, "the reading of the past breaks");
        if self.has_past { self.scripted.history(template, places, from, to) } else { Box::pin(std::future::pending()) }
    }
}

/// Whether a signal of `shop/cart` is fresh, and its reported state.
fn signal(control: &LoopControl, name: &str) -> (bool, String) {
    let service = control.service(&"shop/cart".parse().unwrap()).unwrap();
    let at = service.signals.iter().position(|signal| signal.name.as_str() == name).unwrap();
    let reading = &service.features.unwrap().signals[at].reading;
    (reading.fresh().is_some(), reading.to_string())
}

#[tokio::test(start_paused = true)]
async fn p2_a_query_that_is_never_done_is_asked_less_often_and_the_arrival_rate_is_known_all_the_time() {
    let world = World::new(&["shop/cart"], steady(|_, _| 280.0));
    let source = Arc::new(Troubled { stuck: AtomicBool::new(true), ..Troubled::of(&world) });
    let (tree, control) = start(&world, source.clone()).await;
    for minute in 1..=20 {
        tokio::time::sleep(MINUTE).await;
        assert!(signal(&control, "rps").0, "minute {minute}: {}", signal(&control, "rps").1);
        let (fresh, said) = signal(&control, "p99");
        assert!(!fresh && said.contains("no answer within 5s"), "minute {minute}: {said}");
    }
    assert!(source.rate_first.load(Ordering::Relaxed), "what is scaled by is asked first");
    let asked = source.asked.load(Ordering::Relaxed);
    assert!((20..=45).contains(&asked), "asked {asked} times in 80 rounds");
    source.stuck.store(false, Ordering::Relaxed);
    tokio::time::sleep(MINUTE + Duration::from_secs(16)).await;
    assert!(signal(&control, "p99").0, "{}", signal(&control, "p99").1);
    let asked = source.asked.load(Ordering::Relaxed);
    tokio::time::sleep(MINUTE * 5).await;
    assert_eq!(source.asked.load(Ordering::Relaxed), asked + 20, "asked each time again");
    tree.stop().await;
}

/// One service has no telemetry at all, another one is declared at runtime. Two sources, and the same two of another
/// process: their backends fail at the same time, and must not all be queried again at the same time.
#[tokio::test(start_paused = true)]
async fn sources_that_fail_together_come_back_at_several_moments() {
    let text = settings(&["shop/cart"], "").replace("interval: 15s", "interval: 1s");
    let aside = "sources:\n  aside: { kind: prometheus, url: 'http://127.0.0.1:8', interval: 1s, history: 0s }\n";
    let text = text.replace("sources:\n", aside).replace("p99: { source: main", "p99: { source: aside");
    let mut asked = Vec::new();
    for instance in ["flyball-0", "flyball-1"] {
        let mut world = World::with_settings(&text, steady(|_, _| 280.0));
        instance.clone_into(&mut world.settings.instance);
        let failing = || Arc::new(Troubled { fails_after: Some(Duration::ZERO), ..Troubled::of(&world) });
        let (main, aside) = (failing(), failing());
        let mut ports = world.ports();
        ports.sources =
            [("main".to_owned(), main.clone() as Arc<dyn TelemetrySource>), ("aside".to_owned(), aside.clone())].into();
        let (tree, _) = assemble(&world.settings, ports, Arc::new(Metrics::new())).await.unwrap();
        tokio::time::sleep(MINUTE * 20).await;
        tree.stop().await;
        asked
            .extend([main, aside].map(|source| source.rounds.lock().iter().map(Duration::as_secs).collect::<Vec<_>>()));
    }
    assert!(asked.iter().all(|rounds| rounds.len() > 20), "{asked:?}");
    for (at, rounds) in asked.iter().enumerate() {
        let together = asked.iter().skip(at + 1).find(|others| *others == rounds);
        assert_eq!(together, None, "the pauses are the same");
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_service_lacks_leaves_the_process_ready() {
    let healthy = steady(|_, _| 280.0);
    let script = Arc::new(move |service: &str, signal: &str, at: Timestamp| {
        (service != "shop/blind").then(|| healthy(service, signal, at)).flatten()
    });
    let text = settings(&["shop/blind", "shop/cart", "shop/new"], "").replace("history: 0s", "history: 3d");
    let world = World::with_settings(&text, script);
    let all = world.settings.listed().to_vec();
    world.services.are(&all[..2]);
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 3).await;
    let status = control.status();
    assert!(status.ready, "{:?}", status.waiting_for);
    let silent = Awaited::Telemetry { services: 1, error: "scripted".to_owned() };
    assert_eq!(status.services_wait_for, [silent]);
    world.services.are(&all);
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(control.status().ready, "{:?}", control.status().waiting_for);
    }
    assert!(control.service(&"shop/new".parse().unwrap()).unwrap().features.is_some());
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_start_waits_for_the_first_round_of_each_source_however_it_ends() {
    let world = World::new(&["shop/cart"], steady(|_, _| 280.0));
    let source = Troubled { fails_after: Some(Duration::from_secs(10)), ..Troubled::of(&world) };
    let (tree, control) = start(&world, Arc::new(source)).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!control.status().ready);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(control.status().ready, "{:?}", control.status().waiting_for);
    tokio::time::sleep(MINUTE * 10).await;
    let status = control.status();
    let silent = status.services_wait_for.iter().any(|wait| matches!(wait, Awaited::Telemetry { .. }));
    assert!(status.ready && silent, "{status:?}");
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_start_waits_two_minutes_for_the_past_and_no_longer() {
    let world =
        World::with_settings(&settings(&["shop/cart"], "").replace("history: 0s", "history: 3d"), steady(|_, _| 280.0));
    let source = Troubled { has_past: false, ..Troubled::of(&world) };
    let (tree, control) = start(&world, Arc::new(source)).await;
    for (seconds, ready) in [(110, false), (20, true), (600, true)] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        assert_eq!(control.status().ready, ready, "{:?}", control.status().waiting_for);
    }
    let last = control.service(&"shop/cart".parse().unwrap()).unwrap().last.unwrap();
    let held = Choice::Nothing("warming up: reading history".into());
    assert_eq!(last.proposal.choice, held, "INV-18");
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn inv_18_a_reading_of_the_past_that_dies_leaves_its_services_cold_and_not_waiting() {
    let world =
        World::with_settings(&settings(&["shop/cart"], "").replace("history: 0s", "history: 3d"), steady(|_, _| 560.0));
    let source = Troubled { breaks_over_past: true, ..Troubled::of(&world) };
    let (tree, control) = start(&world, Arc::new(source)).await;
    tokio::time::sleep(MINUTE * 3).await;
    let last = control.service(&"shop/cart".parse().unwrap()).unwrap().last.unwrap();
    assert_eq!(world.cluster.replicas("cart"), 8, "{}", sentence(&last));
    tree.stop().await;
}

/// A source that dies is restarted. Nothing restarts the root above it: if it dies the process is to exit, and values
/// that were fresh must not stay fresh.
#[tokio::test(start_paused = true)]
async fn a_loop_whose_root_died_is_told_and_is_neither_ready_nor_fresh() {
    fail::cfg_callback("root_restarts", || assert!(!ROOT_DIES.get(), "the root dies")).unwrap();
    let world = World::new(&["shop/cart"], steady(|_, _| 280.0));
    let source = Arc::new(Troubled::of(&world));
    let (mut tree, control) = start(&world, source.clone()).await;
    tokio::time::sleep(MINUTE).await;
    source.breaks.store(true, Ordering::Relaxed);
    assert!(tokio::time::timeout(MINUTE * 3, tree.ended()).await.is_err());
    let status = control.status();
    assert!(!source.breaks.load(Ordering::Relaxed) && status.ready, "{status:?}");
    assert!(signal(&control, "rps").0 && status.sources[0].fresh == 1, "{status:?}");
    ROOT_DIES.set(true);
    source.breaks.store(true, Ordering::Relaxed);
    tokio::time::timeout(MINUTE, tree.ended()).await.unwrap();
    tokio::time::sleep(MINUTE + Duration::from_secs(16)).await;
    let status = control.status();
    let [still] = &status.waiting_for[..] else { panic!("{status:?}") };
    assert!(still.to_string().starts_with("the loop is stalled: source main was not queried for 7"), "{still}");
    assert!(!status.ready && !still.is_standstill() && control.standstill().is_none());
    assert_eq!(status.sources[0].fresh, 0);
    assert!(signal(&control, "rps").1.starts_with("stale for "), "{}", signal(&control, "rps").1);
    let summary: ServiceSummary = control.service(&"shop/cart".parse().unwrap()).unwrap().into();
    assert_eq!((summary.fresh_signals, summary.load), ((0, 3), None));
    tokio::time::sleep(MINUTE * 4).await;
    assert_eq!(control.standstill().as_ref(), control.status().waiting_for.first());
    assert!(control.standstill().is_some());
    tree.stop().await;
}

//! The ticks of one telemetry source: one round of grouped queries, then each service its share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use crate::cycle::{Came, Losses};
use crate::instrument::{SourceFault, SourceMetrics};
use crate::model::hash::{NOTHING, more};
use crate::model::time::elapsed;
use crate::model::{Arrival, Missing, Now, ServiceSpec, SignalSpec};
use crate::ports::{Answer, Round, SourceError, TelemetrySource, Template};

use super::back_off::BackOff;
use super::service::{Service, Share};
use super::slow_queries::SlowQueries;
use super::world::World;

/// Time between two log lines about a source's remarks.
const REMARK_INTERVAL: Duration = Duration::from_mins(10);

/// Number of missed ticks after which the loop counts as stalled.
const MISSED_TICKS: u32 = 4;
/// Least silence for that.
const LEAST_SILENCE: Duration = Duration::from_secs(30);

/// What a source is asked, when, and for which services.
pub struct SourcePlan {
    /// Name in the settings.
    pub name: String,
    /// Specific to this process, so that queries that several processes send to one server retry at different times.
    pub seed: u64,
    /// The adapter.
    pub source: Arc<dyn TelemetrySource>,
    /// Time between two ticks.
    pub interval: Duration,
    /// How much past is read at the start.
    pub history: Duration,
    /// What it can be asked, without services yet.
    pub questions: Vec<Template>,
    /// The services it is asked for now. A tick uses one snapshot throughout.
    pub routes: ArcSwap<Routes>,
    /// Held while history is read: one request at a time.
    pub reading_past: tokio::sync::Mutex<()>,
    /// When the last tick started, by the loop's clock (monotonic) and by the machine's.
    pub last_tick: Mutex<Option<(Duration, Instant)>>,
}

impl SourcePlan {
    /// Returns the seed of a source's pauses, specific to one of several processes.
    pub fn seed(instance: &str, source: &str) -> u64 {
        // No name contains a newline.
        more(more(more(NOTHING, instance.as_bytes()), b"\n"), source.as_bytes())
    }

    /// Returns how long no tick has started, if several were missed. Uses both clocks: a scaled one may be paused, or
    /// run faster than the machine can keep up with.
    pub fn standstill(&self, now: Duration) -> Option<Duration> {
        let (mono, instant) = (*self.last_tick.lock())?;
        let silent = now.saturating_sub(mono).min(instant.elapsed());
        (silent > self.interval.saturating_mul(MISSED_TICKS).max(LEAST_SILENCE)).then_some(silent)
    }

    /// Returns whether the history of `spec` is read from here.
    pub fn has_history_of(&self, spec: &ServiceSpec) -> bool {
        let forecast = |question: &Template| spec.signal(&question.signal).and_then(|at| spec.signals.get(at));
        !self.history.is_zero() && self.questions.iter().filter_map(forecast).any(|signal| signal.forecast)
    }
}

/// The queries of a tick, and where the answers go.
#[derive(Default)]
pub struct Routes {
    /// The queries.
    pub round: Round,
    /// The services that the source covers.
    pub routes: Vec<Route>,
}

/// Where the answers for one service go.
pub struct Route {
    /// The service.
    pub service: Arc<Service>,
    /// Its place in each answer.
    pub place: usize,
    /// For each template that covers it: the template's position, and the signal's in the spec.
    pub signals: Vec<(usize, usize)>,
    /// Number of signals of the service.
    pub width: usize,
    /// Staleness above which none of them may be acted on.
    pub max_staleness: Duration,
}

impl Routes {
    /// Groups what `services` need from a source into one template per question.
    pub fn of<'a>(plan: &SourcePlan, services: impl IntoIterator<Item = &'a Arc<Service>>) -> Self {
        let specs: Vec<_> = services.into_iter().map(|service| (service, service.spec())).collect();
        let asking = |(service, spec): &(&Arc<Service>, Arc<ServiceSpec>)| {
            let position = |(at, question): (usize, &Template)| Some((at, spec.signal(&question.signal)?));
            let signals: Vec<_> = plan.questions.iter().enumerate().filter_map(position).collect();
            let asked = signals.iter().filter_map(|(_, signal)| spec.signals.get(*signal));
            let max_staleness = asked.map(SignalSpec::max_staleness).max().unwrap_or_default();
            let route =
                Route { service: Arc::clone(service), place: 0, signals, width: spec.signals.len(), max_staleness };
            (!route.signals.is_empty()).then(|| (route, spec.clone()))
        };
        let mut asking: Vec<_> = specs.iter().filter_map(asking).collect();
        asking.iter_mut().enumerate().for_each(|(place, (route, _))| route.place = place);
        let template = |(at, question): (usize, &Template)| {
            let values = |(route, spec): &(Route, Arc<ServiceSpec>)| {
                let value = |label| spec.labels.get(label).cloned().unwrap_or_default();
                let asks = route.signals.iter().any(|(template, _)| *template == at);
                asks.then(|| (question.labels.iter().map(value).collect::<Vec<_>>(), route.place))
            };
            let members = Arc::new(asking.iter().filter_map(values).collect());
            Template { members, width: asking.len(), ..question.clone() }
        };
        let templates = plan.questions.iter().enumerate().map(template).collect();
        let round = Round { templates, deadline: plan.interval };
        Self { round, routes: asking.into_iter().map(|(route, _)| route).collect() }
    }
}

/// A tick is due.
#[derive(Debug)]
pub struct Tick {
    /// When it was due (monotonic).
    due: Duration,
}

/// The actor of one source.
pub struct Source {
    /// What it does.
    pub plan: Arc<SourcePlan>,
    /// The ports.
    pub world: Arc<World>,
}

/// State of a [`Source`].
#[derive(Debug)]
pub struct SourceState {
    metrics: SourceMetrics,
    back_off: BackOff,
    /// Set while the source is backing off.
    quiet: Option<Quiet>,
    /// Why each query of the last round got no answer.
    faults: Vec<Option<SourceError>>,
    /// Queries that are sent less often.
    slow: SlowQueries,
    losses: Losses,
    /// Services that fell silent together.
    lost: usize,
    /// Its remarks are not logged again until then (monotonic).
    remarked_until: Duration,
}

impl Actor for Source {
    type Msg = Tick;
    type State = SourceState;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Tick>, (): ()) -> Result<SourceState, ActorProcessingErr> {
        myself.cast(Tick { due: self.world.ports.clock.now().mono })?;
        let metrics = self.world.metrics.source(&self.plan.name);
        let (back_off, quiet, remarked_until) = (BackOff::new(self.plan.seed), None, Duration::ZERO);
        let (faults, slow, losses) = (Vec::new(), SlowQueries::new(self.plan.seed), Losses::default());
        Ok(SourceState { metrics, back_off, quiet, faults, slow, losses, lost: 0, remarked_until })
    }

    async fn handle(
        &self,
        myself: ActorRef<Tick>,
        Tick { due }: Tick,
        state: &mut SourceState,
    ) -> Result<(), ActorProcessingErr> {
        let clock = &self.world.ports.clock;
        clock.sleep_until(due).await;
        let started = clock.now();
        *self.plan.last_tick.lock() = Some((started.mono, Instant::now()));
        let process = &self.world.process;
        process.tick_lateness.observe(started.since(due).as_secs_f64());
        process.kill(&self.world.ports.kill.seen());
        let routes = self.plan.routes.load_full();
        if !routes.routes.is_empty() {
            let mut answer = self.ask(&routes.round, state, started).await;
            let now = clock.now();
            if answer.error.is_none() && state.quiet(now).is_none() {
                self.blame(&routes, &mut answer, state, now);
            }
            deliver(&routes, &answer, now);
        }
        let (next, skipped) = next_tick(due, self.plan.interval, clock.now().mono);
        process.skipped_ticks.inc_by(skipped);
        Ok(myself.cast(Tick { due: next })?)
    }
}

impl Source {
    async fn ask(&self, round: &Round, state: &mut SourceState, now: Now) -> Answer {
        if let Some(quiet) = state.quiet(now) {
            return unasked(round, &Missing::SourceDown { error: quiet.to_string() });
        }
        let asked = state.slow.due(round, now.mono);
        let answer = if asked.len() == round.templates.len() {
            self.plan.source.read(round).await
        } else {
            self.plan.source.read(&round.only(&asked)).await
        };
        let end = self.world.ports.clock.now();
        state.metrics.asked(answer.queries, answer.unmatched, end.since(now.mono));
        answer.error.iter().chain(answer.faults.iter().flatten()).for_each(|error| state.metrics.failed(fault(error)));
        self.tell_annotations(&answer, state, end);
        if answer.error.is_none() {
            state.slow.note(&asked, &answer.faults, end.mono);
        }
        let answer = state.slow.complete(answer, round, &asked);
        self.tell_faults(&answer, round, state);
        if let Some(error) = &answer.error {
            let pause = state.back_off.failed(answer.back_off);
            state.quiet = Some(Quiet { until: end.plus(pause).mono, pause, after: error.clone() });
            tracing::warn!(source = %self.plan.name, %error, "query round failed; services of this source are held");
        } else {
            state.back_off.succeeded();
            // A server that answers no query properly is unhealthy, whatever it answers.
            if answer.faults.iter().flatten().count() < round.templates.len() {
                state.metrics.answered(end.wall, staleness(&answer, end));
            }
        }
        answer
    }

    /// Logs query faults that did not occur in the round before.
    fn tell_faults(&self, answer: &Answer, round: &Round, state: &mut SourceState) {
        if answer.error.is_some() {
            return;
        }
        let before = std::mem::replace(&mut state.faults, answer.faults.clone());
        for (position, error) in answer.faults.iter().enumerate() {
            let Some(error) = error else { continue };
            // Fault messages carry columns and positions, which differ in each answer.
            if before.get(position).and_then(Option::as_ref).map(kind) != Some(kind(error)) {
                let signal = round.templates.get(position).map(|template| template.signal.as_str());
                tracing::warn!(source = %self.plan.name, signal, %error, "query failed; its signal is unknown");
            }
        }
    }

    /// Counts the server's remarks on its answers, and logs one of them occasionally: they repeat each round.
    fn tell_annotations(&self, answer: &Answer, state: &mut SourceState, now: Now) {
        state.metrics.annotated(answer.annotations.len());
        let Some(text) = answer.annotations.first() else { return };
        if now.mono >= state.remarked_until {
            let count = answer.annotations.len();
            tracing::info!(source = %self.plan.name, text, count, "the source returned warnings with usable answers");
            state.remarked_until = now.plus(REMARK_INTERVAL).mono;
        }
    }

    /// Attributes simultaneous silence of services to the source: the services hold as before, and say why. A known
    /// source fault already says more.
    fn blame(&self, routes: &Routes, answer: &mut Answer, state: &mut SourceState, now: Now) {
        let fresh = |route: &Route| {
            route.arrivals(answer).any(|arrival| match arrival {
                Arrival::Value(sample) => elapsed(now.wall, sample.at) <= route.max_staleness,
                Arrival::Missing(_) => false,
            })
        };
        let fresh: Vec<bool> = routes.routes.iter().map(fresh).collect();
        let came =
            routes.routes.iter().zip(&fresh).map(|(route, fresh)| Came { service: &route.service.id, fresh: *fresh });
        let trouble = state.losses.round(came);
        let lost = trouble.map_or(0, |trouble| trouble.lost);
        state.metrics.lost(lost);
        let source = &self.plan.name;
        let before = std::mem::replace(&mut state.lost, lost);
        let Some(trouble) = trouble else {
            if before > 0 {
                tracing::info!(%source, "the source reports its services again");
            }
            return;
        };
        let concerned = || routes.routes.iter().filter(|route| state.losses.concerns(&trouble, &route.service.id));
        let why = most_frequent(concerned().flat_map(|route| route.arrivals(answer)));
        if before == 0 {
            let of = trouble.of;
            tracing::warn!(
                %source, lost, of, reason = %why,
                "several services lost telemetry at once; blaming the source"
            );
        }
        let error = format!("{lost} of {} services lost telemetry at once: {why}", trouble.of);
        for route in concerned() {
            for (template, _) in &route.signals {
                let arrival = answer.arrivals.get_mut(*template).and_then(|row| row.get_mut(route.place));
                if let Some(Arrival::Missing(missing)) = arrival
                    && !matches!(missing, Missing::SourceDown { .. })
                {
                    *missing = Missing::SourceDown { error: error.clone() };
                }
            }
        }
    }
}

impl Route {
    /// Returns what arrived for the service.
    fn arrivals<'a>(&'a self, answer: &'a Answer) -> impl Iterator<Item = &'a Arrival> {
        self.signals.iter().filter_map(|(template, _)| answer.arrivals.get(*template)?.get(self.place))
    }
}

fn deliver(routes: &Routes, answer: &Answer, now: Now) {
    for route in &routes.routes {
        let mut arrivals = vec![None; route.width];
        for (template, signal) in &route.signals {
            let arrival = answer.arrivals.get(*template).and_then(|row| row.get(route.place));
            if let Some(slot) = arrivals.get_mut(*signal) {
                *slot = arrival.cloned();
            }
        }
        route.service.round_arrived(Share { arrivals, now });
    }
}

/// Returns the staleness of the newest sample of an answer; `None` without one.
fn staleness(answer: &Answer, now: Now) -> Option<Duration> {
    let sampled = answer.arrivals.iter().flatten().filter_map(|arrival| match arrival {
        Arrival::Value(sample) => Some(sample.at),
        Arrival::Missing(_) => None,
    });
    sampled.max().map(|newest| elapsed(now.wall, newest))
}

/// Why a source is not queried.
#[derive(Debug)]
struct Quiet {
    /// Until when (monotonic).
    until: Duration,
    /// Total duration.
    pause: Duration,
    /// The error that caused it.
    after: SourceError,
}

impl SourceState {
    /// Returns why it is backing off, if it is.
    fn quiet(&self, now: Now) -> Option<&Quiet> {
        self.quiet.as_ref().filter(|quiet| now.mono < quiet.until)
    }
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backing off for {} s after: {}", self.pause.as_secs_f64().ceil(), self.after)
    }
}

/// Returns the most frequent state of the arrivals; for a source that is already known to be down, nothing.
fn most_frequent<'a>(arrivals: impl Iterator<Item = &'a Arrival>) -> String {
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    for arrival in arrivals {
        let why = match arrival {
            Arrival::Value(_) => "its samples are stale".to_owned(),
            Arrival::Missing(Missing::SourceDown { .. }) => continue,
            Arrival::Missing(missing) => missing.to_string(),
        };
        *said.entry(why).or_default() += 1;
    }
    let most = said.into_iter().max_by_key(|(_, count)| *count);
    most.map_or_else(|| "for no stated reason".to_owned(), |(why, _)| why)
}

/// Returns the key under which two errors count as the same trouble.
fn kind(error: &SourceError) -> (SourceFault, Option<u16>) {
    let status = if let SourceError::Status { status, .. } = error { Some(*status) } else { None };
    (fault(error), status)
}

fn fault(error: &SourceError) -> SourceFault {
    match error {
        SourceError::Unreachable { .. } => SourceFault::Unreachable,
        SourceError::Unauthorized(_) => SourceFault::Unauthorized,
        SourceError::TimedOut(_) | SourceError::NotReached(_) => SourceFault::TimedOut,
        SourceError::Status { .. } => SourceFault::Status,
        SourceError::TooLarge { .. } => SourceFault::TooLarge,
        SourceError::Malformed(_) => SourceFault::Malformed,
    }
}

/// Returns when the next tick is due, in step with the first one, and how many were missed.
fn next_tick(due: Duration, interval: Duration, now: Duration) -> (Duration, u64) {
    let mut next = due.saturating_add(interval);
    let mut skipped = 0;
    while next < now {
        next = next.saturating_add(interval);
        skipped += 1;
    }
    (next, skipped)
}

fn unasked(round: &Round, missing: &Missing) -> Answer {
    let rows = round.templates.iter().map(|template| vec![Arrival::Missing(missing.clone()); template.width]);
    Answer { arrivals: rows.collect(), ..Answer::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_alone_says_after_what() {
        let after = SourceError::Status { status: 401, message: "who are you".to_owned() };
        let quiet = Quiet { until: Duration::ZERO, pause: Duration::from_millis(7_500), after };
        assert_eq!(quiet.to_string(), "backing off for 8 s after: answered with status 401: who are you");
    }

    #[test]
    fn what_fell_silent_together_says_what_most_of_it_is() {
        let missing = [Missing::NoSeries, Missing::NotFinite, Missing::NotFinite].map(Arrival::Missing);
        assert_eq!(most_frequent(missing.iter()), Missing::NotFinite.to_string());
        let down = Arrival::Missing(Missing::SourceDown { error: "x".to_owned() });
        assert_eq!(most_frequent([down.clone(), down, Arrival::Missing(Missing::NoSeries)].iter()), "no such series");
    }

    #[test]
    fn a_fault_at_another_column_is_the_same_fault() {
        let malformed = |text: &str| SourceError::Malformed(text.to_owned());
        assert_eq!(kind(&malformed("odd at column 7")), kind(&malformed("odd at column 9")));
        let status = |status| SourceError::Status { status, message: String::new() };
        assert_ne!(kind(&status(400)), kind(&status(422)));
    }

    #[test]
    fn ticks_stay_in_step_and_missed_ones_are_counted() {
        let at = Duration::from_secs;
        for (now, expected) in [(1, (at(15), 0)), (15, (at(15), 0)), (16, (at(30), 1)), (100, (at(105), 6))] {
            assert_eq!(next_tick(at(0), at(15), at(now)), expected, "{now}");
        }
    }
}

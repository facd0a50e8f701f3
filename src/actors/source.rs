//! The ticks of one telemetry source: one round of grouped queries, then each service its share.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::instrument::{SourceFault, SourceMetrics};
use crate::model::time::elapsed;
use crate::model::{Arrival, Missing, Now};
use crate::ports::{Answer, Round, SourceError, TelemetrySource};

use super::back_off::BackOff;
use super::service::{Service, Share};
use super::world::World;

/// What a source asks, when, and for whom.
pub struct SourcePlan {
    /// Name in the settings.
    pub name: String,
    /// The adapter.
    pub source: Arc<dyn TelemetrySource>,
    /// Time between two ticks.
    pub interval: Duration,
    /// How much past is read at the start.
    pub history: Duration,
    /// The questions of a tick.
    pub round: Round,
    /// Where the answers go.
    pub routes: Vec<Route>,
}

/// Where the answers for one service go.
pub struct Route {
    /// The service.
    pub service: Arc<Service>,
    /// Its place in each answer.
    pub place: usize,
    /// For each template that asks for it: the template's position, and the signal's in the spec.
    pub signals: Vec<(usize, usize)>,
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
    /// It is left alone until then (monotonic).
    quiet_until: Duration,
}

impl Actor for Source {
    type Msg = Tick;
    type State = SourceState;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Tick>, (): ()) -> Result<SourceState, ActorProcessingErr> {
        myself.cast(Tick { due: self.world.clock.now().mono })?;
        let metrics = self.world.metrics.source(&self.plan.name);
        Ok(SourceState { metrics, back_off: BackOff::new(0), quiet_until: Duration::ZERO })
    }

    async fn handle(
        &self,
        myself: ActorRef<Tick>,
        Tick { due }: Tick,
        state: &mut SourceState,
    ) -> Result<(), ActorProcessingErr> {
        let clock = &self.world.clock;
        clock.sleep_until(due).await;
        let started = clock.now();
        let process = &self.world.process;
        process.tick_lateness.observe(started.since(due).as_secs_f64());
        process.kill(&self.world.kill.seen());
        let answer = self.ask(state, started).await;
        self.deliver(&answer, clock.now());
        let (next, skipped) = next_tick(due, self.plan.interval, clock.now().mono);
        process.skipped_ticks.inc_by(skipped);
        Ok(myself.cast(Tick { due: next })?)
    }
}

impl Source {
    async fn ask(&self, state: &mut SourceState, now: Now) -> Answer {
        let round = &self.plan.round;
        if now.mono < state.quiet_until {
            let missing = Missing::SourceDown { error: "left alone for a while after failures".to_owned() };
            return unasked(round, &missing);
        }
        let answer = self.plan.source.read(round).await;
        let end = self.world.clock.now();
        state.metrics.asked(answer.queries, end.since(now.mono));
        if let Some(error) = &answer.error {
            state.quiet_until = end.plus(state.back_off.failed(answer.back_off)).mono;
            state.metrics.failed(fault(error));
            tracing::warn!(source = %self.plan.name, %error, "round broken off, its services hold");
        } else {
            state.back_off.succeeded();
            state.metrics.answered(end.wall, staleness(&answer, end));
        }
        answer
    }

    fn deliver(&self, answer: &Answer, now: Now) {
        for route in &self.plan.routes {
            let service = &route.service;
            let mut arrivals = vec![None; service.spec.signals.len()];
            for (template, signal) in &route.signals {
                let arrival = answer.arrivals.get(*template).and_then(|row| row.get(route.place));
                if let Some(slot) = arrivals.get_mut(*signal) {
                    *slot = arrival.cloned();
                }
            }
            service.round_arrived(Share { arrivals, now });
        }
    }
}

/// Returns the staleness of the newest sample of an answer; zero without one.
fn staleness(answer: &Answer, now: Now) -> Duration {
    let sampled = answer.arrivals.iter().flatten().filter_map(|arrival| match arrival {
        Arrival::Value(sample) => Some(sample.at),
        Arrival::Missing(_) => None,
    });
    sampled.max().map_or(Duration::ZERO, |newest| elapsed(now.wall, newest))
}

fn fault(error: &SourceError) -> SourceFault {
    match error {
        SourceError::Unreachable { .. } => SourceFault::Unreachable,
        SourceError::TimedOut(_) => SourceFault::TimedOut,
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
    Answer { arrivals: rows.collect(), queries: 0, strangers: 0, back_off: None, error: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stay_in_step_and_missed_ones_are_counted() {
        let at = Duration::from_secs;
        for (now, expected) in [(1, (at(15), 0)), (15, (at(15), 0)), (16, (at(30), 1)), (100, (at(105), 6))] {
            assert_eq!(next_tick(at(0), at(15), at(now)), expected, "{now}");
        }
    }
}

//! Reads the past of the forecast signals once, so that the first forecast is already a good one.
//!
//! Services are read in groups, one request at a time, and after each request the source rests for as long as the
//! request took: a start, or many new services, never take more than half of a server's capacity.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;

use crate::model::{Finite, Minute, MinuteValue, Timestamp};
use crate::ports::{Round, SourceError, Template};

use super::source::{Route, Routes, SourcePlan};
use super::world::World;

/// Services read in one request.
const GROUP: usize = 20;
/// Tries for one group before its services start cold.
const TRIES: u32 = 3;
/// Pause before another try.
const PAUSE: Duration = Duration::from_secs(5);

/// Progress of a warm start; for progress bars and readiness.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Progress {
    /// Returns completed services and all services.
    pub fn get(&self) -> (usize, usize) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// Warms the new services of a source: `since` is what it was asked for before, `routes` what it is asked for now.
/// Services whose history cannot be read start cold, and that is logged.
pub async fn warm_start(
    plan: Arc<SourcePlan>,
    routes: Arc<Routes>,
    since: Arc<Routes>,
    world: Arc<World>,
    progress: Arc<Progress>,
) {
    let new = new_ones(&routes, &since);
    progress.total.fetch_add(new.len(), Ordering::Relaxed);
    let _turn = plan.reading_past.lock().await;
    let to = Minute::of(world.ports.clock.now().wall).start();
    let from = to.checked_sub(plan.history).unwrap_or(to);
    for group in new.chunks(GROUP) {
        let read = AssertUnwindSafe(read_group(&plan, &routes.round, &world, group, from, to)).catch_unwind().await;
        // If the read died, nothing else would inform the services that wait for it.
        let read =
            read.map_or_else(|_| Err("the task panicked".to_owned()), |read| read.map_err(|error| error.to_string()));
        match read {
            Ok(histories) => {
                for (route, history) in group.iter().zip(histories) {
                    route.service.history_read(history);
                }
            }
            Err(error) => {
                tracing::warn!(source = %plan.name, services = group.len(), error, "history not read; cold start");
                group.iter().for_each(|route| route.service.history_settled());
            }
        }
        progress.done.fetch_add(group.len(), Ordering::Relaxed);
        let (done, total) = progress.get();
        tracing::info!(source = %plan.name, done, total, "warm start");
    }
}

/// Returns those that `since` does not know. Services without history do not wait for it: see [`Route::has_history`].
fn new_ones<'a>(routes: &'a Routes, since: &Routes) -> Vec<&'a Route> {
    let known: HashSet<_> = since.routes.iter().map(|route| Arc::as_ptr(&route.service)).collect();
    let is_new = |route: &&Route| route.has_history() && !known.contains(&Arc::as_ptr(&route.service));
    routes.routes.iter().filter(is_new).collect()
}

/// Returns the history of each service in a group: for each forecast signal (position in the spec), its minutes, oldest
/// first.
async fn read_group(
    plan: &SourcePlan,
    round: &Round,
    world: &World,
    group: &[&Route],
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Vec<(usize, Vec<MinuteValue>)>>, SourceError> {
    let mut histories: Vec<Vec<(usize, Vec<MinuteValue>)>> = vec![Vec::new(); group.len()];
    for (position, template) in round.templates.iter().enumerate() {
        let wanted: Vec<_> =
            group.iter().enumerate().filter_map(|(index, route)| Some((index, route.forecast(position)?))).collect();
        if wanted.is_empty() {
            continue;
        }
        let places: Vec<usize> = wanted.iter().map(|(index, _)| group[*index].place).collect();
        let rows = read_patiently(plan, world, template, &places, from, to).await?;
        for ((index, signal), row) in wanted.into_iter().zip(rows) {
            histories[index].push((signal, on_grid(from, row)));
        }
    }
    Ok(histories)
}

async fn read_patiently(
    plan: &SourcePlan,
    world: &World,
    template: &Template,
    places: &[usize],
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Vec<Option<Finite>>>, SourceError> {
    let mut tries = 1;
    loop {
        let started = world.ports.clock.now();
        let answer = plan.source.history(template, places, from, to).await;
        let took = world.ports.clock.now().since(started.mono);
        world.ports.clock.sleep_until(world.ports.clock.now().plus(took).mono).await;
        match answer {
            Err(error) if tries < TRIES => {
                tracing::warn!(source = %plan.name, signal = %template.signal, %error, tries, "history not read yet");
                tries += 1;
                world.ports.clock.sleep_until(world.ports.clock.now().plus(PAUSE).mono).await;
            }
            other => return other,
        }
    }
}

fn on_grid(from: Timestamp, row: Vec<Option<Finite>>) -> Vec<MinuteValue> {
    let first = Minute::of(from);
    row.into_iter().zip(0..).map(|(value, step)| MinuteValue { minute: first.plus(step), value }).collect()
}

impl Route {
    /// Returns whether a signal on this route is forecast.
    pub fn has_history(&self) -> bool {
        self.signals.iter().any(|(template, _)| self.forecast(*template).is_some())
    }

    /// Returns the position in the spec of the signal that the template at `position` yields, if it is forecast.
    fn forecast(&self, position: usize) -> Option<usize> {
        let (_, signal) = self.signals.iter().find(|(template, _)| *template == position)?;
        self.service.spec().signals.get(*signal)?.forecast.then_some(*signal)
    }
}

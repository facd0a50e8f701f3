//! Compiles what the policy store announces, runs its tests, replays recorded inputs, and activates it after the
//! current set: all of it or none, after its soak time, or when an operator says so.
//!
//! | file | duty |
//! |---|---|
//! | this one | the actor: what is announced, ordered, due |
//! | `in_force` | which sets are active, and for which services |
//! | `status` | what is reported about them |
//! | `following` | several processes: the leader's announcements |
//! | `release` | files to sets |
//! | `replay` | recorded inputs, decided again |

mod following;
mod in_force;
mod release;
mod replay;
mod status;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use crate::decide::Vocabulary;
use crate::model::Epoch;
use crate::ports::policy_memory::PolicyOrder;
use crate::ports::{PolicyFiles, Urgency};

use super::world::World;
pub use in_force::{InForce, Sets};
use release::Loader;
use replay::Recorded;

/// Recorded decisions on which a new set is compared with the active one.
const REPLAYED: usize = 200;

/// The only message of the library.
#[derive(Debug)]
pub struct Await;

/// The actor that waits for new sets, orders, and the soak time of a candidate.
pub struct PolicyLibrary {
    /// Signals that policies may name.
    pub vocabulary: Arc<Vocabulary>,
    /// The ports.
    pub world: Arc<World>,
}

/// What it waits for.
pub struct Awaited {
    announced: watch::Receiver<Arc<PolicyFiles>>,
    orders: watch::Receiver<Option<PolicyOrder>>,
    /// A set being loaded; orders are executed meanwhile.
    loading: Option<BoxFuture<'static, ()>>,
    /// Whether what was active when the process ended is restored: until then no order is executed.
    is_restored: bool,
    /// The term of this process, if it leads.
    terms: watch::Receiver<Option<Epoch>>,
    /// The leader's announcements.
    announcements: watch::Receiver<Option<Arc<str>>>,
    /// Whether more announcements may come.
    hears: bool,
    /// Whether this process leads, as last processed; `None` before that.
    leads: Option<bool>,
}

impl PolicyLibrary {
    /// Loads a set off the loop's threads: that runs its scripts, which may be hostile.
    fn load(&self, files: Arc<PolicyFiles>) -> BoxFuture<'static, ()> {
        let (world, vocabulary) = (self.world.clone(), self.vocabulary.clone());
        let load = move || {
            let loader = Loader { vocabulary: &vocabulary, deadline: world.ports.deadline };
            let now = world.ports.clock.now().mono;
            world.policy.announced(&files, loader, &recorded(&world), now, &world.process);
            world.ports.services.policies(&world.policy.refused());
            keep(&world);
        };
        self.world.ports.executor.run(Urgency::Fleet, Box::new(load))
    }

    /// Restores what was active, before any announcement.
    fn restore(&self) -> BoxFuture<'static, ()> {
        let (world, vocabulary) = (self.world.clone(), self.vocabulary.clone());
        let restore = move || {
            let loader = Loader { vocabulary: &vocabulary, deadline: world.ports.deadline };
            // The last decision tells how long a candidate was observed: time without decisions does not count.
            let last = world.ports.journal.decisions(None, None, 1).unwrap_or_default().first().map(|record| record.at);
            let now = world.ports.clock.now().mono;
            world.policy.restore(world.ports.policy_memory.kept(), last, loader, now, &world.process);
        };
        self.world.ports.executor.run(Urgency::Fleet, Box::new(restore))
    }

    /// Processes the leader's latest announcement.
    fn follow(&self, announcements: &mut watch::Receiver<Option<Arc<str>>>) {
        let announcement = announcements.borrow_and_update().clone();
        if let Some(announcement) = announcement {
            let now = self.world.ports.clock.now().mono;
            self.world.policy.follow(&announcement, now, &self.world.process);
        }
    }

    async fn obey(&self, order: Option<PolicyOrder>) {
        let Some(order) = order else { return };
        if self.world.policy.obey(&order, self.world.ports.clock.now().mono, &self.world.process) {
            self.keep().await;
        }
    }

    async fn keep(&self) {
        let world = self.world.clone();
        self.world.ports.executor.run(Urgency::Fleet, Box::new(move || keep(&world))).await;
    }
}

/// Returns the newest decisions of all services.
fn recorded(world: &World) -> Recorded {
    let records = world.ports.journal.decisions(None, None, REPLAYED);
    let records = records.inspect_err(|error| tracing::warn!(%error, "no recorded inputs to compare policy sets on"));
    let services = world.ports.services.watch().borrow().as_deref().cloned().unwrap_or_default();
    Recorded { records: records.unwrap_or_default(), services }
}

fn keep(world: &World) {
    if let Err(error) = world.policy.keep(&*world.ports.policy_memory, world.ports.clock.now()) {
        tracing::warn!(error, "the active policy set was not saved: the next start loads the newest set in the store");
    }
    leave(world);
}

/// If this process leads, announces to followers what is active, and shares it with future processes.
fn leave(world: &World) {
    if let Some(announcement) = world.policy.announcement().filter(|_| world.ports.leadership.lead().speaks()) {
        world.ports.leadership.announce(&announcement);
        world.ports.policy_memory.share(&world.policy.kept(world.ports.clock.now()).brief());
    }
}

impl Actor for PolicyLibrary {
    type Msg = Await;
    type State = Awaited;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Await>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        let mut announced = self.world.ports.policies.watch();
        announced.mark_changed();
        let first = self.world.policy.load().is_none();
        let loading = first.then(|| self.restore());
        myself.cast(Await)?;
        let (mut terms, announcements) =
            (self.world.ports.leadership.terms(), self.world.ports.leadership.announcements());
        terms.mark_changed();
        let orders = self.world.ports.policy_memory.orders();
        Ok(Awaited { announced, orders, loading, is_restored: !first, terms, announcements, hears: true, leads: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Await>,
        Await: Await,
        awaited: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let Awaited { announced, orders, loading, is_restored, terms, announcements, hears, leads } = awaited;
        let clock = &self.world.ports.clock;
        let due = self.world.policy.due().unwrap_or(Duration::MAX);
        let is_free = loading.is_none();
        let is_ready = is_free && *is_restored;
        tokio::select! {
            () = async { if let Some(loading) = loading { loading.await } }, if !is_free => {
                *loading = None;
                *is_restored = true;
            }
            // Leadership is determined first: a follower does not activate a set on its own.
            changed = terms.changed(), if is_ready => {
                changed?;
                let term = *terms.borrow_and_update();
                // A new leader continues from the last announcement of its predecessor.
                if *leads != Some(true) {
                    self.follow(announcements);
                }
                *leads = Some(term.is_some());
                if term.is_some() {
                    self.world.policy.lead();
                    leave(&self.world);
                }
            }
            changed = announcements.changed(), if is_ready && *hears && *leads == Some(false) => {
                *hears = changed.is_ok();
                self.follow(announcements);
                self.keep().await;
            }
            changed = announced.changed(), if is_free && leads.is_some() => {
                changed?;
                *loading = Some(self.load(announced.borrow_and_update().clone()));
            }
            changed = orders.changed(), if *is_restored && leads.is_some() => {
                changed?;
                let order = orders.borrow_and_update().clone();
                self.obey(order).await;
            }
            () = clock.sleep_until(due), if due != Duration::MAX && *leads == Some(true) => {
                self.world.policy.passed(clock.now().mono, &self.world.process);
                self.keep().await;
            }
        }
        Ok(myself.cast(Await)?)
    }
}

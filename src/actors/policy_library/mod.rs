//! Compiles what the policy store announces, runs its tests, replays recorded inputs, and lets it follow the set in
//! force: whole or not at all, after its time beside it, or when a person says so.
//!
//! | file | duty |
//! |---|---|
//! | this one | the actor: what is announced, ordered, due |
//! | `in_force` | which sets are in force, and for whom |
//! | `release` | files to sets |
//! | `replay` | recorded inputs, decided once more |

mod in_force;
mod release;
mod replay;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use crate::cycle::stages::Vocabulary;
use crate::ports::PolicyFiles;
use crate::ports::policy_memory::PolicyOrder;

use super::world::World;
pub use in_force::{InForce, Sets};
use release::Press;
use replay::Recorded;

/// Recorded decisions on which a new set is compared with the one in force.
const REPLAYED: usize = 200;

/// What the library hears.
#[derive(Debug)]
pub struct Await;

/// The actor that waits for new sets, orders, and the time of a candidate.
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
    /// A set that is being loaded; orders are obeyed meanwhile.
    loading: Option<BoxFuture<'static, ()>>,
    /// Whether what was in force when the process ended is back: until then no order is obeyed.
    is_restored: bool,
}

impl PolicyLibrary {
    /// Loads a set off the loop's threads: its scripts run then, and may be hostile.
    fn load(&self, files: Arc<PolicyFiles>) -> BoxFuture<'static, ()> {
        let (world, vocabulary) = (self.world.clone(), self.vocabulary.clone());
        let load = move || {
            let press = Press { vocabulary: &vocabulary, deadline: world.deadline };
            let now = world.clock.now().mono;
            world.policy.announced(&files, press, &recorded(&world), now, &world.process);
            world.services.policies(&world.policy.refused());
            keep(&world);
        };
        self.world.executor.run(Box::new(load))
    }

    /// Puts back in force what was, before anything is announced.
    fn restore(&self) -> BoxFuture<'static, ()> {
        let (world, vocabulary) = (self.world.clone(), self.vocabulary.clone());
        let restore = move || {
            let press = Press { vocabulary: &vocabulary, deadline: world.deadline };
            world.policy.restore(world.policy_memory.kept(), press, &world.process);
        };
        self.world.executor.run(Box::new(restore))
    }

    async fn obey(&self, order: Option<PolicyOrder>) {
        let Some(order) = order else { return };
        if self.world.policy.obey(&order, &self.world.process) {
            self.keep().await;
        }
    }

    async fn keep(&self) {
        let world = self.world.clone();
        self.world.executor.run(Box::new(move || keep(&world))).await;
    }
}

/// Returns the newest decisions of all services.
fn recorded(world: &World) -> Recorded {
    let records = world.journal.recent(None, REPLAYED);
    let records = records.inspect_err(|error| tracing::warn!(%error, "no recorded inputs to compare policies on"));
    let services = world.services.watch().borrow().as_deref().cloned().unwrap_or_default();
    Recorded { records: records.unwrap_or_default(), services }
}

fn keep(world: &World) {
    if let Err(error) = world.policy.keep(&*world.policy_memory) {
        tracing::warn!(error, "the policy set in force is not kept: the next start takes what the store has");
    }
}

impl Actor for PolicyLibrary {
    type Msg = Await;
    type State = Awaited;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Await>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        let mut announced = self.world.policies.watch();
        announced.mark_changed();
        let first = self.world.policy.load().is_none();
        let loading = first.then(|| self.restore());
        myself.cast(Await)?;
        Ok(Awaited { announced, orders: self.world.policy_memory.orders(), loading, is_restored: !first })
    }

    async fn handle(
        &self,
        myself: ActorRef<Await>,
        Await: Await,
        awaited: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let Awaited { announced, orders, loading, is_restored } = awaited;
        let clock = &self.world.clock;
        let due = self.world.policy.due().unwrap_or(Duration::MAX);
        let is_free = loading.is_none();
        tokio::select! {
            () = async { if let Some(loading) = loading { loading.await } }, if !is_free => {
                *loading = None;
                *is_restored = true;
            }
            changed = announced.changed(), if is_free => {
                changed?;
                *loading = Some(self.load(announced.borrow_and_update().clone()));
            }
            changed = orders.changed(), if *is_restored => {
                changed?;
                let order = orders.borrow_and_update().clone();
                self.obey(order).await;
            }
            () = clock.sleep_until(due), if due != Duration::MAX => {
                self.world.policy.passed(clock.now().mono, &self.world.process);
                self.keep().await;
            }
        }
        Ok(myself.cast(Await)?)
    }
}

//! The top of the tree: policy library, sources, fleet.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::task::JoinHandle;

use crate::decide::Vocabulary;

use super::fleet::Fleet;
use super::lead::lead;
use super::policy_library::PolicyLibrary;
use super::roster::Roster;
use super::source::{Source, SourcePlan};
use super::world::World;

/// Pause before a failed child is restarted.
const PAUSE: Duration = Duration::from_secs(1);

/// Everything the tree is made of.
pub struct TreePlan {
    /// The ports.
    pub world: Arc<World>,
    /// The supervised services.
    pub roster: Arc<Roster>,
    /// Signals that policies may name.
    pub vocabulary: Arc<Vocabulary>,
}

/// A running tree.
pub struct Tree {
    root: ActorRef<RootMsg>,
    handle: JoinHandle<()>,
    leading: JoinHandle<()>,
    world: Arc<World>,
    roster: Arc<Roster>,
}

impl Tree {
    /// Starts the tree: settles open intents, reads the past and ticks, concurrently; services that are not settled or
    /// not warm are held.
    ///
    /// # Errors
    /// When an actor cannot be started.
    pub async fn start(plan: TreePlan) -> Result<Self, SpawnErr> {
        let (world, roster) = (plan.world.clone(), plan.roster.clone());
        let leading = tokio::spawn(lead_on(world.clone(), roster.clone()));
        let (root, handle) = Actor::spawn(None, Root, Arc::new(plan)).await?;
        Ok(Self { root, handle, leading, world, roster })
    }

    /// Completes when the tree ends unexpectedly: nothing restarts the root.
    pub async fn ended(&mut self) {
        // A root that panicked has ended too.
        let _ = (&mut self.handle).await;
    }

    /// Stops deciding, waits for writes in flight, releases the lease last, and returns.
    pub async fn stop(self) {
        self.leading.abort();
        self.roster.close();
        self.root.stop(None);
        // A finished handle must not be awaited again. Its only error is that the root panicked.
        if !self.handle.is_finished() {
            let _ = self.handle.await;
        }
        // A lease that is not released expires, and with it whatever this process still had in flight.
        if self.world.gate.close().await {
            self.world.ports.leadership.release().await;
        }
    }
}

/// Follows the terms of this process, and restarts if that dies: a leader that does not take over would never write.
async fn lead_on(world: Arc<World>, roster: Arc<Roster>) {
    let clock = world.ports.clock.clone();
    while AssertUnwindSafe(lead(world.clone(), roster.clone())).catch_unwind().await.is_err() {
        tracing::error!("lease watch failed; restarted");
        clock.sleep_until(clock.now().plus(PAUSE).mono).await;
    }
}

/// A child of the root.
#[derive(Clone)]
pub enum Child {
    /// The policy library.
    Policies,
    /// A source.
    Source(Arc<SourcePlan>),
    /// The fleet.
    Fleet,
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policies => f.write_str("policy library"),
            Self::Source(plan) => write!(f, "source {}", plan.name),
            Self::Fleet => f.write_str("fleet"),
        }
    }
}

/// Messages of the root.
pub enum RootMsg {
    /// Start a child.
    Start(Child),
}

/// The root actor.
pub struct Root;

/// State of the [`Root`].
pub struct RootState {
    plan: Arc<TreePlan>,
    children: Vec<(ActorId, Child)>,
}

impl Actor for Root {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = Arc<TreePlan>;

    async fn pre_start(&self, myself: ActorRef<RootMsg>, plan: Arc<TreePlan>) -> Result<RootState, ActorProcessingErr> {
        myself.cast(RootMsg::Start(Child::Policies))?;
        myself.cast(RootMsg::Start(Child::Fleet))?;
        for source in plan.roster.sources() {
            myself.cast(RootMsg::Start(Child::Source(source.clone())))?;
        }
        Ok(RootState { plan, children: Vec::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<RootMsg>,
        RootMsg::Start(child): RootMsg,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match start(&state.plan, &child, myself.get_cell()).await {
            Ok(id) => state.children.push((id, child)),
            Err(error) => state.start_later(myself, child, &error.to_string()),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(cell, error) = event else { return Ok(()) };
        let Some(position) = state.children.iter().position(|(id, _)| *id == cell.get_id()) else { return Ok(()) };
        let (_, child) = state.children.swap_remove(position);
        state.start_later(myself, child, &error.to_string());
        Ok(())
    }
}

impl RootState {
    /// The root never ends because of a child.
    fn start_later(&self, myself: ActorRef<RootMsg>, child: Child, error: &str) {
        fail::fail_point!("root_restarts");
        tracing::error!(%child, error, "child failed, restarting");
        let clock = self.plan.world.ports.clock.clone();
        tokio::spawn(async move {
            clock.sleep_until(clock.now().plus(PAUSE).mono).await;
            // If the root has ended meanwhile, nothing is to be started.
            let _ = myself.cast(RootMsg::Start(child));
        });
    }
}

async fn start(plan: &TreePlan, child: &Child, root: ActorCell) -> Result<ActorId, SpawnErr> {
    let world = plan.world.clone();
    Ok(match child {
        Child::Policies => {
            let library = PolicyLibrary { vocabulary: plan.vocabulary.clone(), world };
            Actor::spawn_linked(None, library, (), root).await?.0.get_id()
        }
        Child::Fleet => {
            let fleet = Fleet { world, roster: plan.roster.clone() };
            Actor::spawn_linked(None, fleet, (), root).await?.0.get_id()
        }
        Child::Source(source) => {
            let source = Source { plan: source.clone(), world };
            Actor::spawn_linked(None, source, (), root).await?.0.get_id()
        }
    })
}

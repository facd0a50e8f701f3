//! Restarts the four stages of a service together; quarantines a service that keeps failing. Stage failures never
//! propagate further; if a stage cannot even be spawned the fleet restarts the whole service.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::instrument::ActorRole;
use crate::model::Now;

use super::slot::Service;
use super::stage::{Stage, StageActor, Wake};
use super::stages::{ActuatorStage, DeciderStage, ForecasterStage, ObserverStage};

/// Failures in [`WINDOW`] after which a service is quarantined.
const BUDGET: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// Pause before the first restart; doubles with each failure in the window.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// First and longest pause of a quarantine; it doubles with each failed probe.
const FIRST_QUARANTINE: Duration = Duration::from_secs(60);
const LONGEST_QUARANTINE: Duration = Duration::from_secs(3600);

/// Messages of a supervisor.
#[derive(Debug)]
pub enum SupervisorMsg {
    /// Start the stages if this generation is still current.
    Start {
        /// The attempt it belongs to.
        generation: u64,
    },
}

/// The supervisor of one service.
pub struct Supervisor;

/// State of a [`Supervisor`].
pub struct SupervisorState {
    service: Arc<Service>,
    /// Counts starts; a scheduled start of an older generation is void.
    generation: u64,
    /// Stages that have not ended yet.
    alive: Vec<(ActorId, ActorRole)>,
    /// Monotonic times of recent failures.
    failures: VecDeque<Duration>,
    /// When the stages were last started (monotonic).
    started: Duration,
    /// Quarantines in a row.
    quarantines: u32,
}

impl Actor for Supervisor {
    type Msg = SupervisorMsg;
    type State = SupervisorState;
    type Arguments = Arc<Service>;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMsg>,
        service: Arc<Service>,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        myself.cast(SupervisorMsg::Start { generation: 0 })?;
        Ok(SupervisorState {
            service,
            generation: 0,
            alive: Vec::new(),
            failures: VecDeque::new(),
            started: Duration::ZERO,
            quarantines: 0,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        SupervisorMsg::Start { generation }: SupervisorMsg,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        if generation == state.generation && state.alive.is_empty() {
            state.start(&myself).await?;
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(stage, error) => state.failed(&myself, &stage, &error.to_string()),
            SupervisionEvent::ActorTerminated(stage, ..) => state.ended(&myself, stage.get_id()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl SupervisorState {
    async fn start(&mut self, myself: &ActorRef<SupervisorMsg>) -> Result<(), ActorProcessingErr> {
        let cell = myself.get_cell();
        let stages = [
            spawn::<ObserverStage>(&self.service, &cell).await?,
            spawn::<ForecasterStage>(&self.service, &cell).await?,
            spawn::<DeciderStage>(&self.service, &cell).await?,
            spawn::<ActuatorStage>(&self.service, &cell).await?,
        ];
        let roles = [ObserverStage::ROLE, ForecasterStage::ROLE, DeciderStage::ROLE, ActuatorStage::ROLE];
        self.alive = stages.iter().map(|stage| stage.get_id()).zip(roles).collect();
        self.started = self.service.world.ports.clock.now().mono;
        let stages = Arc::new(stages);
        self.service.stages.store(Some(stages.clone()));
        // Items put in while no stage could be woken wait until one checks.
        for stage in stages.iter() {
            stage.cast(Wake)?;
        }
        self.service.quarantined(None);
        Ok(())
    }

    /// One stage failed: the others share its view, so all four are stopped.
    fn failed(&mut self, myself: &ActorRef<SupervisorMsg>, stage: &ActorCell, error: &str) {
        let now = self.service.world.ports.clock.now();
        self.failures.push_back(now.mono);
        while self.failures.front().is_some_and(|first| now.since(*first) > WINDOW) {
            self.failures.pop_front();
        }
        self.service.update_view(|view| view.restarts += 1);
        let role = self.alive.iter().find(|(id, _)| *id == stage.get_id()).map(|(_, role)| *role);
        role.into_iter().for_each(|role| self.service.metrics.restarted(role));
        tracing::error!(service = %self.service.id, error, "stage failed; restarting the service");
        if let Some(stages) = self.service.stages.swap(None) {
            for other in stages.iter().filter(|other| other.get_id() != stage.get_id()) {
                other.stop(None);
            }
        }
        self.ended(myself, stage.get_id());
    }

    /// Schedules the restart once the last stage has ended.
    fn ended(&mut self, myself: &ActorRef<SupervisorMsg>, stage: ActorId) {
        let before = self.alive.len();
        self.alive.retain(|(alive, _)| *alive != stage);
        if before == 0 || !self.alive.is_empty() || self.alive.len() == before {
            return;
        }
        self.generation += 1;
        let pause = self.pause(self.service.world.ports.clock.now());
        let (clock, generation, myself) = (self.service.world.ports.clock.clone(), self.generation, myself.clone());
        let at = clock.now().plus(pause).mono;
        tokio::spawn(async move {
            clock.sleep_until(at).await;
            // The supervisor may have been stopped meanwhile; then nothing is to be started.
            let _ = myself.cast(SupervisorMsg::Start { generation });
        });
    }

    /// Returns how long to wait before the next start. A service that fails again soon after a probe goes straight back
    /// into quarantine, for twice as long.
    fn pause(&mut self, now: Now) -> Duration {
        if now.since(self.started) > WINDOW {
            self.quarantines = 0;
        }
        if self.quarantines == 0 && self.failures.len() <= BUDGET {
            let doublings = self.failures.len().saturating_sub(1) as u32;
            return FIRST_PAUSE.saturating_mul(1 << doublings);
        }
        let pause = FIRST_QUARANTINE.saturating_mul(1 << self.quarantines.min(6)).min(LONGEST_QUARANTINE);
        self.quarantines += 1;
        let reason = format!("keeps failing; next attempt in {} s", pause.as_secs());
        tracing::error!(service = %self.service.id, reason, "service quarantined");
        self.service.quarantined(Some(reason));
        pause
    }
}

async fn spawn<S: Stage>(service: &Arc<Service>, parent: &ActorCell) -> Result<ActorRef<Wake>, ActorProcessingErr> {
    let (stage, _) = Actor::spawn_linked(None, StageActor::<S>::new(service.clone()), (), parent.clone()).await?;
    Ok(stage)
}

//! Supervises the service supervisors, and adds and removes services.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;

use crate::ports::DeclaredServices;

use super::roster::{Roster, Turnover};
use super::service::{SECOND_LOOK, Service, Supervisor, SupervisorMsg};
use super::world::World;

/// Pause before a failed supervisor is restarted; none should fail.
const PAUSE: Duration = Duration::from_secs(60);
/// Pause before new services are tried again after the journal could not provide their past.
const OWED_PAUSE: Duration = Duration::from_secs(5);

/// Messages of the fleet.
pub enum FleetMsg {
    /// The declarations changed.
    Declared,
    /// Time to check again the services that return a floor.
    Returning,
    /// Time to try again the services whose past the journal could not provide.
    Owed,
    /// Start the supervisor of a service, if it is still wanted.
    Start(Arc<Service>),
}

/// The actor above all services.
pub struct Fleet {
    /// The ports.
    pub world: Arc<World>,
    /// The supervised services.
    pub roster: Arc<Roster>,
}

/// State of the [`Fleet`].
pub struct FleetState {
    declared: watch::Receiver<Option<DeclaredServices>>,
    supervisors: BTreeMap<ActorId, (ActorRef<SupervisorMsg>, Arc<Service>)>,
    /// Whether a check of services that return a floor is scheduled.
    looks_again: bool,
    /// Whether another attempt for owed services is scheduled.
    tries_again: bool,
}

impl Actor for Fleet {
    type Msg = FleetMsg;
    type State = FleetState;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<FleetMsg>, (): ()) -> Result<FleetState, ActorProcessingErr> {
        for service in self.roster.all().values() {
            myself.cast(FleetMsg::Start(service.clone()))?;
        }
        if self.roster.all().values().any(|service| service.is_withdrawn()) {
            myself.cast(FleetMsg::Returning)?;
        }
        let declared = self.world.ports.services.watch();
        tokio::spawn(announce(declared.clone(), myself));
        Ok(FleetState { declared, supervisors: BTreeMap::new(), looks_again: false, tries_again: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<FleetMsg>,
        message: FleetMsg,
        state: &mut FleetState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            FleetMsg::Declared | FleetMsg::Returning | FleetMsg::Owed => {
                let is_look = matches!(message, FleetMsg::Returning);
                state.looks_again &= !is_look;
                state.tries_again &= !matches!(message, FleetMsg::Owed);
                let declared = state.declared.borrow_and_update().clone();
                if let Some(declared) = declared {
                    // Unchanged declarations are not followed again.
                    if is_look && self.roster.returns_still(&declared) {
                        self.look_again(&myself, state);
                    } else {
                        // May read the journal.
                        let roster = self.roster.clone();
                        let turnover = self.world.off_the_loop(move || roster.follow(&declared)).await?;
                        self.turn_over(&myself, turnover, state)?;
                    }
                }
            }
            FleetMsg::Start(service) if !self.roster.holds(&service) => {}
            FleetMsg::Start(service) => {
                match Actor::spawn_linked(None, Supervisor, service.clone(), myself.get_cell()).await {
                    Ok((supervisor, _)) => {
                        drop(state.supervisors.insert(supervisor.get_id(), (supervisor, service)));
                    }
                    Err(error) => self.start_later(myself, service, &error.to_string()),
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<FleetMsg>,
        event: SupervisionEvent,
        state: &mut FleetState,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(supervisor, error) = event
            && let Some((_, service)) = state.supervisors.remove(&supervisor.get_id())
        {
            self.start_later(myself, service, &error.to_string());
        }
        Ok(())
    }
}

impl Fleet {
    fn turn_over(
        &self,
        myself: &ActorRef<FleetMsg>,
        turnover: Turnover,
        state: &mut FleetState,
    ) -> Result<(), ActorProcessingErr> {
        let gone = |service: &Arc<Service>| turnover.gone.iter().any(|gone| Arc::ptr_eq(gone, service));
        state.supervisors.retain(|_, (supervisor, service)| {
            let stays = !gone(service);
            if !stays {
                supervisor.stop(None);
            }
            stays
        });
        for service in turnover.come {
            myself.cast(FleetMsg::Start(service))?;
        }
        if turnover.returning {
            self.look_again(myself, state);
        }
        if let Some(error) = turnover.owed {
            tracing::error!(%error, "new services not started yet");
            if !std::mem::replace(&mut state.tries_again, true) {
                self.after(OWED_PAUSE, myself.clone(), FleetMsg::Owed);
            }
        }
        Ok(())
    }

    /// Schedules another check of services that return a floor.
    fn look_again(&self, myself: &ActorRef<FleetMsg>, state: &mut FleetState) {
        if !std::mem::replace(&mut state.looks_again, true) {
            self.after(SECOND_LOOK, myself.clone(), FleetMsg::Returning);
        }
    }

    /// The fleet never ends because of a service.
    fn start_later(&self, fleet: ActorRef<FleetMsg>, service: Arc<Service>, error: &str) {
        tracing::error!(service = %service.id, error, "supervisor failed; restarting later");
        self.after(PAUSE, fleet, FleetMsg::Start(service));
    }

    fn after(&self, pause: Duration, fleet: ActorRef<FleetMsg>, message: FleetMsg) {
        let clock = self.world.ports.clock.clone();
        tokio::spawn(async move {
            clock.sleep_until(clock.now().plus(pause).mono).await;
            // If the fleet has ended meanwhile, there is nothing to do.
            let _ = fleet.cast(message);
        });
    }
}

/// Wakes the fleet whenever the declarations change, until either of them ends.
async fn announce(mut declared: watch::Receiver<Option<DeclaredServices>>, fleet: ActorRef<FleetMsg>) {
    while declared.changed().await.is_ok() {
        declared.mark_unchanged();
        if fleet.cast(FleetMsg::Declared).is_err() {
            return;
        }
    }
}

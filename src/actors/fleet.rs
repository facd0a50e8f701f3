//! Supervises the service supervisors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::service::{Service, Supervisor};

/// Pause before a supervisor that failed is started again; none should.
const PAUSE: Duration = Duration::from_secs(60);

/// What the fleet hears.
pub enum FleetMsg {
    /// Start the supervisor of a service.
    Start(Arc<Service>),
}

/// The actor above all services.
pub struct Fleet;

/// Supervisors and their services.
pub type FleetState = BTreeMap<ActorId, Arc<Service>>;

impl Actor for Fleet {
    type Msg = FleetMsg;
    type State = FleetState;
    type Arguments = Vec<Arc<Service>>;

    async fn pre_start(
        &self,
        myself: ActorRef<FleetMsg>,
        services: Vec<Arc<Service>>,
    ) -> Result<FleetState, ActorProcessingErr> {
        for service in services {
            myself.cast(FleetMsg::Start(service))?;
        }
        Ok(FleetState::new())
    }

    async fn handle(
        &self,
        myself: ActorRef<FleetMsg>,
        FleetMsg::Start(service): FleetMsg,
        state: &mut FleetState,
    ) -> Result<(), ActorProcessingErr> {
        match Actor::spawn_linked(None, Supervisor, service.clone(), myself.get_cell()).await {
            Ok((supervisor, _)) => drop(state.insert(supervisor.get_id(), service)),
            Err(error) => start_later(myself, service, &error.to_string()),
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
            && let Some(service) = state.remove(&supervisor.get_id())
        {
            start_later(myself, service, &error.to_string());
        }
        Ok(())
    }
}

/// The fleet never ends because of a service.
fn start_later(fleet: ActorRef<FleetMsg>, service: Arc<Service>, error: &str) {
    tracing::error!(service = %service.spec.id, error, "supervisor failed, started again later");
    let clock = service.world.clock.clone();
    tokio::spawn(async move {
        clock.sleep_until(clock.now().plus(PAUSE).mono).await;
        // Where the fleet has ended meanwhile nothing is to be started.
        let _ = fleet.cast(FleetMsg::Start(service));
    });
}

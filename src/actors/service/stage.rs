//! The one shell of all four stages: take an item, step the core, commit, perform.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::instrument::{self, ActorRole};
use crate::model::ServiceSpec;

use super::slot::{Committed, Service};
use super::standing::Declared;
use crate::actors::inbox::Inbox;

/// The only message of a stage: something waits in its inbox.
#[derive(Debug)]
pub(super) struct Wake;

/// A stage: its inbox, its core, and the meaning of its effects.
pub(super) trait Stage: Send + Sync + 'static {
    /// What waits in the inbox.
    type Item: Send + Sync + 'static;
    /// The core.
    type Core: Clone + Send + 'static;
    /// What a step yields.
    type Effects;
    /// Name in metrics and logs, and place among the stages of a service.
    const ROLE: ActorRole;
    /// The loop stage to which its step durations are attributed.
    const TIMED: instrument::Stage;

    fn inbox(service: &Service) -> &Inbox<Self::Item>;
    fn core(service: &Service) -> &Committed<Self::Core>;
    /// Updates the core to a changed declaration.
    fn declared(core: &mut Self::Core, spec: &Arc<ServiceSpec>);
    /// Steps the core, which already follows `by`.
    fn step(core: &mut Self::Core, item: &Self::Item, by: &Declared, service: &Service) -> Self::Effects;
    fn perform(effects: Self::Effects, service: &Arc<Service>);

    /// Handles a dropped item: the stage died on it, a newer one replaced it, or there were too many facts.
    fn skipped(_item: &Self::Item, _service: &Service) {}
}

/// The actor of a stage.
pub(super) struct StageActor<S> {
    service: Arc<Service>,
    stage: PhantomData<fn() -> S>,
}

impl<S: Stage> StageActor<S> {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service, stage: PhantomData }
    }
}

impl<S: Stage> Actor for StageActor<S> {
    type Msg = Wake;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Wake>, (): ()) -> Result<(), ActorProcessingErr> {
        if let Some(skipped) = S::inbox(&self.service).reopen() {
            S::skipped(&skipped, &self.service);
            self.service.world.process.skipped_inputs.inc();
            tracing::warn!(service = %self.service.id, actor = S::ROLE.as_str(), "stage failed; input skipped");
        }
        Ok(myself.cast(Wake)?)
    }

    async fn handle(&self, _: ActorRef<Wake>, _: Wake, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let service = &self.service;
        while !service.is_retired()
            && let Some(item) = S::inbox(service).begin()
        {
            let started = Instant::now();
            let by = service.declared.load_full();
            let effects = S::core(service).step(&by.spec, S::declared, |core| S::step(core, &item, &by, service));
            S::inbox(service).done();
            service.world.process.stage(S::TIMED, started.elapsed());
            S::perform(effects, service);
        }
        Ok(())
    }
}

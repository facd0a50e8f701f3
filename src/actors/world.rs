//! What the actors share: the ports, and what is built once on top of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot::{self, error::RecvError};

use crate::decide::Deadline;
use crate::forecast::params::ForecastParams;
use crate::guard::FleetLimits;
use crate::instrument::{Metrics, ProcessMetrics};
use crate::model::RecordMask;
use crate::ports::{
    Clock, Cluster, Executor, Journal, KillSwitch, Leadership, PolicyMemory, PolicyStore, Services, TelemetrySource,
    Urgency,
};

use super::policy_library::InForce;
use super::write_gate::WriteGate;

/// The world as seen by the loop.
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Targets.
    pub cluster: Arc<dyn Cluster>,
    /// Durable memory.
    pub journal: Arc<dyn Journal>,
    /// The kill switch.
    pub kill: Arc<dyn KillSwitch>,
    /// Which process may write.
    pub leadership: Arc<dyn Leadership>,
    /// Which services are supervised.
    pub services: Arc<dyn Services>,
    /// Where policies come from.
    pub policies: Arc<dyn PolicyStore>,
    /// Policy state that outlives the process, and operators' orders.
    pub policy_memory: Arc<dyn PolicyMemory>,
    /// Long work.
    pub executor: Arc<dyn Executor>,
    /// Makes the deadline of one load of a policy set.
    pub deadline: fn() -> Deadline,
    /// Write budgets of the namespaces and the fleet.
    pub budgets: FleetLimits,
    /// Telemetry, by the name of the source in the settings.
    pub sources: BTreeMap<String, Arc<dyn TelemetrySource>>,
}

/// Everything outside that a stage may reach.
pub struct World {
    /// What it is made of.
    pub ports: Arc<Ports>,
    /// The way to the targets.
    pub gate: Arc<WriteGate>,
    /// The active policies.
    pub policy: InForce,
    /// flyball's own metrics.
    pub metrics: Arc<Metrics>,
    /// Metrics of the process.
    pub process: ProcessMetrics,
    /// What decision records do not show.
    pub mask: RecordMask,
    /// Parameters of the models.
    pub forecast: Arc<ForecastParams>,
}

impl World {
    /// Runs `work` on all services, which may wait for a disk, off the loop's threads and returns its result.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn off_the_loop<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RecvError> {
        let (told, yielded) = oneshot::channel();
        let context = Handle::current();
        let job = move || {
            let _context = context.enter();
            // The receiver is gone if the caller has ended meanwhile.
            drop(told.send(work()));
        };
        self.ports.executor.run(Urgency::Fleet, Box::new(job)).await;
        yielded.await
    }
}

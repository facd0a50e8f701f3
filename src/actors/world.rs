//! The ports that the actors share.

use std::sync::Arc;

use crate::cycle::stages::{Deadline, ForecastParams};
use crate::instrument::{Metrics, ProcessMetrics};
use crate::model::RecordMask;
use crate::ports::{Clock, Cluster, Executor, Journal, KillSwitch, Leadership, PolicyMemory, PolicyStore, Services};

use super::policy_library::InForce;
use super::write_gate::WriteGate;

/// Everything outside that a stage may reach.
pub struct World {
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
    /// Who is supervised.
    pub services: Arc<dyn Services>,
    /// Where policies come from.
    pub policies: Arc<dyn PolicyStore>,
    /// What outlives the process of them, and what people order.
    pub policy_memory: Arc<dyn PolicyMemory>,
    /// Long work.
    pub executor: Arc<dyn Executor>,
    /// The way to the world.
    pub gate: Arc<WriteGate>,
    /// The policy set in force.
    pub policy: Arc<InForce>,
    /// flyball's own metrics.
    pub metrics: Arc<Metrics>,
    /// Those of the process.
    pub process: ProcessMetrics,
    /// Makes the deadline of one load of a policy set.
    pub deadline: fn() -> Deadline,
    /// What of decisions is not shown.
    pub mask: Arc<RecordMask>,
    /// Parameters of the models.
    pub forecast: Arc<ForecastParams>,
}

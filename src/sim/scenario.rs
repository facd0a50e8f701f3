//! Fleets to run: that of the demo.

use std::sync::Arc;
use std::time::Duration;

use crate::model::ids::IdError;
use crate::model::{Bounds, CapacitySpec, ServiceId, Slo, Timestamp};

use super::pod::StartTime;
use super::queue::QueueTable;
use super::workload::{Begins, Burst, Workload};

/// Seconds from the start of the demo to the recurring surge.
pub const SURGE_AFTER: i64 = 600;

/// Seconds from the start of the demo to the flash crowd.
pub const FLASH_AFTER: i64 = 2400;

/// Share of the per-pod rate at which the objective still holds: p99 of a pod crosses 200 ms at 0.758.
const KNEE: f64 = 0.75;

/// A fleet under load.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its services.
    pub services: Vec<Arc<ServicePlan>>,
}

/// Everything about one service that does not change while it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePlan {
    /// Its identity.
    pub id: ServiceId,
    /// Its load.
    pub workload: Workload,
    /// Requests per second that saturate one pod.
    pub per_pod_rate: f64,
    /// Latency of a pod by its utilisation.
    pub queue: Arc<QueueTable>,
    /// How long its pods take to start.
    pub start: StartTime,
    /// Its objective.
    pub slo: Slo,
    /// Its replica bounds.
    pub bounds: Bounds,
}

impl ServicePlan {
    /// Returns the capacity that its owner would declare.
    pub fn capacity(&self) -> CapacitySpec {
        CapacitySpec { per_pod_rate: self.per_pod_rate, utilisation: KNEE, start_time: self.start.median }
    }
}

impl Scenario {
    /// Returns the start of a demo on the UTC day of `day`: 11:50, ten minutes before the surge.
    pub fn demo_start(day: Timestamp) -> Timestamp {
        let midnight = day.as_second().div_euclid(86_400) * 86_400;
        Timestamp::from_second(midnight + 11 * 3600 + 50 * 60).unwrap_or(day)
    }

    /// Returns the fleet of the demo that starts at `start`: `shop/checkout` with a daily surge to three times its
    /// load, [`SURGE_AFTER`] seconds after the start, `shop/search` with plain days, `shop/catalog` with a single flash
    /// crowd [`FLASH_AFTER`] seconds after the start.
    ///
    /// # Errors
    /// When a name of the fleet is not a valid service identity.
    pub fn demo(start: Timestamp) -> Result<Self, IdError> {
        let start = start.as_second();
        // Two workers at 20 ms per request: 100 requests per second saturate a pod.
        let queue = Arc::new(QueueTable::new(2, 0.020));
        let surge = Burst {
            begins: Begins::Daily((start + SURGE_AFTER).rem_euclid(86_400)),
            factor: 3.0,
            rise: 120,
            hold: 1200,
            fall: 600,
        };
        let flash = Burst { begins: Begins::Once(start + FLASH_AFTER), factor: 3.0, rise: 60, hold: 1200, fall: 600 };
        let day = |mean: f64, swing: f64, weekend: f64, bursts: Vec<Burst>| Workload {
            mean,
            swing,
            weekend,
            wander: 0.02,
            bursts,
        };
        let fleet = [
            ("checkout", day(300.0, 0.6, 1.1, vec![surge])),
            ("search", day(700.0, 0.7, 0.85, Vec::new())),
            ("catalog", day(400.0, 0.5, 0.95, vec![flash])),
        ];
        let plan = |(name, workload)| {
            Ok(Arc::new(ServicePlan {
                id: ServiceId::new("shop", name)?,
                workload,
                per_pod_rate: 100.0,
                queue: Arc::clone(&queue),
                start: StartTime { median: Duration::from_mins(1), spread: 0.3 },
                slo: Slo { p99: 0.2, error_ratio: 0.01 },
                bounds: Bounds { min: 2, max: 40 },
            }))
        };
        Ok(Self { services: fleet.into_iter().map(plan).collect::<Result<_, IdError>>()? })
    }
}

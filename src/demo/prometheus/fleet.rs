//! Thousands of services for benchmarks: the same endpoint and queries as the demo, over values computed by a formula,
//! so that the double costs next to nothing compared with the measured loop.

use std::f64::consts::TAU;

use crate::model::ServiceId;
use crate::model::ids::IdError;
use crate::sim::Signal;

use super::telemetry::Telemetry;

/// Requests per second that saturate one pod of the fleet.
const PER_POD_RATE: f64 = 100.0;

/// Assumed pods of every service of the fleet.
pub const REPLICAS: u32 = 4;

/// The namespace of the fleet.
pub const NAMESPACE: &str = "fleet";

/// A fleet whose services each follow a daily curve, out of phase with one another.
pub struct Fleet<C> {
    services: Vec<ServiceId>,
    clock: C,
}

impl<C: Fn() -> i64 + Send + Sync + 'static> Fleet<C> {
    /// Returns `count` services, from `fleet/svc-00000`; `clock` returns seconds since the Unix epoch.
    ///
    /// # Errors
    /// When a name is not a valid service identity.
    pub fn new(count: usize, clock: C) -> Result<Self, IdError> {
        let services = (0..count).map(|index| ServiceId::new(NAMESPACE, &format!("svc-{index:05}")));
        Ok(Self { services: services.collect::<Result<_, _>>()?, clock })
    }
}

impl<C: Fn() -> i64 + Send + Sync + 'static> Telemetry for Fleet<C> {
    fn now(&self) -> i64 {
        (self.clock)()
    }

    fn services(&self) -> &[ServiceId] {
        &self.services
    }

    fn values(&self, service: usize, signal: Signal, scrapes: &[i64]) -> Vec<Option<f64>> {
        let value = |at: &i64| {
            let phase = service as f64 * 0.618;
            let day = (TAU * (*at as f64 / 86_400.0 + phase)).sin();
            let ripple = (*at as f64 * 0.037 + phase).sin();
            let cpu = 0.45 + 0.15 * day + 0.02 * ripple;
            match signal {
                Signal::Rps => cpu * PER_POD_RATE * f64::from(REPLICAS),
                Signal::P99 => 0.08 + 0.1 * cpu,
                Signal::P50 => 0.02 + 0.01 * cpu,
                Signal::Cpu => cpu,
                Signal::Errors => 0.001,
            }
        };
        scrapes.iter().map(|at| Some(value(at))).collect()
    }
}

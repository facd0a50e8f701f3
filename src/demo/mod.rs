//! The plant of `sim` served over loopback, so that the real loop with its real adapters can run against it.
//!
//! | part | what |
//! |---|---|
//! | [`prometheus`] | a Prometheus double that reports what the plant does |
//! | [`kubernetes`] | a Kubernetes API double that stores the requested state |
//! | [`view`] | the output for people and programs |

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::{ServiceId, Timestamp};
use crate::sim::{BurstState, Plant, PodCounts, Scenario, Score, StockTwin};

use prometheus::PrometheusDouble;
use prometheus::telemetry::PlantTelemetry;

pub mod kubernetes;
pub mod prometheus;
pub mod view;

/// A running demo: a plant that flyball governs, its twin under the stock autoscaler, and the telemetry endpoint. The
/// endpoint stops when this is dropped.
#[derive(Debug)]
pub struct Demo {
    plant: Arc<Mutex<Plant>>,
    twin: Mutex<StockTwin>,
    prometheus: PrometheusDouble,
}

/// The current state of one service, as only the plant knows it: without telemetry lag.
#[derive(Debug, Clone, PartialEq)]
pub struct PlantSnapshot {
    /// The service.
    pub service: ServiceId,
    /// Requests per second.
    pub rps: f64,
    /// Its pods.
    pub pods: PodCounts,
    /// p99 latency, seconds.
    pub p99: f64,
    /// State of its surge or flash crowd.
    pub burst: Option<BurstState>,
}

/// What the run has cost so far, per service.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Under flyball.
    pub flyball: BTreeMap<ServiceId, Score>,
    /// The same plant and seed under the stock autoscaler.
    pub stock_autoscaler: BTreeMap<ServiceId, Score>,
}

impl Scores {
    /// Returns the sum over services, under flyball and under the stock autoscaler.
    pub fn sums(&self) -> (Score, Score) {
        (Score::sum(self.flyball.values()), Score::sum(self.stock_autoscaler.values()))
    }
}

impl Demo {
    /// Starts plant, twin and endpoint at `start_at` of plant time; time does not advance before
    /// [`advance_to`](Self::advance_to).
    ///
    /// # Errors
    /// When no port of the loopback interface is free.
    pub async fn start(scenario: &Scenario, seed: u64, start_at: Timestamp) -> io::Result<Self> {
        let plant = Arc::new(Mutex::new(Plant::new(scenario, seed, start_at)));
        let telemetry = PlantTelemetry::new(Arc::clone(&plant));
        let prometheus = PrometheusDouble::start(telemetry).await?;
        Ok(Self { plant, twin: Mutex::new(StockTwin::new(scenario, seed, start_at)), prometheus })
    }

    /// Returns the base URL of the telemetry endpoint.
    pub fn prometheus_url(&self) -> String {
        self.prometheus.url()
    }

    /// Returns the current time of the plant.
    pub fn now(&self) -> Timestamp {
        self.plant.lock().now()
    }

    /// Advances plant and twin to `to`, as one step of the cluster's controllers: takes the replicas that the cluster
    /// wants for each service (`None` leaves them unchanged), runs, and reports the resulting pods.
    pub fn advance_to(
        &self,
        to: Timestamp,
        wanted: impl Fn(&ServiceId) -> Option<u32>,
        mut report: impl FnMut(&ServiceId, PodCounts),
    ) {
        let reports: Vec<(ServiceId, PodCounts)> = {
            let mut plant = self.plant.lock();
            let ids: Vec<ServiceId> = plant.services().map(|(id, _)| id.clone()).collect();
            for id in &ids {
                if let Some(replicas) = wanted(id) {
                    plant.set_wanted(id, replicas);
                }
            }
            plant.advance(to);
            ids.into_iter().filter_map(|id| plant.status(&id).map(|counts| (id, counts))).collect()
        };
        for (id, counts) in &reports {
            report(id, *counts);
        }
        self.twin.lock().advance(to);
    }

    /// Returns the current state of every service, in name order.
    pub fn snapshot(&self) -> Vec<PlantSnapshot> {
        let plant = self.plant.lock();
        let now = plant.seconds();
        let snapshot = |(id, service): (&ServiceId, &crate::sim::SimService)| PlantSnapshot {
            service: id.clone(),
            rps: service.rps_now(),
            pods: service.counts(now),
            p99: service.p99_now(),
            burst: service.plan().workload.burst(now),
        };
        plant.services().map(snapshot).collect()
    }

    /// Returns what the run and its twin have cost so far.
    pub fn scores(&self) -> Scores {
        Scores { flyball: self.plant.lock().scores(), stock_autoscaler: self.twin.lock().plant().scores() }
    }
}

#[cfg(test)]
mod tests;

//! What the telemetry endpoint serves: the scrapes of the plant, published with the lag that every controller has to
//! cope with.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::{ServiceId, Timestamp};
use crate::sim::{Plant, SCRAPE_SECONDS, Signal, TELEMETRY_LAG_SECONDS};

/// Series for the endpoint to serve. Times are seconds since the Unix epoch.
pub trait Telemetry: Send + Sync + 'static {
    /// Returns the current second.
    fn now(&self) -> i64;

    /// Returns the services, in a fixed order.
    fn services(&self) -> &[ServiceId];

    /// Returns a signal of one service (by position) at each of `scrapes`; `None` if nothing was stored.
    fn values(&self, service: usize, signal: Signal, scrapes: &[i64]) -> Vec<Option<f64>>;
}

/// Returns the newest scrape at or before `at` that is published at `now`.
pub fn newest_scrape(at: i64, now: i64) -> i64 {
    let published = now.saturating_sub(TELEMETRY_LAG_SECONDS);
    at.min(published).div_euclid(SCRAPE_SECONDS) * SCRAPE_SECONDS
}

/// The plant as a source of series.
#[derive(Debug)]
pub struct PlantTelemetry {
    plant: Arc<Mutex<Plant>>,
    services: Vec<ServiceId>,
}

impl PlantTelemetry {
    /// Returns the telemetry of `plant`.
    pub fn new(plant: Arc<Mutex<Plant>>) -> Self {
        let services = plant.lock().services().map(|(id, _)| id.clone()).collect();
        Self { plant, services }
    }
}

impl Telemetry for PlantTelemetry {
    fn now(&self) -> i64 {
        let now: Timestamp = self.plant.lock().now();
        now.as_second()
    }

    fn services(&self) -> &[ServiceId] {
        &self.services
    }

    fn values(&self, service: usize, signal: Signal, scrapes: &[i64]) -> Vec<Option<f64>> {
        let plant = self.plant.lock();
        let service = self.services.get(service).and_then(|id| plant.service(id));
        let value = |at: &i64| service?.scraped(*at).map(|scrape| scrape.get(signal));
        scrapes.iter().map(value).collect()
    }
}

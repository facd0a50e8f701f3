//! Several services in lockstep.

use std::collections::BTreeMap;

use crate::model::{ServiceId, Timestamp};

use super::TICK_SECONDS;
use super::scenario::Scenario;
use super::score::Score;
use super::service::{PodCounts, SimService};

/// A plant at one moment of its time. It advances only on request.
#[derive(Debug, Clone)]
pub struct Plant {
    services: BTreeMap<ServiceId, SimService>,
    ticks: i64,
}

impl Plant {
    /// Returns the plant of `scenario` under `seed` at `start` (rounded down to a whole tick), all services at rest.
    pub fn new(scenario: &Scenario, seed: u64, start: Timestamp) -> Self {
        let ticks = start.as_second().div_euclid(TICK_SECONDS);
        let services = scenario
            .services
            .iter()
            .map(|plan| (plan.id.clone(), SimService::new(plan, seed, ticks * TICK_SECONDS)))
            .collect();
        Self { services, ticks }
    }

    /// Returns its current time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds()).unwrap_or(Timestamp::MAX)
    }

    /// Returns its current time in seconds since the Unix epoch.
    pub fn seconds(&self) -> i64 {
        self.ticks * TICK_SECONDS
    }

    /// Runs all whole ticks up to `to`; does nothing if that is in the past.
    pub fn advance(&mut self, to: Timestamp) {
        let end = to.as_second().div_euclid(TICK_SECONDS);
        while self.ticks < end {
            for service in self.services.values_mut() {
                service.tick(self.ticks);
            }
            self.ticks += 1;
        }
    }

    /// Sets the wanted replicas of a service, effective from the next tick. Returns whether the service exists.
    pub fn set_wanted(&mut self, service: &ServiceId, wanted: u32) -> bool {
        self.services.get_mut(service).map(|service| service.set_wanted(wanted)).is_some()
    }

    /// Returns the pods of a service; `None` if it does not exist.
    pub fn status(&self, service: &ServiceId) -> Option<PodCounts> {
        self.services.get(service).map(|service| service.counts(self.seconds()))
    }

    /// Returns one service.
    pub fn service(&self, id: &ServiceId) -> Option<&SimService> {
        self.services.get(id)
    }

    /// Returns the services in name order.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceId, &SimService)> {
        self.services.iter()
    }

    /// Returns what the run has cost so far, per service.
    pub fn scores(&self) -> BTreeMap<ServiceId, Score> {
        self.services.iter().map(|(id, service)| (id.clone(), service.score())).collect()
    }
}

#[cfg(test)]
mod tests;

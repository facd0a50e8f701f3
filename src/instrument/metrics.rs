//! The registry of all metrics and the metrics page.

use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::model::ServiceSpec;

use super::journal::JournalMetrics;
use super::process::ProcessMetrics;
use super::service::{ServiceFamilies, ServiceMetrics};
use super::source::{SourceFamilies, SourceMetrics};

/// Media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the process, under the prefix `flyball`.
pub struct Metrics {
    registry: Registry,
    process: ProcessMetrics,
    journal: JournalMetrics,
    services: ServiceFamilies,
    sources: SourceFamilies,
}

impl Metrics {
    /// Returns a registry with every metric of this crate and no series of any service or source yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("flyball");
        Self {
            process: ProcessMetrics::register(&mut registry),
            journal: JournalMetrics::register(&mut registry),
            services: ServiceFamilies::register(&mut registry),
            sources: SourceFamilies::register(&mut registry),
            registry,
        }
    }

    /// Returns the handles of the process.
    pub fn process(&self) -> ProcessMetrics {
        self.process.clone()
    }

    /// Returns the handles of the journal.
    pub fn journal(&self) -> JournalMetrics {
        self.journal.clone()
    }

    /// Returns the handles of one service.
    pub fn service(&self, spec: &ServiceSpec) -> ServiceMetrics {
        self.services.bundle(spec)
    }

    /// Returns the handles of one telemetry source.
    pub fn source(&self, name: &str) -> SourceMetrics {
        self.sources.bundle(name)
    }

    /// Returns the page in the OpenMetrics text format.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

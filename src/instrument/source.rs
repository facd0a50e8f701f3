//! Metrics of a telemetry source.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::model::Timestamp;

use super::{Labels, times};

/// Why a round of a source failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFault {
    /// Refused, reset, unknown host.
    Unreachable,
    /// Not queried, for lack of a token.
    Unauthorized,
    /// Not within the deadline.
    TimedOut,
    /// An HTTP status other than success.
    Status,
    /// The answer exceeds the size limit.
    TooLarge,
    /// Not in the documented format.
    Malformed,
}

impl SourceFault {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::TimedOut => "timed_out",
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
        }
    }
}

type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// The metrics of all sources.
pub(super) struct SourceFamilies {
    queries: Family<Labels<1>, Counter>,
    duration: Family<Labels<1>, Histogram>,
    last_success: Family<Labels<1>, Seconds>,
    staleness: Family<Labels<1>, Seconds>,
    errors: Family<Labels<2>, Counter>,
    lost: Family<Labels<1>, Gauge>,
    unmatched: Family<Labels<1>, Gauge>,
    annotations: Family<Labels<1>, Counter>,
}

impl SourceFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self {
            queries: Family::default(),
            duration: Family::new_with_constructor(times),
            last_success: Family::default(),
            staleness: Family::default(),
            errors: Family::default(),
            lost: Family::default(),
            unmatched: Family::default(),
            annotations: Family::default(),
        };
        registry.register("source_queries", "Queries sent to a telemetry source", new.queries.clone());
        let help = "Duration of a round of queries";
        registry.register_with_unit("source_round_duration", help, Unit::Seconds, new.duration.clone());
        let help = "Unix time of the last fully answered round of a source";
        registry.register_with_unit("source_last_success_timestamp", help, Unit::Seconds, new.last_success.clone());
        let help = "Age of the newest sample of a source";
        registry.register_with_unit("source_staleness", help, Unit::Seconds, new.staleness.clone());
        registry.register("source_errors", "Failed query rounds, by reason", new.errors.clone());
        let help = "Services that lost telemetry at once, blamed on their source";
        registry.register("source_lost_services", help, new.lost.clone());
        let help = "Series in the last round whose labels match no service";
        registry.register("source_unmatched_series", help, new.unmatched.clone());
        let help = "Annotations of a source on complete answers: PromQL info and warnings";
        registry.register("source_annotations", help, new.annotations.clone());
        new
    }

    pub(super) fn bundle(&self, name: &str) -> SourceMetrics {
        let label = [("source", name.to_owned().into())];
        SourceMetrics {
            queries: self.queries.get_or_create_owned(&label),
            duration: self.duration.get_or_create_owned(&label),
            last_success: self.last_success.get_or_create_owned(&label),
            staleness: self.staleness.get_or_create_owned(&label),
            errors: self.errors.clone(),
            lost: self.lost.get_or_create_owned(&label),
            unmatched: self.unmatched.get_or_create_owned(&label),
            annotations: self.annotations.get_or_create_owned(&label),
            source: name.to_owned(),
        }
    }
}

/// The handles of one source.
#[derive(Debug, Clone)]
pub struct SourceMetrics {
    source: String,
    queries: Counter,
    duration: Histogram,
    last_success: Seconds,
    staleness: Seconds,
    errors: Family<Labels<2>, Counter>,
    lost: Gauge,
    unmatched: Gauge,
    annotations: Counter,
}

impl SourceMetrics {
    /// Counts a round of `queries` that took `took` and returned `unmatched` series that belong to no service.
    pub fn asked(&self, queries: u32, unmatched: u64, took: Duration) {
        self.queries.inc_by(queries.into());
        self.unmatched.set(i64::try_from(unmatched).unwrap_or(i64::MAX));
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts the remarks of a source on queries that it answered completely.
    pub fn annotated(&self, annotations: usize) {
        self.annotations.inc_by(annotations as u64);
    }

    /// Notes an answer at `now`, whose newest sample, if it had any, was `staleness` old.
    pub fn answered(&self, now: Timestamp, staleness: Option<Duration>) {
        self.last_success.set(now.as_millisecond() as f64 / 1000.0);
        if let Some(staleness) = staleness {
            self.staleness.set(staleness.as_secs_f64());
        }
    }

    /// Notes how many services went silent together; 0 while the source is healthy.
    pub fn lost(&self, services: usize) {
        self.lost.set(services as i64);
    }

    /// Counts a round that was aborted, or one of its queries that was not answered.
    pub fn failed(&self, fault: SourceFault) {
        let label = [("source", self.source.clone().into()), ("fault", fault.as_str().into())];
        self.errors.get_or_create(&label).inc();
    }
}

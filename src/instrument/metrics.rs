//! x
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// What the journal measures.
#[derive(Debug, Clone)]
pub struct JournalMetrics {
    /// Durable commits.
    pub commits: Counter,
    /// Entries in them.
    pub entries: Counter,
    /// Entries that nobody waited for and that were refused or found no room.
    pub lost: Counter,
    /// Seconds a commit took.
    pub duration: Histogram,
    /// Whether it can be written: 1 or 0.
    pub healthy: Gauge,
}

impl Default for JournalMetrics {
    fn default() -> Self {
        Self {
            commits: Counter::default(),
            entries: Counter::default(),
            lost: Counter::default(),
            duration: Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0]),
            healthy: Gauge::default(),
        }
    }
}

impl JournalMetrics {
    /// Counts a commit of `entries`.
    pub fn committed(&self, entries: usize, took: Duration) {
        self.commits.inc();
        self.entries.inc_by(entries as u64);
        self.duration.observe(took.as_secs_f64());
    }
}

//! Metrics of the journal's commits.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::times;

/// The metrics of the journal. The default is not registered: for a journal without a metrics page.
#[derive(Debug, Clone)]
pub struct JournalMetrics {
    /// Durable commits.
    pub commits: Counter,
    /// Entries in them.
    pub entries: Counter,
    /// Entries that were not awaited and that were refused or found no room.
    pub lost: Counter,
    /// Seconds per commit.
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
            duration: times(),
            healthy: Gauge::default(),
        }
    }
}

impl JournalMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("journal_commits", "Durable journal commits", new.commits.clone());
        registry.register("journal_entries", "Entries committed to the journal", new.entries.clone());
        registry.register("journal_lost", "Entries lost: refused, or dropped from a full queue", new.lost.clone());
        let help = "Duration of a journal commit";
        registry.register_with_unit("journal_commit_duration", help, Unit::Seconds, new.duration.clone());
        registry.register("journal_healthy", "Whether the journal is writable", new.healthy.clone());
        new
    }

    /// Counts a commit of `entries`.
    pub fn committed(&self, entries: usize, took: Duration) {
        self.commits.inc();
        self.entries.inc_by(entries as u64);
        self.duration.observe(took.as_secs_f64());
    }
}

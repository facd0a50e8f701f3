//! flyball's own metrics and logs.
//!
//! | file | holds |
//! |---|---|
//! | [`metrics`] | [`Metrics`]: the registry and the page |
//! | [`process`] | the process as a whole: ticks, stages, kill switch, policy, readiness |
//! | [`service`] | one service, and the quality of its forecasts |
//! | [`source`] | the answers of a telemetry source |
//! | [`journal`] | the journal's commits |
//! | [`logs`] | the log subscriber |
//!
//! Labels are enums and the names of services, sources, signals and rules; never error texts, ids or pods. A component
//! gets its bundle of handles once and keeps it: setting a held handle takes 2 ns, a look-up 67.

pub mod journal;
pub mod logs;
pub mod metrics;
pub mod process;
pub mod service;
pub mod source;

pub use journal::JournalMetrics;
pub use logs::LogFormat;
pub use metrics::Metrics;
pub use process::{ProcessMetrics, Stage};
pub use service::{ActorRole, ServiceMetrics};
pub use source::{SourceFault, SourceMetrics};

use std::borrow::Cow;

use prometheus_client::metrics::histogram::Histogram;

/// Names and values of the labels of one series.
type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// Returns a histogram for times from 10 us to 10 s.
fn times() -> Histogram {
    Histogram::new([1e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0])
}

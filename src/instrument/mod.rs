//! flyball's own metrics and logs.
//!
//! | file | holds |
//! |---|---|
//! | [`metrics`] | every metric: registration, the page, the bundle of each part |
//! | [`labels`] | the label sets: enums and names of services, sources, signals and rules, nothing else |
//! | [`logs`] | the log subscriber |
//!
//! Parts get a bundle of handles once and keep it: setting a held handle takes 2 ns, looking a family up 67.

pub mod metrics;

pub use metrics::JournalMetrics;

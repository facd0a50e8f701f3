//! A plant to govern: services of pods that take time to start, under load that is a pure function of (seed, time), and
//! the stock autoscaler as a baseline. No I/O, no clock, one seed: the same call gives the same result.
//!
//! | file | duty |
//! |---|---|
//! | [`noise`] | seeded numbers addressed by position, so that history needs no replay |
//! | [`queue`] | latency of a pod by its utilisation (Erlang C) |
//! | [`workload`] | load over time: day, week, wander, recurring surge, flash crowd |
//! | [`pod`] | pods from creation to deletion |
//! | [`service`] | one service, tick by tick |
//! | [`plant`] | several services in lockstep |
//! | [`history`] | telemetry of a minute before the start of the plant |
//! | [`stock`] | the rule of the stock autoscaler |
//! | [`twin`] | a plant under that rule |
//! | [`score`] | the cost of a run to its users and its owner |
//! | [`scenario`] | the fleet of the demo |
//!
//! Not modelled: caches, garbage collection, bursts within five seconds, calls between services, pods that differ in
//! speed.

pub mod history;
pub mod noise;
pub mod plant;
pub mod pod;
pub mod queue;
pub mod scenario;
pub mod score;
pub mod service;
pub mod stock;
pub mod twin;
pub mod workload;

pub use plant::Plant;
pub use scenario::{Scenario, ServicePlan};
pub use score::Score;
pub use service::{PodCounts, Signal, SimService};
pub use twin::StockTwin;
pub use workload::BurstState;

/// Seconds per step of the plant.
pub const TICK_SECONDS: i64 = 5;

/// Seconds between two scrapes of the plant's telemetry, at whole multiples since the Unix epoch.
pub const SCRAPE_SECONDS: i64 = 15;

/// Seconds between a scrape and its publication; the same for every controller.
pub const TELEMETRY_LAG_SECONDS: i64 = 15;

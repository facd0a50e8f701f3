//! A plant to govern: services of pods that take time to start, under load that is a pure function of
//! (seed, time), and the stock autoscaler to compare with. No I/O, no clock, one seed: the same call gives the
//! same result.
//!
//! | file | duty |
//! |---|---|
//! | [`noise`] | seeded numbers addressed by position, so that the past needs no replay |
//! | [`queue`] | latency of a pod by its utilisation (Erlang C) |
//! | [`workload`] | load over time: day, week, wander, recurring surge, flash crowd |
//! | [`pod`] | pods from creation to deletion |
//! | [`service`] | one service, tick by tick |
//! | [`plant`] | several services in step |
//! | [`history`] | what a minute before the start of the plant looked like |
//! | [`stock`] | the rule of the stock autoscaler |
//! | [`twin`] | a plant under that rule |
//! | [`score`] | what a run cost its users and its owner |
//! | [`scenario`] | the fleet of the demo |
//!
//! Not modelled: caches, garbage collection, bursts within five seconds, calls between services, pods that
//! differ in speed.

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

/// Seconds that one step of the plant lasts.
pub const TICK_SECONDS: i64 = 5;

/// Seconds between two scrapes of the plant's telemetry, at whole multiples since the Unix epoch.
pub const SCRAPE_SECONDS: i64 = 15;

/// Seconds by which telemetry is published after it was taken; the same for every controller.
pub const TELEMETRY_LAG_SECONDS: i64 = 15;

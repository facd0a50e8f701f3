//! The actor tree in paused time: what it does, and what a fault in one service costs the others.

mod faults;
mod loops;
mod masked;
mod refusals;
pub mod replicas;
mod restarts;
mod staging;
mod telemetry;
mod turnover;
pub mod world;

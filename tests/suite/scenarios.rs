//! The actor tree in paused time: its behaviour, and what a fault in one service costs the others.

mod faults;
mod loops;
mod masked;
mod refusals;
pub mod replicas;
mod restarts;
mod slot;
mod staging;
mod telemetry;
mod turnover;
pub mod world;

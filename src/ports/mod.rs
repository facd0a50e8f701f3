//! Traits to the world. The loop knows these; only the adapters know what is behind them.
//!
//! All are object-safe; what waits returns a boxed future. None of them retries: the loop reads and decides again on
//! its next tick.

pub mod awaited;
pub mod clock;
pub mod cluster;
pub mod control;
pub mod executor;
pub mod journal;
pub mod kill_switch;
pub mod leadership;
pub mod policy_memory;
pub mod policy_store;
pub mod services;
pub mod telemetry;

pub use awaited::{Awaited, StaleWatch};
pub use clock::Clock;
pub use cluster::{Cluster, ClusterError, Live};
pub use control::{Control, Declaration, ServiceSnapshot, SourceStatus, Status};
pub use executor::{Executor, Urgency};
pub use journal::{Journal, JournalError};
pub use kill_switch::KillSwitch;
pub use leadership::Leadership;
pub use policy_memory::{PolicyMemory, PolicyStatus};
pub use policy_store::{PolicyFile, PolicyFiles, PolicyStore};
pub use services::{DeclaredServices, News, PolicyFaults, Services, Stop};
pub use telemetry::{Answer, Round, SourceError, TelemetrySource, Template};

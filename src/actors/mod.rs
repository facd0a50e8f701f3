//! Thin ractor shells around the cores of [`crate::cycle`]: they deliver events, run effects through the ports, and
//! isolate faults.
//!
//! ```text
//! root
//! |- policy library    compiles what the policy store announces, keeps the last good set
//! |- source (each)     one round of queries per tick, never two in flight; hands each service its share
//! `- fleet
//!    `- service (each) supervises four stages, restarts them together, quarantines what keeps failing
//!       |- observer  |- forecaster  |- decider  `- actuator
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`inbox`] | where a stage's input waits: the latest cycle, and a queue of facts |
//! | [`service`] | the state slot of a service, its four stages and their supervisor |
//! | [`write_gate`] | the only place that writes to the world |
//! | [`source`], [`back_off`] | ticks of one telemetry source, and how long to back off when it fails |
//! | `slow_queries` | which of its queries are sent less often |
//! | [`warm_start`] | reads the past once, before the service may act |
//! | [`policy_library`] | the active policy set |
//! | [`fleet`], [`root`] | supervision above the services |
//! | [`roster`] | which services are supervised, and what follows when that changes |
//! | `lead` | what a process does when it starts to lead |
//! | [`control`] | snapshots for console and CLI |
//!
//! What ractor leaves to its users, and how it is handled here: mailboxes are unbounded, so a message is only ever a
//! wake-up and the data waits in an [`inbox`]; a panic drops the mailbox, so nothing lives only in a message; a
//! parent's end kills its children at once, so no write runs inside an actor; names are process-wide, so no actor has
//! one; the default supervisor dies with its child, so every supervisor here overrides it.

pub mod back_off;
pub mod control;
pub mod fleet;
pub mod inbox;
mod lead;
pub mod policy_library;
pub mod root;
pub mod roster;
pub mod service;
mod slow_queries;
pub mod source;
pub mod warm_start;
pub mod world;
pub mod write_gate;

pub use control::{LoopControl, StartedWith};
pub use root::{Tree, TreePlan};
pub use roster::Roster;
pub use source::SourcePlan;
pub use world::{Ports, World};

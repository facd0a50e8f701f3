//! One supervised service: its state slot, its four stages, their supervisor.

mod slot;
mod stage;
mod stages;
mod supervisor;

pub use slot::{Past, SECOND_LOOK, Service, Share, View};
pub use supervisor::{Supervisor, SupervisorMsg};

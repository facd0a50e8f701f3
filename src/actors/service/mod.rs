//! One supervised service: its state slot, its four stages, their supervisor.

mod slot;
mod stage;
mod stages;
mod standing;
mod supervisor;

pub use slot::{Past, Service, Share, View};
pub use standing::{SECOND_LOOK, Standing};
pub use supervisor::{Supervisor, SupervisorMsg};

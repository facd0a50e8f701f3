//! The implementations of the ports: each adapter speaks one protocol and knows nothing of the loop.

pub mod alone;
pub mod clock;
pub mod executor;
pub mod kill_file;
pub mod kubernetes;
pub mod listed;
pub mod policy_dir;
pub mod policy_memory;
mod policy_set;
pub mod prometheus;
pub mod registry;
mod retry_after;
pub mod store;
mod whole_file;

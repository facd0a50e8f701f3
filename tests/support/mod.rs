//! What several test programs share. `delegating` is included by those that need it.

pub mod flyball;
pub mod kills;
pub mod process;

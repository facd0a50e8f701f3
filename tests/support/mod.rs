//! What several test programs share.

pub mod flyball;
pub mod kills;
pub mod process;

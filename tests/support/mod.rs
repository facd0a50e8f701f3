//! What several test programs share.

pub mod delegating;
pub mod flyball;
pub mod kills;
pub mod kubernetes;
pub mod process;
pub mod wait;

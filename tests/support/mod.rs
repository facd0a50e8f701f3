//! What several test programs share.

pub mod flyball;
#[cfg(feature = "failpoints")]
pub mod kills;

//! The version of this flyball.

/// Its version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, `unknown` if the build could not determine it.
pub const COMMIT: &str = env!("FLYBALL_COMMIT");

/// Both: `0.1.0 (4d75eac2c0de)`.
pub const FULL: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("FLYBALL_COMMIT"), ")");

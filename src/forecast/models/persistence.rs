//! The newest value goes on. Adapts at once, knows nothing: the bar that every other model has to pass.

use super::Path;
use crate::model::outlook::{HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "persistence";

/// Returns the forecast from the newest value.
pub(super) fn foresee(newest: Option<f64>) -> Option<Path> {
    newest.map(|value| [value; HORIZONS.len()])
}

/// Returns the parts of it: all is level.
pub(super) fn parts(newest: Option<f64>) -> Option<Parts> {
    newest.map(|level| Parts { level, ..Parts::default() })
}

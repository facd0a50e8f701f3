//! The newest value persists. Adapts at once, knows nothing: the baseline that every other model has to beat.

use super::Path;
use crate::model::outlook::{HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "persistence";

/// Returns the forecast from the newest value.
pub(super) fn foresee(newest: Option<f64>) -> Option<Path> {
    newest.map(|value| [value as f32; HORIZONS.len()])
}

/// Returns the parts of the forecast: all of it is level.
pub(super) fn parts(newest: Option<f64>) -> Option<Parts> {
    newest.map(|level| Parts { level, ..Parts::default() })
}

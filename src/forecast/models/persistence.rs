//! The newest value goes on. Adapts at once, knows nothing: the bar that every other model has to pass.

use super::Ahead;
use crate::model::outlook::{HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "persistence";

/// Returns the forecast from the newest value.
pub(super) fn foresee(newest: Option<f64>) -> Option<Ahead> {
    let value = newest?;
    Some(Ahead { path: [value; HORIZONS.len()], parts: Parts { level: value, ..Parts::default() } })
}

//! The newest value goes on. Adapts at once, knows nothing: the bar that every other model has to pass.

use super::{Ahead, Model, Past, View};
use crate::model::Minute;
use crate::model::outlook::{HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "persistence";

/// The newest value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Persistence {
    last: Option<f64>,
}

impl Model for Persistence {
    fn observe(&mut self, _minute: Minute, value: Option<f64>, _past: Past<'_>) {
        self.last = value.or(self.last);
    }

    fn foresee(&self, view: &View<'_>) -> Option<Ahead> {
        let value = view.origin.provisional.or(self.last)?;
        Some(Ahead { path: [value; HORIZONS.len()], parts: Parts { level: value, ..Parts::default() } })
    }
}

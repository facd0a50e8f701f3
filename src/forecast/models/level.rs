//! The smoothed level goes on (simple exponential smoothing). On noise around a level nothing does better, so
//! a model that beats persistence there, and not this one, has foreseen nothing.

use super::{Ahead, Model, Past, View};
use crate::model::Minute;
use crate::model::outlook::{HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "level";

/// Share of a surprise that moves the level, once as many minutes have been seen as it averages over.
const ALPHA: f64 = 0.1;

/// The smoothed level.
#[derive(Debug, Clone, Copy, Default)]
pub struct Level {
    level: Option<f64>,
    seen: u32,
}

impl Level {
    /// The first values count alike, so that the very first one does not linger.
    fn next(&self, value: f64) -> f64 {
        let gain = ALPHA.max(1.0 / (f64::from(self.seen) + 1.0));
        self.level.map_or(value, |level| level + gain * (value - level))
    }
}

impl Level {
    /// Puts the level where the signal stands.
    pub fn relevel(&mut self, level: f64) {
        self.level = Some(level);
    }
}

impl Model for Level {
    fn observe(&mut self, _minute: Minute, value: Option<f64>, _past: Past<'_>) {
        if let Some(value) = value {
            self.level = Some(self.next(value));
            self.seen = self.seen.saturating_add(1);
        }
    }

    fn foresee(&self, view: &View<'_>) -> Option<Ahead> {
        let level = view.origin.provisional.map(|value| self.next(value)).or(self.level)?;
        Some(Ahead { path: [level; HORIZONS.len()], parts: Parts { level, ..Parts::default() } })
    }
}

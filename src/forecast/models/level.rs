//! The smoothed level persists (simple exponential smoothing with clipped surprises: for skewed noise the median is
//! nearer to most values than the mean). On noise around a level nothing does better, so a model that beats persistence
//! there, but not this one, has predicted nothing.

use super::{Model, Past, Path, View};
use crate::model::Minute;
use crate::model::outlook::{HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "level";

/// Share of a surprise that moves the level, once as many minutes have been seen as it averages over.
const ALPHA: f64 = 0.1;
/// A surprise moves the level by at most this many times the mean absolute one, and is clipped likewise in that mean.
const CLIP: f64 = 3.0;
/// Weight of a surprise in their mean.
const SPREAD: f64 = 0.02;
/// Surprises before they are clipped.
const ENOUGH: u32 = 10;

/// The smoothed level.
#[derive(Debug, Clone, Copy, Default)]
pub struct Level {
    /// Number of values seen.
    height: f64,
    seen: u32,
    /// Mean absolute surprise.
    spread: f32,
}

impl Level {
    /// The first values have equal weight, so that the very first one does not linger.
    fn next(&self, value: f64) -> f64 {
        let gain = ALPHA.max(1.0 / (f64::from(self.seen) + 1.0));
        self.known().map_or(value, |level| level + gain * self.clipped(value - level))
    }

    fn seen_from(&self, view: &View<'_>) -> Option<f64> {
        view.origin.provisional.map(|value| self.next(value)).or(self.known())
    }

    fn known(&self) -> Option<f64> {
        (self.seen > 0).then_some(self.height)
    }

    fn clipped(&self, surprise: f64) -> f64 {
        let known = self.seen > ENOUGH && self.spread > 0.0;
        let most = if known { CLIP * f64::from(self.spread) } else { f64::MAX };
        surprise.clamp(-most, most)
    }
}

impl Level {
    /// Moves the level to the signal's current level.
    pub fn relevel(&mut self, level: f64) {
        self.height = level;
    }
}

impl Model for Level {
    fn observe(&mut self, _minute: Minute, value: Option<f64>, _past: Past<'_>) {
        if let Some(value) = value {
            let surprise = self.clipped(self.known().map_or(0.0, |level| value - level)).abs();
            let gain = SPREAD.max(1.0 / (f64::from(self.seen) + 1.0));
            self.spread += (gain * (surprise - f64::from(self.spread))) as f32;
            self.height = self.next(value);
            self.seen = self.seen.saturating_add(1);
        }
    }

    fn foresee(&self, view: &View<'_>) -> Option<Path> {
        self.seen_from(view).map(|level| [level as f32; HORIZONS.len()])
    }

    fn parts(&self, view: &View<'_>, _at: usize) -> Option<Parts> {
        self.seen_from(view).map(|level| Parts { level, ..Parts::default() })
    }
}

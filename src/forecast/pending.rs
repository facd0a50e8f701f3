//! Forecasts that wait for their outcome.
//!
//! One ring for each horizon, as long as the horizon: what was said for a minute lies where the next word for
//! the same ring will go, so each slot is read once and then overwritten. 86 + 40 slots, 5.1 KB a signal.

use super::models::{CATALOGUE, Path};
use super::scores::MODELS;
use crate::model::Minute;
use crate::model::outlook::HORIZONS;

/// Windows, in minutes, over which the maximum is forecast.
pub const WINDOWS: [u16; 2] = [10, 30];

const SLOTS: usize = total(&HORIZONS);
const WINDOW_SLOTS: usize = total(&WINDOWS);

const fn total(lengths: &[u16]) -> usize {
    let (mut sum, mut index) = (0, 0);
    while index < lengths.len() {
        sum += lengths[index] as usize;
        index += 1;
    }
    sum
}

/// A published forecast of one number, as much of it as scoring needs. NaN: there was none.
#[derive(Debug, Clone, Copy)]
pub struct Issued {
    /// Point forecast.
    pub point: f32,
    /// Unit in which the residual is measured.
    pub width: f32,
    /// Lower end of the 95 % interval; for a maximum its 5 % quantile.
    pub low: f32,
    /// Upper end of the 95 % interval; for a maximum its 95 % quantile.
    pub high: f32,
}

impl Issued {
    /// Nothing was said.
    pub const NOTHING: Self = Self { point: f32::NAN, width: f32::NAN, low: f32::NAN, high: f32::NAN };
}

/// What was said of one minute at one horizon.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    /// By each model of the catalogue.
    pub models: [f32; MODELS],
    /// By all together.
    pub mixed: Issued,
}

impl Said {
    const NOTHING: Self = Self { models: [f32::NAN; CATALOGUE.len()], mixed: Issued::NOTHING };
}

/// What was said from one origin: of each horizon, and of the maximum over each window.
pub type Word = ([Issued; HORIZONS.len()], [Issued; WINDOWS.len()]);

/// All forecasts of a signal without an outcome yet.
#[derive(Debug, Clone)]
pub struct Pending {
    points: [Said; SLOTS],
    maxima: [Issued; WINDOW_SLOTS],
}

impl Pending {
    /// Returns an empty table.
    pub fn new() -> Self {
        Self { points: [Said::NOTHING; SLOTS], maxima: [Issued::NOTHING; WINDOW_SLOTS] }
    }

    /// Returns what was said of `minute` at each horizon, in their order.
    pub fn said_of(&self, minute: Minute) -> [Said; HORIZONS.len()] {
        slots(&HORIZONS, minute).map(|slot| self.points.get(slot).copied().unwrap_or(Said::NOTHING))
    }

    /// Returns what was said of the maximum over each window that ends with `minute`.
    pub fn maxima_until(&self, minute: Minute) -> [Issued; WINDOWS.len()] {
        slots(&WINDOWS, minute).map(|slot| self.maxima.get(slot).copied().unwrap_or(Issued::NOTHING))
    }

    /// Keeps what is said at `origin`; to be called for each minute, after its outcomes were read.
    /// Without a word the origin says nothing.
    pub fn keep(&mut self, origin: Minute, models: &[Option<Path>; MODELS], word: Option<Word>) {
        let (points, maxima) = word.unwrap_or(([Issued::NOTHING; HORIZONS.len()], [Issued::NOTHING; WINDOWS.len()]));
        for (horizon, (slot, mixed)) in slots(&HORIZONS, origin).into_iter().zip(points).enumerate() {
            let at =
                |path: &Option<Path>| path.and_then(|path| path.get(horizon).copied()).map_or(f32::NAN, |at| at as f32);
            if let Some(said) = self.points.get_mut(slot) {
                *said = Said { models: models.each_ref().map(at), mixed };
            }
        }
        for (slot, maximum) in slots(&WINDOWS, origin).into_iter().zip(maxima) {
            if let Some(kept) = self.maxima.get_mut(slot) {
                *kept = maximum;
            }
        }
    }
}

/// Returns the slot of `minute` in each ring.
fn slots<const N: usize>(lengths: &[u16; N], minute: Minute) -> [usize; N] {
    let mut start = 0;
    lengths.map(|length| {
        let slot = start + minute.0.rem_euclid(i64::from(length)) as usize;
        start += usize::from(length);
        slot
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_meets_what_was_said_one_horizon_before() {
        let mut pending = Pending::new();
        for minute in 100..300 {
            let origins: Vec<f32> = pending.said_of(Minute(minute)).iter().map(|said| said.mixed.point).collect();
            for (origin, minutes) in origins.iter().zip(HORIZONS) {
                let expected = minute - i64::from(minutes);
                assert!(
                    if expected < 100 { origin.is_nan() } else { (origin - expected as f32).abs() < 0.5 },
                    "{minute} {minutes}"
                );
            }
            let maxima: Vec<f32> = pending.maxima_until(Minute(minute)).iter().map(|issued| issued.point).collect();
            for (origin, minutes) in maxima.iter().zip(WINDOWS) {
                let expected = minute - i64::from(minutes);
                assert!(if expected < 100 { origin.is_nan() } else { (origin - expected as f32).abs() < 0.5 });
            }
            let issued = Issued { point: minute as f32, ..Issued::NOTHING };
            pending.keep(Minute(minute), &[None; MODELS], Some(([issued; HORIZONS.len()], [issued; 2])));
        }
    }

    #[test]
    fn the_table_stays_small() {
        assert!(size_of::<Pending>() <= 5200, "{}", size_of::<Pending>());
    }
}

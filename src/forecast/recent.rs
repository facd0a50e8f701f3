//! The last half hour of a signal, its maxima, and the one-minute-ahead forecast made in each of its minutes.

use super::pending::WINDOWS;
use super::scores::Lanes;
use super::three::Three;
use crate::model::Minute;
use crate::model::outlook::HORIZONS;

/// Minutes of the longest window.
pub const LONGEST_MINUTES: u16 = WINDOWS[WINDOWS.len() - 1];
const LONGEST: usize = LONGEST_MINUTES as usize;
/// Share of the values due in a window that must be known for its maximum to count.
const WINDOW_SEEN: f32 = 0.8;

/// The last minutes, each at its number modulo the length; NaN if missing.
#[derive(Debug, Clone)]
pub struct Recent {
    values: [Three; LONGEST],
    /// The forecast for the minute that followed.
    said: [Three; LONGEST],
}

impl Recent {
    /// Returns the state before any minute.
    pub fn new() -> Self {
        Self { values: [Three::NAN; LONGEST], said: [Three::NAN; LONGEST] }
    }

    /// Returns the value half an hour before `minute`, which has not been added yet; `None` for a gap.
    pub fn half_an_hour_before(&self, minute: Minute) -> Option<f64> {
        self.values.get(slot(minute)).map(|value| f64::from(value.get())).filter(|value| value.is_finite())
    }

    /// Returns for each horizon ending at `minute` what its origin forecast for the next minute.
    pub fn held(&self, minute: Minute) -> Lanes {
        let newest = slot(minute);
        HORIZONS.map(|minutes| {
            let slot = newest + LONGEST - usize::from(minutes);
            self.said[if slot < LONGEST { slot } else { slot - LONGEST }].get()
        })
    }

    /// Keeps the forecast made in `minute` for the next one; call it for every minute.
    pub fn keep(&mut self, minute: Minute, said: f32) {
        self.said[slot(minute)] = Three::of(said);
    }

    /// Multiplies everything before `before`; `newest` is the last minute added.
    pub fn scale(&mut self, newest: Minute, before: Minute, factor: f64) {
        for minute in (0..i64::from(LONGEST_MINUTES)).map(|back| newest.plus(-back)).filter(|minute| *minute < before) {
            let slot = slot(minute);
            self.values[slot] = Three::of(factor as f32 * self.values[slot].get());
            self.said[slot] = Three::of(factor as f32 * self.said[slot].get());
        }
    }

    /// Adds the value of `minute`, with one value due every `every` minutes, and returns the maxima of the windows that
    /// end with it; NaN if too much of a window is unknown.
    pub fn push(&mut self, minute: Minute, value: Option<f64>, every: u8) -> [f32; WINDOWS.len()] {
        let slot = slot(minute);
        if let Some(cell) = self.values.get_mut(slot) {
            *cell = value.map_or(Three::NAN, |value| Three::of(value as f32));
        }
        WINDOWS.map(|minutes| self.maximum(slot, minutes, f32::from(minutes) / f32::from(every)))
    }

    fn maximum(&self, slot: usize, minutes: u16, due: f32) -> f32 {
        let minutes = usize::from(minutes);
        // The part up to the slot, and the part that wraps around to the end of the ring.
        let end = (slot + 1).min(LONGEST);
        let before = minutes.saturating_sub(end).min(LONGEST - end);
        let (mut highest, mut seen) = (f32::NEG_INFINITY, 0_u16);
        for stretch in [self.values.get(end.saturating_sub(minutes)..end), self.values.get(LONGEST - before..)] {
            for value in stretch.unwrap_or_default().iter().map(|value| value.get()) {
                // Both comparisons are false for a gap.
                seen += u16::from(!value.is_nan());
                highest = if value > highest { value } else { highest };
            }
        }
        if seen > 0 && f32::from(seen) >= WINDOW_SEEN * due { highest } else { f32::NAN }
    }
}

fn slot(minute: Minute) -> usize {
    minute.0.rem_euclid(i64::from(LONGEST_MINUTES)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maxima_are_those_of_the_last_minutes() {
        let value = |minute: i64| f64::from((minute * 37 % 101) as i32);
        let mut recent = Recent::new();
        for minute in -5..200 {
            let maxima = recent.push(Minute(minute), Some(value(minute)), 1);
            for (maximum, minutes) in maxima.into_iter().zip(WINDOWS) {
                let minutes = i64::from(minutes);
                let seen = (minute - minutes + 1).max(-5)..=minute;
                let enough = seen.clone().count() as f32 >= WINDOW_SEEN * minutes as f32;
                let highest = seen.map(value).fold(f64::NEG_INFINITY, f64::max);
                assert!(if enough { f64::from(maximum) == highest } else { maximum.is_nan() }, "{minute} {minutes}");
            }
        }
    }

    #[test]
    fn what_is_scraped_seldom_has_maxima_too() {
        let mut recent = Recent::new();
        for minute in 0..60 {
            let maxima = recent.push(Minute(minute), (minute % 4 == 0).then_some(f64::from(minute as i32)), 4);
            let newest = (minute - minute % 4) as f32;
            assert!(minute < 30 || maxima == [newest; WINDOWS.len()], "{minute}: {maxima:?}");
        }
        let missed = (60..90).map(|minute| recent.push(Minute(minute), None, 4)[0]).collect::<Vec<_>>();
        assert!(missed.iter().skip(10).all(|maximum| maximum.is_nan()), "{missed:?}");
    }

    #[test]
    fn too_many_gaps_leave_no_maximum() {
        let mut recent = Recent::new();
        for minute in 0..60 {
            recent.push(Minute(minute), Some(1.0), 1);
        }
        let maxima = [0, 1, 2].map(|gap| recent.push(Minute(60 + gap), None, 1)[0]);
        assert!(maxima[0] == 1.0 && maxima[1] == 1.0 && maxima[2].is_nan(), "{maxima:?}");
    }
}

//! The last half hour of a signal, its maxima, and the one-minute-ahead forecast made in each of its minutes.

use super::lanes::larger;
use super::pending::WINDOWS;
use super::scores::Lanes;
use super::three::Threes;
use crate::model::Minute;
use crate::model::outlook::HORIZONS;

/// Minutes of the longest window.
pub const LONGEST_MINUTES: u16 = WINDOWS[WINDOWS.len() - 1];
const LONGEST: usize = LONGEST_MINUTES as usize;
/// Each window is a multiple of it.
const LANES: usize = 10;
const _: () = assert!((WINDOWS[0] as usize).is_multiple_of(LANES) && LONGEST.is_multiple_of(LANES));
/// Share of the values due in a window that must be known for its maximum to count.
const WINDOW_SEEN: f32 = 0.8;

/// The last minutes, the newest last; NaN if missing.
#[derive(Debug, Clone)]
pub struct Recent {
    values: Threes<LONGEST>,
    /// The forecast for the minute that followed.
    said: Threes<LONGEST>,
}

impl Recent {
    /// Returns the state before any minute.
    pub fn new() -> Self {
        Self { values: Threes::NAN, said: Threes::NAN }
    }

    /// Returns the value half an hour before the minute that is added next; `None` for a gap.
    pub fn half_an_hour_ago(&self) -> Option<f64> {
        Some(f64::from(self.values.get(0))).filter(|value| value.is_finite())
    }

    /// Returns for each horizon ending at the minute that is added next what its origin forecast for one minute ahead.
    pub fn held(&self) -> Lanes {
        HORIZONS.map(|minutes| self.said.get(LONGEST - usize::from(minutes)))
    }

    /// Keeps the forecast made in a minute for the next one; call it for every minute.
    pub fn keep(&mut self, said: f32) {
        self.said.push(said);
    }

    /// Multiplies everything before `before`; `newest` is the last minute added.
    pub fn scale(&mut self, newest: Minute, before: Minute, factor: f64) {
        let kept = newest.0.saturating_sub(before.0).saturating_add(1).clamp(0, LONGEST as i64);
        for numbers in [&mut self.values, &mut self.said] {
            for at in 0..LONGEST - kept as usize {
                numbers.set(at, factor as f32 * numbers.get(at));
            }
        }
    }

    /// Adds the value of a minute, with one value due every `every` minutes, and returns the maxima of the windows that
    /// end with it; NaN if too much of a window is unknown. Call it for every minute.
    pub fn push(&mut self, value: Option<f64>, every: u8) -> [f32; WINDOWS.len()] {
        self.values.push(value.map_or(f32::NAN, |value| value as f32));
        let values = self.values.all();
        WINDOWS.map(|minutes| maximum(&values[LONGEST - usize::from(minutes)..], f32::from(minutes) / f32::from(every)))
    }
}

/// Returns the largest value; NaN if fewer are known than most of the `due` ones.
fn maximum(values: &[f32], due: f32) -> f32 {
    let seen = values.iter().map(|value| u32::from(!value.is_nan())).sum::<u32>();
    // In lanes that wait for nothing but their own; the comparison is false for a gap.
    let mut highest = [f32::NEG_INFINITY; LANES];
    for values in values.chunks_exact(LANES) {
        for (highest, value) in highest.iter_mut().zip(values) {
            *highest = larger(*value, *highest);
        }
    }
    let highest = highest.iter().fold(f32::NEG_INFINITY, |highest, value| larger(*value, highest));
    if seen > 0 && seen as f32 >= WINDOW_SEEN * due { highest } else { f32::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maxima_are_those_of_the_last_minutes() {
        let value = |minute: i64| f64::from((minute * 37 % 101) as i32);
        let mut recent = Recent::new();
        for minute in -5..200 {
            let maxima = recent.push(Some(value(minute)), 1);
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
            let maxima = recent.push((minute % 4 == 0).then_some(f64::from(minute)), 4);
            let newest = (minute - minute % 4) as f32;
            assert!(minute < 30 || maxima == [newest; WINDOWS.len()], "{minute}: {maxima:?}");
        }
        let missed = (60..90).map(|_| recent.push(None, 4)[0]).collect::<Vec<_>>();
        assert!(missed.iter().skip(10).all(|maximum| maximum.is_nan()), "{missed:?}");
    }

    #[test]
    fn too_many_gaps_leave_no_maximum() {
        let mut recent = Recent::new();
        for _ in 0..60 {
            recent.push(Some(1.0), 1);
        }
        let maxima = [0, 1, 2].map(|_| recent.push(None, 1)[0]);
        assert!(maxima[0] == 1.0 && maxima[1] == 1.0 && maxima[2].is_nan(), "{maxima:?}");
    }
}

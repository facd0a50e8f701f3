//! How far off forecasts are at each time of the season, relative to the recent expectation.
//!
//! A surge that recurs daily is forecast less accurately than the calm before it, and the error of the last hour does
//! not show that. As volatility has a daily pattern (Andersen and Bollerslev 1997), the expected error is multiplied by
//! a factor for the time that is forecast, learned from the outcomes at that time relative to the error of a calm
//! minute.

use super::lanes::larger;
use crate::model::Minute;

/// Maximum number of cells; a day of minutes has a quarter of an hour in each.
const CELLS: usize = 96;
/// Weight of a new outcome in its cell: a half-life of about a day and a half for cells of a quarter of an hour.
const GAIN: f32 = 0.03;
/// Least factor: an error not seen for days may still occur.
const LEAST: f32 = 0.05;

/// A factor in 16 bits: four for the exponent and twelve for the mantissa; off by at most 1/8192.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Factor(u16);

impl Factor {
    /// Smaller factors are stored as this; readers never see one this small.
    const SMALLEST: f32 = 1.0 / 64.0;
    const LARGEST: f32 = 1000.0;
    /// Dropped low bits of the `f32` mantissa.
    const LEFT_OUT: u32 = 11;

    fn of(factor: f32) -> Self {
        let bits = factor.clamp(Self::SMALLEST, Self::LARGEST).to_bits() + (1 << (Self::LEFT_OUT - 1));
        Self(((bits - Self::SMALLEST.to_bits()) >> Self::LEFT_OUT) as u16)
    }

    fn get(self) -> f32 {
        f32::from_bits((u32::from(self.0) << Self::LEFT_OUT) + Self::SMALLEST.to_bits())
    }
}

/// A factor for each time of the season.
#[derive(Debug, Clone)]
pub struct SeasonalScale {
    factors: [Factor; CELLS],
    /// Steps in a season, at least one, and in a cell.
    steps: u32,
    cell_steps: u32,
}

impl SeasonalScale {
    /// Returns factors of one for a season of `steps` steps; a short season has one cell per step.
    pub fn new(steps: u32) -> Self {
        let steps = steps.max(1);
        Self { factors: [Factor::of(1.0); CELLS], steps, cell_steps: steps.div_ceil(CELLS as u32) }
    }

    /// Learns that the forecast for `minute` was off by `ratio` times the recent error of calm minutes, after `seen`
    /// minutes. The first outcomes of a cell count equally: in a season of few steps, each cell gets one per season.
    pub fn learn(&mut self, minute: Minute, ratio: f32, seen: u32) {
        let cell = (self.offset(minute) / self.cell_steps) as usize;
        let before = seen as f32 / self.steps as f32 * self.cell_steps as f32;
        let gain = larger(GAIN, 1.0 / (before + 2.0));
        if let Some(factor) = self.factors.get_mut(cell).filter(|_| ratio.is_finite()) {
            *factor = Factor::of(factor.get() + gain * (ratio - factor.get()));
        }
    }

    /// Returns the factors of the minutes `ahead` of `origin`, at least one and ascending, and the highest factor of all
    /// minutes up to each of them.
    pub fn ahead<const N: usize>(&self, origin: Minute, ahead: &[u16; N]) -> [[f32; N]; 2] {
        let (mut at, mut highest) = ([0.0; N], [0.0; N]);
        let first = self.offset(origin.plus(1));
        let mut cell = first / self.cell_steps;
        // The minute after the origin with which the next cell begins.
        let mut next = 1 + self.end(cell) - first;
        let mut factor = self.factor(cell as usize);
        let mut most = factor;
        for (lane, minutes) in ahead.iter().enumerate() {
            while u32::from(*minutes) >= next {
                let (begun, last) = (self.end(cell), self.end(cell) == self.steps);
                cell = if last { 0 } else { cell + 1 };
                next += self.end(cell) - if last { 0 } else { begun };
                factor = self.factor(cell as usize);
                most = larger(factor, most);
            }
            (at[lane], highest[lane]) = (factor, most);
        }
        [at, highest]
    }

    /// Returns the step after the last one of a cell.
    fn end(&self, cell: u32) -> u32 {
        ((cell + 1) * self.cell_steps).min(self.steps)
    }

    fn factor(&self, cell: usize) -> f32 {
        larger(self.factors.get(cell).map_or(1.0, |factor| factor.get()), LEAST)
    }

    fn offset(&self, minute: Minute) -> u32 {
        minute.0.rem_euclid(i64::from(self.steps)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 720;

    /// Ten days in which a quarter of an hour at noon is twenty times as surprising as the rest.
    fn learned() -> SeasonalScale {
        let mut scale = SeasonalScale::new(1440);
        for minute in 0..10 * 1440 {
            let of_day = minute % 1440;
            let ratio = if (NOON..NOON + 15).contains(&of_day) { 20.0 } else { 1.0 };
            scale.learn(Minute(minute), ratio, minute as u32);
        }
        scale
    }

    #[test]
    fn a_factor_is_kept_to_a_small_part_of_it() {
        for step in -36..69 {
            let factor = 1.1_f32.powi(step);
            let kept = Factor::of(factor).get();
            assert!((kept - factor).abs() <= factor / 8192.0, "{factor}: {kept}");
        }
        assert_eq!([0.0, -1.0].map(|small| Factor::of(small).get()), [Factor::SMALLEST; 2]);
        assert!(Factor::of(f32::MAX).get() < 1001.0);
    }

    #[test]
    fn what_was_surprising_each_day_is_expected_to_be() {
        let scale = learned();
        for (minute, low, high) in
            [(NOON - 1, 0.9, 1.1), (NOON, 18.0, 20.0), (NOON + 14, 18.0, 20.0), (NOON + 15, 0.9, 1.1)]
        {
            let [[factor], _] = scale.ahead(Minute(20 * 1440 + minute - 1), &[1]);
            assert!((low..high).contains(&factor), "{minute}: {factor}");
        }
    }

    #[test]
    fn a_season_of_few_steps_is_learned_in_a_few_of_them() {
        let mut scale = SeasonalScale::new(24);
        (0..5 * 24).for_each(|step| scale.learn(Minute(step), if step % 24 == 8 { 4.0 } else { 1.0 }, step as u32));
        let [[morning, other], _] = scale.ahead(Minute(5 * 24), &[8, 9]);
        assert!(morning > 3.0 && (0.9..1.1).contains(&other), "{morning} {other}");
    }

    #[test]
    fn a_window_is_as_surprising_as_its_most_surprising_minute() {
        let scale = learned();
        let at = |minute, minutes| scale.ahead(Minute(20 * 1440 + minute), &[minutes])[1][0];
        assert!(at(NOON - 11, 10) < 1.1 && at(NOON - 10, 10) > 18.0 && at(NOON + 13, 10) > 18.0);
        assert!(at(NOON + 14, 30) < 1.1, "the first minute of a window is the one after its origin");
        assert_eq!(SeasonalScale::new(7).ahead(Minute(-3), &[30]), [[1.0]; 2]);
    }

    #[test]
    fn no_outcome_makes_it_no_number() {
        let mut scale = SeasonalScale::new(1440);
        for ratio in [f32::NAN, f32::INFINITY, 0.0] {
            scale.learn(Minute(-5), ratio, 7);
        }
        for minute in [-5, i64::MIN, i64::MAX] {
            assert!(scale.ahead(Minute(minute), &[1]).as_flattened().iter().all(|factor| factor.is_finite()));
        }
    }
}

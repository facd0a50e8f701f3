//! How far off forecasts are at each time of the season, against what was expected of late.
//!
//! A surge that comes each day is foreseen less well than the calm before it, and the error of the last hour knows
//! nothing of that. As volatility has a pattern of the day (Andersen and Bollerslev 1997), the expected error is
//! multiplied by a factor of the time for which something is foreseen, learned from the outcomes at that time against
//! the error of a calm minute.

use crate::model::Minute;

/// Most cells; a day of minutes has a quarter of an hour in each.
const CELLS: usize = 96;
/// Share of a new outcome in its cell: about a day and a half of a quarter of an hour each.
const GAIN: f32 = 0.03;
/// Least factor: an error that was not there for days may still come.
const LEAST: f32 = 0.05;

/// A factor for each time of the season.
#[derive(Debug, Clone, Copy)]
pub struct SeasonalScale {
    factors: [f32; CELLS],
    /// Steps in a season, at least one.
    steps: i64,
}

impl SeasonalScale {
    /// Returns factors of one for a season of so many steps.
    pub fn new(steps: u32) -> Self {
        Self { factors: [1.0; CELLS], steps: i64::from(steps.max(1)) }
    }

    /// Learns that what was foreseen for `minute` was off by `ratio` times the recent error of calm minutes.
    pub fn learn(&mut self, minute: Minute, ratio: f32) {
        let cell = self.cell(minute);
        if let Some(factor) = self.factors.get_mut(cell).filter(|_| ratio.is_finite()) {
            *factor += GAIN * (ratio - *factor);
        }
    }

    /// Returns the factor for what is foreseen for `minute`.
    pub fn at(&self, minute: Minute) -> f64 {
        self.factor(self.cell(minute))
    }

    /// Returns the highest factor of the `minutes` after `origin`.
    pub fn highest(&self, origin: Minute, minutes: u16) -> f64 {
        let (cells, minutes) = (self.cells(), i64::from(minutes).min(self.steps));
        let (first, last) = (self.cell(origin.plus(1)), self.cell(origin.plus(minutes)));
        let more = (last + cells - first) % cells;
        (0..=more).map(|next| self.factor((first + next) % cells)).fold(0.0, f64::max)
    }

    fn factor(&self, cell: usize) -> f64 {
        f64::from(self.factors.get(cell).copied().unwrap_or(1.0).max(LEAST))
    }

    /// A short season has a cell for each of its steps.
    fn cells(&self) -> usize {
        CELLS.min(self.steps as usize)
    }

    fn cell(&self, minute: Minute) -> usize {
        (minute.0.rem_euclid(self.steps) * self.cells() as i64 / self.steps) as usize
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
            scale.learn(Minute(minute), if (NOON..NOON + 15).contains(&of_day) { 20.0 } else { 1.0 });
        }
        scale
    }

    #[test]
    fn what_was_surprising_each_day_is_expected_to_be() {
        let scale = learned();
        for (minute, low, high) in
            [(NOON - 1, 0.9, 1.1), (NOON, 18.0, 20.0), (NOON + 14, 18.0, 20.0), (NOON + 15, 0.9, 1.1)]
        {
            let factor = scale.at(Minute(20 * 1440 + minute));
            assert!((low..high).contains(&factor), "{minute}: {factor}");
        }
    }

    #[test]
    fn a_window_is_as_surprising_as_its_most_surprising_minute() {
        let scale = learned();
        let at = |minute, minutes| scale.highest(Minute(20 * 1440 + minute), minutes);
        assert!(at(NOON - 11, 10) < 1.1 && at(NOON - 10, 10) > 18.0 && at(NOON + 13, 10) > 18.0);
        assert!(at(NOON + 14, 30) < 1.1, "the first minute of a window is the one after its origin");
        assert!(SeasonalScale::new(7).highest(Minute(-3), 30) <= 1.0);
    }

    #[test]
    fn no_outcome_makes_it_no_number() {
        let mut scale = SeasonalScale::new(1440);
        for ratio in [f32::NAN, f32::INFINITY, 0.0] {
            scale.learn(Minute(-5), ratio);
        }
        assert!(scale.at(Minute(-5)).is_finite() && scale.at(Minute(i64::MIN)).is_finite());
    }
}

//! What changed from here a season ago changes again, from where the signal stands now. Knows every surge that
//! recurs by the clock and the level of today; pays with the noise of three values.

use super::{Ahead, Model, Origin, Past, Path};
use crate::model::Minute;
use crate::model::outlook::{HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "seasonal_difference";

/// The newest value; those of the last season lie in the shared history.
#[derive(Debug, Clone)]
pub struct SeasonalDifference {
    seasons: i64,
    last: Option<f64>,
}

impl SeasonalDifference {
    /// Returns the rule that looks so many seasons back.
    pub fn new(seasons: i64) -> Self {
        Self { seasons, last: None }
    }
}

impl Model for SeasonalDifference {
    fn observe(&mut self, _minute: Minute, value: Option<f64>, _past: Past<'_>) {
        self.last = value.or(self.last);
    }

    fn ahead(&self, origin: &Origin<'_>) -> Option<Ahead> {
        let now = origin.provisional.or(self.last)?;
        let Past { history, season } = origin.past;
        let then = origin.minute.plus(-season.steps().saturating_mul(self.seasons));
        let start = history.near(then)?;
        let mut path = Path::default();
        for (point, minutes) in path.iter_mut().zip(HORIZONS) {
            *point = now + history.near(then.plus(i64::from(minutes)))? - start;
        }
        let [first, ..] = path;
        Some(Ahead { path, parts: Parts { rest: now, season: first - now, ..Parts::default() } })
    }
}

//! What was a day ago comes again. Needs a day, knows every surge that recurs by the clock, adapts to nothing.

use super::{Ahead, Model, Origin, Past, Path};
use crate::model::Minute;
use crate::model::outlook::{HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "seasonal_naive";

/// Yesterday; its values lie in the shared history.
#[derive(Debug, Clone)]
pub struct SeasonalNaive {
    seasons: i64,
}

impl SeasonalNaive {
    /// Returns the rule that looks so many seasons back.
    pub fn new(seasons: i64) -> Self {
        Self { seasons }
    }
}

impl Model for SeasonalNaive {
    fn observe(&mut self, _minute: Minute, _value: Option<f64>, _past: Past<'_>) {}

    fn ahead(&self, origin: &Origin<'_>) -> Option<Ahead> {
        let Past { history, season } = origin.past;
        let then = origin.minute.plus(-season.steps().saturating_mul(self.seasons));
        let mut path = Path::default();
        for (point, minutes) in path.iter_mut().zip(HORIZONS) {
            *point = history.near(then.plus(i64::from(minutes)))?;
        }
        let [first, ..] = path;
        Some(Ahead { path, parts: Parts { season: first, ..Parts::default() } })
    }
}

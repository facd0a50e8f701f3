//! What changed from here a season ago changes again, from where the signal stands now. Knows every surge that
//! recurs by the clock and the level of today; pays with the noise of three values.

use super::{Ahead, Back, Model, Past, View};
use crate::model::Minute;
use crate::model::outlook::Parts;

/// Name in the catalogue.
pub const NAME: &str = "seasonal_difference";

/// The newest value; those of the last season lie in the shared history.
#[derive(Debug, Clone, Copy)]
pub struct SeasonalDifference {
    back: Back,
    last: Option<f64>,
}

impl SeasonalDifference {
    /// Returns the rule that looks so far back.
    pub fn new(back: Back) -> Self {
        Self { back, last: None }
    }
}

impl Model for SeasonalDifference {
    fn observe(&mut self, _minute: Minute, value: Option<f64>, _past: Past<'_>) {
        self.last = value.or(self.last);
    }

    fn foresee(&self, view: &View<'_>) -> Option<Ahead> {
        let now = view.origin.provisional.or(self.last)?;
        let then = view.once(self.back);
        let start = then.here?;
        let path = then.ahead?.map(|later| now + later - start);
        let [first, ..] = path;
        Some(Ahead { path, parts: Parts { level: now, season: first - now, ..Parts::default() } })
    }
}

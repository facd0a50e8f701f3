//! What was a day ago comes again. Needs a day, knows every surge that recurs by the clock, adapts to nothing.

use super::{Ahead, Back, Model, Past, View};
use crate::model::Minute;
use crate::model::outlook::Parts;

/// Name in the catalogue.
pub const NAME: &str = "seasonal_naive";

/// A season ago, or a week of them; the values lie in the shared history.
#[derive(Debug, Clone, Copy)]
pub struct SeasonalNaive {
    back: Back,
}

impl SeasonalNaive {
    /// Returns the rule that looks so far back.
    pub fn new(back: Back) -> Self {
        Self { back }
    }
}

impl Model for SeasonalNaive {
    fn observe(&mut self, _minute: Minute, _value: Option<f64>, _past: Past<'_>) {}

    fn foresee(&self, view: &View<'_>) -> Option<Ahead> {
        let path = view.once(self.back).ahead?;
        let ([first, ..], [_, season, ..]) = (path, view.season);
        // The profile lies around nothing: what is not of it is the level that day.
        Some(Ahead { path, parts: Parts { level: first - season, season, ..Parts::default() } })
    }
}

//! What was a day ago comes again. Needs a day, knows every surge that recurs by the clock, adapts to nothing.

use super::{Ahead, Lagged};
use crate::model::outlook::Parts;

/// Name in the catalogue.
pub const NAME: &str = "seasonal_naive";

/// Returns the forecast from what was `then`: a season ago, or a week of them; the profile of the day stands at
/// `season` a minute ahead.
pub(super) fn foresee(then: &Lagged, season: f64) -> Option<Ahead> {
    let path = then.ahead?;
    let [first, ..] = path;
    // The profile lies around nothing: what is not of it is the level that day.
    Some(Ahead { path, parts: Parts { level: first - season, season, ..Parts::default() } })
}

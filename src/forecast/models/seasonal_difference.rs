//! What changed from here a season ago changes again, from where the signal stands now. Knows every surge that
//! recurs by the clock and the level of today; pays with the noise of three values.

use super::{Ahead, Lagged};
use crate::model::outlook::Parts;

/// Name in the catalogue.
pub const NAME: &str = "seasonal_difference";

/// Returns the forecast from the newest value and what was `then`: a season ago, or a week of them.
pub(super) fn foresee(newest: Option<f64>, then: &Lagged) -> Option<Ahead> {
    let now = newest?;
    let start = then.here?;
    let path = then.ahead?.map(|later| now + later - start);
    let [first, ..] = path;
    Some(Ahead { path, parts: Parts { level: now, season: first - now, ..Parts::default() } })
}

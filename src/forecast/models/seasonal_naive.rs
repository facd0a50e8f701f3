//! What was a day ago comes again. Needs a day, knows every surge that recurs by the clock, adapts to nothing.

use super::{Ahead, Once};
use crate::model::outlook::Parts;

/// Name in the catalogue.
pub const NAME: &str = "seasonal_naive";

/// Returns the forecast from what was `then`: a season ago, or a week of them.
pub(super) fn foresee(then: &Once) -> Option<Ahead> {
    let path = then.ahead?;
    let [first, ..] = path;
    Some(Ahead { path, parts: Parts { season: first, ..Parts::default() } })
}

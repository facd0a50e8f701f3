//! What was a day ago comes again. Needs a day, knows every surge that recurs by the clock, adapts to nothing.

use super::{Back, Lagged, Path, View};
use crate::model::outlook::Parts;

/// Name in the catalogue.
pub const NAME: &str = "seasonal_naive";

/// Returns the forecast from what was `then`: a season ago, or a week of them.
pub(super) fn foresee(then: &Lagged) -> Option<Path> {
    then.ahead
}

/// Returns the parts of its point at that horizon. The season lies around nothing: what is not of it is the level that
/// day, and of a week ago what the mean day has not is of the week.
pub(super) fn parts(back: Back, view: &View<'_>, at: usize) -> Option<Parts> {
    let (point, day) = (view.lagged(back).ahead?[at], view.day(at));
    let week = if back == Back::Week { view.days(at).map_or(0.0, |days| point - days) } else { 0.0 };
    Some(Parts { level: point - day - week, day, week, ..Parts::default() })
}

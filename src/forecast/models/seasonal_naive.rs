//! The value of a day ago repeats. Needs a day, knows every surge that recurs by the clock, adapts to nothing.

use super::{Back, Lagged, Path, View};
use crate::model::outlook::Parts;

/// Name in the catalogue.
pub const NAME: &str = "seasonal_naive";

/// Returns the forecast from `then`: the values one season, or one week of seasons, ago.
pub(super) fn foresee(then: &Lagged) -> Option<Path> {
    then.ahead().copied()
}

/// Returns the parts of the point at that horizon. The season is centred on zero: the remainder is that day's level,
/// and with a lag of a week whatever the mean day lacks belongs to the week.
pub(super) fn parts(back: Back, view: &View<'_>, at: usize) -> Option<Parts> {
    let (point, day) = (f64::from(view.lagged(back).ahead()?[at]), view.day(at));
    let week = if back == Back::Week { view.days(at).map_or(0.0, |days| point - days) } else { 0.0 };
    Some(Parts { level: point - day - week, day, week, ..Parts::default() })
}

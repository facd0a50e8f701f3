//! What changed from here a season ago changes again, from where the signal stands now. Knows every surge that
//! recurs by the clock and the level of today; pays with the noise of three values.

use super::{Back, Lagged, Path, View};
use crate::model::outlook::Parts;

/// Name in the catalogue.
pub const NAME: &str = "seasonal_difference";

/// Returns the forecast from the newest value and what was `then`: a season ago, or a week of them.
pub(super) fn foresee(newest: Option<f64>, then: &Lagged) -> Option<Path> {
    let (now, start) = (newest?, then.here?);
    then.ahead.map(|ahead| ahead.map(|later| now + later - start))
}

/// Returns the parts of its point at that horizon: the newest value without its season is the level, and the season
/// then with what changes since is of the day; of a week ago what the season does not change by is of the week.
pub(super) fn parts(back: Back, newest: Option<f64>, view: &View<'_>, at: usize) -> Option<Parts> {
    let (now, then, before) = (newest?, view.lagged(back), view.day_of_newest());
    let changed = before + then.ahead?[at] - then.here?;
    let (day, week) = match back {
        Back::Season => (changed, 0.0),
        Back::Week => (view.day(at), changed - view.day(at)),
    };
    Some(Parts { level: now - before, day, week, ..Parts::default() })
}

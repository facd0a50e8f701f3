//! The change observed from this point a season ago repeats, starting from the current value. Knows every surge that
//! recurs by the clock and today's level, at the price of the noise of three values.

use super::{Back, Lagged, Path, View};
use crate::model::outlook::Parts;

/// Name in the catalogue.
pub const NAME: &str = "seasonal_difference";

/// Returns the forecast from the newest value and from `then`: the values one season, or one week of seasons, ago.
pub(super) fn foresee(newest: Option<f64>, then: &Lagged) -> Option<Path> {
    let (now, start) = (newest? as f32, then.here()?);
    then.ahead().map(|ahead| ahead.map(|later| now + (later - start)))
}

/// Returns the parts of the point at that horizon. The newest value without its season is the level; the season back
/// then plus the change since belongs to the day. With a lag of a week, whatever the mean day lacks belongs to the
/// week, both then and ahead.
pub(super) fn parts(back: Back, newest: Option<f64>, view: &View<'_>, at: usize) -> Option<Parts> {
    let (now, then, season) = (newest?, view.lagged(back), view.season_of_newest());
    let [here, ahead] = [then.here()?, then.ahead()?[at]].map(f64::from);
    let mean_day = (back == Back::Week).then(|| view.days_of_newest().zip(view.days(at))).flatten();
    // Without a mean day the whole change belongs to the day.
    let (days_here, days_ahead) = mean_day.unwrap_or((here, ahead));
    Some(Parts {
        level: now - season - (here - days_here),
        day: season + days_ahead - days_here,
        week: ahead - days_ahead,
        ..Parts::default()
    })
}

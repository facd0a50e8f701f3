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

/// Returns the parts of its point at that horizon. The newest value without its season is the level, and the season
/// then with what changes since is of the day. Of a week ago what the mean day has not is of the week, then as well as
/// ahead.
pub(super) fn parts(back: Back, newest: Option<f64>, view: &View<'_>, at: usize) -> Option<Parts> {
    let (now, then, season) = (newest?, view.lagged(back), view.season_of_newest());
    let (here, ahead) = (then.here?, then.ahead?[at]);
    let mean_day = (back == Back::Week).then(|| view.days_of_newest().zip(view.days(at))).flatten();
    // Without a mean day all that changes is of the day.
    let (days_here, days_ahead) = mean_day.unwrap_or((here, ahead));
    Some(Parts {
        level: now - season - (here - days_here),
        day: season + days_ahead - days_here,
        week: ahead - days_ahead,
        ..Parts::default()
    })
}

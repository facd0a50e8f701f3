//! A signal whose level has changed: everything learned is moved to the new level.

use super::{Head, Kept};
use crate::forecast::models::Profiles;
use crate::forecast::models::season::Place;
use crate::forecast::pending::DueForecasts;
use crate::forecast::shift::Change;
use crate::forecast::week::WEEK;
use crate::forecast::zone::Clock;
use crate::model::Minute;

impl Head {
    /// Returns how the level changed with the value of `minute`, if the signal cannot be negative and has a day of
    /// history.
    pub(super) fn change(
        &mut self,
        minute: Minute,
        here: Place,
        value: f64,
        due: &DueForecasts,
        kept: &Kept,
    ) -> Option<Change> {
        self.ratio_height()?;
        let day = kept.week.day(here)?;
        let ago = || kept.week.days_ago(here, WEEK).unwrap_or(f64::NAN);
        self.shift.notice(minute, value, &due.mixed.points, day, ago)
    }

    /// Moves the past to the level of `minute`, which is not learned yet. Weights, skill and coverage stay: losses
    /// scale with the signal, and published misses remain misses.
    pub(super) fn relevel(&mut self, minute: Minute, clock: Clock, change: Change, kept: &mut Kept) {
        let Change { factor, past, since, level } = change;
        let newest = minute.plus(-1);
        kept.history.scale(past, factor);
        kept.week.scale(clock.now.plus(past.0.saturating_sub(minute.0)), factor);
        kept.season.scale(factor);
        kept.recent.scale(newest, since, factor);
        kept.pending.multiplied(since, factor);
        self.scores.scale(&mut kept.surges, factor);
        self.bands.scale(factor);
        self.height.scale(factor);
        let here = kept.week.place(clock.now);
        let (season, profiles) = (kept.season.value(here), Profiles::of_week(&kept.week, here));
        self.models.relevel(level, factor, season, profiles, kept.past(self.ratio_height()));
    }
}

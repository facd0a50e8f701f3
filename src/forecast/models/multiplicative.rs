//! Multiplicative Holt-Winters: level, trend and rest of the ratio of the signal to its profile, so that a day twice as
//! busy has surges twice as high.
//!
//! The profile is what the last days have in common, or the signal a week ago. The recursion is the additive one over
//! the ratio `(y + e) / (profile + e)`, in which `e` prevents a division by zero in an idle hour: nothing in it can
//! overflow, and nothing is learned twice.
//!
//! Its parts are nevertheless in units of the signal, so that they add up with those of other models. The profile is
//! that of the mean day `m + s` (its mean, and the season around it) plus what the week adds, `w`; each term of the
//! ratio `l + b + a` (level, trend, rest) multiplies all of it:
//!
//! ```text
//! (m + s + w + e) (l + b + a) - e  =  (m + e) l - e   level
//!                                  +  s l             day
//!                                  +  w l             week
//!                                  +  (m + s + w + e) b    trend
//!                                  +  (m + s + w + e) a    autoregressive
//! ```

use super::holt_winters::{Core, Recursion};
use super::season::Places;
use super::{FROM_HERE, Past, Path, View};
use crate::forecast::week::Week;
use crate::model::outlook::{HORIZONS, Parts, Transform};

/// Name in the catalogue.
pub const NAME: &str = "multiplicative";

/// Share of the usual height that is added to signal and profile.
const ADDED: f64 = 0.01;
/// Smallest and largest multiple of the profile.
const RANGE: (f64, f64) = (0.02, 20.0);

/// What the signal is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The mean of the last days.
    Days,
    /// The same time a week ago.
    Week,
}

/// Holt-Winters over the ratio of the signal to its profile; its rules are passed in at each step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Multiplicative {
    ratio: Option<Core>,
}

impl Multiplicative {
    /// Learns a value where the profile is `profile`; a value that cannot be compared is a gap.
    pub(super) fn learn(&mut self, rules: &Recursion, value: Option<f64>, profile: Option<f64>, past: Past<'_>) {
        let ratio = value.zip(profile).and_then(|(value, profile)| ratio(value, profile, past));
        self.ratio = rules.next(self.ratio, 0.0, ratio);
    }

    /// Moves the level to the signal's current level, to which the profile was already moved.
    pub(super) fn relevel(&mut self, level: f64, profile: Option<f64>, past: Past<'_>) {
        let ratio = profile.and_then(|profile| ratio(level, profile, past));
        self.ratio.iter_mut().zip(ratio).for_each(|(core, ratio)| core.relevel(ratio, 1.0));
    }

    /// Returns the forecast from the origin of `view`, `missed` minutes after the last one learned but one; `None` if
    /// the profile is unknown.
    pub(super) fn foresee(&self, rules: &Recursion, profile: Profile, missed: i64, view: &View<'_>) -> Option<Path> {
        let Compared { profile, added, provisional } = profile.compared(view)?;
        let ratios = rules.path(self.ratio?, missed, provisional, &[0.0; FROM_HERE.len()]);
        let mut path: Path = [0.0; HORIZONS.len()];
        for (point, (ratio, profile)) in path.iter_mut().zip(ratios.iter().zip(&profile)) {
            *point = self::point(*profile, added, *ratio);
        }
        Some(path)
    }

    /// Returns the parts of the point at that horizon, in the unit of the signal.
    pub(super) fn parts(
        &self,
        rules: &Recursion,
        profile: Profile,
        missed: i64,
        view: &View<'_>,
        at: usize,
    ) -> Option<Parts> {
        let Compared { profile, added, provisional } = profile.compared(view)?;
        let (profile, day) = (profile[at], view.day(at));
        let ratio = rules.parts(self.ratio?, missed, provisional, 0.0, at);
        let (height, week) = (profile + added, profile - view.days(at).unwrap_or(profile));
        let mut parts = Parts {
            level: (height - day - week) * ratio.level - added,
            trend: height * ratio.trend,
            day: day * ratio.level,
            week: week * ratio.level,
            ar: height * ratio.ar,
            rest: 0.0,
        };
        parts.complete(point(profile, added, ratio.level + ratio.trend + ratio.ar));
        Some(parts)
    }
}

impl Profile {
    /// Returns the form of its forecasts in outlooks.
    pub const fn transform(self) -> Transform {
        match self {
            Self::Days => Transform::RatioToDays,
            Self::Week => Transform::RatioToWeeks,
        }
    }

    /// Returns the values to compare with; `None` if any is unknown.
    fn compared(self, view: &View<'_>) -> Option<Compared> {
        let (here, profile) = match self {
            Self::Days => view.days.map(|[here, ahead @ ..]| (here, ahead))?,
            Self::Week => view.week_ago.here.zip(view.week_ago.ahead)?,
        };
        let past = view.origin.past;
        let provisional = match view.origin.provisional {
            Some(value) => Some(ratio(value, here, past)?),
            None => None,
        };
        Some(Compared { profile, added: added(past)?, provisional })
    }
}

/// An origin relative to a profile.
struct Compared {
    /// The profile at each horizon.
    profile: Path,
    /// Offset added to signal and profile.
    added: f64,
    /// The provisional value, as a ratio.
    provisional: Option<f64>,
}

/// What the models compare a minute with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Profiles {
    /// The mean of the days.
    pub days: Option<f64>,
    /// The same time a week ago.
    pub week: Option<f64>,
}

impl Profiles {
    /// Reads them at a place.
    pub fn of_week(week: &Week, places: &Places<1>) -> Self {
        let (days, [ago]) = (week.days(places).map(|[here]| here), week.ago(places));
        Self { days, week: (!ago.is_nan()).then_some(ago) }
    }

    pub(super) fn of(&self, profile: Profile) -> Option<f64> {
        match profile {
            Profile::Days => self.days,
            Profile::Week => self.week,
        }
    }
}

/// Returns the offset added to signal and profile; `None` for a signal that may be negative or was never nonzero.
fn added(past: Past<'_>) -> Option<f64> {
    past.height.map(|height| ADDED * height).filter(|added| *added > 0.0)
}

/// Converts a ratio to the profile back to the signal.
fn point(profile: f64, added: f64, ratio: f64) -> f64 {
    (profile + added) * ratio.clamp(RANGE.0, RANGE.1) - added
}

fn ratio(value: f64, profile: f64, past: Past<'_>) -> Option<f64> {
    let added = added(past)?;
    let ratio = (value.max(0.0) + added) / (profile.max(0.0) + added);
    Some(ratio.clamp(0.0, RANGE.1))
}

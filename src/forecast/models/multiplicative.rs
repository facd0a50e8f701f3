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

use super::holt_winters::{Ahead, Core, Recursion};
use super::season::Place;
use super::{FROM_HERE, Past, Path, View};
use crate::forecast::lanes::zip;
use crate::forecast::week::{WEEK, Week};
use crate::model::outlook::{Parts, Transform};

/// Name in the catalogue.
pub const NAME: &str = "multiplicative";

/// Share of the usual height that is added to signal and profile.
const ADDED: f64 = 0.01;
/// Smallest and largest multiple of the profile.
const RANGE: (f32, f32) = (0.02, 20.0);

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

    /// Returns the forecast of a core that has learned all up to the origin but `missed` minutes.
    pub(super) fn foresee(
        &self,
        rules: &Recursion,
        ahead: &Ahead,
        missed: i64,
        compared: &Compared<'_>,
    ) -> Option<Path> {
        let Compared { profile, added, provisional } = compared;
        let [profile @ .., _] = profile;
        let ratios = rules.path(ahead, self.ratio?, missed, *provisional, &[0.0; FROM_HERE.len()]);
        Some(zip(profile, &ratios, |profile, ratio| point(profile, *added as f32, ratio)))
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
        let [profile @ .., _] = profile;
        let (profile, day) = (f64::from(profile[at]), view.day(at));
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
        let ratio = ratio.level + ratio.trend + ratio.ar;
        parts.complete(point(profile as f32, added as f32, ratio as f32).into());
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
    pub(super) fn compared<'a>(self, view: &'a View<'_>) -> Option<Compared<'a>> {
        let profile = match self {
            Self::Days => view.days.as_ref()?,
            Self::Week => view.week_ago.known()?,
        };
        let ([.., here], past) = (profile, view.origin.past);
        let provisional = match view.origin.provisional {
            Some(value) => Some(ratio(value, f64::from(*here), past)?),
            None => None,
        };
        Some(Compared { profile, added: added(past)?, provisional })
    }
}

/// An origin relative to a profile.
pub(super) struct Compared<'a> {
    /// The profile at each horizon and here.
    profile: &'a [f32; FROM_HERE.len()],
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
    pub fn of_week(week: &Week, here: Place) -> Self {
        Self { days: week.day(here), week: week.days_ago(here, WEEK) }
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
fn point(profile: f32, added: f32, ratio: f32) -> f32 {
    (profile + added) * ratio.clamp(RANGE.0, RANGE.1) - added
}

fn ratio(value: f64, profile: f64, past: Past<'_>) -> Option<f64> {
    let added = added(past)?;
    let ratio = (value.max(0.0) + added) / (profile.max(0.0) + added);
    Some(ratio.clamp(0.0, RANGE.1.into()))
}

//! Multiplicative Holt-Winters: a level, a trend and a rest of what the signal is of its profile, so that a day twice as
//! busy has surges twice as high.
//!
//! The profile is what the last days have in common, or what was a week ago. The recursion is the additive one over
//! the ratio `(y + e) / (profile + e)`, in which `e` keeps an idle hour from dividing by nothing: nothing in it can
//! overflow, and nothing is learned twice.

use super::holt_winters::HoltWinters;
use super::season::Places;
use super::{Ahead, Past, Path, View};
use crate::forecast::params::{ForecastParams, Smoothing};
use crate::forecast::week::Week;
use crate::model::Minute;
use crate::model::outlook::{HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "multiplicative";

/// Share of the usual height that is added to signal and profile.
const ADDED: f64 = 0.01;
/// Least and largest multiple of the profile.
const RANGE: (f64, f64) = (0.02, 20.0);

/// What the signal is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The mean of the last days.
    Days,
    /// The same time a week ago.
    Week,
}

/// Holt-Winters over what the signal is of its profile.
#[derive(Debug, Clone, Copy)]
pub struct Multiplicative {
    profile: Profile,
    ratio: HoltWinters,
}

impl Multiplicative {
    /// Returns an empty model.
    pub fn new(params: &ForecastParams, profile: Profile, smoothing: Smoothing) -> Self {
        Self { profile, ratio: HoltWinters::pupil(params, smoothing) }
    }

    /// Learns `minute`; a minute that cannot be compared is a gap.
    pub(super) fn learn(&mut self, minute: Minute, value: Option<f64>, profiles: Profiles, past: Past<'_>) {
        let ratio = value.zip(profiles.of(self.profile)).and_then(|(value, profile)| ratio(value, profile, past));
        self.ratio.learn(minute, ratio, 0.0, past);
    }

    /// Puts the level where the signal stands, the profile being on it already.
    pub(super) fn relevel(&mut self, level: f64, profiles: Profiles, past: Past<'_>) {
        if let Some(ratio) = profiles.of(self.profile).and_then(|profile| ratio(level, profile, past)) {
            self.ratio.relevel(ratio, 1.0);
        }
    }

    /// Returns the forecast from where `view` was taken; `None` where the profile is not known.
    pub(super) fn foresee(&self, view: &View<'_>) -> Option<Ahead> {
        let (here, profile) = match self.profile {
            Profile::Days => view.days.map(|[here, ahead @ ..]| (here, ahead))?,
            Profile::Week => view.week_ago.here.zip(view.week_ago.ahead)?,
        };
        let past = view.origin.past;
        let added = added(past)?;
        let provisional = match view.origin.provisional {
            Some(value) => Some(ratio(value, here, past)?),
            None => None,
        };
        let Ahead { path: ratios, parts } = self.ratio.beyond(view.origin.minute, provisional)?;
        let mut path: Path = [0.0; HORIZONS.len()];
        for (point, (ratio, profile)) in path.iter_mut().zip(ratios.iter().zip(&profile)) {
            *point = (profile + added) * ratio.clamp(RANGE.0, RANGE.1) - added;
        }
        let ([first, ..], [profile, ..], [_, season, ..]) = (path, profile, view.season);
        // The season lies around nothing: what else the profile holds is level.
        let height = profile + added;
        let (level, trend) = (profile - season + height * (parts.level - 1.0), height * parts.trend);
        Some(Ahead { path, parts: Parts { level, trend, season, rest: first - season - level - trend } })
    }
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

    fn of(&self, profile: Profile) -> Option<f64> {
        match profile {
            Profile::Days => self.days,
            Profile::Week => self.week,
        }
    }
}

/// Returns what is added to signal and profile; `None` for a signal that may be negative or that never was anything but zero.
fn added(past: Past<'_>) -> Option<f64> {
    past.height.map(|height| ADDED * height).filter(|added| *added > 0.0)
}

fn ratio(value: f64, profile: f64, past: Past<'_>) -> Option<f64> {
    let added = added(past)?;
    let ratio = (value.max(0.0) + added) / (profile.max(0.0) + added);
    Some(ratio.clamp(0.0, RANGE.1))
}

//! The catalogue of forecast models.
//!
//! A model learns minute by minute and forecasts all horizons from the newest one. It takes the minute of the day from
//! the wall clock and never counts, so that a gap does not shift its season. A new model is a file in this directory, a
//! variant of `Simple` and a row of [`CATALOGUE`], which the tests iterate over.
//!
//! | file | forecast |
//! |---|---|
//! | [`persistence`] | the newest value persists |
//! | [`level`] | the smoothed level persists: the best rule against pure noise |
//! | [`seasonal_naive`] | the value of a day ago repeats |
//! | [`seasonal_difference`] | the change from this point a day ago repeats |
//! | [`holt_winters`] | damped trend and daily season on a level, robust against outliers |
//! | [`multiplicative`] | the same on the ratio of the signal to its mean day or to the week before |
//!
//! A model explains its points only on request (`parts`), when an outlook is made: most forecasts are scored and never
//! explained.

pub mod holt_winters;
pub mod level;
pub mod multiplicative;
pub mod persistence;
mod rows;
pub mod season;
pub mod seasonal_difference;
pub mod seasonal_naive;
mod view;

#[cfg(test)]
mod tests;

use self::holt_winters::{Ahead, HoltWinters};
use self::level::Level;
pub use self::multiplicative::Profiles;
use self::multiplicative::{Multiplicative, Profile};
use self::season::{Place, Season};
use self::view::FROM_HERE;
pub use self::view::{Back, Lagged, View};
use super::history::History;
use super::params::{ForecastParams, Smoothing};
use super::week::Week;
use super::zone::Clock;
use crate::model::Minute;
use crate::model::outlook::{ForecastFlag, HORIZONS, Parts, Transform};

/// One value for each of [`HORIZONS`], in the precision of what is remembered.
pub type Path = [f32; HORIZONS.len()];

/// What was learned about a signal, shared by its models.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// The last days, up to the last minute learned.
    pub history: &'a History,
    /// The profile of the day.
    pub season: &'a Season,
    /// The last week, and the mean of its days.
    pub week: &'a Week,
    /// Usual height of a signal that is never negative.
    pub height: Option<f64>,
}

/// Where a forecast starts.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The minute from which the horizons count: the last one learned, or the current one after it.
    pub minute: Minute,
    /// Wall-clock time in the configured zone at `minute`.
    pub clock: Clock,
    /// The value of the current minute so far; used, not learned.
    pub provisional: Option<f64>,
    /// Minutes without a value up to the origin, which is the age of the newest value in minutes.
    pub gap: u32,
    /// What was learned before.
    pub past: Past<'a>,
}

/// A forecast model of one signal.
pub trait Model {
    /// Learns `minute`; `None` is a gap. Called once per minute, in order, after the history has it.
    fn observe(&mut self, minute: Minute, value: Option<f64>, past: Past<'_>);

    /// Returns how the last minute changes the season; applied after all models have learned.
    fn season_update(&self) -> Option<SeasonUpdate> {
        None
    }

    /// Notes that the season was drawn: flat until now, it is `at_last` in the last minute.
    fn season_drawn(&mut self, _at_last: f64) {}

    /// Returns the forecast from the origin of `view`; `None` if the model has not seen enough.
    fn foresee(&self, view: &View<'_>) -> Option<Path>;

    /// Returns the parts of the point at the horizon at position `at`; `None` if there is no forecast.
    fn parts(&self, view: &View<'_>, at: usize) -> Option<Parts>;

    /// Returns the forecast from `origin` of a standalone model.
    fn ahead(&self, origin: &Origin<'_>) -> Option<Path> {
        self.foresee(&View::of(origin))
    }

    /// Returns notes for the reader on how the last minute was learned.
    fn flag(&self) -> Option<ForecastFlag> {
        None
    }
}

/// How a minute changes the season.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SeasonUpdate {
    /// The profile at this minute is off by this much.
    Correct(f64),
    /// The day that ends with this minute is the first one: draw the profile from it.
    Draw,
}

/// A model that needs only the newest value and the level, which all of them share.
#[derive(Debug, Clone, Copy)]
enum Simple {
    /// See [`persistence`].
    Persistence,
    /// See [`level`].
    Level,
    /// See [`seasonal_naive`].
    SeasonalNaive(Back),
    /// See [`seasonal_difference`].
    SeasonalDifference(Back),
}

/// What the catalogue's models know about a signal besides its history.
#[derive(Debug, Clone, Copy)]
pub struct Models {
    newest: Option<f64>,
    level: Level,
    holt_winters: HoltWinters,
    multiplicative: [Multiplicative; MULTIPLICATIVE.len()],
}

impl Models {
    /// Builds all models.
    pub fn new(params: &ForecastParams) -> Self {
        Self {
            newest: None,
            level: Level::default(),
            holt_winters: HoltWinters::new(params),
            multiplicative: [Multiplicative::default(); MULTIPLICATIVE.len()],
        }
    }

    /// Lets all models learn `minute`, which is in the history; `here` is the place of the wall-clock time there, and
    /// `season` the season.
    pub fn observe(&mut self, minute: Minute, here: Place, value: Option<f64>, season: f64, past: Past<'_>) {
        self.newest = value.or(self.newest);
        self.level.observe(minute, value, past);
        self.holt_winters.learn(minute, value, season, past);
        let profiles = Profiles::of_week(past.week, here);
        for (model, (_, profile, smoothing)) in self.multiplicative.iter_mut().zip(&MULTIPLICATIVE) {
            model.learn(&self.holt_winters.with(*smoothing), value, profiles.of(*profile), past);
        }
    }

    /// Returns what the minute teaches about the season.
    pub fn season_update(&self) -> Option<SeasonUpdate> {
        self.holt_winters.season_update()
    }

    /// Notifies all models that the season was drawn.
    pub fn season_drawn(&mut self, at_last: f64) {
        self.holt_winters.season_drawn(at_last);
    }

    /// Returns the smoothing parameters that a fit may change.
    pub fn smoothing(&self) -> Smoothing {
        self.holt_winters.smoothing()
    }

    /// Applies fitted smoothing parameters.
    pub fn set_smoothing(&mut self, smoothing: Smoothing) {
        self.holt_winters.set_smoothing(smoothing);
    }

    /// Passes each model's forecast to `hear`, by catalogue position; `None` from one that has not seen enough.
    pub fn foresee(&self, view: &View<'_>, mut hear: impl FnMut(usize, Option<Path>)) {
        let newest = view.origin.provisional.or(self.newest);
        for (position, (_, model)) in SIMPLE.iter().enumerate() {
            let ahead = match model {
                Simple::Persistence => persistence::foresee(newest),
                Simple::Level => self.level.foresee(view),
                Simple::SeasonalNaive(back) => seasonal_naive::foresee(view.lagged(*back)),
                Simple::SeasonalDifference(back) => seasonal_difference::foresee(newest, view.lagged(*back)),
            };
            hear(position, ahead);
        }
        hear(SIMPLE.len(), self.holt_winters.foresee(view));
        let missed = self.holt_winters.missed(view.origin.minute);
        let [days, week] = [Profile::Days, Profile::Week].map(|profile| profile.compared(view));
        let rows = self.multiplicative.iter().zip(MULTIPLICATIVE.iter().zip(&AHEAD));
        for (position, (model, ((_, profile, smoothing), ahead))) in (SIMPLE.len() + 1..).zip(rows) {
            let compared = match profile {
                Profile::Days => &days,
                Profile::Week => &week,
            };
            let rules = self.holt_winters.with(*smoothing);
            hear(position, compared.as_ref().and_then(|compared| model.foresee(&rules, ahead, missed, compared)));
        }
    }

    /// Returns the parts of the point at the horizon at position `at`, for the model at position `model` of the
    /// catalogue; `None` if there is no forecast.
    pub fn parts(&self, model: usize, view: &View<'_>, at: usize) -> Option<Parts> {
        let newest = view.origin.provisional.or(self.newest);
        match (SIMPLE.get(model), model.checked_sub(SIMPLE.len() + 1)) {
            (Some((_, Simple::Persistence)), _) => persistence::parts(newest),
            (Some((_, Simple::Level)), _) => self.level.parts(view, at),
            (Some((_, Simple::SeasonalNaive(back))), _) => seasonal_naive::parts(*back, view, at),
            (Some((_, Simple::SeasonalDifference(back))), _) => seasonal_difference::parts(*back, newest, view, at),
            (None, None) => self.holt_winters.parts(view, at),
            (None, Some(row)) => {
                let ((_, profile, smoothing), missed) =
                    (MULTIPLICATIVE.get(row)?, self.holt_winters.missed(view.origin.minute));
                let rules = self.holt_winters.with(*smoothing);
                self.multiplicative.get(row)?.parts(&rules, *profile, missed, view, at)
            }
        }
    }

    /// Moves all levels to the signal's current level (`level`), to which the season and the profiles were already
    /// moved. Simple rules are there anyway.
    pub fn relevel(&mut self, level: f64, factor: f64, season: f64, profiles: Profiles, past: Past<'_>) {
        self.level.relevel(level);
        self.holt_winters.relevel(level - season, factor);
        for (model, (_, profile, _)) in self.multiplicative.iter_mut().zip(&MULTIPLICATIVE) {
            model.relevel(level, profiles.of(*profile), past);
        }
    }

    /// Returns notes for the reader on how the last minute was learned.
    pub fn flag(&self) -> Option<ForecastFlag> {
        self.holt_winters.flag()
    }
}

/// A row of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name in outlooks and records.
    pub name: &'static str,
    /// Forecasts no change. A forecast without skill over the best flat rule predicts nothing that a reactive loop does
    /// not see anyway.
    pub flat: bool,
    /// The form of the signal that it forecasts.
    pub transform: Transform,
}

const fn flat(name: &'static str) -> Row {
    Row { name, flat: true, transform: Transform::Plain }
}

const fn seasonal(name: &'static str) -> Row {
    Row { name, flat: false, transform: Transform::Plain }
}

/// The simple models. The first one needs no history and is used alone until others are measured.
const SIMPLE: [(Row, Simple); 6] = [
    (flat(persistence::NAME), Simple::Persistence),
    (flat(level::NAME), Simple::Level),
    (seasonal(seasonal_naive::NAME), Simple::SeasonalNaive(Back::Season)),
    (seasonal("weekly_naive"), Simple::SeasonalNaive(Back::Week)),
    (seasonal(seasonal_difference::NAME), Simple::SeasonalDifference(Back::Season)),
    (seasonal("weekly_difference"), Simple::SeasonalDifference(Back::Week)),
];

/// The models over the ratio of the signal to a profile.
const MULTIPLICATIVE: [(Row, Profile, Smoothing); 3] = [
    (seasonal(multiplicative::NAME), Profile::Days, SLOW),
    (seasonal("multiplicative_quick"), Profile::Days, QUICK),
    (seasonal("multiplicative_weekly"), Profile::Week, WEEKLY),
];

/// What their trends and rests become at each horizon.
const AHEAD: [Ahead; MULTIPLICATIVE.len()] =
    [Ahead::of(MULTIPLICATIVE[0].2), Ahead::of(MULTIPLICATIVE[1].2), Ahead::of(MULTIPLICATIVE[2].2)];

/// All models; their weights in the forecast follow the loss that they measurably save.
pub const CATALOGUE: [Row; SIMPLE.len() + 1 + MULTIPLICATIVE.len()] = catalogue();

const fn catalogue() -> [Row; SIMPLE.len() + 1 + MULTIPLICATIVE.len()] {
    let mut rows = [seasonal(holt_winters::NAME); SIMPLE.len() + 1 + MULTIPLICATIVE.len()];
    let mut row = 0;
    while row < SIMPLE.len() {
        rows[row] = SIMPLE[row].0;
        row += 1;
    }
    let mut row = 0;
    while row < MULTIPLICATIVE.len() {
        let (named, profile, _) = MULTIPLICATIVE[row];
        rows[SIMPLE.len() + 1 + row] = Row { transform: profile.transform(), ..named };
        row += 1;
    }
    rows
}

/// A level that few surprises move and a persistent rest: deviations revert.
const SLOW: Smoothing = Smoothing { alpha: 0.1, beta: 0.02, gamma: 0.0, phi: 0.95, rho: 0.6 };
/// Between the two: a profile known by weekday is left less often.
const WEEKLY: Smoothing = Smoothing { alpha: 0.2, beta: 0.02, gamma: 0.0, phi: 0.95, rho: 0.5 };
/// A level that follows at once: the profile, starting from the current value.
const QUICK: Smoothing = Smoothing { alpha: 0.6, beta: 0.05, gamma: 0.0, phi: 0.9, rho: 0.0 };

/// Position of persistence in [`CATALOGUE`].
pub const PERSISTENCE: usize = 0;
/// Position of the seasonal naive forecast in [`CATALOGUE`].
pub const SEASONAL_NAIVE: usize = 2;
/// Position of the seasonal difference in [`CATALOGUE`].
pub const SEASONAL_DIFFERENCE: usize = 4;

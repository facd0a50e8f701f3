//! The catalogue of forecast models.
//!
//! A model learns one minute after the other and forecasts all horizons from where it stands. It knows the
//! minute of the day by the wall clock, never by counting, so that no gap shifts its season. A new model is a
//! file beside these, a variant of [`AnyModel`] and a row of [`CATALOGUE`]; the suites run over the rows.
//!
//! | file | forecast |
//! |---|---|
//! | [`persistence`] | the newest value goes on |
//! | [`level`] | the smoothed level goes on: what is best against pure noise |
//! | [`seasonal_naive`] | what was a day ago comes again |
//! | [`seasonal_difference`] | what changed from here a day ago changes again |
//! | [`holt_winters`] | damped trend and day season on a level, robust against outliers |

pub mod holt_winters;
pub mod level;
pub mod persistence;
pub mod season;
pub mod seasonal_difference;
pub mod seasonal_naive;

#[cfg(test)]
mod tests;

use self::holt_winters::HoltWinters;
use self::level::Level;
use self::persistence::Persistence;
use self::season::Season;
use self::seasonal_difference::SeasonalDifference;
use self::seasonal_naive::SeasonalNaive;
use super::history::History;
use super::params::{ForecastParams, Smoothing};
use crate::model::Minute;
use crate::model::outlook::{ForecastFlag, HORIZONS, Parts};

/// One value for each of [`HORIZONS`].
pub type Path = [f64; HORIZONS.len()];

/// What a model foresees from one origin.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ahead {
    /// Point forecasts.
    pub path: Path,
    /// Parts of the first point; they add up to it.
    pub parts: Parts,
}

/// What all models of a signal look at.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// The last days, up to the last minute learned.
    pub history: &'a History,
    /// The profile of the day.
    pub season: &'a Season,
}

/// Where a forecast starts.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The minute from which the horizons count: the last one learned, or the running one after it.
    pub minute: Minute,
    /// The value so far of the running minute; seen, not learned.
    pub provisional: Option<f64>,
    /// What was learned before.
    pub past: Past<'a>,
}

/// A forecast model of one signal.
pub trait Model {
    /// Learns `minute`; `None` is a gap. Called once for each minute, in order, after the history has it.
    fn observe(&mut self, minute: Minute, value: Option<f64>, past: Past<'_>);

    /// Returns what the last minute teaches about the season; the season is changed after all models have learned.
    fn lesson(&self) -> Option<Lesson> {
        None
    }

    /// Takes note that the season was drawn and stands at `at_last` in the last minute, where it was flat before.
    fn season_drawn(&mut self, _at_last: f64) {}

    /// Returns the forecast from `origin`; `None` when the model has not seen enough.
    fn ahead(&self, origin: &Origin<'_>) -> Option<Ahead>;

    /// Returns what a reader should know of how the last minute was learned.
    fn flag(&self) -> Option<ForecastFlag> {
        None
    }
}

/// What a minute teaches about the season.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lesson {
    /// The profile at this minute is off by so much.
    Correct(f64),
    /// The day that ends with this minute is the first one: draw the profile from it.
    Draw,
}

/// A model of the catalogue, by value: a state of one signal holds all of them without indirection.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "each signal holds one of each; a box would cost an allocation a copy")]
pub enum AnyModel {
    /// See [`persistence`].
    Persistence(Persistence),
    /// See [`level`].
    Level(Level),
    /// See [`seasonal_naive`].
    SeasonalNaive(SeasonalNaive),
    /// See [`seasonal_difference`].
    SeasonalDifference(SeasonalDifference),
    /// See [`holt_winters`].
    HoltWinters(HoltWinters),
}

impl AnyModel {
    /// Returns the model behind the variant.
    pub fn get(&self) -> &dyn Model {
        match self {
            Self::Persistence(model) => model,
            Self::Level(model) => model,
            Self::SeasonalNaive(model) => model,
            Self::SeasonalDifference(model) => model,
            Self::HoltWinters(model) => model,
        }
    }

    /// Returns the model behind the variant, to learn.
    pub fn get_mut(&mut self) -> &mut dyn Model {
        match self {
            Self::Persistence(model) => model,
            Self::Level(model) => model,
            Self::SeasonalNaive(model) => model,
            Self::SeasonalDifference(model) => model,
            Self::HoltWinters(model) => model,
        }
    }

    /// Takes over fitted smoothing parameters, if the model has such.
    pub fn set_smoothing(&mut self, smoothing: Smoothing) {
        if let Self::HoltWinters(model) = self {
            model.set_smoothing(smoothing);
        }
    }
}

/// A row of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name in outlooks and records.
    pub name: &'static str,
    /// Foresees no change. A forecast without skill over the best flat rule foresees nothing a reactive loop
    /// does not see by itself.
    pub flat: bool,
    /// Builds it.
    pub build: fn(&ForecastParams) -> AnyModel,
}

/// All models; their shares of the forecast follow what they are measured to save. The first one needs no history and
/// speaks alone until others are measured.
pub const CATALOGUE: [Row; 9] = [
    Row { name: persistence::NAME, flat: true, build: |_| AnyModel::Persistence(Persistence::default()) },
    Row { name: level::NAME, flat: true, build: |_| AnyModel::Level(Level::default()) },
    Row { name: seasonal_naive::NAME, flat: false, build: |_| AnyModel::SeasonalNaive(SeasonalNaive::new(1)) },
    Row { name: "weekly_naive", flat: false, build: |_| AnyModel::SeasonalNaive(SeasonalNaive::new(WEEK)) },
    Row {
        name: seasonal_difference::NAME,
        flat: false,
        build: |_| AnyModel::SeasonalDifference(SeasonalDifference::new(1)),
    },
    Row {
        name: "weekly_difference",
        flat: false,
        build: |_| AnyModel::SeasonalDifference(SeasonalDifference::new(WEEK)),
    },
    Row { name: holt_winters::NAME, flat: false, build: |params| AnyModel::HoltWinters(HoltWinters::new(params)) },
    Row {
        name: "holt_winters_slow",
        flat: false,
        build: |params| AnyModel::HoltWinters(HoltWinters::pupil(params, SLOW)),
    },
    Row {
        name: "holt_winters_quick",
        flat: false,
        build: |params| AnyModel::HoltWinters(HoltWinters::pupil(params, QUICK)),
    },
];

/// Seasons in a week.
const WEEK: i64 = 7;
/// A level that few surprises move, and a rest that lasts: what deviates comes back.
const SLOW: Smoothing = Smoothing { alpha: 0.05, beta: 0.02, gamma: 0.0, phi: 0.98, rho: 0.9 };
/// A level that follows at once: the season from where the signal stands.
const QUICK: Smoothing = Smoothing { alpha: 0.8, beta: 0.1, gamma: 0.0, phi: 0.9, rho: 0.0 };

/// Position of persistence in [`CATALOGUE`].
pub const PERSISTENCE: usize = 0;
/// Position of the seasonal naive forecast in [`CATALOGUE`].
pub const SEASONAL_NAIVE: usize = 2;

//! What the models read around an origin, looked up once for all of them.

use super::{Origin, Past, Path};
use crate::forecast::recent::LONGEST_MINUTES;
use crate::forecast::week::WEEK;
use crate::model::outlook::HORIZONS;

/// Offsets at which the models read profiles and history: each horizon, and the origin after them, so that horizons fill
/// registers.
pub(super) const FROM_HERE: [u16; HORIZONS.len() + 1] = from_here();

const fn from_here() -> [u16; HORIZONS.len() + 1] {
    let (mut minutes, mut index) = ([0; HORIZONS.len() + 1], 0);
    while index < HORIZONS.len() {
        minutes[index] = HORIZONS[index];
        index += 1;
    }
    minutes
}

/// How far back a seasonal rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// One season.
    Season,
    /// A week of seasons.
    Week,
}

/// The shared history one season, or a week of seasons, ago. A horizon longer than the lag is compared with values two
/// or more lags back, so that nothing after the origin is read.
#[derive(Debug, Clone, Copy)]
pub struct Lagged {
    /// One lag before each horizon, and before the newest value (before the origin, if it has a value); NaN if missing.
    values: [f32; FROM_HERE.len()],
    /// Whether there is a value for all horizons.
    is_known: bool,
}

impl Lagged {
    /// Returns the values `lag` steps back. `read(more)` reads all offsets at `lag + more` steps back.
    fn of(lag: i64, read: impl Fn(i64) -> [f32; FROM_HERE.len()]) -> Self {
        let mut values = read(0);
        let mut more = lag.max(1);
        while more < i64::from(LONGEST_MINUTES) {
            let earlier = values.iter_mut().zip(read(more)).zip(FROM_HERE);
            earlier.filter(|(_, ahead)| i64::from(*ahead) > more).for_each(|((value, earlier), _)| *value = earlier);
            more += lag.max(1);
        }
        let [ahead @ .., _] = &values;
        let is_known = !ahead.iter().fold(false, |unknown, value| unknown | value.is_nan());
        Self { values, is_known }
    }

    /// Returns the value one lag before the newest one; `None` if missing.
    pub fn here(&self) -> Option<f32> {
        let [.., here] = self.values;
        (!here.is_nan()).then_some(here)
    }

    /// Returns the values one lag before each horizon; `None` if one is missing.
    pub fn ahead(&self) -> Option<&Path> {
        let [ahead @ .., _] = &self.values;
        self.is_known.then_some(ahead)
    }

    /// Returns both; `None` if any is missing.
    pub(super) fn known(&self) -> Option<&[f32; FROM_HERE.len()]> {
        self.here().filter(|_| self.is_known).map(|_| &self.values)
    }
}

/// An origin with everything that the models read there, looked up once for all of them.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The origin.
    pub origin: Origin<'a>,
    /// The season at each horizon and at the origin.
    pub season: [f32; FROM_HERE.len()],
    /// The mean of the last days at each horizon and at the origin.
    pub(super) days: Option<[f32; FROM_HERE.len()]>,
    season_ago: Lagged,
    pub(super) week_ago: Lagged,
}

impl<'a> View<'a> {
    /// Looks up what the models read at `origin`.
    pub fn of(origin: &Origin<'a>) -> Self {
        let Past { history, season, week, .. } = origin.past;
        let places = week.places(origin.clock.now, &FROM_HERE);
        let mut view = Self {
            origin: *origin,
            season: season.read(&places),
            days: week.days(&places),
            season_ago: Lagged::of(season.steps(), |more| {
                history.near_each(origin.clock.season_ago.plus(-more), &FROM_HERE)
            }),
            week_ago: Lagged::of(WEEK * season.steps(), |more| match more {
                0 => week.ago(&places),
                _ => week.ago(&week.places(origin.clock.now.plus(-more), &FROM_HERE)),
            }),
        };
        if origin.gap > 0 {
            view.reach_back(i64::from(origin.gap));
        }
        view
    }

    /// After a gap the newest value is `gap` minutes old: the lagged value it is compared with is taken from as many
    /// minutes earlier.
    fn reach_back(&mut self, gap: i64) {
        let Past { history, week, .. } = self.origin.past;
        let clock = self.origin.clock;
        let then = week.place(clock.now.plus(-gap));
        // After a long gap these minutes have left the history; the week's coarser cells still exist.
        let minute = history.near(clock.season_ago.plus(-gap)).or_else(|| week.days_ago(then, 1));
        let week = week.days_ago(then, WEEK);
        for (lagged, value) in [(&mut self.season_ago, minute), (&mut self.week_ago, week)] {
            let [.., here] = &mut lagged.values;
            *here = value.map_or(f32::NAN, |value| value as f32);
        }
    }

    /// Returns the season at that horizon.
    pub(super) fn day(&self, at: usize) -> f64 {
        let [ahead @ .., _] = self.season;
        ahead[at].into()
    }

    /// Returns the mean of the last days at that horizon.
    pub(super) fn days(&self, at: usize) -> Option<f64> {
        self.days.map(|[ahead @ .., _]| ahead[at].into())
    }

    /// Returns the season at the time of the newest value.
    pub(super) fn season_of_newest(&self) -> f64 {
        let (Origin { clock, gap, past, .. }, [.., here]) = (self.origin, self.season);
        if gap > 0 { past.season.at(clock.now.plus(-i64::from(gap))) } else { here.into() }
    }

    /// Returns the mean of the last days at the time of the newest value.
    pub(super) fn days_of_newest(&self) -> Option<f64> {
        let (Origin { clock, gap, past, .. }, [.., here]) = (self.origin, self.days?);
        let then = || past.week.day(past.week.place(clock.now.plus(-i64::from(gap))));
        if gap > 0 { then() } else { Some(here.into()) }
    }

    /// Returns the values at that lag.
    pub fn lagged(&self, back: Back) -> &Lagged {
        match back {
            Back::Season => &self.season_ago,
            Back::Week => &self.week_ago,
        }
    }
}

//! Issued forecasts waiting for their outcome.
//!
//! One ring buffer per horizon, as long as the horizon: the forecast due at a minute is in the slot that the forecast
//! issued at that minute takes next, so each slot is read once and then overwritten. 86 + 40 slots, 2.1 KB a signal:
//! the point is kept exactly, everything else as its distance from the point, in a few bits ([`short`]).

mod short;

use std::array::from_fn;

use self::short::{Apart, One};
use super::lanes::{zip, zip3};
use super::scores::{Lanes, MODELS};
use super::short_minute::ShortMinute;
use crate::model::Minute;
use crate::model::outlook::HORIZONS;

/// Windows, in minutes, over which the maximum is forecast.
pub const WINDOWS: [u16; 2] = [10, 30];

/// Minutes after which all rings are back in the same position: each length divides it.
const TURN: i64 = 60;
const SLOTS: usize = total(&HORIZONS);
const WINDOW_SLOTS: usize = total(&WINDOWS);

const fn total(lengths: &[u16]) -> usize {
    let (mut sum, mut index) = (0, 0);
    while index < lengths.len() {
        sum += lengths[index] as usize;
        index += 1;
    }
    sum
}

/// Issued forecasts of `N` numbers as published, in the precision that scoring needs. NaN: no forecast.
#[derive(Debug, Clone, Copy)]
pub struct Issued<const N: usize> {
    /// Point forecast.
    pub point: [f32; N],
    /// Unit in which the residual is measured.
    pub width: [f32; N],
    /// Lower end of the 95 % interval; for a maximum its 5 % quantile.
    pub low: [f32; N],
    /// Upper end of the 95 % interval; for a maximum its 95 % quantile.
    pub high: [f32; N],
    /// Where a change was predicted.
    pub moving: [bool; N],
    /// Factor by which the past was multiplied since: 1 unless issued before a shift.
    pub since: [f32; N],
}

impl<const N: usize> Issued<N> {
    /// No forecast.
    pub const NOTHING: Self = Self {
        point: [f32::NAN; N],
        width: [f32::NAN; N],
        low: [f32::NAN; N],
        high: [f32::NAN; N],
        moving: [false; N],
        since: [1.0; N],
    };

    /// Returns the points on the present level.
    pub fn on_level(&self) -> [f32; N] {
        zip(&self.point, &self.since, |point, since| point * since)
    }

    /// Returns whether any of it was issued on another level.
    pub fn is_shifted(&self) -> bool {
        self.since != [1.0; N]
    }

    /// Converts a forecast on the present level to the level it was issued on.
    pub fn as_said(&self, on_level: &[f32; N]) -> [f32; N] {
        zip(on_level, &self.since, |on_level, since| on_level / since)
    }

    fn one(&self, lane: usize) -> One {
        let [point, width, low, high] = [&self.point, &self.width, &self.low, &self.high].map(|part| part[lane]);
        One::of(point, width, [low, high], self.moving[lane])
    }

    fn of(ones: &[One; N], since: [f32; N]) -> Self {
        let parts = ones.map(|one| (one.point(), one.ends()));
        Self {
            point: parts.map(|(point, _)| point),
            width: ones.map(|one| one.width()),
            low: parts.map(|(_, [low, _])| low),
            high: parts.map(|(_, [_, high])| high),
            moving: ones.map(|one| one.moving()),
            since,
        }
    }
}

/// Paths of models without a forecast.
pub const MISSING: [Lanes; MODELS] = [[f32::NAN; HORIZONS.len()]; MODELS];

/// The combined forecast from one origin: at each horizon, and of the maximum over each window.
#[derive(Debug, Clone, Copy)]
pub struct IssuedForecast {
    /// For each horizon.
    pub points: Issued<{ HORIZONS.len() }>,
    /// For each maximum.
    pub maxima: Issued<{ WINDOWS.len() }>,
}

impl IssuedForecast {
    const NOTHING: Self = Self { points: Issued::NOTHING, maxima: Issued::NOTHING };
}

/// The forecasts due at one minute, and those of the windows that end with it.
#[derive(Debug, Clone, Copy)]
pub struct DueForecasts {
    /// Of each model of the catalogue, one horizon before the minute each.
    pub models: [Lanes; MODELS],
    /// Of the combination.
    pub mixed: IssuedForecast,
}

/// A slot: the forecasts of each model and of the combination at one horizon.
#[derive(Debug, Clone, Copy)]
struct Cell {
    models: [Apart; MODELS],
    mixed: One,
}

impl Cell {
    const NOTHING: Self = Self { models: [Apart::MISSING; MODELS], mixed: One::NOTHING };
}

/// All forecasts of a signal that have no outcome yet.
#[derive(Debug, Clone)]
pub struct Pending {
    points: [Cell; SLOTS],
    maxima: [One; WINDOW_SLOTS],
    /// The last shifts, the newest first: a rise and its reversal. Most forecasts from before an older shift are due by
    /// then.
    shifts: [Multiplied; 2],
}

/// A shift: forecasts issued before the minute `before` are on a level that was multiplied since.
#[derive(Debug, Clone, Copy)]
struct Multiplied {
    before: ShortMinute,
    factor: f32,
}

impl Multiplied {
    const NOTHING: Self = Self { before: ShortMinute::FIRST, factor: 1.0 };
}

impl Pending {
    /// Returns an empty table.
    pub fn new() -> Self {
        Self { points: [Cell::NOTHING; SLOTS], maxima: [One::NOTHING; WINDOW_SLOTS], shifts: [Multiplied::NOTHING; 2] }
    }

    /// Returns the forecasts due at `minute`, horizons and windows in their order: those of the models on the present
    /// level, as if made on it, and those of the combination as published.
    pub fn due_at(&self, minute: Minute) -> DueForecasts {
        let cells = slots(&HORIZONS, minute).map(|slot| self.points.get(slot).unwrap_or(&Cell::NOTHING));
        let maxima = slots(&WINDOWS, minute).map(|slot| self.maxima.get(slot).copied().unwrap_or(One::NOTHING));
        let points = Issued::of(&cells.map(|cell| cell.mixed), self.since(&HORIZONS, minute));
        let shifted = points.is_shifted();
        let said = |model: usize| {
            let apart = cells.map(|cell| cell.models[model]);
            let said = zip3(&apart, &points.point, &points.width, Apart::point);
            if shifted { zip(&said, &points.since, |said, since| said * since) } else { said }
        };
        let maxima = Issued::of(&maxima, self.since(&WINDOWS, minute));
        DueForecasts { models: from_fn(said), mixed: IssuedForecast { points, maxima } }
    }

    /// Returns the factors by which the past was multiplied since the origins that are this long before `minute`.
    fn since<const N: usize>(&self, lengths: &[u16; N], minute: Minute) -> [f32; N] {
        let mut since = [1.0; N];
        for Multiplied { before, factor } in &self.shifts {
            // An origin is before the shift if the horizon is longer than the time since.
            let passed = before.age(minute);
            for (since, length) in since.iter_mut().zip(lengths) {
                *since *= if i64::from(*length) > passed { *factor } else { 1.0 };
            }
        }
        since
    }

    /// Returns point and interval of the combined forecasts of `minute` issued one minute before it, and two, each with
    /// the point of `model`.
    pub fn intervals_at(&self, minute: Minute, model: usize) -> [([f32; 3], f32); 2] {
        let [next, second, ..] = slots(&HORIZONS, minute);
        [next, second].map(|slot| {
            let Cell { models, mixed } = self.points.get(slot).unwrap_or(&Cell::NOTHING);
            let ([low, high], point) = (mixed.ends(), mixed.point());
            ([point, low, high], models[model].point(point, mixed.width()))
        })
    }

    /// Notes that everything before the minute `before` was multiplied. Published forecasts stay as they were.
    pub fn multiplied(&mut self, before: Minute, factor: f64) {
        let [newest, _] = self.shifts;
        self.shifts = [Multiplied { before: ShortMinute::of(before), factor: factor as f32 }, newest];
    }

    /// Stores the forecasts issued at `origin`, of each model and of the combination, if there is one. Call for each
    /// minute, after reading the forecasts due at it.
    pub fn keep(&mut self, origin: Minute, paths: &[Lanes; MODELS], word: Option<&IssuedForecast>) {
        let word = word.unwrap_or(&IssuedForecast::NOTHING);
        let points: [One; HORIZONS.len()] = from_fn(|horizon| word.points.one(horizon));
        // Distances are measured in the stored width, so that its rounding does not add to theirs.
        let per_width = points.map(|point| 1.0 / point.width());
        let mixed = &word.points.point;
        let mut codes = [[0; HORIZONS.len()]; MODELS];
        for (codes, path) in codes.iter_mut().zip(paths) {
            *codes = zip3(path, mixed, &per_width, |said, mixed, per_width| Apart::code((said - mixed) * per_width));
        }
        for (horizon, (slot, mixed)) in slots(&HORIZONS, origin).into_iter().zip(points).enumerate() {
            if let Some(cell) = self.points.get_mut(slot) {
                *cell = Cell { models: codes.each_ref().map(|codes| Apart::of(codes[horizon])), mixed };
            }
        }
        for (window, slot) in slots(&WINDOWS, origin).into_iter().enumerate() {
            if let Some(one) = self.maxima.get_mut(slot) {
                *one = word.maxima.one(window);
            }
        }
    }
}

/// Returns the slot of `minute` in each ring.
fn slots<const N: usize>(lengths: &[u16; N], minute: Minute) -> [usize; N] {
    let (mut start, within) = (0, minute.0.rem_euclid(TURN) as u16);
    let mut slots = [0; N];
    for (slot, length) in slots.iter_mut().zip(lengths) {
        *slot = start + usize::from(within % length);
        start += usize::from(*length);
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_a_shift_is_put_on_the_new_level_and_its_ends_stay_as_they_were_published() {
        let (mut pending, newest) = (Pending::new(), 299);
        for minute in 100..=newest {
            let said = minute as f32;
            let mut models = MISSING;
            models[1] = [said + 10.0; HORIZONS.len()];
            let points = Issued {
                point: [said; HORIZONS.len()],
                width: [10.0; HORIZONS.len()],
                high: [said + 20.0; HORIZONS.len()],
                ..Issued::NOTHING
            };
            let maxima = Issued { point: [said; WINDOWS.len()], high: [said + 30.0; WINDOWS.len()], ..Issued::NOTHING };
            pending.keep(Minute(minute), &models, Some(&IssuedForecast { points, maxima }));
        }
        // Twice as high from 290 on, and back from 295 on.
        pending.multiplied(Minute(290), 2.0);
        pending.multiplied(Minute(295), 0.5);
        for minute in newest + 1..newest + 31 {
            let DueForecasts { models, mixed: IssuedForecast { points, maxima } } = pending.due_at(Minute(minute));
            let due = points.on_level().into_iter().zip(points.high).zip(HORIZONS).zip(models[1]);
            for (((point, high), minutes), model) in due {
                let origin = minute - i64::from(minutes);
                let factor = if (290..295).contains(&origin) { 0.5 } else { 1.0 };
                let said = origin as f32;
                assert!(origin > newest || (point - factor * said).abs() < 0.5, "{minute} {minutes}: {point}");
                assert!(origin > newest || (model - factor * (said + 10.0)).abs() < 1.0, "{minute} {minutes}: {model}");
                assert!(origin > newest || (high - said - 20.0).abs() < 0.5, "{minute} {minutes}: {high}");
            }
            let due = maxima.on_level().into_iter().zip(maxima.high).zip(WINDOWS);
            for ((point, high), minutes) in due {
                let origin = minute - i64::from(minutes);
                let factor = if (290..295).contains(&origin) { 0.5 } else { 1.0 };
                assert!(origin > newest || (point - factor * origin as f32).abs() < 0.5, "{minute} {minutes}: {point}");
                assert!(origin > newest || (high - origin as f32 - 30.0).abs() < 0.5, "{minute} {minutes}: {high}");
            }
        }
    }

    #[test]
    fn an_outcome_meets_what_was_said_one_horizon_before() {
        let mut pending = Pending::new();
        for minute in 100..300 {
            let said = pending.due_at(Minute(minute)).mixed;
            for (origin, minutes) in said.points.point.iter().zip(HORIZONS) {
                let expected = minute - i64::from(minutes);
                assert!(
                    if expected < 100 { origin.is_nan() } else { (origin - expected as f32).abs() < 0.5 },
                    "{minute} {minutes}"
                );
            }
            for (origin, minutes) in said.maxima.point.iter().zip(WINDOWS) {
                let expected = minute - i64::from(minutes);
                assert!(if expected < 100 { origin.is_nan() } else { (origin - expected as f32).abs() < 0.5 });
            }
            let points = Issued { point: [minute as f32; HORIZONS.len()], ..Issued::NOTHING };
            let maxima = Issued { point: [minute as f32; WINDOWS.len()], ..Issued::NOTHING };
            pending.keep(Minute(minute), &MISSING, Some(&IssuedForecast { points, maxima }));
        }
    }

    #[test]
    fn a_foreseen_change_is_remembered_with_its_horizon() {
        let mut pending = Pending::new();
        let moving = |minute: i64, lane: usize| minute % 7 == lane as i64 % 7;
        for minute in 100..300 {
            let said = pending.due_at(Minute(minute)).mixed;
            let past = |minutes: u16| minute - i64::from(minutes);
            for (lane, (found, minutes)) in said.points.moving.iter().zip(HORIZONS).enumerate() {
                assert_eq!(*found, past(minutes) >= 100 && moving(past(minutes), lane), "{minute} {minutes}");
            }
            for (lane, (found, minutes)) in said.maxima.moving.iter().zip(WINDOWS).enumerate() {
                assert_eq!(*found, past(minutes) >= 100 && moving(past(minutes), lane + 3));
            }
            let points = Issued { moving: std::array::from_fn(|lane| moving(minute, lane)), ..Issued::NOTHING };
            let maxima = Issued { moving: std::array::from_fn(|lane| moving(minute, lane + 3)), ..Issued::NOTHING };
            pending.keep(Minute(minute), &MISSING, Some(&IssuedForecast { points, maxima }));
        }
    }

    #[test]
    fn all_rings_end_a_turn_together() {
        assert!(HORIZONS.iter().chain(&WINDOWS).all(|length| TURN % i64::from(*length) == 0));
    }

    #[test]
    fn the_table_stays_small() {
        assert!(size_of::<Pending>() <= 2200, "{}", size_of::<Pending>());
    }
}

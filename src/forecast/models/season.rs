//! The day's profile in cells of a few minutes, linearly interpolated between their centres.
//!
//! Five-minute cells see five times the data of one-minute cells and need a fifth of the memory; one-step cells give
//! the classical seasonal index. Resident profiles use short rows; profiles that live only for a fit, or are compared
//! with reference numbers, use plain ones.

use ndarray::Array1;

use super::SeasonUpdate;
use super::rows::Rows;
use crate::forecast::history::History;
use crate::forecast::lanes::{zip, zip3};
use crate::model::Minute;
use crate::model::outlook::HORIZONS;

/// Maximum number of cells in a profile.
const CELLS: u32 = 288;
/// Maximum number of cells that cover the minutes up to the longest horizon, plus the next minute.
pub const SPAN: usize = HORIZONS[HORIZONS.len() - 1] as usize + 2;
/// Cells that are read together: with five-minute cells, all that a forecast needs.
pub const AT_ONCE: usize = 8;
const _: () = assert!(SPAN.is_multiple_of(AT_ONCE));

/// A seasonal profile, added to the level.
#[derive(Debug, Clone, PartialEq)]
pub struct Season {
    cells: Cells,
    count: u32,
    cell_minutes: u32,
}

/// The cells of a profile.
#[derive(Debug, Clone, PartialEq)]
enum Cells {
    /// A flat season, so that a signal with a few minutes of history allocates nothing.
    None,
    /// Exact. Boxed to keep the other variants small.
    Plain(Box<Array1<f32>>),
    /// In 16 bits each: the rounding is far smaller than one update of the season, and a cache line holds two hours.
    Short(Rows),
}

impl Cells {
    /// Returns the cell at a position.
    fn get(&self, index: usize) -> f32 {
        match self {
            Self::None => 0.0,
            Self::Plain(cells) => cells.get(index).copied().unwrap_or(0.0),
            Self::Short(rows) => rows.get(index),
        }
    }

    /// Copies the cells starting at `first` (less than `count`), wrapping around at the end.
    fn read(&self, first: usize, count: usize, values: &mut [f32]) {
        match self {
            Self::None => values.fill(0.0),
            Self::Plain(cells) => {
                for (behind, value) in values.iter_mut().enumerate() {
                    *value = cells.get(wrap(first + behind, count)).copied().unwrap_or(0.0);
                }
            }
            Self::Short(rows) => {
                // Most are before the end.
                let here = values.len().min(count.saturating_sub(first));
                let (here, next) = values.split_at_mut(here);
                rows.read(first, here);
                for (behind, value) in next.iter_mut().enumerate() {
                    *value = rows.get(behind % count);
                }
            }
        }
    }

    fn add(&mut self, index: usize, by: f64) {
        match self {
            Self::None => {}
            Self::Plain(cells) => {
                if let Some(cell) = cells.get_mut(index) {
                    *cell = (f64::from(*cell) + by) as f32;
                }
            }
            Self::Short(rows) => rows.add(index, by),
        }
    }

    fn scale(&mut self, factor: f64) {
        match self {
            Self::None => {}
            Self::Plain(cells) => **cells *= factor as f32,
            Self::Short(rows) => rows.scale(factor),
        }
    }
}

/// Where a minute is between two cell centres, counted from the epoch: the same in every profile with such cells.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The cell whose centre is at the minute, or the last one before it.
    pub cell: i64,
    /// Weight of the next cell.
    share: f32,
}

impl Place {
    /// Returns the value at the minute, given those of its cell and of the next one.
    pub fn between(self, [cell, next]: [f32; 2]) -> f64 {
        // At a centre the cell's own value counts, whatever its neighbour is.
        let value = if self.share > 0.0 { cell + self.share * (next - cell) } else { cell };
        f64::from(value)
    }
}

/// Where some minutes are between cell centres.
#[derive(Debug, Clone, Copy)]
pub struct Places<const N: usize> {
    /// The cell whose centre is at the time they count from, or the last one before it.
    pub first: i64,
    /// Offset in cells of each minute's left neighbour from the first cell.
    left: [i32; N],
    /// Offset of the right neighbour: the left one again at a centre, where the cell's own value counts, whatever its
    /// neighbour is.
    right: [i32; N],
    /// Weight of the right neighbour.
    share: [f32; N],
}

impl<const N: usize> Places<N> {
    /// Returns how many cells, from the first one, to read: those that cover the minutes and their right neighbours,
    /// in whole [`AT_ONCE`].
    pub fn cells(&self) -> usize {
        let last = self.right.iter().fold(0, |last, right| last.max(*right)) as usize;
        ((last / AT_ONCE + 1) * AT_ONCE).min(SPAN)
    }

    /// Returns the values at the minutes, interpolated between `cells`, first one first.
    pub fn between(&self, cells: &[f32; SPAN]) -> [f32; N] {
        let [left, right] = [&self.left, &self.right].map(|offsets| offsets.map(|cell| cells[cell as usize % SPAN]));
        zip3(&left, &right, &self.share, |left, right, share| left + share * (right - left))
    }
}

impl Season {
    /// Returns a flat season of the given number of steps: in five-minute cells for a day of minutes, otherwise in at
    /// most as many cells.
    pub fn flat(steps: u32) -> Self {
        let least = steps.div_ceil(CELLS);
        let cell_minutes = (least..=steps).find(|cell| steps.is_multiple_of(*cell)).unwrap_or(1);
        Self { cells: Cells::None, count: steps / cell_minutes, cell_minutes }
    }

    /// Returns the season with unpacked cells: larger, but faster to learn.
    #[must_use]
    pub fn plain(mut self) -> Self {
        let mut values = vec![0.0; self.count as usize];
        self.cells.read(0, values.len(), &mut values);
        self.cells = Cells::Plain(Box::new(values.into()));
        self
    }

    /// Returns the number of cells.
    pub fn cells(&self) -> i64 {
        i64::from(self.count)
    }

    /// Returns the minutes per cell.
    pub fn cell_minutes(&self) -> i64 {
        i64::from(self.cell_minutes)
    }

    /// Returns the steps per season.
    pub fn steps(&self) -> i64 {
        i64::from(self.cell_minutes) * i64::from(self.count)
    }

    /// Returns the classical index: one cell per step, starting at minute 0 of the epoch.
    pub fn classical(cells: impl IntoIterator<Item = f64>) -> Self {
        let cells: Array1<f32> = cells.into_iter().map(|cell| cell as f32).collect();
        Self { count: cells.len() as u32, cells: Cells::Plain(Box::new(cells)), cell_minutes: 1 }
    }

    /// Returns the profile of the season that ends with cell `last` from the epoch: its cell means relative to the
    /// overall mean. An unknown cell is at the mean.
    pub fn of_cells(steps: u32, last: i64, mean: impl Fn(i64) -> Option<f64>) -> Self {
        let season = Self::flat(steps);
        let mut profile = Array1::zeros(season.count as usize);
        let cells = (0..season.cells()).map(|back| last.saturating_sub(back));
        let known = || cells.clone().filter_map(|cell| Some((cell, mean(cell)?)));
        let (sum, count) = known().fold((0.0, 0.0), |(sum, count), (_, mean)| (sum + mean, count + 1.0));
        for (cell, mean) in known() {
            if let Some(at) = profile.get_mut(season.index(cell)) {
                *at = (mean - sum / count) as f32;
            }
        }
        Self { cells: Cells::Plain(Box::new(profile)), ..season }
    }

    /// Draws the profile from the season that ends with `last`, at wall-clock time `clock`: `form` combines each cell's
    /// mean with the season's mean, which also stands in for the mean of an unseen cell.
    pub fn draw(&mut self, history: &History, last: Minute, clock: Minute, form: impl Fn(f64, f64) -> f64) {
        let steps = self.steps();
        let (mut sum, mut count) = (0.0, 0.0);
        let mut means = vec![f32::NAN; self.count as usize];
        for (cell, mean) in means.iter_mut().enumerate() {
            let [first, shown] = [last, clock].map(|minute| minute.0.saturating_sub(steps - 1));
            let offset = (i64::from(self.cell_minutes) * cell as i64 - shown).rem_euclid(steps);
            // The cell of the first minute may hold minutes from both ends of the day.
            let minutes = (0..i64::from(self.cell_minutes)).map(|minute| first + (offset + minute) % steps);
            let (mut inside, mut seen) = (0.0, 0.0);
            for value in minutes.filter_map(|minute| history.get(Minute(minute))) {
                inside += value;
                seen += 1.0;
            }
            sum += inside;
            count += seen;
            if seen > 0.0 {
                *mean = (inside / seen) as f32;
            }
        }
        let mean = sum / f64::max(count, 1.0);
        means
            .iter_mut()
            .for_each(|cell| *cell = form(if cell.is_finite() { f64::from(*cell) } else { mean }, mean) as f32);
        self.cells = match self.cells {
            Cells::Plain(_) => Cells::Plain(Box::new(means.into())),
            Cells::None | Cells::Short(_) => Cells::Short(Rows::of(&means)),
        };
    }

    /// Returns the seasonal value at `minute`.
    pub fn at(&self, minute: Minute) -> f64 {
        self.value(self.place(minute))
    }

    /// Returns the seasonal value at this place.
    pub fn value(&self, place: Place) -> f64 {
        let cell = self.index(place.cell);
        place.between([cell, wrap(cell + 1, self.count as usize)].map(|cell| self.cells.get(cell)))
    }

    /// Returns the seasonal values `ahead` minutes after `from`.
    pub fn at_each<const N: usize>(&self, from: Minute, ahead: &[u16; N]) -> [f32; N] {
        self.read(&self.places(from, ahead))
    }

    /// Locates a minute in this profile and in any other with the same cells.
    pub fn place(&self, minute: Minute) -> Place {
        let (cell, within) = self.cell_at(minute);
        Place { cell, share: within as f32 / (2 * self.cell_minutes) as f32 }
    }

    /// Locates the minutes `ahead` of `from` in this profile and in any other with the same cells.
    pub fn places<const N: usize>(&self, from: Minute, ahead: &[u16; N]) -> Places<N> {
        let (first, within) = self.cell_at(from);
        let length = (2 * self.cell_minutes) as f32;
        let offset = ahead.map(|ahead| (within + 2 * u32::from(ahead)) as f32);
        // A quotient of such small integers is whole only if it is exact.
        let left = offset.map(|offset| (offset / length) as i32);
        let share = zip(&offset, &left, |offset, left| (offset - left as f32 * length) / length);
        let right = zip(&left, &share, |left, share| left + i32::from(share > 0.0));
        Places { first, left, right, share }
    }

    /// Returns the cell whose centre is at a minute, or the last one before it, and the distance in half minutes, so
    /// that everything is an integer.
    fn cell_at(&self, minute: Minute) -> (i64, u32) {
        let length = i64::from(self.cell_minutes);
        let begin = minute.0.saturating_mul(2).saturating_add(1 - length);
        (begin.div_euclid(2 * length), begin.rem_euclid(2 * length) as u32)
    }

    /// Returns the seasonal values at these places.
    pub fn read<const N: usize>(&self, places: &Places<N>) -> [f32; N] {
        // Neighbours share cells: each is read once.
        let mut cells = [0.0; SPAN];
        let count = places.cells();
        self.cells.read(self.index(places.first), self.count as usize, &mut cells[..count]);
        places.between(&cells)
    }

    /// Learns the update from `minute`, at wall-clock time `clock`; returns the profile's value there if it was
    /// redrawn.
    pub fn learn(
        &mut self,
        season_update: SeasonUpdate,
        minute: Minute,
        clock: Minute,
        history: &History,
    ) -> Option<f64> {
        match season_update {
            SeasonUpdate::Correct(by) => {
                self.correct(self.place(clock), by);
                None
            }
            SeasonUpdate::Draw => {
                self.draw(history, minute, clock, |cell, mean| cell - mean);
                Some(self.at(clock))
            }
        }
    }

    /// Adds `correction` at a place, split between the two cells by weight.
    pub fn correct(&mut self, Place { cell, share }: Place, correction: f64) {
        let count = self.count as usize;
        if self.cells == Cells::None {
            self.cells = Cells::Short(Rows::of(&vec![0.0; count]));
        }
        let (left, share) = (self.index(cell), f64::from(share));
        self.cells.add(left, correction * (1.0 - share));
        self.cells.add(wrap(left + 1, count), correction * share);
    }

    /// Scales the profile.
    pub fn scale(&mut self, factor: f64) {
        self.cells.scale(factor);
    }

    /// Returns the position of the cell with the given number from the epoch.
    fn index(&self, cell: i64) -> usize {
        cell.rem_euclid(self.cells().max(1)) as usize
    }
}

/// Reduces an index that may be too large; most are not.
fn wrap(index: usize, count: usize) -> usize {
    if index < count { index } else { index % count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::history::DAY;

    #[test]
    fn the_centre_of_a_cell_is_read_alone_and_between_two_they_mix() {
        let mut season = Season::flat(1440);
        assert!(season.at(Minute(2)).abs() < f64::EPSILON);
        let cell = |cell: usize| if cell < 2 { 10.0 * (cell + 1) as f32 } else { 0.0 };
        season.cells = Cells::Plain(Box::new((0..288).map(cell).collect()));
        for (minute, expected) in [(2, 10.0), (3, 12.0), (4, 14.0), (7, 20.0), (1, 8.0), (0, 6.0), (1442, 10.0)] {
            assert!(
                (season.at(Minute(minute)) - expected).abs() < 1e-12,
                "minute {minute}: {}",
                season.at(Minute(minute))
            );
        }
    }

    #[test]
    fn several_minutes_are_read_as_one_by_one() {
        for (steps, cells) in [(1440, 288), (48, 48), (2, 2), (7, 7)] {
            let mut season = Season::flat(steps);
            assert_eq!(season.cells(), cells);
            let values: Vec<f32> = (0..cells).map(|cell| (cell * cell % 11) as f32).collect();
            for kept in [Cells::Short(Rows::of(&values)), Cells::Plain(Box::new(values.into()))] {
                season.cells = kept;
                for from in 0..1500 {
                    let each = season.at_each(Minute(from), &[0, 1, 30]);
                    assert_eq!(
                        each,
                        [0, 1, 30].map(|minutes| season.at(Minute(from + minutes)) as f32),
                        "{steps} {from}"
                    );
                }
            }
        }
    }

    #[test]
    fn cells_of_one_step_are_the_classical_index() {
        let mut season = Season::classical([1.0, 2.0, 3.0]);
        season.correct(season.place(Minute(4)), 0.5);
        let read: Vec<f64> = (0..6).map(|minute| season.at(Minute(minute))).collect();
        assert_eq!(read, [1.0, 2.5, 3.0, 1.0, 2.5, 3.0]);
    }

    #[test]
    fn a_day_gives_its_own_profile_around_its_mean() {
        let mut history = History::new(2);
        for minute in 0..2 * DAY {
            let noon = (700..720).contains(&Minute(minute).of_day());
            history.push(Minute(minute), Some(if noon { 90.0 } else { 18.0 }));
        }
        let mut season = Season::flat(1440);
        for last in [2 * DAY - 1, 2 * DAY - 3] {
            season.draw(&history, Minute(last), Minute(last), |cell, mean| cell - mean);
            assert!((season.at(Minute(710)) - 71.0).abs() < 1e-2, "{}", season.at(Minute(710)));
            assert!((season.at(Minute(100)) + 1.0).abs() < 1e-2);
        }
    }

    #[test]
    fn times_before_the_epoch_have_their_place() {
        let season = Season::classical([1.0, 2.0, 3.0]);
        assert!((season.at(Minute(-1)) - 3.0).abs() < f64::EPSILON);
        assert!(season.at(Minute(i64::MIN)).is_finite());
    }
}

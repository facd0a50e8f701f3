//! The profile of a day in cells of a few minutes, read by linear interpolation between their centres.
//!
//! Five-minute cells see five times the data of one-minute cells and need a fifth of the memory; cells of one
//! step give the classical seasonal index.

use ndarray::Array1;

use super::Lesson;
use crate::forecast::history::History;
use crate::model::Minute;

/// Most cells of a profile.
const CELLS: u32 = 288;

/// A seasonal profile, added to the level.
#[derive(Debug, Clone, PartialEq)]
pub struct Season {
    cells: Array1<f64>,
    cell_minutes: u32,
}

/// Two neighbouring cells and the share of the second one.
#[derive(Debug, Clone, Copy)]
struct Place {
    left: usize,
    right: usize,
    share: f64,
}

impl Season {
    /// Returns a flat season of so many steps: in five-minute cells for a day of minutes, in at most as many cells for
    /// another one.
    pub fn flat(steps: u32) -> Self {
        let least = steps.div_ceil(CELLS);
        let cell_minutes = (least..=steps).find(|cell| steps.is_multiple_of(*cell)).unwrap_or(1);
        Self { cells: Array1::zeros((steps / cell_minutes) as usize), cell_minutes }
    }

    /// Returns the steps in a season.
    pub fn steps(&self) -> i64 {
        i64::from(self.cell_minutes) * self.cells.len() as i64
    }

    /// Returns the classical index: one cell for each step, the first one at minute 0 of the epoch.
    pub fn classical(cells: Array1<f64>) -> Self {
        Self { cells, cell_minutes: 1 }
    }

    /// Draws the profile of the season that ends with `last`, as deviation from its mean.
    pub fn draw(&mut self, history: &History, last: Minute) {
        let steps = self.steps();
        let (mut sum, mut count) = (0.0, 0.0);
        for (cell, mean) in self.cells.iter_mut().enumerate() {
            let first = last.0.saturating_sub(steps - 1);
            let offset = (i64::from(self.cell_minutes) * cell as i64 - first).rem_euclid(steps);
            // The cell of the first minute may hold minutes of both ends of the day.
            let minutes = (0..i64::from(self.cell_minutes)).map(|minute| first + (offset + minute) % steps);
            let (mut inside, mut seen) = (0.0, 0.0);
            for value in minutes.filter_map(|minute| history.get(Minute(minute))) {
                inside += value;
                seen += 1.0;
            }
            sum += inside;
            count += seen;
            *mean = if seen > 0.0 { inside / seen } else { f64::NAN };
        }
        let mean = sum / f64::max(count, 1.0);
        self.cells.mapv_inplace(|cell| if cell.is_finite() { cell - mean } else { 0.0 });
    }

    /// Returns the seasonal value at `minute`.
    pub fn at(&self, minute: Minute) -> f64 {
        let [value] = self.at_each(minute, &[0]);
        value
    }

    /// Returns the seasonal values that many minutes `ahead` of `from`.
    pub fn at_each<const N: usize>(&self, from: Minute, ahead: &[u16; N]) -> [f64; N] {
        let mut values = [0.0; N];
        let Some(offset) = self.offset(from) else { return values };
        let cell = |index: usize| self.cells.get(index).copied().unwrap_or(0.0);
        for (value, minutes) in values.iter_mut().zip(ahead) {
            let place = self.place(offset + 2 * u32::from(*minutes));
            *value = cell(place.left);
            if place.share > 0.0 {
                *value = *value * (1.0 - place.share) + cell(place.right) * place.share;
            }
        }
        values
    }

    /// Learns what `minute` teaches; where the profile was drawn anew, returns its value there.
    pub fn learn(&mut self, lesson: Lesson, minute: Minute, history: &History) -> Option<f64> {
        match lesson {
            Lesson::Correct(by) => {
                self.correct(minute, by);
                None
            }
            Lesson::Draw => {
                self.draw(history, minute);
                Some(self.at(minute))
            }
        }
    }

    /// Adds `correction` at `minute`, split between the two cells by their share in it.
    pub fn correct(&mut self, minute: Minute, correction: f64) {
        let Some(place) = self.offset(minute).map(|offset| self.place(offset)) else { return };
        for (index, share) in [(place.left, 1.0 - place.share), (place.right, place.share)] {
            if let Some(cell) = self.cells.get_mut(index) {
                *cell += correction * share;
            }
        }
    }

    /// Returns how far the middle of `minute` lies behind the centre of the first cell, in half minutes, so that all is
    /// whole numbers; `None` without cells.
    fn offset(&self, minute: Minute) -> Option<u32> {
        let (cell, length) = (self.cell_minutes, self.cells.len() as u32 * self.cell_minutes);
        if length == 0 {
            return None;
        }
        let from_start = 2 * minute.0.rem_euclid(i64::from(length)) as u32 + 1;
        Some(if from_start < cell { from_start + 2 * length - cell } else { from_start - cell })
    }

    /// Finds the cells whose centres enclose what lies `offset` half minutes behind the first centre.
    fn place(&self, offset: u32) -> Place {
        let (count, cell) = (self.cells.len() as u32, 2 * self.cell_minutes);
        let (left, within) = (offset / cell, offset % cell);
        let left = if left < count { left } else { left % count };
        let right = if left + 1 == count { 0 } else { left + 1 };
        Place { left: left as usize, right: right as usize, share: f64::from(within) / f64::from(cell) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::history::DAY;

    #[test]
    fn the_centre_of_a_cell_is_read_alone_and_between_two_they_mix() {
        let mut season = Season::flat(1440);
        season.cells[0] = 10.0;
        season.cells[1] = 20.0;
        season.cells[287] = 0.0;
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
            assert_eq!(season.cells.len(), cells);
            season.cells.iter_mut().enumerate().for_each(|(cell, value)| *value = (cell * cell % 11) as f64);
            for from in 0..1500 {
                let each = season.at_each(Minute(from), &[0, 1, 30]);
                assert_eq!(each, [0, 1, 30].map(|minutes| season.at(Minute(from + minutes))), "{steps} {from}");
            }
        }
    }

    #[test]
    fn cells_of_one_step_are_the_classical_index() {
        let mut season = Season::classical(Array1::from(vec![1.0, 2.0, 3.0]));
        season.correct(Minute(4), 0.5);
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
            season.draw(&history, Minute(last));
            assert!((season.at(Minute(710)) - 71.0).abs() < 1e-2, "{}", season.at(Minute(710)));
            assert!((season.at(Minute(100)) + 1.0).abs() < 1e-2);
        }
    }

    #[test]
    fn times_before_the_epoch_have_their_place() {
        let season = Season::classical(Array1::from(vec![1.0, 2.0, 3.0]));
        assert!((season.at(Minute(-1)) - 3.0).abs() < f64::EPSILON);
        assert!(season.at(Minute(i64::MIN)).is_finite());
    }
}

//! The profile of a day in cells of a few minutes, read by linear interpolation between their centres.
//!
//! Five-minute cells see five times the data of one-minute cells and need a fifth of the memory; cells of one
//! step give the classical seasonal index.

use ndarray::Array1;

use super::Lesson;
use crate::forecast::history::History;
use crate::forecast::lanes::zip3;
use crate::model::Minute;
use crate::model::outlook::HORIZONS;

/// Most cells of a profile.
const CELLS: u32 = 288;
/// Most cells that the minutes up to the longest horizon, and the one after them, lie in.
pub const SPAN: usize = HORIZONS[HORIZONS.len() - 1] as usize + 2;

/// A seasonal profile, added to the level.
#[derive(Debug, Clone, PartialEq)]
pub struct Season {
    /// Empty while the season is flat: a signal of a few minutes takes no room for days. Short numbers: what a lesson changes
    /// is far more than they leave out, and each line of memory that has to be waited for holds more than an hour of them.
    cells: Array1<f32>,
    count: u32,
    cell_minutes: u32,
}

/// Where some minutes lie between the centres of cells, counted from the epoch: the same in each profile of such cells.
#[derive(Debug, Clone, Copy)]
pub struct Places<const N: usize> {
    /// The cell on whose centre the first minute lies, or which is the last one before it.
    pub first: i64,
    /// For each minute how many cells its left neighbour is behind the first one.
    pub left: [u16; N],
    /// Share of the right neighbour.
    pub share: [f64; N],
}

impl<const N: usize> Places<N> {
    /// Finds the minutes that lie `ahead` of `from` in cells of so many minutes.
    pub fn of(from: Minute, ahead: &[u16; N], cell_minutes: u32) -> Self {
        // In half minutes from the centre of the first cell of the epoch, so that all is whole numbers.
        let (cell, length) = (i64::from(cell_minutes), 2 * cell_minutes);
        let begin = from.0.saturating_mul(2).saturating_add(1 - cell);
        let within = begin.rem_euclid(2 * cell) as u32;
        let (mut left, mut share) = ([0; N], [0.0; N]);
        for ((left, share), minutes) in left.iter_mut().zip(&mut share).zip(ahead) {
            let offset = within + 2 * u32::from(*minutes);
            (*left, *share) = ((offset / length) as u16, f64::from(offset % length) / f64::from(length));
        }
        Self { first: begin.div_euclid(2 * cell), left, share }
    }

    /// Returns how many cells from the first one on hold the minutes, which ascend, and their right neighbours.
    pub fn cells(&self) -> usize {
        self.left.last().map_or(0, |last| usize::from(*last) + 2)
    }

    /// Returns the values of the minutes between those of the cells, which `cell` tells by how many they are behind the first one.
    pub fn between(&self, cell: impl Fn(usize) -> f64) -> [f64; N] {
        let [left, right] = [0, 1].map(|side| self.left.map(|left| cell(usize::from(left) + side)));
        zip3(&left, &right, &self.share, |left, right, share| {
            let between = left + share * (right - left);
            // What lies on a centre is that of its cell, whatever is beside it.
            if share > 0.0 { between } else { left }
        })
    }
}

impl Season {
    /// Returns a flat season of so many steps: in five-minute cells for a day of minutes, in at most as many cells for
    /// another one.
    pub fn flat(steps: u32) -> Self {
        let least = steps.div_ceil(CELLS);
        let cell_minutes = (least..=steps).find(|cell| steps.is_multiple_of(*cell)).unwrap_or(1);
        Self { cells: Array1::default(0), count: steps / cell_minutes, cell_minutes }
    }

    /// Returns the number of cells.
    pub fn cells(&self) -> i64 {
        i64::from(self.count)
    }

    /// Returns the minutes of a cell.
    pub fn cell_minutes(&self) -> i64 {
        i64::from(self.cell_minutes)
    }

    /// Returns the steps in a season.
    pub fn steps(&self) -> i64 {
        i64::from(self.cell_minutes) * i64::from(self.count)
    }

    /// Returns the classical index: one cell for each step, the first one at minute 0 of the epoch.
    pub fn classical(cells: impl IntoIterator<Item = f64>) -> Self {
        let cells: Array1<f32> = cells.into_iter().map(|cell| cell as f32).collect();
        Self { count: cells.len() as u32, cells, cell_minutes: 1 }
    }

    /// Returns the profile of the season that ends with the cell `last` from the epoch, drawn from the means of its cells around
    /// that of all. An unknown cell stands where the season stands.
    pub fn of_cells(steps: u32, last: i64, mean: impl Fn(i64) -> Option<f64>) -> Self {
        let mut season = Self::flat(steps);
        season.rise();
        let cells = (0..season.cells()).map(|back| last.saturating_sub(back));
        let known = || cells.clone().filter_map(|cell| Some((cell, mean(cell)?)));
        let (sum, count) = known().fold((0.0, 0.0), |(sum, count), (_, mean)| (sum + mean, count + 1.0));
        for (cell, mean) in known() {
            let at = season.index(cell).and_then(|index| season.cells.get_mut(index));
            at.into_iter().for_each(|at| *at = (mean - sum / count) as f32);
        }
        season
    }

    /// Draws the profile of the season that ends with `last`, when clocks show `clock`: of each cell what `form` makes of its mean and of that of
    /// the season. An unseen cell stands where the season stands.
    pub fn draw(&mut self, history: &History, last: Minute, clock: Minute, form: impl Fn(f64, f64) -> f64) {
        let steps = self.steps();
        let (mut sum, mut count) = (0.0, 0.0);
        self.rise();
        for (cell, mean) in self.cells.iter_mut().enumerate() {
            let [first, shown] = [last, clock].map(|minute| minute.0.saturating_sub(steps - 1));
            let offset = (i64::from(self.cell_minutes) * cell as i64 - shown).rem_euclid(steps);
            // The cell of the first minute may hold minutes of both ends of the day.
            let minutes = (0..i64::from(self.cell_minutes)).map(|minute| first + (offset + minute) % steps);
            let (mut inside, mut seen) = (0.0, 0.0);
            for value in minutes.filter_map(|minute| history.get(Minute(minute))) {
                inside += value;
                seen += 1.0;
            }
            sum += inside;
            count += seen;
            *mean = if seen > 0.0 { (inside / seen) as f32 } else { f32::NAN };
        }
        let mean = sum / f64::max(count, 1.0);
        self.cells.mapv_inplace(|cell| form(if cell.is_finite() { f64::from(cell) } else { mean }, mean) as f32);
    }

    /// Returns the seasonal value at `minute`.
    pub fn at(&self, minute: Minute) -> f64 {
        let [value] = self.at_each(minute, &[0]);
        value
    }

    /// Returns the seasonal values that many minutes `ahead` of `from`.
    pub fn at_each<const N: usize>(&self, from: Minute, ahead: &[u16; N]) -> [f64; N] {
        self.read(&self.places(from, ahead))
    }

    /// Finds those minutes in this profile, and in others of such cells.
    pub fn places<const N: usize>(&self, from: Minute, ahead: &[u16; N]) -> Places<N> {
        Places::of(from, ahead, self.cell_minutes)
    }

    /// Returns the seasonal values at these places.
    pub fn read<const N: usize>(&self, places: &Places<N>) -> [f64; N] {
        let (Some(first), Some(cells)) = (self.index(places.first), self.cells.as_slice()) else { return [0.0; N] };
        // What passes the end of the season goes on at its begin.
        let cell = |behind: usize| cells.get(wrap(first + behind, cells.len())).copied().unwrap_or(0.0);
        places.between(|behind| f64::from(cell(behind)))
    }

    /// Learns what `minute`, when clocks show `clock`, teaches; where the profile was drawn anew, returns its value there.
    pub fn learn(&mut self, lesson: Lesson, minute: Minute, clock: Minute, history: &History) -> Option<f64> {
        match lesson {
            Lesson::Correct(by) => {
                self.correct(clock, by);
                None
            }
            Lesson::Draw => {
                self.draw(history, minute, clock, |cell, mean| cell - mean);
                Some(self.at(clock))
            }
        }
    }

    /// Adds `correction` at `minute`, split between the two cells by their share in it.
    pub fn correct(&mut self, minute: Minute, correction: f64) {
        let Places { first, share: [share], .. } = self.places(minute, &[0]);
        self.rise();
        let Some(left) = self.index(first) else { return };
        let right = wrap(left + 1, self.cells.len());
        for (index, share) in [(left, 1.0 - share), (right, share)] {
            if let Some(cell) = self.cells.get_mut(index) {
                *cell = (f64::from(*cell) + correction * share) as f32;
            }
        }
    }

    /// Multiplies the profile.
    pub fn scale(&mut self, factor: f64) {
        self.cells *= factor as f32;
    }

    /// Gives a flat season its cells.
    fn rise(&mut self) {
        if self.cells.is_empty() {
            self.cells = Array1::zeros(self.count as usize);
        }
    }

    /// Returns where the cell stands that is so many behind the epoch; `None` without cells.
    fn index(&self, cell: i64) -> Option<usize> {
        let count = self.cells.len();
        (count > 0).then(|| cell.rem_euclid(count as i64) as usize)
    }
}

/// Returns what is left of an index that may be too large; most are not.
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
        season.rise();
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
            season.rise();
            assert_eq!(season.cells.len(), cells);
            season.cells.iter_mut().enumerate().for_each(|(cell, value)| *value = (cell * cell % 11) as f32);
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
            season.draw(&history, Minute(last), Minute(last), |cell, mean| cell - mean);
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

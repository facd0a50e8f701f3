//! The cells of a profile in rows of a few hours, each cell in 16 bits between the bounds of its row.
//!
//! The bounds are slightly beyond the cells, so that updates seldom leave them. A row whose bounds are exceeded gets
//! new ones, and so does every row when its first cell learns: a range widened by an outlier narrows again.

/// Cells per row: three hours of a day of minutes. A row of 80 bytes spans two cache lines; eight rows fill an
/// allocator size class.
const ROW: usize = 36;
/// Steps between the bounds of a row.
const STEPS: f32 = 65_535.0;
/// Margin of the bounds beyond the cells, as a share of the cells' range.
const BEYOND: f32 = 0.25;

/// Adjacent cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    rows: Box<[Row]>,
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    /// The lower bound, and the size of one step.
    low: f32,
    step: f32,
    cells: [u16; ROW],
}

impl Rows {
    /// Stores these cells.
    pub fn of(cells: &[f32]) -> Self {
        Self { rows: cells.chunks(ROW).map(Row::of).collect(), count: cells.len() as u32 }
    }

    /// Returns one cell, which exists.
    pub fn get(&self, index: usize) -> f32 {
        self.rows.get(index / ROW).map_or(0.0, |row| row.value(row.cells[index % ROW]))
    }

    /// Copies the cells starting at `first`, all of which exist.
    pub fn read(&self, first: usize, values: &mut [f32]) {
        let (mut row, mut within) = (first / ROW, first % ROW);
        let mut rest = values;
        while let Some(cells) = self.rows.get(row).filter(|_| !rest.is_empty()) {
            let (here, next) = rest.split_at_mut(rest.len().min(ROW - within));
            for (value, cell) in here.iter_mut().zip(&cells.cells[within..]) {
                *value = cells.value(*cell);
            }
            (row, within, rest) = (row + 1, 0, next);
        }
    }

    pub fn add(&mut self, index: usize, by: f64) {
        let within = index % ROW;
        let used = (self.count as usize).saturating_sub(index - within).min(ROW);
        let Some(row) = self.rows.get_mut(index / ROW).filter(|_| within < used) else { return };
        let value = (f64::from(row.value(row.cells[within])) + by) as f32;
        if within > 0 && row.holds(value) {
            row.cells[within] = row.cell(value);
            return;
        }
        let mut values = row.cells.map(|cell| row.value(cell));
        values[within] = value;
        *row = Row::of(&values[..used]);
    }

    /// Multiplies all cells by a positive factor.
    pub fn scale(&mut self, factor: f64) {
        for row in &mut self.rows {
            (row.low, row.step) = (row.low * factor as f32, row.step * factor as f32);
        }
    }
}

impl Row {
    /// Stores at most [`ROW`] values.
    fn of(values: &[f32]) -> Self {
        let (least, most) = values
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), value| (least.min(*value), most.max(*value)));
        let beyond = BEYOND * (most - least);
        // If all are equal, the step is zero.
        let ends = Self { low: least - beyond, step: (most - least + 2.0 * beyond) / STEPS, cells: [0; ROW] };
        let mut row = ends;
        row.cells.iter_mut().zip(values).for_each(|(cell, value)| *cell = ends.cell(*value));
        row
    }

    fn value(&self, cell: u16) -> f32 {
        self.low + f32::from(cell) * self.step
    }

    /// Returns the nearest cell; NaN becomes zero.
    fn cell(&self, value: f32) -> u16 {
        ((value - self.low) / self.step + 0.5) as u16
    }

    /// Returns whether a value is within the bounds.
    fn holds(&self, value: f32) -> bool {
        self.low < value && value < self.low + STEPS * self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &Rows, index: usize) -> f64 {
        rows.get(index).into()
    }

    #[test]
    fn cells_are_kept_to_a_small_part_of_what_lies_between_those_of_their_row() {
        for count in [1, 7, 36, 48, 288] {
            let cells: Vec<f32> = (0..count).map(|cell| (cell * cell % 101) as f32 - 30.0).collect();
            let rows = Rows::of(&cells);
            let mut read = vec![f32::NAN; count];
            rows.read(0, &mut read);
            for (got, cell) in read.iter().zip(&cells) {
                assert!((got - cell).abs() < 101.0 * 1.5 / 65_535.0, "{count}: {got} and not {cell}");
            }
        }
        assert_eq!(size_of::<Row>(), 80);
    }

    #[test]
    fn cells_that_are_alike_are_exact_and_may_part() {
        let mut rows = Rows::of(&[100.1; 288]);
        assert!((0..288).all(|cell| read(&rows, cell) == f64::from(100.1_f32)));
        for _ in 0..1000 {
            rows.add(40, 0.25);
        }
        // Each of these equal updates is rounded the same way.
        assert!((read(&rows, 40) - 350.1).abs() < 3.0 && (read(&rows, 41) - 100.1).abs() < 0.1);
        assert_eq!(read(&rows, 100), f64::from(100.1_f32));
        let before = read(&rows, 40);
        rows.scale(2.0);
        assert!((read(&rows, 40) - 2.0 * before).abs() < 1e-3);
    }

    #[test]
    fn many_small_lessons_add_up() {
        let cells: Vec<f32> = (0..288).map(|cell| 1000.0 * ((cell as f32) / 40.0).sin()).collect();
        let mut rows = Rows::of(&cells);
        for _ in 0..10_000 {
            (0..36).for_each(|cell| rows.add(cell, 0.02 * (500.0 - read(&rows, cell))));
        }
        assert!((0..36).all(|cell| (read(&rows, cell) - 500.0).abs() < 1.0), "{}", read(&rows, 20));
    }

    #[test]
    fn an_outlier_widens_its_row_until_it_is_forgotten_and_no_other() {
        let mut rows = Rows::of(&[10.0; 72]);
        rows.add(5, 1e6);
        assert!((read(&rows, 6) - 10.0).abs() < 25.0 && read(&rows, 40) == 10.0);
        for _ in 0..2000 {
            (0..36).for_each(|cell| rows.add(cell, 0.05 * (10.0 - read(&rows, cell))));
        }
        assert!((0..36).all(|cell| (read(&rows, cell) - 10.0).abs() < 1e-2), "{} {}", read(&rows, 5), read(&rows, 6));
    }

    #[test]
    fn what_is_beyond_all_measure_stays_a_number() {
        let mut rows = Rows::of(&[0.0, 1e30, -1e30]);
        for by in [1e30, -1e30, 1e-30, 0.0] {
            (0..3).for_each(|cell| rows.add(cell, by));
        }
        rows.add(7, 1.0);
        assert!((0..3).all(|cell| read(&rows, cell).is_finite()));
    }
}

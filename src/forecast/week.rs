//! The weekly profile of a signal in cells of a few minutes, and the mean profile of its days.
//!
//! Each cell of the week is an exponentially weighted mean over the weeks. A week of single minutes would take 11 KB,
//! and neighbouring minutes differ little; the cells take a fifth of that. The profile of the day is an exponentially
//! weighted mean over the days: unlike the Holt-Winters season, which is corrected by forecast errors, it averages the
//! signal itself.

use super::history::History;
use super::models::holt_winters::DAY_SEEN;
use super::models::season::{AT_ONCE, Place, Places, SPAN, Season};
use crate::model::Minute;

/// Seasons in a week.
pub const WEEK: i64 = 7;
/// How many cells away the replacement of a missing cell may be.
const REACH: i64 = 6;
/// Offsets of adjacent cells.
const IN_ROW: [u16; AT_ONCE] = {
    let (mut cells, mut cell) = ([0; AT_ONCE], 0);
    while cell < AT_ONCE {
        cells[cell] = cell as u16;
        cell += 1;
    }
    cells
};
/// Weight of a new day in the mean of the days, and of a new week in the mean of the weeks. The first `1 / GAIN` of
/// them count equally.
const GAIN: f64 = 0.25;

/// Means of the cells of a week, and of its days.
#[derive(Debug, Clone)]
pub struct Week {
    /// Ended cells, each averaged with the same cell of earlier weeks. A `Minute` of this history counts cells.
    cells: History,
    running: Running,
    days: Season,
    /// When the first day of the mean ended; `None` before.
    drawn: Option<Minute>,
}

/// The cell that has not ended.
#[derive(Debug, Clone, Copy)]
struct Running {
    cell: i64,
    sum: f64,
    seen: u32,
}

impl Week {
    /// Returns an empty week with seasons of `season_steps` steps.
    pub fn new(season_steps: u32) -> Self {
        let days = Season::flat(season_steps);
        let cells = History::of(WEEK * days.cells(), REACH);
        Self { cells, running: Running { cell: i64::MIN, sum: 0.0, seen: 0 }, days, drawn: None }
    }

    /// Adds the value of the minute in which clocks show `clock`. If clocks show an hour twice, the first one counts.
    pub fn push(&mut self, clock: Minute, value: Option<f64>) {
        let cell = clock.0.div_euclid(self.days.cell_minutes());
        if cell != self.running.cell {
            let Running { cell: ended, sum, seen } = self.running;
            if seen > 0 {
                self.cells.push(Minute(ended), Some(self.of_weeks(ended, sum / f64::from(seen))));
            }
            self.running = Running { cell, sum: 0.0, seen: 0 };
        }
        if let Some(value) = value {
            self.running.sum += value;
            self.running.seen += 1;
        }
    }

    /// Returns the mean over the weeks of a cell that ended with `mean`.
    fn of_weeks(&self, cell: i64, mean: f64) -> f64 {
        let week = WEEK * self.days.cells();
        let Some(before) = self.cells.get(Minute(cell.saturating_sub(week))) else { return mean };
        let begin = self.drawn.map_or(cell, |drawn| drawn.0.div_euclid(self.days.cell_minutes()));
        let weeks = cell.saturating_sub(begin) as f64 / week as f64;
        before + GAIN.max(1.0 / (weeks + 1.0)) * (mean - before)
    }

    /// Initializes the mean of the days from the first day, which ends at `last`, when clocks show `clock`.
    pub fn draw(&mut self, history: &History, last: Minute, clock: Minute) {
        self.days.draw(history, last, clock, |cell, _| cell);
        self.drawn = Some(clock);
    }

    /// Folds the value at `clock` into the mean of the days. Call it only once no pending forecast reads cells near it:
    /// a forecast must see the mean of earlier days alone.
    pub fn learn(&mut self, clock: Minute, value: f64) {
        let Some(days) = self.drawn.map(|drawn| clock.0.saturating_sub(drawn.0) / self.days.steps()) else { return };
        // A cell is updated by each of its minutes.
        let gain = GAIN.max(1.0 / (days as f64 + 2.0)) / self.days.cell_minutes() as f64;
        let place = self.days.place(clock);
        self.days.correct(place, gain * (value - self.days.value(place)));
    }

    /// Multiplies the mean of the days, and all cells before clocks showed `before`.
    pub fn scale(&mut self, before: Minute, factor: f64) {
        self.days.scale(factor);
        self.cells.scale(Minute(before.0.div_euclid(self.days.cell_minutes())), factor);
    }

    /// Returns the mean of the days at a place; `None` before the first day has ended.
    pub fn day(&self, place: Place) -> Option<f64> {
        self.drawn.map(|_| self.days.value(place))
    }

    /// Returns the mean of the days at these places; `None` before the first day has ended.
    pub fn days<const N: usize>(&self, places: &Places<N>) -> Option<[f32; N]> {
        self.drawn.map(|_| self.days.read(places))
    }

    /// Returns the mean over the weeks one week before these places, NaN if unknown.
    pub fn ago<const N: usize>(&self, places: &Places<N>) -> [f32; N] {
        let first = self.before(places.first, WEEK);
        // Neighbours share cells: each is read once.
        let mut cells = [f32::NAN; SPAN];
        for (at, some) in cells.chunks_exact_mut(AT_ONCE).enumerate().take(places.cells() / AT_ONCE) {
            some.copy_from_slice(&self.cells.near_each(first.plus((at * AT_ONCE) as i64), &IN_ROW));
        }
        places.between(&cells)
    }

    /// Returns the value `days` days (at most seven) before a place; `None` if unknown.
    pub fn days_ago(&self, place: Place, days: i64) -> Option<f64> {
        let value = place.between(self.cells.near_each(self.before(place.cell, days), &[0, 1]));
        (!value.is_nan()).then_some(value)
    }

    /// Returns the cell so many days before another.
    fn before(&self, cell: i64, days: i64) -> Minute {
        Minute(cell.saturating_sub(days * self.days.cells()))
    }

    /// Returns the profile of the day that ended with the minute `last`, when clocks showed `clock`, drawn from the
    /// means of its cells; `None` if too few of them are known.
    pub fn drawn(&self, last: Minute, clock: Minute) -> Option<Season> {
        let (length, count) = (self.days.cell_minutes(), self.days.cells());
        let [last, shown] = [last, clock].map(|minute| minute.0.div_euclid(length));
        let seen = self.cells.share_seen(Minute(shown), count) >= DAY_SEEN;
        let mean = |cell: i64| self.cells.get(Minute(cell.saturating_add(shown - last)));
        seen.then(|| Season::of_cells(self.days.steps() as u32, last, mean))
    }

    /// Returns the steps in a day.
    pub fn day_steps(&self) -> i64 {
        self.days.steps()
    }

    /// Finds the place of the time that clocks show.
    pub fn place(&self, clock: Minute) -> Place {
        self.days.place(clock)
    }

    /// Finds the places of the minutes `ahead` of the time `from` that clocks show.
    pub fn places<const N: usize>(&self, from: Minute, ahead: &[u16; N]) -> Places<N> {
        self.days.places(from, ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::history::DAY;

    /// More than a week in which each minute has its own value.
    fn seen(steps: u32, minutes: i64, value: impl Fn(i64) -> Option<f64>) -> Week {
        let mut week = Week::new(steps);
        (0..minutes).for_each(|minute| week.push(Minute(minute), value(minute)));
        week
    }

    fn ago<const N: usize>(week: &Week, from: i64, ahead: &[u16; N]) -> [f64; N] {
        week.ago(&week.places(Minute(from), ahead)).map(f64::from)
    }

    #[test]
    fn a_week_ago_is_read_between_the_means_of_its_cells() {
        let slope = |minute: i64| Some(minute as f64);
        let week = seen(1440, 8 * DAY, slope);
        let now = 8 * DAY - 1;
        let found = ago(&week, now, &[0, 1, 7, 30]);
        for (value, ahead) in found.into_iter().zip([0, 1, 7, 30]) {
            let expected = (now - 7 * DAY + ahead) as f64;
            assert!((value - expected).abs() < 1.0, "{ahead}: {value:?} and not {expected}");
        }
        let steps = seen(48, 400, slope);
        let found = ago(&steps, 399, &[0, 30]);
        assert!(found.iter().zip([63.0, 93.0]).all(|(value, expected): (&f64, f64)| (value - expected).abs() < 0.2));
    }

    #[test]
    fn a_week_ago_is_the_mean_of_weeks_and_follows_them() {
        // The second day ends before the first cells of the second week do.
        let found = [1, 2, 3, 6].map(|weeks| {
            let mut week = Week::new(48);
            week.draw(&History::new(1), Minute(47), Minute(47));
            (0..=weeks * 336).for_each(|step| week.push(Minute(step), Some(if step < 336 { 100.0 } else { 200.0 })));
            ago(&week, weeks * 336, &[5])[0]
        });
        let [one, two, three, six] = found;
        assert!((one - 100.0).abs() < 1.0 && (150.0..160.0).contains(&two), "{found:?}");
        assert!((165.0..175.0).contains(&three) && (183.0..190.0).contains(&six), "{found:?}");
    }

    #[test]
    fn before_a_week_and_over_a_long_gap_nothing_is_known() {
        assert!(ago(&seen(1440, 6 * DAY, |_| Some(1.0)), 6 * DAY - 1, &[0])[0].is_nan());
        let gap = |minute: i64| (!(100..300).contains(&minute)).then_some(1.0);
        let at = |minute: i64| {
            let now = 7 * DAY + minute;
            Some(ago(&seen(1440, now + 1, gap), now, &[0])[0]).filter(|value| value.is_finite())
        };
        assert_eq!((at(90), at(110), at(250), at(320)), (Some(1.0), Some(1.0), None, Some(1.0)));
        let week = seen(1440, 8 * DAY, gap);
        assert!([i64::MIN, i64::MAX].iter().all(|end| ago(&week, *end, &[0, 30]).iter().all(|value| value.is_nan())));
    }

    #[test]
    fn a_day_of_the_week_is_drawn_around_its_mean_by_the_minutes_of_another_clock() {
        let noon = |minute: i64| Some(if minute % DAY == 720 { 500.0 } else { 0.0 } + minute.div_euclid(DAY) as f64);
        let week = seen(1440, 4 * DAY, noon);
        // Clocks are two hours ahead.
        let season = week.drawn(Minute(3 * DAY - 121), Minute(3 * DAY - 1)).unwrap();
        let at = |minute: i64| season.at(Minute(minute));
        assert!((at(600 + 2) - 100.0).abs() < 1.0 && at(720 + 2).abs() < 1.0, "{} {}", at(602), at(722));
        assert_eq!(week.drawn(Minute(20 * DAY), Minute(20 * DAY)), None);
    }

    #[test]
    fn the_mean_of_the_days_follows_them() {
        let mut week = Week::new(1440);
        assert_eq!(week.day(week.place(Minute(0))), None);
        let mut history = History::new(2);
        (0..DAY).for_each(|minute| history.push(Minute(minute), Some(100.0)));
        week.draw(&history, Minute(DAY - 1), Minute(DAY - 1));
        assert_eq!(week.days(&week.places(Minute(5), &[0, 30])), Some([100.0; 2]));
        let mut means = Vec::new();
        for day in 1..15 {
            (day * DAY..(day + 1) * DAY).for_each(|minute| week.learn(Minute(minute), 200.0));
            means.push(week.day(week.place(Minute(777))).unwrap());
        }
        assert!((125.0..160.0).contains(&means[0]), "{means:?}");
        assert!(means.windows(2).all(|pair| pair[0] < pair[1]) && means[13] > 190.0, "{means:?}");
    }
}

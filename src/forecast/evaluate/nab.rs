//! The score of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015): the value of detections, given windows in which
//! something went wrong.
//!
//! Only the earliest detection in a window counts, the more the earlier it is; a missed window costs. Each row above
//! the threshold outside all windows costs, less just after a window. The first rows of a series are not counted. The
//! total is scaled so that no detection at all is 0 and an immediate one in each window is 100. One threshold applies
//! to all series.

/// Share of the rows of a series that is not counted.
const PROBATION: f64 = 0.15;
/// That share is taken of at most this many rows.
const PROBATION_ROWS: f64 = 5000.0;
/// Steepness of the sigmoid over a window.
const STEEP: f64 = 5.0;
/// Distance after a window, in its widths, from which a false alarm costs in full.
const FAR: f64 = 3.0;

/// The value of detections, misses and false alarms to a kind of user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Its name in the benchmark.
    pub name: &'static str,
    missed: f64,
    false_alarm: f64,
}

/// The benchmark's profiles.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", missed: 1.0, false_alarm: 0.11 },
    Profile { name: "reward_low_fp", missed: 1.0, false_alarm: 0.22 },
    Profile { name: "reward_low_fn", missed: 2.0, false_alarm: 0.11 },
];

/// A series with the scores of a detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// Score of each row, 0 to 1, higher if more unusual.
    pub scores: Vec<f64>,
    /// First and last row of each window, in order, not overlapping.
    pub windows: Vec<(usize, usize)>,
}

impl Labelled {
    /// Returns how many of the first rows are not counted.
    pub fn probation(&self) -> usize {
        (PROBATION * (self.scores.len() as f64).min(PROBATION_ROWS)).floor() as usize
    }

    /// Returns each counted row: its position, its window if it is in one, and the value of a detection there (false
    /// alarms: in units of their cost).
    pub fn rows(&self) -> impl Iterator<Item = (usize, Option<usize>, f64)> + '_ {
        let mut next = 0;
        (0..self.scores.len()).filter_map(move |row| {
            while self.windows.get(next).is_some_and(|(_, last)| row > *last) {
                next += 1;
            }
            let inside = self.windows.get(next).filter(|(first, _)| row >= *first);
            let worth = match (inside, next.checked_sub(1).and_then(|before| self.windows.get(before))) {
                (Some((first, last)), _) => {
                    let width = (last - first + 1) as f64;
                    sigmoid(-((last - row + 1) as f64) / width) / sigmoid(-1.0)
                }
                (None, Some((first, last))) => sigmoid((row - last) as f64 / (last - first).max(1) as f64),
                (None, None) => -1.0,
            };
            (row >= self.probation()).then_some((row, inside.map(|_| next), worth))
        })
    }
}

/// Returns the score at a threshold, at most 100; `None` without a window.
pub fn score(series: &[Labelled], profile: &Profile, threshold: f64) -> Option<f64> {
    let mut tally = Tally::new(series, profile);
    for (number, one) in series.iter().enumerate() {
        for (_, window, worth) in one.rows().filter(|(row, ..)| one.scores[*row] >= threshold) {
            tally.detected(number, window, worth);
        }
    }
    tally.scaled()
}

/// Returns the best threshold for this profile on these series, and its score; `None` without a window.
pub fn optimise(series: &[Labelled], profile: &Profile) -> Option<(f64, f64)> {
    let mut rows = Vec::new();
    for (number, one) in series.iter().enumerate() {
        rows.extend(one.rows().map(|(row, window, worth)| (one.scores[row], number, window, worth)));
    }
    rows.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut tally = Tally::new(series, profile);
    // Above every score: no detection at all.
    let mut best = (f64::INFINITY, tally.scaled()?);
    for (place, (threshold, number, window, worth)) in rows.iter().enumerate() {
        tally.detected(*number, *window, *worth);
        let whole = rows.get(place + 1).is_none_or(|next| next.0 < *threshold);
        let scaled = tally.scaled()?;
        if whole && scaled > best.1 {
            best = (*threshold, scaled);
        }
    }
    Some(best)
}

/// The detections so far.
struct Tally<'a> {
    profile: &'a Profile,
    /// Value per series and window: that of its earliest detection, or the cost of missing it.
    windows: Vec<Vec<f64>>,
    count: f64,
    sum: f64,
}

impl<'a> Tally<'a> {
    fn new(series: &[Labelled], profile: &'a Profile) -> Self {
        let windows: Vec<Vec<f64>> = series.iter().map(|one| vec![-profile.missed; one.windows.len()]).collect();
        let count = windows.iter().flatten().count() as f64;
        Self { profile, windows, count, sum: -profile.missed * count }
    }

    fn detected(&mut self, series: usize, window: Option<usize>, worth: f64) {
        let Some(window) = window else {
            self.sum += self.profile.false_alarm * worth;
            return;
        };
        if let Some(best) = self.windows.get_mut(series).and_then(|windows| windows.get_mut(window)) {
            self.sum += worth.max(*best) - *best;
            *best = worth.max(*best);
        }
    }

    fn scaled(&self) -> Option<f64> {
        let nothing = -self.profile.missed * self.count;
        (self.count > 0.0).then(|| 100.0 * (self.sum - nothing) / (self.count - nothing))
    }
}

/// Returns the value at a position: -1 is the start of a window, 0 its end, above 0 is after it.
fn sigmoid(position: f64) -> f64 {
    if position >= FAR { -1.0 } else { 2.0 / (1.0 + (STEEP * position).exp()) - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores 100 rows with a window from 20 to 29, in the standard profile at a threshold of one half.
    fn check(detected: &[usize], expected: f64) {
        let mut scores = vec![0.0; 100];
        detected.iter().for_each(|row| scores[*row] = 0.9);
        let series = [Labelled { scores, windows: vec![(20, 29)] }];
        let [standard, ..] = PROFILES;
        let got = score(&series, &standard, 0.5).unwrap();
        assert!((got - expected).abs() < 0.01, "{detected:?}: {got}, not {expected}");
    }

    #[test]
    fn detections_misses_and_false_alarms_are_worth_what_the_benchmark_says() {
        check(&[], 0.0);
        check(&[20], 100.0);
        check(&[20, 21, 29], 100.0);
        // Half of the window has passed; nearly all of it.
        check(&[25], 92.99);
        check(&[29], 62.41);
        // One false alarm long before, long after, and right after the window.
        check(&[16, 20], 94.5);
        check(&[20, 80], 94.5);
        check(&[20, 30], 98.51);
        // Rows that are not counted.
        check(&[0, 14, 20], 100.0);
        // Every row: the false alarms use up the detection.
        check(&(0..100).collect::<Vec<_>>(), 100.0 - 5.5 * (5.0 + 67.98));
    }

    #[test]
    fn the_best_threshold_is_found_among_the_scores() {
        let mut scores = vec![0.1; 100];
        (scores[25], scores[60], scores[22]) = (0.9, 0.7, 0.5);
        let series = [Labelled { scores, windows: vec![(20, 29)] }];
        for profile in &PROFILES {
            let (threshold, best) = optimise(&series, profile).unwrap();
            assert_eq!(score(&series, profile, threshold), Some(best));
            let others =
                [0.05, 0.1, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0].map(|threshold| score(&series, profile, threshold));
            assert!(others.iter().flatten().all(|other| *other <= best), "{others:?} {best}");
        }
        // Nothing but false alarms: no alarm at all is best.
        let quiet = [Labelled { scores: vec![0.0; 100], windows: vec![(20, 29)] }];
        let noisy = Labelled { scores: vec![1.0; 1000], windows: Vec::new() };
        let all = [quiet[0].clone(), noisy.clone()];
        assert_eq!(optimise(&all, &PROFILES[0]), Some((f64::INFINITY, 0.0)));
        assert_eq!(optimise(&[noisy], &PROFILES[0]), None);
    }

    #[test]
    fn at_most_750_rows_are_not_counted() {
        for (rows, expected) in [(0, 0), (100, 15), (4032, 604), (5000, 750), (20_000, 750)] {
            let series = Labelled { scores: vec![0.0; rows], windows: Vec::new() };
            assert_eq!(series.probation(), expected, "{rows}");
        }
    }
}

//! How good the alarms of a detector are, by series and overall.

use serde::Serialize;

use crate::forecast::evaluate::nab::{self, Labelled, PROFILES, Profile};
use crate::forecast::evaluate::{ALARM_THRESHOLD, Anomaly};

const WEEK_SECONDS: f64 = 7.0 * 86_400.0;

/// A series after the detector.
#[derive(Debug)]
pub struct Judgement {
    /// Its path relative to the directory.
    pub series: String,
    /// Seconds per step.
    pub step_seconds: i64,
    /// The verdict on each row.
    pub judged: Vec<Anomaly>,
    /// Its labels.
    pub labelled: Labelled,
    /// Mean time of one update, microseconds.
    pub update_us: f64,
}

impl Judgement {
    /// Returns the alarms as scores of 0 and 1.
    fn alarms(&self) -> Labelled {
        let scores = self.judged.iter().map(|judged| f64::from(u8::from(judged.alarm))).collect();
        Labelled { scores, windows: self.labelled.windows.clone() }
    }
}

/// Benchmark scores with a threshold fitted to the same labels, as the benchmark does it, and of the alarms as shipped.
/// No detection at all scores 0, immediate detection of everything 100; `None` without labelled windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NabScore {
    /// Name of the profile.
    pub profile: &'static str,
    /// The best threshold for all series together; `None` if raising no alarm is best.
    pub optimised_threshold: Option<f64>,
    /// See above.
    pub optimised: Option<f64>,
    /// See above.
    pub shipped: Option<f64>,
}

/// One series, at the shipped threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesReport {
    /// See [`Judgement`].
    pub series: String,
    /// Rows that are scored: all but the first 15 % (at most 750).
    pub rows: usize,
    /// See [`Judgement`].
    pub step_seconds: i64,
    /// See [`Judgement`].
    pub update_us: f64,
    /// Labelled windows, and those with an alarm.
    pub windows: usize,
    /// See above.
    pub found: usize,
    /// Mean number of rows from the start of a window to its first alarm; `None` if none was found.
    pub delay_steps: Option<f64>,
    /// Alarms outside all windows.
    pub false_alarms: usize,
    /// Time monitored outside all windows.
    pub weeks: f64,
    /// By profile.
    pub nab: [NabScore; PROFILES.len()],
}

/// All series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overall {
    /// Number of series.
    pub series: usize,
    /// The threshold of alarms.
    pub shipped_threshold: f64,
    /// Labelled windows, and those with an alarm.
    pub windows: usize,
    /// See above.
    pub found: usize,
    /// Mean over the windows found.
    pub delay_steps: Option<f64>,
    /// Alarms outside all windows, per time monitored there.
    pub false_alarms_per_metric_week: f64,
    /// The same for the series without any window; `None` if each has one.
    pub false_alarms_per_metric_week_clean: Option<f64>,
    /// By profile.
    pub nab: [NabScore; PROFILES.len()],
}

/// Returns the scores of each series and overall.
pub fn report(all: &[Judgement]) -> (Vec<SeriesReport>, Overall) {
    let labelled: Vec<Labelled> = all.iter().map(|one| one.labelled.clone()).collect();
    let shipped: Vec<Labelled> = all.iter().map(Judgement::alarms).collect();
    let thresholds = PROFILES.map(|profile| nab::optimise(&labelled, &profile).map(|(threshold, _)| threshold));
    let rows: Vec<SeriesReport> = all.iter().map(|one| series(one, thresholds)).collect();
    let delays = rows.iter().filter_map(|row| Some((row.delay_steps? * row.found as f64, row.found as f64)));
    let delay = ratio(delays.fold((0.0, 0.0), |(sum, count), (delay, found)| (sum + delay, count + found)));
    let alarms = |clean_only: bool| {
        let counted = rows.iter().filter(|row| !clean_only || row.windows == 0);
        ratio(counted.fold((0.0, 0.0), |(alarms, weeks), row| (alarms + row.false_alarms as f64, weeks + row.weeks)))
    };
    let overall = Overall {
        series: rows.len(),
        shipped_threshold: ALARM_THRESHOLD,
        windows: rows.iter().map(|row| row.windows).sum(),
        found: rows.iter().map(|row| row.found).sum(),
        delay_steps: delay,
        false_alarms_per_metric_week: alarms(false).unwrap_or(f64::NAN),
        false_alarms_per_metric_week_clean: alarms(true),
        nab: scores(&labelled, &shipped, thresholds),
    };
    (rows, overall)
}

fn series(one: &Judgement, thresholds: [Option<f64>; PROFILES.len()]) -> SeriesReport {
    let mut first = vec![None; one.labelled.windows.len()];
    let (mut false_alarms, mut outside, mut counted) = (0, 0.0, 0);
    for (row, window, _) in one.labelled.rows() {
        counted += 1;
        let alarm = one.judged.get(row).is_some_and(|judged| judged.alarm);
        match window.and_then(|window| first.get_mut(window)) {
            Some(first) if alarm => drop(first.get_or_insert(row)),
            Some(_) => {}
            None => {
                outside += 1.0;
                false_alarms += usize::from(alarm);
            }
        }
    }
    let windows = first.iter().zip(&one.labelled.windows);
    let delays = windows.filter_map(|(first, (begin, _))| Some(((*first)? - begin) as f64));
    let (sum, found) = delays.fold((0.0, 0.0), |(sum, found), delay| (sum + delay, found + 1.0));
    SeriesReport {
        series: one.series.clone(),
        rows: counted,
        step_seconds: one.step_seconds,
        update_us: one.update_us,
        windows: first.len(),
        found: found as usize,
        delay_steps: ratio((sum, found)),
        false_alarms,
        weeks: outside * one.step_seconds as f64 / WEEK_SECONDS,
        nab: scores(std::slice::from_ref(&one.labelled), &[one.alarms()], thresholds),
    }
}

fn scores(
    labelled: &[Labelled],
    alarms: &[Labelled],
    thresholds: [Option<f64>; PROFILES.len()],
) -> [NabScore; PROFILES.len()] {
    let mut thresholds = thresholds.into_iter();
    PROFILES.map(|profile: Profile| {
        let threshold = thresholds.next().flatten();
        NabScore {
            profile: profile.name,
            optimised_threshold: threshold.filter(|threshold| threshold.is_finite()),
            optimised: threshold.and_then(|threshold| nab::score(labelled, &profile, threshold)),
            shipped: nab::score(alarms, &profile, 1.0),
        }
    })
}

fn ratio((sum, count): (f64, f64)) -> Option<f64> {
    (count > 0.0).then(|| sum / count)
}

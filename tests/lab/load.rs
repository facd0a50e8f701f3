//! The load of a service over days, in requests per second, for both backfill and live workers.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 1440;
/// Minutes that a surge lasts.
const SURGE: i64 = 20;

/// A load that has a value for each minute since the Unix epoch.
#[derive(Debug, Clone)]
pub enum Load {
    /// A day with a morning rise, an evening peak and a night, with some noise.
    Made {
        /// Distinguishes services.
        seed: u64,
    },
    /// The same, multiplied for twenty minutes of each day.
    Surging {
        /// Distinguishes services.
        seed: u64,
        /// The minute since the epoch at which one of the surges starts.
        minute: i64,
        /// Factor during a surge.
        factor: f64,
    },
    /// A recorded series of one-minute values, shifted by whole days so that its last day is today.
    Recorded {
        /// One value a minute; `None` is a gap.
        values: Vec<Option<f64>>,
        /// The minute since the epoch of the first value, after the shift.
        first: i64,
    },
}

impl Load {
    /// Returns the load of service number `seed`: the recorded file of that number in the directory that
    /// `FLYBALL_LAB_DATA` names, or a generated one.
    pub fn of_service(seed: u64) -> Self {
        let Ok(directory) = env::var("FLYBALL_LAB_DATA") else { return Self::Made { seed } };
        let listed = fs::read_dir(&directory).unwrap_or_else(|error| panic!("FLYBALL_LAB_DATA {directory}: {error}"));
        let mut files: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.to_string_lossy().ends_with("_1m.csv"));
        files.sort();
        assert!(!files.is_empty(), "no *_1m.csv in {directory}");
        Self::recorded(&files[seed as usize % files.len()])
    }

    /// Reads `timestamp,value` rows, one a minute; the values are scaled so that few are above 100.
    fn recorded(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let rows: Vec<(&str, &str)> = text.lines().skip(1).filter_map(|line| line.split_once(',')).collect();
        let stamp: jiff::civil::DateTime = rows[0].0.trim_end_matches('Z').parse().unwrap();
        let start = i64::from(stamp.hour()) * 60 + i64::from(stamp.minute());
        let values: Vec<Option<f64>> = rows.iter().map(|(_, value)| value.trim().parse().ok()).collect();
        let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let scale = 100.0 / sorted[sorted.len() * 98 / 100];
        let today = minute_now().div_euclid(DAY) * DAY;
        let days = (i64::try_from(values.len()).unwrap() + start).div_euclid(DAY);
        let values = values.into_iter().map(|value| value.map(|value| value * scale)).collect();
        Self::Recorded { values, first: today - (days - 1) * DAY + start }
    }

    /// Returns the rate in a minute since the epoch; `None` if the record has a gap.
    pub fn at(&self, minute: i64) -> Option<f64> {
        match self {
            Self::Made { seed } => {
                let phase = (minute.rem_euclid(DAY) as f64 / DAY as f64) * std::f64::consts::TAU;
                let shape = 50.0 - 30.0 * phase.cos() - 12.0 * (2.0 * phase).sin();
                Some(shape * (1.0 + 0.1 * *seed as f64) * (1.0 + 0.06 * (noise(minute as u64, *seed) - 0.5)))
            }
            Self::Surging { seed, minute: begin, factor } => {
                let surge = if (minute - begin).rem_euclid(DAY) < SURGE { *factor } else { 1.0 };
                Self::Made { seed: *seed }.at(minute).map(|rate| rate * surge)
            }
            Self::Recorded { values, first } => {
                let place = usize::try_from(minute - first).ok()?;
                values.get(place).copied().flatten()
            }
        }
    }
}

/// Returns the present minute since the epoch.
pub fn minute_now() -> i64 {
    (unix_now() / 60.0) as i64
}

/// Returns the present time, seconds since the epoch.
pub fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Returns a deterministic number from 0 to 1 for its input (`SplitMix64`).
fn noise(step: u64, seed: u64) -> f64 {
    let mut state = step.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (state ^ (state >> 31)) as f64 / u64::MAX as f64
}

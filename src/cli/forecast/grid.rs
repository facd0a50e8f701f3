//! The times of a forecast's steps, and their length, in text and in answers.

use serde_json::{Value, json};

use crate::model::{Minute, Timestamp};

/// The grid of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Seconds per step.
    pub step: i64,
    /// Seconds from the grid to the timestamps.
    pub offset: i64,
}

impl Grid {
    /// The grid of the loop.
    pub const MINUTES: Self = Self { step: 60, offset: 0 };

    /// Returns the start of the step that is `ahead` of `origin`.
    pub fn at(self, origin: Minute, ahead: u16) -> Timestamp {
        let second = origin.plus(i64::from(ahead)).0.saturating_mul(self.step).saturating_add(self.offset);
        Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
    }

    /// Returns a time of this grid as text: with seconds if it has any.
    pub fn show(self, at: Timestamp) -> String {
        let whole = self.step % 60 == 0 && self.offset % 60 == 0;
        at.strftime(if whole { "%Y-%m-%d %H:%MZ" } else { "%Y-%m-%d %H:%M:%SZ" }).to_string()
    }

    /// Returns the exact length of this many steps: `5 min`, `1 h 30 min`.
    pub fn lasts(self, steps: u16) -> String {
        let mut seconds = self.step.saturating_mul(i64::from(steps));
        let mut parts = Vec::new();
        for (length, unit) in [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")] {
            let whole = seconds / length;
            seconds -= whole * length;
            if whole > 0 {
                parts.push(format!("{whole} {unit}"));
            }
        }
        if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
    }

    /// Adds its time to each point of a forecast: `at`, `seconds_ahead` and `steps`, called `minutes` if a step is one.
    pub fn stamp(self, forecast: &mut Value, origin: Minute) {
        forecast["origin_at"] = json!(self.at(origin, 0));
        for point in forecast["points"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            let steps = point.get("minutes").and_then(Value::as_u64).and_then(|steps| u16::try_from(steps).ok());
            let Some(steps) = steps else { continue };
            point.insert("at".to_owned(), json!(self.at(origin, steps)));
            point.insert("seconds_ahead".to_owned(), json!(self.step.saturating_mul(i64::from(steps))));
            point.insert("steps".to_owned(), json!(steps));
            if self.step != Self::MINUTES.step {
                point.remove("minutes");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_by_their_time() {
        let five = Grid { step: 300, offset: 0 };
        for (grid, steps, at, lasts) in [
            (Grid::MINUTES, 1, "2027-01-15 08:01Z", "1 min"),
            (five, 12, "2027-01-15 09:00Z", "1 h"),
            (five, 30, "2027-01-15 10:30Z", "2 h 30 min"),
            (Grid { step: 300, offset: 7 }, 1, "2027-01-15 08:05:07Z", "5 min"),
            (Grid { step: 90, offset: 0 }, 1, "2027-01-15 08:01:30Z", "1 min 30 s"),
            (Grid { step: 86_400, offset: 28_800 }, 2, "2027-01-17 08:00Z", "2 d"),
        ] {
            let origin = Minute(1_800_000_000i64.div_euclid(grid.step));
            assert_eq!(
                (grid.show(grid.at(origin, steps)).as_str(), grid.lasts(steps).as_str()),
                (at, lasts),
                "{grid:?}"
            );
        }
    }

    #[test]
    fn only_minutes_are_called_so() {
        let forecast = || json!({ "points": [{ "minutes": 2, "point": 1.0 }] });
        let (mut minutes, mut fives) = (forecast(), forecast());
        Grid::MINUTES.stamp(&mut minutes, Minute(0));
        Grid { step: 300, offset: 0 }.stamp(&mut fives, Minute(0));
        assert_eq!(minutes["points"][0]["minutes"], 2);
        let expected = json!({ "at": "1970-01-01T00:10:00Z", "point": 1.0, "seconds_ahead": 600, "steps": 2 });
        assert_eq!((&fives["points"][0], &fives["origin_at"]), (&expected, &json!("1970-01-01T00:00:00Z")));
    }
}

//! The parts of a forecast, and the form of the signal it was made in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Share of a sum that is mere rounding of its summands, at the precision of shares.
const ROUNDING: f64 = 1e-6;

/// What a point forecast is made of, in the unit of the signal; the parts add up to it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Parts {
    /// The signal without its season: the smoothed level, or the newest value.
    pub level: f64,
    /// Damped trend up to the point.
    pub trend: f64,
    /// By how much this time of the day differs from the mean of the day.
    #[serde(alias = "season")]
    pub day: f64,
    /// By how much this day of the week differs from the mean day at this time.
    pub week: f64,
    /// Autoregressive part: the remainder of recent errors that is still decaying.
    pub ar: f64,
    /// What limits removed or added.
    pub rest: f64,
}

impl Parts {
    /// Returns each part with its name.
    pub fn named(&self) -> [(&'static str, f64); 6] {
        let Self { level, trend, day, week, ar, rest } = *self;
        [("level", level), ("trend", trend), ("day", day), ("week", week), ("AR", ar), ("rest", rest)]
    }

    /// Returns their sum.
    pub fn sum(&self) -> f64 {
        self.named().iter().map(|(_, part)| part).sum()
    }

    /// Makes them add up to `point`: the difference becomes the rest, unless it is mere rounding.
    pub fn complete(&mut self, point: f64) {
        let missing = point - self.sum();
        let size = self.named().iter().fold(point.abs(), |size, (_, part)| size.max(part.abs()));
        let part = if missing.abs() <= ROUNDING * size { &mut self.level } else { &mut self.rest };
        *part += missing;
    }

    /// Adds `share` of the parts of another forecast.
    pub fn add(&mut self, other: &Self, share: f64) {
        self.level += share * other.level;
        self.trend += share * other.trend;
        self.day += share * other.day;
        self.week += share * other.week;
        self.ar += share * other.ar;
        self.rest += share * other.rest;
    }

    /// Multiplies all parts.
    pub fn scale(&mut self, factor: f64) {
        let Self { level, trend, day, week, ar, rest } = self;
        for part in [level, trend, day, week, ar, rest] {
            *part *= factor;
        }
    }
}

/// The form of the signal that a model forecasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// The signal as it is: its parts are added.
    #[default]
    Plain,
    /// The ratio of the signal to its mean day: a level twice as high has a day twice as high.
    RatioToDays,
    /// The ratio of the signal to the weeks before.
    RatioToWeeks,
}

impl Transform {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::RatioToDays, Self::RatioToWeeks];

    /// Returns the word used in explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::RatioToDays => "ratio to the mean day",
            Self::RatioToWeeks => "ratio to the weeks before",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_completed_by_what_was_limited_and_rounding_is_no_part() {
        let of = |point: f64| {
            let mut parts = Parts { level: 100.0, trend: 1.0, day: -20.0, week: 5.0, ar: 2.0, rest: 0.0 };
            parts.complete(point);
            assert!((parts.sum() - point).abs() < 1e-9, "{parts:?}");
            (parts.level - 100.0, parts.rest)
        };
        let (level, rest) = of(88.000_01);
        assert!(level != 0.0 && level.abs() < 1e-4 && rest == 0.0, "{level} {rest}");
        assert_eq!(of(60.0), (0.0, -28.0));
    }

    /// Records of earlier versions: their season is the day, and the rest is not broken down.
    #[test]
    fn parts_of_earlier_records_are_read() {
        let before: Parts = serde_json::from_str(r#"{"level":10.0,"trend":1.0,"season":-2.0,"rest":0.5}"#).unwrap();
        assert_eq!(before, Parts { level: 10.0, trend: 1.0, day: -2.0, rest: 0.5, ..Parts::default() });
    }
}

//! Wall and monotonic time. A cycle reads the clock once and passes this value on: ages, cooldowns and fences use
//! `mono`, seasons and records use `wall`.

use std::time::Duration;

pub use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One reading of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Now {
    /// Wall-clock time; may jump.
    pub wall: Timestamp,
    /// Time since the start of the process; never goes back.
    #[serde(alias = "mono_seconds", deserialize_with = "seconds::deserialize")]
    pub mono: Duration,
}

impl Now {
    /// Returns the point in time `span` later on both clocks.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let wall = self.wall.checked_add(span).unwrap_or(Timestamp::MAX);
        Self { wall, mono: self.mono.saturating_add(span) }
    }

    /// Returns the time since `earlier` (a monotonic time); zero if it is in the future.
    pub fn since(self, earlier: Duration) -> Duration {
        self.mono.saturating_sub(earlier)
    }

    /// Returns the time since `earlier` by the clock that reports more: the monotonic one stops while a machine sleeps,
    /// the wall clock may jump back.
    pub fn since_reading(self, earlier: Self) -> Duration {
        self.since(earlier.mono).max(elapsed(self.wall, earlier.wall))
    }
}

/// Returns the time from `earlier` to `later`; zero if it is negative.
pub fn elapsed(later: Timestamp, earlier: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// Durations for people and programs: a number of seconds, in a field whose name ends in `_seconds`. Stored data keeps
/// the exact duration under the plain field name, as earlier versions did. Both forms are read.
pub mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::{Map, Value};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(f64),
        Span(Duration),
    }

    /// Writes a span.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(span.as_secs_f64())
    }

    /// Reads a span.
    ///
    /// # Errors
    /// When there is none, or it is negative or infinite.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom),
            Written::Span(span) => Ok(span),
        }
    }

    /// Returns an answer with every duration as a number of seconds: `{"lead_time": {"secs": 90, "nanos": 0}}` becomes
    /// `{"lead_time_seconds": 90.0}`.
    pub fn in_seconds(answer: Value) -> Value {
        match answer {
            Value::Array(items) => Value::Array(items.into_iter().map(in_seconds).collect()),
            Value::Object(fields) => {
                let field = |(name, value): (String, Value)| match span(&value) {
                    Some(span) => (format!("{name}_seconds"), span.as_secs_f64().into()),
                    None => (name, in_seconds(value)),
                };
                Value::Object(fields.into_iter().map(field).collect::<Map<_, _>>())
            }
            plain => plain,
        }
    }

    /// Returns the duration that a value holds in stored form; `None` if it is something else.
    fn span(value: &Value) -> Option<Duration> {
        let fields = value.as_object().filter(|fields| fields.len() == 2)?;
        let (whole, rest) = (fields.get("secs")?.as_u64()?, fields.get("nanos")?.as_u64()?);
        Some(Duration::new(whole, u32::try_from(rest).ok()?))
    }
}

/// A minute of wall-clock time, counted from the Unix epoch: the step of the forecast grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Minute(pub i64);

impl Minute {
    /// Returns the minute that `at` falls into.
    pub fn of(at: Timestamp) -> Self {
        Self(at.as_second().div_euclid(60))
    }

    /// Returns the first instant of this minute.
    pub fn start(self) -> Timestamp {
        Timestamp::from_second(self.0.saturating_mul(60)).unwrap_or(Timestamp::MAX)
    }

    /// Returns the minute `steps` later.
    #[must_use]
    pub fn plus(self, steps: i64) -> Self {
        Self(self.0.saturating_add(steps))
    }

    /// Returns the minute of the (UTC) day, 0 to 1439.
    pub fn of_day(self) -> usize {
        self.0.rem_euclid(1440) as usize
    }
}

#[cfg(test)]
mod seconds_tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Lead {
        #[serde(alias = "left_seconds", deserialize_with = "seconds::deserialize")]
        left: Duration,
    }

    #[test]
    fn a_span_is_told_in_seconds_and_read_back_in_both_forms() {
        let lead = Lead { left: Duration::from_millis(12_345) };
        let stored = serde_json::to_value(&lead).unwrap();
        assert_eq!(stored, json!({ "left": { "secs": 12, "nanos": 345_000_000 } }), "what is stored stays as it was");
        let told = seconds::in_seconds(json!({ "leads": [stored.clone()], "secs": 1, "nanos": 2 }));
        assert_eq!(told, json!({ "leads": [{ "left_seconds": 12.345 }], "secs": 1, "nanos": 2 }));
        for form in [stored, told["leads"][0].clone()] {
            assert_eq!(serde_json::from_value::<Lead>(form).unwrap(), lead);
        }
        let packed = rmp_serde::to_vec_named(&lead).unwrap();
        assert_eq!(rmp_serde::from_slice::<Lead>(&packed).unwrap(), lead);
        for wrong in [json!({ "left_seconds": -1.0 }), json!({ "left_seconds": 1e300 }), json!({ "left": "1 s" })] {
            assert!(serde_json::from_value::<Lead>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}

//! Wall and monotonic time. A cycle reads the clock once and hands this value on: ages, cooldowns and
//! fences use `mono`, seasons and records use `wall`.

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
    pub mono: Duration,
}

impl Now {
    /// Returns the moment `span` later on both clocks.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let wall = self.wall.checked_add(span).unwrap_or(Timestamp::MAX);
        Self { wall, mono: self.mono.saturating_add(span) }
    }

    /// Returns how long `earlier` (a monotonic time) lies back; zero if it lies ahead.
    pub fn since(self, earlier: Duration) -> Duration {
        self.mono.saturating_sub(earlier)
    }
}

/// Returns how long `earlier` lies before `later`; zero if it does not.
pub fn elapsed(later: Timestamp, earlier: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// A span as people and programs read it: a number of seconds, in a field that ends in `_seconds`. Where a person may read
/// (JSON) it is that; what is packed keeps the span whole. Reads both, and what earlier versions wrote.
pub mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
        if serializer.is_human_readable() {
            serializer.serialize_f64(span.as_secs_f64())
        } else {
            span.serialize(serializer)
        }
    }

    /// Reads a span.
    ///
    /// # Errors
    /// Where there is none, or one that is negative or endless.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom),
            Written::Span(span) => Ok(span),
        }
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

//! What the observe stage derives from one round of arrivals.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::series::{Finite, Reading};
use super::target::TargetReading;
use super::time::Minute;

/// Upper limit of an extrapolated rise, now and ahead, as a multiple of the newest sample: the declared window may be
/// longer than the real one.
pub const MOST_RISE: f64 = 2.0;

/// One minute of a signal on the wall-clock grid; `None` is a gap, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MinuteValue {
    /// Which minute.
    pub minute: Minute,
    /// Mean of the samples that fell into it.
    pub value: Option<Finite>,
}

/// One signal, now and in the last minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignalFeatures {
    /// The signal now.
    pub reading: Reading,
    /// Mean over the last minute.
    pub mean_1m: Option<Finite>,
    /// 99th percentile over the last 5 minutes.
    pub p99_5m: Option<Finite>,
    /// Relative change of the last minute's mean from the mean five minutes earlier (0.2 = 20 % more).
    pub change_5m: Option<Finite>,
    /// Maximum over the last 5 minutes.
    pub max_5m: Option<Finite>,
    /// Smaller of the two newest distinct samples, if the signal is fresh and at most one scrape is missing between
    /// them: what a rise has confirmed, so that one odd sample moves nothing.
    pub confirmed: Option<Finite>,
    /// Where the signal is now, if the newest samples rise far faster than the signal usually moves: what came between
    /// them, by the window they look back on, carried on to now at the slower of the two newest slopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rising: Option<Finite>,
    /// How fast it rises then, per second: the slower of the last two slopes of what came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<Finite>,
    /// More than ten times larger than the sample before and not yet confirmed three times.
    pub suspect: bool,
    /// The running minute; replaced at its end.
    pub provisional: Option<MinuteValue>,
    /// Minutes that ended since the last cycle, oldest first, gaps explicit.
    #[serde(skip)]
    pub closed: Vec<MinuteValue>,
}

impl SignalFeatures {
    /// Returns the features of a signal of which only the reading is known.
    pub fn of(reading: Reading) -> Self {
        Self {
            reading,
            mean_1m: None,
            p99_5m: None,
            change_5m: None,
            max_5m: None,
            confirmed: None,
            rising: None,
            slope: None,
            suspect: false,
            provisional: None,
            closed: Vec::new(),
        }
    }
}

/// All that is known about a service in one cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Features {
    /// One entry for each declared signal, in the order of the spec.
    pub signals: Vec<SignalFeatures>,
    /// The object that is scaled.
    pub target: TargetReading,
}

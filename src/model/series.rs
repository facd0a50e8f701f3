//! Values that arrive from telemetry. Absence is a type: it is never zero, never NaN.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mask::MASKED;
use super::signal::Unit;
use super::time::{Timestamp, elapsed};

/// A finite number. It cannot be NaN or infinite, so nothing after the parsers has to handle those.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
pub struct Finite(f64);

impl Finite {
    /// Zero.
    pub const ZERO: Self = Self(0.0);

    /// Returns the number if it is finite. A negative zero becomes zero.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// Returns the number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Finite {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        Self::new(value).ok_or_else(|| format!("{value} is not a finite number"))
    }
}

impl From<Finite> for f64 {
    fn from(value: Finite) -> Self {
        value.0
    }
}

impl Eq for Finite {}

impl PartialOrd<f64> for Finite {
    fn partial_cmp(&self, other: &f64) -> Option<std::cmp::Ordering> {
        self.0.partial_cmp(other)
    }
}

impl PartialEq<f64> for Finite {
    fn eq(&self, other: &f64) -> bool {
        self.0 == *other
    }
}

/// A value and the time at which its source took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// When the source took it (not when it arrived).
    pub at: Timestamp,
    /// What it was, in the base unit of its signal.
    pub value: Finite,
}

/// Why there is no usable value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Missing {
    /// The source could not be queried, did not answer in time, or answered with an error.
    SourceDown {
        /// What failed, short and without secrets.
        error: String,
    },
    /// The source answered and has no such series.
    NoSeries,
    /// There is a value, but no time at which its samples were taken: its age is unknown.
    NoSampleTime,
    /// The source answered with several series instead of one.
    Ambiguous {
        /// How many.
        series: usize,
    },
    /// NaN, an infinity, or a text that is not a number.
    NotFinite,
    /// Outside the declared range of the signal.
    OutOfRange {
        /// The value refused.
        value: Finite,
    },
    /// Stamped further ahead than clocks may differ.
    FromTheFuture {
        /// How far ahead.
        #[serde(alias = "ahead_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        ahead: Duration,
    },
    /// More than ten times smaller than the last value, not yet confirmed by further samples.
    UnconfirmedDrop {
        /// The unconfirmed value.
        value: Finite,
        /// Samples that agreed so far.
        seen: u32,
    },
    /// The source is back after an outage, and the window of its values is not complete yet.
    Refilling {
        /// Time between the first sample after the outage and the newest.
        #[serde(alias = "back_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        back: Duration,
        /// What is missing from the window of the signal.
        #[serde(alias = "left_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        left: Duration,
    },
    /// Not queried yet.
    NotAsked,
    /// The value is not shown here.
    Masked {
        /// Whether there was one that could be acted on.
        fresh: bool,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceDown { error } => write!(f, "source down: {error}"),
            Self::NoSeries => f.write_str("no such series"),
            Self::NoSampleTime => f.write_str("a value without a sample time: check the source's `samples` selector"),
            Self::Ambiguous { series } => write!(f, "{series} series, expected one"),
            Self::NotFinite => f.write_str("not a finite number"),
            Self::OutOfRange { value } => write!(f, "{} is outside the declared range", Unit::Count.show(value.get())),
            Self::FromTheFuture { ahead } => write!(f, "timestamp {} s in the future", ahead.as_secs()),
            Self::UnconfirmedDrop { value, seen } => {
                write!(f, "dropped more than tenfold to {}, confirmed {seen} of 3 times", Unit::Count.show(value.get()))
            }
            Self::Refilling { back, left } => {
                let (back, left) = (back.as_secs(), left.as_secs_f64().ceil());
                write!(f, "telemetry came back {back} s ago; its windows refill in {left} s")
            }
            Self::NotAsked => f.write_str("not queried yet"),
            Self::Masked { fresh: true } => f.write_str(MASKED),
            Self::Masked { fresh: false } => write!(f, "{MASKED}, and not fresh"),
        }
    }
}

/// What a telemetry source delivered for one signal of one service in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A finite value with the time of its newest underlying sample.
    Value(Sample),
    /// Nothing usable.
    Missing(Missing),
}

/// A signal as the loop sees it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Reading {
    /// A value younger than the staleness limit.
    Fresh {
        /// The newest sample.
        sample: Sample,
        /// Now minus its time.
        #[serde(alias = "staleness_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        staleness: Duration,
    },
    /// A value, older than the staleness limit.
    Stale {
        /// The newest sample.
        sample: Sample,
        /// Now minus its time.
        #[serde(alias = "staleness_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        staleness: Duration,
    },
    /// The series was seen before; this round gave nothing usable.
    Gap {
        /// The last usable sample.
        last: Sample,
        /// Why this round gave nothing.
        missing: Missing,
    },
    /// Never seen.
    Absent {
        /// Why the last round gave nothing.
        missing: Missing,
    },
}

impl Reading {
    /// Returns the value if, and only if, it may be acted on.
    pub fn fresh(&self) -> Option<Finite> {
        self.fresh_sample().map(|sample| sample.value)
    }

    /// Returns whether there is a value that may be acted on, masked or not.
    pub fn is_known(&self) -> bool {
        self.fresh().is_some() || self.is_masked()
    }

    /// Returns why the source did not answer, if that is why there is no usable value.
    pub fn source_error(&self) -> Option<&String> {
        match self {
            Self::Gap { missing: Missing::SourceDown { error }, .. }
            | Self::Absent { missing: Missing::SourceDown { error } } => Some(error),
            Self::Gap { .. } | Self::Absent { .. } | Self::Fresh { .. } | Self::Stale { .. } => None,
        }
    }

    /// Returns an earlier reading as of `now`: a value older than `limit` by then is stale.
    #[must_use]
    pub fn at(&self, now: Timestamp, limit: Duration) -> Self {
        match self {
            Self::Fresh { sample, .. } if elapsed(now, sample.at) > limit => {
                Self::Stale { sample: *sample, staleness: elapsed(now, sample.at) }
            }
            reading => reading.clone(),
        }
    }

    /// Returns whether its source was queried for it at all.
    pub fn is_asked(&self) -> bool {
        !matches!(self, Self::Absent { missing: Missing::NotAsked })
    }

    /// Returns whether a value was acted on but is masked.
    pub fn is_masked(&self) -> bool {
        matches!(self, Self::Absent { missing: Missing::Masked { fresh: true } })
    }

    /// Returns when the newest sample was taken; `None` if none is known.
    pub fn sampled(&self) -> Option<Timestamp> {
        match self {
            Self::Fresh { sample, .. } | Self::Stale { sample, .. } | Self::Gap { last: sample, .. } => Some(sample.at),
            Self::Absent { .. } => None,
        }
    }

    /// Returns the sample if it is fresh.
    pub fn fresh_sample(&self) -> Option<Sample> {
        match self {
            Self::Fresh { sample, .. } => Some(*sample),
            Self::Stale { .. } | Self::Gap { .. } | Self::Absent { .. } => None,
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh { .. } => f.write_str("fresh"),
            Self::Stale { staleness, .. } => write!(f, "stale for {} s", staleness.as_secs()),
            Self::Gap { missing, .. } => write!(f, "gap: {missing}"),
            Self::Absent { missing: missing @ Missing::Masked { .. } } => missing.fmt(f),
            Self::Absent { missing } => write!(f, "absent: {missing}"),
        }
    }
}

//! Declarations of signals. A policy can only name what is declared here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of a signal as policies write it (`rps`, `p99`, `cpu`): a Rhai identifier.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SignalName(Arc<str>);

impl SignalName {
    /// Returns the name if it is an identifier (`a-z`, digits, `_`; starts with a letter).
    pub fn new(text: &str) -> Option<Self> {
        let identifier = text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && text.len() <= 63;
        identifier.then(|| Self(text.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Base unit of a signal; all values inside flyball are in base units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share, 0 to 1 (CPU utilisation, error share). Shown in percent.
    Ratio,
    /// Time in seconds. Shown in milliseconds below one second.
    Seconds,
    /// Events a second (requests).
    PerSecond,
    /// A plain number (queue length, connections).
    Count,
    /// What something costs, US dollars an hour.
    UsdPerHour,
    /// 0 or 1; policies see a flag.
    Flag,
}

/// From here on digits stand for nothing that anybody reads, up to three hundred of them.
const LARGE: f64 = 1e15;

impl Unit {
    /// Returns it as messages name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ratio => "a share",
            Self::Seconds => "a time",
            Self::PerSecond => "a rate",
            Self::Count => "a plain number",
            Self::UsdPerHour => "a cost",
            Self::Flag => "a flag",
        }
    }

    /// Returns `value` as people read it.
    pub fn show(self, value: f64) -> String {
        let digits = |value: f64, decimals: usize| {
            if value.abs() >= LARGE { format!("{value:.2e}") } else { format!("{value:.decimals$}") }
        };
        match self {
            Self::Ratio => format!("{} %", digits(value * 100.0, 1)),
            Self::Seconds if value.abs() < 1.0 => format!("{} ms", digits(value * 1000.0, 0)),
            Self::Seconds => format!("{} s", digits(value, 2)),
            Self::PerSecond => format!("{}/s", digits(value, 1)),
            Self::Count if value.abs() < LARGE => format!("{value}"),
            Self::Count => digits(value, 0),
            Self::UsdPerHour => format!("${}/h", digits(value, 2)),
            Self::Flag => (if value == 0.0 { "off" } else { "on" }).to_owned(),
        }
    }
}

/// What the capacity model and the built-in views take a signal for. At most one signal has each role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Requests that arrive a second: what capacity is bought for.
    ArrivalRate,
    /// The latency that the objective bounds (p99, seconds).
    Latency,
    /// CPU utilisation of the pods against their request.
    Cpu,
    /// Share of failed requests.
    ErrorRatio,
}

/// One declared signal of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SignalSpec {
    /// Name in policies.
    pub name: SignalName,
    /// Base unit.
    pub unit: Unit,
    /// What it is used for beside policies.
    pub role: Option<Role>,
    /// Values outside are refused (`min`, `max`, both inclusive, base unit).
    pub range: (f64, f64),
    /// Whether the forecast stage models it.
    pub forecast: bool,
    /// How often its source takes a sample.
    #[serde(alias = "scrape_interval_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub scrape_interval: Duration,
}

impl SignalSpec {
    /// Returns the staleness above which the signal is not acted on: two scrape intervals and 15 s.
    pub fn max_staleness(&self) -> Duration {
        self.scrape_interval.saturating_mul(2).saturating_add(Duration::from_secs(15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_short() {
        for unit in [Unit::Ratio, Unit::Seconds, Unit::PerSecond, Unit::Count, Unit::UsdPerHour, Unit::Flag] {
            for value in [1e15, 1e300, -1e306] {
                assert!(unit.show(value).len() < 16, "{}", unit.show(value));
            }
        }
        assert_eq!(
            (Unit::PerSecond.show(1e308), Unit::Count.show(1e14)),
            ("1.00e308/s".into(), "100000000000000".into())
        );
    }
}

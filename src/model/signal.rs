//! Declarations of signals. A policy can only name declared signals.

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
    /// Events per second (requests).
    PerSecond,
    /// A plain number (queue length, connections).
    Count,
    /// Cost, US dollars per hour.
    UsdPerHour,
    /// 0 or 1; policies see a flag.
    Flag,
}

/// From here on digits carry no information, and there may be three hundred of them.
const LARGE: f64 = 1e15;

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 6] = [Self::Ratio, Self::Seconds, Self::PerSecond, Self::Count, Self::UsdPerHour, Self::Flag];

    /// Returns the word used in settings and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ratio => "ratio",
            Self::Seconds => "seconds",
            Self::PerSecond => "per_second",
            Self::Count => "count",
            Self::UsdPerHour => "usd_per_hour",
            Self::Flag => "flag",
        }
    }

    /// Returns its name in messages.
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

    /// Returns a range of values in readable form: `0.0 % to 100.0 %`, `0 ms or more`.
    pub fn span(self, (low, high): (f64, f64)) -> String {
        match self {
            Self::Flag => "off or on".to_owned(),
            _ if high.is_finite() => format!("{} to {}", self.show(low), self.show(high)),
            _ => format!("{} or more", self.show(low)),
        }
    }

    /// Returns a common scale for showing `values` side by side.
    pub fn alike(self, values: &[f64]) -> Scale {
        Scale::of(self, values)
    }

    /// Returns `value` in readable form.
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

/// How numbers of one unit are shown side by side: same unit, same number of digits, and different values look
/// different.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    unit: Unit,
    /// For times: whether they are shown in milliseconds.
    fine: bool,
    decimals: usize,
}

impl Scale {
    /// Most decimals; values that differ by less look the same.
    const MOST: usize = 6;

    fn of(unit: Unit, values: &[f64]) -> Self {
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let decimals = match unit {
            Unit::Seconds if largest < 1.0 => 0,
            // Three significant digits.
            Unit::Seconds => 2_usize.saturating_sub([10.0, 100.0].iter().filter(|bound| largest >= **bound).count()),
            Unit::Ratio | Unit::PerSecond => 1,
            Unit::UsdPerHour => 2,
            Unit::Count if values.iter().any(|value| value.fract() != 0.0) => 1,
            Unit::Count | Unit::Flag => 0,
        };
        let mut scale = Self { unit, fine: largest < 1.0, decimals };
        let distinct = |scale: &Self| {
            values.windows(2).all(|pair| match pair {
                [left, right] => left.total_cmp(right).is_eq() || scale.show(*left) != scale.show(*right),
                _ => true,
            })
        };
        // A nonzero value does not look like zero.
        let visible = |scale: &Self| values.iter().all(|value| *value == 0.0 || scale.show(*value) != scale.show(0.0));
        while scale.decimals < Self::MOST && !(distinct(&scale) && visible(&scale)) {
            scale.decimals += 1;
        }
        scale
    }

    /// Returns a difference of two values in readable form. A difference of shares is not itself in percent: 20 % more
    /// than 50 % would be 60 %.
    pub fn show_difference(self, difference: f64) -> String {
        match self.unit {
            Unit::Ratio => format!("{:.1$} points", difference * 100.0, self.decimals),
            _ => self.show(difference),
        }
    }

    /// Returns `value` in readable form.
    pub fn show(self, value: f64) -> String {
        let decimals = self.decimals;
        match self.unit {
            Unit::Ratio => format!("{:.decimals$} %", value * 100.0),
            Unit::Seconds if self.fine => format!("{:.decimals$} ms", value * 1000.0),
            Unit::Seconds => format!("{value:.decimals$} s"),
            Unit::PerSecond => format!("{value:.decimals$}/s"),
            // Whole numbers stay whole.
            Unit::Count if value.fract() == 0.0 => format!("{value:.0}"),
            Unit::Count => format!("{value:.decimals$}"),
            Unit::UsdPerHour => format!("${value:.decimals$}/h"),
            Unit::Flag => Unit::Flag.show(value),
        }
    }
}

/// What the capacity model and the built-in views take a signal for. At most one signal has each role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Arriving requests per second: what capacity is sized by.
    ArrivalRate,
    /// The latency that the objective bounds (p99, seconds).
    Latency,
    /// CPU utilisation of the pods against their request.
    Cpu,
    /// Share of failed requests.
    ErrorRatio,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::ArrivalRate, Self::Latency, Self::Cpu, Self::ErrorRatio];

    /// Returns the word used in settings and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ArrivalRate => "arrival_rate",
            Self::Latency => "latency",
            Self::Cpu => "cpu",
            Self::ErrorRatio => "error_ratio",
        }
    }
}

/// Kinds of telemetry sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A server with the query API of Prometheus.
    Prometheus,
}

impl SourceKind {
    /// Every kind.
    pub const ALL: [Self; 1] = [Self::Prometheus];

    /// Returns the word used in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
        }
    }
}

/// One declared signal of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SignalSpec {
    /// Name in policies.
    pub name: SignalName,
    /// Base unit.
    pub unit: Unit,
    /// What it is used for besides policies.
    pub role: Option<Role>,
    /// Values outside are refused (`min`, `max`, both inclusive, base unit).
    pub range: (f64, f64),
    /// Whether the forecast stage models it.
    pub forecast: bool,
    /// How often its source takes a sample.
    #[serde(alias = "scrape_interval_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub scrape_interval: Duration,
    /// How far a value looks back (the range of a rate): after an outage of its source the value is complete only that
    /// much later.
    #[serde(default, alias = "window_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub window: Duration,
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

    /// Settings and records write the same words.
    #[test]
    fn the_word_for_a_unit_or_role_is_that_of_records() {
        for unit in Unit::ALL {
            assert_eq!(serde_json::to_value(unit).unwrap(), unit.as_str());
        }
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }

    #[test]
    fn large_values_are_short() {
        for unit in Unit::ALL {
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

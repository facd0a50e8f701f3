//! Times and limits of the guards, as the owner of a service sets them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const DAY: Duration = Duration::from_hours(24);
/// How long an undone lowering extends the wait for the next ones.
pub const UNDONE_COUNTS: Duration = Duration::from_hours(4);
/// Upper limit for the doubled cooldown of lowerings.
const LONGEST_DOUBLED: Duration = Duration::from_hours(2);

/// Times and limits of the guards, besides bounds, budgets and mode. Their ranges are such that the invariants hold for
/// every value: an owner can make steps smaller and waits longer, and shorten waits down to a floor.
///
/// **Source**: defaults from the design table "One value where reference pages differ"; the rest from the state machine
/// of (service, knob). The largest steps are those of INV-06, the longest gap that of INV-07.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuardParams {
    /// Least time between two raises.
    #[serde(alias = "raise_cooldown_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub raise_cooldown: Duration,
    /// Least time between two raises if the confirmed arrival rate needs the second.
    #[serde(alias = "backed_raise_cooldown_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub backed_raise_cooldown: Duration,
    /// Least time between two lowerings; doubled by each one that was undone in the last four hours, to two hours at
    /// most (or to this, if it is longer).
    #[serde(alias = "lower_cooldown_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub lower_cooldown: Duration,
    /// Least time from a raise to a lowering. A raise may follow a lowering at any time.
    #[serde(alias = "reversal_lock_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub reversal_lock: Duration,
    /// Least time between two actions on a knob other than the replicas.
    #[serde(alias = "other_cooldown_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub other_cooldown: Duration,
    /// A raise goes at most to this multiple, or adds [`GuardParams::raise_at_least`], whichever is more.
    pub raise_factor: f64,
    /// Replicas that a raise may always add.
    pub raise_at_least: u32,
    /// A raise to what the confirmed arrival rate needs goes at most to this multiple.
    pub backed_raise_factor: f64,
    /// Share of the replicas that a lowering may take, 0 to 1; one replica may always go.
    pub lower_share: f64,
    /// A lowering goes no further than the largest need within this time.
    #[serde(alias = "stabilisation_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub stabilisation: Duration,
    /// Longest gap between two cycles within that time; a longer one restarts it.
    #[serde(alias = "window_gap_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub window_gap: Duration,
    /// How long the loop stands down after two of its writes were reverted within an hour.
    #[serde(alias = "human_hold_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub human_hold: Duration,
}

impl Default for GuardParams {
    fn default() -> Self {
        Self {
            raise_cooldown: Duration::from_mins(3),
            backed_raise_cooldown: Duration::from_secs(15),
            lower_cooldown: Duration::from_mins(10),
            reversal_lock: Duration::from_mins(10),
            other_cooldown: Duration::from_mins(5),
            raise_factor: 2.0,
            raise_at_least: 4,
            backed_raise_factor: 4.0,
            lower_share: 0.3,
            stabilisation: Duration::from_mins(5),
            window_gap: Duration::from_secs(90),
            human_hold: Duration::from_mins(30),
        }
    }
}

/// A value outside what the guards can keep their promises with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{value} is not between {low} and {high}")]
pub struct ParamFault {
    /// Name of the field.
    pub field: &'static str,
    /// Value given.
    pub value: String,
    /// Least permitted.
    pub low: String,
    /// Largest permitted.
    pub high: String,
}

impl GuardParams {
    /// Returns the parameters if every value is in its range.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validated(self) -> Result<Self, Vec<ParamFault>> {
        let faults: Vec<ParamFault> = self.number_faults().into_iter().chain(self.time_faults()).collect();
        if faults.is_empty() { Ok(self) } else { Err(faults) }
    }

    /// Returns the least time between two lowerings after this many were undone.
    pub fn lower_cooldown_after(&self, undone: usize) -> Duration {
        let doubled = 2_u32.saturating_pow(u32::try_from(undone).unwrap_or(u32::MAX));
        self.lower_cooldown.saturating_mul(doubled).min(self.lower_cooldown.max(LONGEST_DOUBLED))
    }

    /// Returns how far back the journal must be read for the guards' memory: a day beyond the longest cooldown or
    /// stand-down, so that a clock set forward by less than a day hides no write (INV-23).
    pub fn memory_span(&self) -> Duration {
        let spans =
            [self.raise_cooldown, self.lower_cooldown, self.reversal_lock, self.other_cooldown, self.human_hold];
        let longest = spans.into_iter().fold(UNDONE_COUNTS, Duration::max);
        longest.saturating_add(DAY)
    }

    fn number_faults(&self) -> Vec<ParamFault> {
        let check = [
            ("raise_factor", self.raise_factor, 1.0, 2.0),
            ("raise_at_least", f64::from(self.raise_at_least), 1.0, 4.0),
            ("backed_raise_factor", self.backed_raise_factor, 1.0, 4.0),
            ("lower_share", self.lower_share, 0.01, 0.3),
        ];
        let outside = check.into_iter().filter(|(_, value, low, high)| !(low..=high).contains(&value));
        let show = |value: f64| value.to_string();
        outside
            .map(|(field, value, low, high)| ParamFault { field, value: show(value), low: show(low), high: show(high) })
            .collect()
    }

    fn time_faults(&self) -> Vec<ParamFault> {
        let day = DAY.as_secs();
        let check = [
            ("raise_cooldown", self.raise_cooldown, 15, day),
            ("backed_raise_cooldown", self.backed_raise_cooldown, 15, day),
            ("lower_cooldown", self.lower_cooldown, 60, day),
            ("reversal_lock", self.reversal_lock, 60, day),
            ("other_cooldown", self.other_cooldown, 60, day),
            ("stabilisation", self.stabilisation, 60, day),
            ("window_gap", self.window_gap, 1, 90),
            ("human_hold", self.human_hold, 300, day),
        ];
        let within =
            |value: Duration, low, high| (Duration::from_secs(low)..=Duration::from_secs(high)).contains(&value);
        let outside = check.into_iter().filter(|(_, value, low, high)| !within(*value, *low, *high));
        outside
            .map(|(field, value, low, high)| ParamFault {
                field,
                value: format!("{} s", value.as_secs_f64()),
                low: format!("{low} s"),
                high: format!("{high} s"),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_fault_is_listed() {
        assert!(GuardParams::default().validated().is_ok());
        let bad = GuardParams {
            lower_share: f64::NAN,
            raise_factor: 0.5,
            stabilisation: Duration::from_secs(1),
            ..GuardParams::default()
        };
        let faults = bad.validated().unwrap_err();
        let faults: Vec<String> = faults.iter().map(|fault| format!("{}: {fault}", fault.field)).collect();
        let expected = [
            "raise_factor: 0.5 is not between 1 and 2",
            "lower_share: NaN is not between 0.01 and 0.3",
            "stabilisation: 1 s is not between 60 s and 86400 s",
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn unknown_keys_are_refused_and_missing_ones_have_defaults() {
        assert_eq!(serde_json::from_str::<GuardParams>("{}").unwrap(), GuardParams::default());
        assert!(serde_json::from_str::<GuardParams>(r#"{"lower_shar": 0.1}"#).is_err());
    }

    #[test]
    fn the_journal_is_read_back_a_day_beyond_the_longest_cooldown() {
        assert_eq!(GuardParams::default().memory_span(), UNDONE_COUNTS + DAY);
        let long = GuardParams { lower_cooldown: Duration::from_hours(5), ..GuardParams::default() };
        assert_eq!(long.memory_span(), Duration::from_hours(5) + DAY);
    }
}

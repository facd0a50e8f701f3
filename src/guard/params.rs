//! Times and limits of the guards.

use std::time::Duration;

use serde::Deserialize;

/// Two reverts within this time make the loop stand down; budgets look back as far.
pub const HOUR: Duration = Duration::from_hours(1);

const DAY: Duration = Duration::from_hours(24);

/// Times and limits of the guards. Bounds, budgets and mode belong to the service and stand in its spec.
///
/// **Source**: design table "One value where reference pages differ"; the rest from the state machine of
/// (service, knob).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardParams {
    /// Least time between two raises.
    pub raise_cooldown: Duration,
    /// Least time between two raises where the confirmed arrival rate needs the second.
    pub backed_raise_cooldown: Duration,
    /// Least time between two lowerings.
    pub lower_cooldown: Duration,
    /// Least time from a raise to a lowering. A raise may follow a lowering at any time.
    pub reversal_lock: Duration,
    /// Least time between two actions on a knob other than the replicas.
    pub other_cooldown: Duration,
    /// A raise goes at most to this multiple, or adds [`GuardParams::raise_at_least`], whichever is more.
    pub raise_factor: f64,
    /// Replicas that a raise may always add.
    pub raise_at_least: u32,
    /// A raise to what the confirmed arrival rate needs goes at most to this multiple.
    pub backed_raise_factor: f64,
    /// Share of the replicas that a lowering may take, 0 to 1; one replica may always go.
    pub lower_share: f64,
    /// A lowering goes no further than the largest need of this time.
    pub stabilisation: Duration,
    /// Longest silence between two cycles inside that time; a longer one starts it anew.
    pub window_gap: Duration,
    /// How long the loop stands down after two of its writes were reverted within an hour.
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
pub enum ParamFault {
    /// A multiple or share.
    #[error("{field} is {value}, expected {low} to {high}")]
    Number {
        /// Name of the field.
        field: &'static str,
        /// Value given.
        value: f64,
        /// Least permitted.
        low: f64,
        /// Largest permitted.
        high: f64,
    },
    /// A time.
    #[error("{field} is {} s, expected {} s to {} s", value.as_secs_f64(), low.as_secs_f64(), high.as_secs_f64())]
    Time {
        /// Name of the field.
        field: &'static str,
        /// Value given.
        value: Duration,
        /// Least permitted.
        low: Duration,
        /// Largest permitted.
        high: Duration,
    },
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

    /// Returns how far back the journal must be read for [`super::Memory::restore`]: a day beyond the longest
    /// cooldown, so that a clock set forward by less than that hides no write (INV-23).
    pub fn memory_span(&self) -> Duration {
        let longest = [self.raise_cooldown, self.lower_cooldown, self.reversal_lock, self.other_cooldown]
            .into_iter()
            .fold(HOUR, Duration::max);
        longest.saturating_add(DAY)
    }

    fn number_faults(&self) -> Vec<ParamFault> {
        let check = [
            ("raise_factor", self.raise_factor, 1.0, 10.0),
            ("raise_at_least", f64::from(self.raise_at_least), 1.0, 100.0),
            ("backed_raise_factor", self.backed_raise_factor, 1.0, 10.0),
            ("lower_share", self.lower_share, 0.01, 0.5),
        ];
        check
            .into_iter()
            .filter(|(_, value, low, high)| !(low..=high).contains(&value))
            .map(|(field, value, low, high)| ParamFault::Number { field, value, low, high })
            .collect()
    }

    fn time_faults(&self) -> Vec<ParamFault> {
        let check = [
            ("raise_cooldown", self.raise_cooldown, 0),
            ("backed_raise_cooldown", self.backed_raise_cooldown, 0),
            ("lower_cooldown", self.lower_cooldown, 60),
            ("reversal_lock", self.reversal_lock, 60),
            ("other_cooldown", self.other_cooldown, 0),
            ("stabilisation", self.stabilisation, 60),
            ("window_gap", self.window_gap, 1),
            ("human_hold", self.human_hold, 60),
        ];
        check
            .into_iter()
            .map(|(field, value, low)| (field, value, Duration::from_secs(low)))
            .filter(|(_, value, low)| value < low || *value > DAY)
            .map(|(field, value, low)| ParamFault::Time { field, value, low, high: DAY })
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
        let faults: Vec<String> = bad.validated().unwrap_err().iter().map(ToString::to_string).collect();
        let expected = [
            "raise_factor is 0.5, expected 1 to 10",
            "lower_share is NaN, expected 0.01 to 0.5",
            "stabilisation is 1 s, expected 60 s to 86400 s",
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
        assert_eq!(GuardParams::default().memory_span(), HOUR + DAY);
        let long = GuardParams { lower_cooldown: HOUR * 3, ..GuardParams::default() };
        assert_eq!(long.memory_span(), HOUR * 3 + DAY);
    }
}

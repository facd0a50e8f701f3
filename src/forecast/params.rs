//! Parameters of the forecast stage, with their units and permitted ranges.

pub use super::events::{Event, FACTORS, Shape, moment};
pub use super::zone::Zone;
pub use crate::model::Smoothing;

/// Parameters of the forecast stage. The same for all signals: none is tuned to a series.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastParams {
    /// Smoothing until a fit has found better.
    pub smoothing: Smoothing,
    /// Surprises are learned up to this many robust standard deviations.
    pub clip_sigmas: f64,
    /// Minutes with a value before there is a forecast at all.
    pub ready_minutes: u32,
    /// Minutes with a value before a forecast is no longer flagged cold and may earn authority.
    pub cold_minutes: u32,
    /// Days of minutes kept for a fit, 1 to 14; 1.6 KB per day and signal.
    pub history_days: u32,
    /// Half-life of the losses by which models are compared, minutes.
    pub loss_half_life_minutes: f64,
    /// Half-life of the realised coverage, minutes.
    pub coverage_half_life_minutes: f64,
    /// Skill above which a forecast may add capacity (share of the loss of the best flat rule that it saves).
    pub skill_to_add: f64,
    /// Skill above which it may also remove capacity.
    pub skill_to_remove: f64,
    /// How far realised coverage may fall below 95 % before a forecast loses authority.
    pub coverage_slack: f64,
    /// Consecutive minutes for which a bar must be met before authority rises by one rung.
    pub promotion_minutes: u32,
    /// Steps of the grid in a season: the minutes of a day.
    pub season_steps: u32,
    /// Seconds in a step of the grid.
    pub step_seconds: u32,
    /// The clocks that the season follows.
    pub zone: Zone,
    /// Known events of the coming days.
    pub events: Vec<Event>,
    /// Time from one tick of the loop to the next, seconds; part of the lead time.
    pub tick_seconds: f64,
}

impl Default for ForecastParams {
    fn default() -> Self {
        Self {
            smoothing: Smoothing::default(),
            clip_sigmas: 3.0,
            ready_minutes: 10,
            cold_minutes: 2880,
            history_days: 1,
            loss_half_life_minutes: 1440.0,
            coverage_half_life_minutes: 1440.0,
            skill_to_add: 0.02,
            skill_to_remove: 0.1,
            coverage_slack: 0.03,
            promotion_minutes: 240,
            season_steps: 1440,
            step_seconds: 60,
            zone: Zone::UTC,
            events: Vec::new(),
            tick_seconds: 15.0,
        }
    }
}

/// A parameter outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key} is {value}, expected {low} to {high}")]
pub struct ParamFault {
    /// Path of the key below the forecast settings.
    pub key: &'static str,
    /// What it was set to.
    pub value: f64,
    /// Smallest permitted value.
    pub low: f64,
    /// Largest permitted value.
    pub high: f64,
}

impl ForecastParams {
    /// Returns the parameters if all that an operator sets are within their ranges.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validated(self) -> Result<Self, Vec<ParamFault>> {
        let faults: Vec<ParamFault> = [
            ("history_days", f64::from(self.history_days), 1.0, 14.0),
            ("skill_to_add", self.skill_to_add, 0.0, 1.0),
            ("skill_to_remove", self.skill_to_remove, self.skill_to_add, 1.0),
            ("coverage_slack", self.coverage_slack, 0.0, 0.95),
            ("promotion_minutes", f64::from(self.promotion_minutes), 0.0, 10_080.0),
        ]
        .into_iter()
        .filter(|(_, value, low, high)| !(*low..=*high).contains(value))
        .map(|(key, value, low, high)| ParamFault { key, value, low, high })
        .collect();
        if faults.is_empty() { Ok(self) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert!(ForecastParams::default().validated().is_ok());
    }

    #[test]
    fn all_faults_are_listed_at_once() {
        let params = ForecastParams { history_days: 0, coverage_slack: f64::NAN, ..ForecastParams::default() };
        let faults = params.validated().unwrap_err();
        let keys: Vec<_> = faults.iter().map(|fault| fault.key).collect();
        assert_eq!(keys, ["history_days", "coverage_slack"]);
        assert_eq!(faults[0].to_string(), "history_days is 0, expected 1 to 14");
    }
}

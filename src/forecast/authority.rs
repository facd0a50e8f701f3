//! What a forecast may be used for: a ladder climbed slowly on measured skill and left at once without it.

use super::params::ForecastParams;
use crate::model::Authority;

/// Nominal coverage of the monitored intervals.
const NOMINAL: f64 = 0.95;
/// A rung is left when skill falls below this share of its bar, or coverage by this multiple of the slack.
const LEAVE_SKILL: f64 = 0.5;
const LEAVE_SLACK: f64 = 1.5;
/// Discounted outcomes needed before coverage counts.
const ENOUGH: f64 = 300.0;

/// Measured quality of the forecast of a signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Share of the loss of the best flat rule that the forecast saves; `None` before enough outcomes.
    pub foresight: Option<f64>,
    /// Realised share inside the 95 % interval, and the outcomes counted.
    pub coverage: (f64, f64),
    /// Realised share of maxima below their 95 % quantile, and the outcomes counted.
    pub maxima: (f64, f64),
    /// Whether there is less history than a forecast needs to act.
    pub cold: bool,
}

/// Authority of a signal and progress to the next rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rung {
    authority: Authority,
    /// Consecutive minutes in which the bar of the next rung was met.
    met: u32,
}

impl Rung {
    /// Returns the authority earned so far.
    pub fn authority(self) -> Authority {
        self.authority
    }

    /// Evaluates one more minute: drops at once to the highest rung that still holds, rises by one after the next bar
    /// was met for the promotion time.
    pub fn step(&mut self, evidence: &Evidence, params: &ForecastParams) {
        if !holds(evidence, self.authority, params, LEAVE_SKILL, LEAVE_SLACK) {
            self.met = 0;
            self.authority = below(self.authority);
            while !holds(evidence, self.authority, params, LEAVE_SKILL, LEAVE_SLACK) {
                self.authority = below(self.authority);
            }
            return;
        }
        let Some(next) = above(self.authority) else { return };
        self.met = if holds(evidence, next, params, 1.0, 1.0) { self.met.saturating_add(1) } else { 0 };
        if self.met > params.promotion_minutes {
            self.authority = next;
            self.met = 0;
        }
    }
}

fn above(authority: Authority) -> Option<Authority> {
    match authority {
        Authority::ReactiveOnly => Some(Authority::MayAdd),
        Authority::MayAdd => Some(Authority::MayRemove),
        Authority::MayRemove => None,
    }
}

fn below(authority: Authority) -> Authority {
    match authority {
        Authority::MayRemove => Authority::MayAdd,
        Authority::MayAdd | Authority::ReactiveOnly => Authority::ReactiveOnly,
    }
}

/// Returns whether the evidence meets the bar of a rung. Intervals that are too wide cost money, too narrow ones cost
/// the objective: only the latter disqualify a forecast.
fn holds(evidence: &Evidence, rung: Authority, params: &ForecastParams, skill: f64, slack: f64) -> bool {
    let bar = match rung {
        Authority::ReactiveOnly => return true,
        Authority::MayAdd => params.skill_to_add,
        Authority::MayRemove => params.skill_to_remove,
    };
    let least = NOMINAL - params.coverage_slack * slack;
    let covers = |(share, outcomes): (f64, f64)| outcomes >= ENOUGH && share >= least;
    !evidence.cold
        && evidence.foresight.is_some_and(|foresight| foresight >= bar * skill && foresight > 0.0)
        && covers(evidence.coverage)
        && covers(evidence.maxima)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Evidence =
        Evidence { foresight: Some(0.3), coverage: (0.95, 1000.0), maxima: (0.95, 1000.0), cold: false };

    fn after(steps: &[(Evidence, u32)]) -> Authority {
        let (mut rung, params) = (Rung::default(), ForecastParams::default());
        for (evidence, minutes) in steps {
            for _ in 0..*minutes {
                rung.step(evidence, &params);
            }
        }
        rung.authority()
    }

    #[test]
    fn authority_is_earned_rung_by_rung() {
        use Authority::{MayAdd, MayRemove, ReactiveOnly};
        let with = |foresight| Evidence { foresight: Some(foresight), ..GOOD };
        for (steps, expected) in [
            (vec![(GOOD, 240)], ReactiveOnly),
            (vec![(GOOD, 241)], MayAdd),
            (vec![(GOOD, 482)], MayRemove),
            (vec![(with(0.05), 2000)], MayAdd),
            (vec![(with(0.01), 2000)], ReactiveOnly),
            (vec![(GOOD, 200), (with(0.0), 1), (GOOD, 200)], ReactiveOnly),
            (vec![(Evidence { foresight: None, ..GOOD }, 2000)], ReactiveOnly),
            (vec![(Evidence { cold: true, ..GOOD }, 2000)], ReactiveOnly),
            (vec![(Evidence { coverage: (0.91, 1000.0), ..GOOD }, 2000)], ReactiveOnly),
            (vec![(Evidence { maxima: (0.91, 1000.0), ..GOOD }, 2000)], ReactiveOnly),
            (vec![(Evidence { maxima: (1.0, 299.0), ..GOOD }, 2000)], ReactiveOnly),
            (vec![(Evidence { coverage: (1.0, 1000.0), ..GOOD }, 2000)], MayRemove),
        ] {
            assert_eq!(after(&steps), expected, "{steps:?}");
        }
    }

    #[test]
    fn a_rung_is_left_at_once_but_not_for_a_wobble() {
        use Authority::{MayAdd, MayRemove, ReactiveOnly};
        let with = |foresight| Evidence { foresight: Some(foresight), ..GOOD };
        for (last, expected) in [
            (with(0.06), MayRemove),
            (with(0.04), MayAdd),
            (with(0.0), ReactiveOnly),
            (Evidence { coverage: (0.91, 1000.0), ..GOOD }, MayRemove),
            (Evidence { coverage: (0.90, 1000.0), ..GOOD }, ReactiveOnly),
            (Evidence { cold: true, ..GOOD }, ReactiveOnly),
        ] {
            assert_eq!(after(&[(GOOD, 482), (last, 1)]), expected, "{last:?}");
        }
    }
}

//! The cost of a run to the users of a service and its owner.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The figures by which controllers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Score {
    /// Minutes in which p99 was above the objective or more requests failed than it allows, counted in steps of 5 s.
    pub slo_violation_minutes: f64,
    /// Hours of pod existence, from creation to deletion, including start and termination.
    pub replica_hours: f64,
    /// Changes of the wanted replicas.
    pub actions: u32,
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.slo_violation_minutes += other.slo_violation_minutes;
        self.replica_hours += other.replica_hours;
        self.actions = self.actions.saturating_add(other.actions);
    }
}

impl Score {
    /// Returns the sum over services.
    pub fn sum<'a>(scores: impl IntoIterator<Item = &'a Score>) -> Score {
        let mut sum = Score::default();
        for score in scores {
            sum += *score;
        }
        sum
    }
}

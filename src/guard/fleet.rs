//! Budgets over namespaces and the whole fleet. The write gate spent them right before it writes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{ChangeSet, Direction, Intent, Moment, Now, WriteOutcome};

const MINUTE: Duration = Duration::from_mins(1);
const TEN_MINUTES: Duration = Duration::from_mins(10);

/// Limits over namespaces and the fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FleetLimits {
    /// Writes in any minute in one namespace.
    pub namespace_per_min: usize,
    /// Writes in any minute in all.
    pub fleet_per_min: usize,
    /// Share of all replicas known that may be removed in any 10 minutes, 0 to 1.
    pub removal_share: f64,
}

impl Default for FleetLimits {
    fn default() -> Self {
        Self { namespace_per_min: 20, fleet_per_min: 60, removal_share: 0.1 }
    }
}

/// One charged write.
#[derive(Debug, Clone)]
struct Charge {
    at: Moment,
    namespace: String,
    removed: u32,
}

/// What namespaces and the fleet have spent. Charged before the write, never refunded.
///
/// **Invariants**: INV-04, INV-05.
#[derive(Debug, Clone, Default)]
pub struct FleetBudget {
    limits: FleetLimits,
    spent: VecDeque<Charge>,
}

impl FleetBudget {
    /// Returns a budget of which nothing is spent.
    pub fn new(limits: FleetLimits) -> Self {
        Self { limits, spent: VecDeque::new() }
    }

    /// Returns the budget after what the journal holds: intents of all services, oldest first.
    pub fn restore(limits: FleetLimits, intents: &[Intent], now: Now) -> Self {
        let mut budget = Self::new(limits);
        for intent in intents {
            let at = match &intent.ended {
                Some((at, WriteOutcome::Applied)) => *at,
                Some(_) => continue,
                None => intent.prepared,
            };
            budget.spent.push_back(charge_of(&intent.change, Moment::persisted(at, now)));
        }
        budget
    }

    /// Charges `change`, with `total` replicas known in the fleet.
    ///
    /// A removal that alone is more than the share passes when none other fell into the 10 minutes before:
    /// in a small fleet nothing could ever be lowered otherwise, and the service's own step limit bounds it.
    ///
    /// # Errors
    /// The budget that is spent, with its numbers. Nothing is charged then.
    pub fn charge(&mut self, change: &ChangeSet, total: u32, now: Now) -> Result<(), String> {
        self.spent.retain(|spent| spent.at.age(now) < TEN_MINUTES);
        let cost = charge_of(change, Moment::now(now));
        let in_last_minute: Vec<&Charge> = self.spent.iter().filter(|other| other.at.age(now) < MINUTE).collect();
        let (all, allowed) = (in_last_minute.len(), self.limits.fleet_per_min);
        if all >= allowed {
            return Err(format!("the fleet had {all} writes in the last minute of {allowed} allowed"));
        }
        let namespace = &cost.namespace;
        let same = in_last_minute.into_iter().filter(|other| other.namespace == *namespace).count();
        let allowed = self.limits.namespace_per_min;
        if same >= allowed {
            return Err(format!("namespace {namespace} had {same} writes in the last minute of {allowed} allowed"));
        }
        self.check_removal(cost.removed, total)?;
        self.spent.push_back(cost);
        Ok(())
    }

    fn check_removal(&self, removed: u32, total: u32) -> Result<(), String> {
        let before = self.spent.iter().fold(0_u32, |sum, spent| sum.saturating_add(spent.removed));
        let allowed = f64::from(total) * self.limits.removal_share;
        if removed > 0 && before > 0 && f64::from(before.saturating_add(removed)) > allowed {
            let percent = self.limits.removal_share * 100.0;
            return Err(format!(
                "{before} of {total} replicas were removed in the last 10 minutes, {removed} more would pass {percent:.0} %"
            ));
        }
        Ok(())
    }
}

fn charge_of(change: &ChangeSet, at: Moment) -> Charge {
    let lowers = change.knob.sets_count() && change.direction() == Direction::Lower;
    let removed = if lowers { change.from.saturating_sub(change.to) } else { 0 };
    Charge { at, namespace: change.target.namespace.clone(), removed }
}

//! Budgets of namespaces and the whole fleet. The write gate charges them right before it writes.

use std::collections::VecDeque;
use std::time::Duration;

use super::TEN_MINUTES;
use crate::model::{ChangeId, ChangeSet, Direction, Intent, Moment, Now};

const MINUTE: Duration = Duration::from_mins(1);

/// Limits of namespaces and the fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FleetLimits {
    /// Writes in any minute in one namespace.
    pub namespace_per_min: usize,
    /// Writes in any minute in the whole fleet.
    pub fleet_per_min: usize,
    /// Share of all known replicas that may be removed in any 10 minutes, 0 to 1.
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
    id: ChangeId,
    at: Moment,
    namespace: String,
    removed: u32,
}

/// What namespaces and the fleet have spent. Charged before the write, and refunded once the write is known to have had
/// no effect. Lowerings spend at most half of the writes of a minute, so that saving money never blocks a raise.
///
/// **Invariants**: INV-04, INV-05.
#[derive(Debug, Clone, Default)]
pub struct FleetBudget {
    limits: FleetLimits,
    spent: VecDeque<Charge>,
}

impl FleetBudget {
    /// Returns an unspent budget.
    pub fn new(limits: FleetLimits) -> Self {
        Self { limits, spent: VecDeque::new() }
    }

    /// Returns the budget restored from the journal: intents of all services, oldest first.
    pub fn restore(limits: FleetLimits, intents: &[Intent], now: Now) -> Self {
        let mut budget = Self::new(limits);
        for intent in intents {
            let at = match &intent.ended {
                Some((at, outcome)) if outcome.is_charged() => *at,
                Some(_) => continue,
                None => intent.prepared,
            };
            budget.spent.push_back(charge_of(&intent.change, Moment::persisted(at, now)));
        }
        budget
    }

    /// Charges `change`, with `total` replicas known in the fleet.
    ///
    /// # Errors
    /// As [`FleetBudget::affords`]; nothing is charged then.
    pub fn charge(&mut self, change: &ChangeSet, total: u32, now: Now) -> Result<(), String> {
        self.spent.retain(|spent| spent.at.age(now) < TEN_MINUTES);
        self.affords(change, total, now)?;
        self.spent.push_back(charge_of(change, Moment::now(now)));
        Ok(())
    }

    /// Refunds what `change` was charged: it is known to have had no effect.
    pub fn refund(&mut self, change: &ChangeSet) {
        self.spent.retain(|spent| spent.id != change.id);
    }

    /// Checks whether the budgets permit `change` now, with `total` replicas known in the fleet.
    ///
    /// A removal that alone exceeds the share passes if there was no other in the 10 minutes before: otherwise a small
    /// fleet could never be lowered, and the service's own step limit bounds it.
    ///
    /// # Errors
    /// The exhausted budget, with its numbers.
    pub fn affords(&self, change: &ChangeSet, total: u32, now: Now) -> Result<(), String> {
        let cost = charge_of(change, Moment::now(now));
        let in_last_minute = || self.spent.iter().filter(|other| other.at.age(now) < MINUTE);
        let namespace = &cost.namespace;
        let in_namespace = || in_last_minute().filter(|other| other.namespace == *namespace);
        within("the fleet", self.limits.fleet_per_min, in_last_minute(), &cost)?;
        within(&format!("namespace {namespace}"), self.limits.namespace_per_min, in_namespace(), &cost)?;
        self.check_removal(cost.removed, total, now)
    }

    fn check_removal(&self, removed: u32, total: u32, now: Now) -> Result<(), String> {
        let recent = self.spent.iter().filter(|spent| spent.at.age(now) < TEN_MINUTES);
        let before = recent.fold(0_u32, |sum, spent| sum.saturating_add(spent.removed));
        let allowed = f64::from(total) * self.limits.removal_share;
        if removed > 0 && before > 0 && f64::from(before.saturating_add(removed)) > allowed {
            let percent = self.limits.removal_share * 100.0;
            return Err(format!(
                "{before} of {total} replicas were removed in the last 10 minutes, {removed} more would exceed \
                 {percent:.0} %"
            ));
        }
        Ok(())
    }
}

/// Checks one more write by `whom` against the limit per minute, and a lowering against half of it.
fn within<'a>(
    whom: &str,
    allowed: usize,
    spent: impl Iterator<Item = &'a Charge> + Clone,
    cost: &Charge,
) -> Result<(), String> {
    let had = spent.clone().count();
    if had >= allowed {
        return Err(format!("{whom} used {had} of {allowed} allowed writes in the last minute"));
    }
    let (lowered, half) = (spent.filter(|other| other.removed > 0).count(), (allowed / 2).max(1));
    if cost.removed > 0 && lowered >= half {
        return Err(format!("{whom} used {lowered} of {half} allowed lowerings in the last minute"));
    }
    Ok(())
}

fn charge_of(change: &ChangeSet, at: Moment) -> Charge {
    let lowers = change.knob.sets_count() && change.direction() == Direction::Lower;
    let removed = if lowers { change.from.saturating_sub(change.to) } else { 0 };
    Charge { id: change.id.clone(), at, namespace: change.target.namespace.clone(), removed }
}

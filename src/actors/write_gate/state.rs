//! What the gate knows. All of it changes under one lock, so that a new term finds it whole.

use std::collections::{BTreeMap, btree_map};
use std::time::Duration;

use crate::guard::{FleetBudget, FleetLimits};
use crate::model::{ChangeId, ChangeSet, Epoch, Intent, LANDS_WITHIN, Now, ServiceId, TargetRef, WRITE_MARGIN};

/// What the gate knows of the writes of this process and of those before it.
#[derive(Debug)]
pub(super) struct State {
    /// The term for which it is known what the one before it left.
    taken_over: Option<Epoch>,
    budget: FleetBudget,
    replicas: Totals,
    /// Targets with a write under way, and which.
    busy: BTreeMap<TargetRef, ChangeId>,
    /// Changes of earlier runs that are not settled.
    pub(super) unsettled: Vec<ChangeSet>,
    /// When all that earlier runs have sent has landed, or never will (monotonic).
    pub(super) landed: Duration,
}

impl State {
    /// Returns the state of a gate that knows of nothing before it.
    pub(super) fn new(limits: FleetLimits) -> Self {
        Self {
            taken_over: None,
            budget: FleetBudget::new(limits),
            replicas: Totals::default(),
            busy: BTreeMap::new(),
            unsettled: Vec::new(),
            landed: Duration::ZERO,
        }
    }

    /// Goes on in the term `epoch` with what was spent, and with the intents that were `open`. What of them this
    /// process had under way (`own`) when that was read it settles itself.
    pub(super) fn take_over(
        &mut self,
        epoch: Epoch,
        budget: FleetBudget,
        open: Vec<Intent>,
        own: &BTreeMap<TargetRef, ChangeId>,
        now: Now,
    ) {
        let open = open.into_iter().map(|intent| intent.change);
        self.unsettled = open.filter(|change| own.get(&change.target) != Some(&change.id)).collect();
        self.budget = budget;
        // A former leader sent nothing in the last seconds of its lease, which are over: what is left to land is less.
        let landing = if epoch == Epoch::ALONE { LANDS_WITHIN } else { WRITE_MARGIN };
        self.landed = now.plus(landing).mono;
        self.taken_over = Some(epoch);
    }

    pub(super) fn has_taken_over(&self, epoch: Epoch) -> bool {
        self.taken_over == Some(epoch)
    }

    pub(super) fn is_unsettled(&self, target: &TargetRef) -> bool {
        self.unsettled.iter().any(|change| change.target == *target)
    }

    pub(super) fn is_busy(&self, target: &TargetRef) -> bool {
        self.busy.contains_key(target)
    }

    pub(super) fn busy(&self) -> BTreeMap<TargetRef, ChangeId> {
        self.busy.clone()
    }

    /// Takes the target for a change, unless another one has it, or an earlier write to it is not settled.
    pub(super) fn claim(&mut self, change: &ChangeSet) -> bool {
        if self.is_unsettled(&change.target) {
            return false;
        }
        match self.busy.entry(change.target.clone()) {
            btree_map::Entry::Vacant(free) => {
                free.insert(change.id.clone());
                true
            }
            btree_map::Entry::Occupied(_) => false,
        }
    }

    /// Frees the target of a change, if that is what has it.
    pub(super) fn release(&mut self, change: &ChangeSet) {
        if self.busy.get(&change.target) == Some(&change.id) {
            self.busy.remove(&change.target);
        }
    }

    /// Tells whether the budgets of namespace and fleet permit a change, which costs nothing yet.
    pub(super) fn affords(&self, change: &ChangeSet, now: Now) -> Result<(), String> {
        self.budget.affords(change, self.replicas.sum, now)
    }

    /// Charges a change to the budgets of namespace and fleet.
    pub(super) fn charge(&mut self, change: &ChangeSet, now: Now) -> Result<(), String> {
        self.budget.charge(change, self.replicas.sum, now)
    }

    /// Gives back what a change was charged.
    pub(super) fn refund(&mut self, change: &ChangeSet) {
        self.budget.refund(change);
    }

    pub(super) fn saw_replicas(&mut self, service: &ServiceId, replicas: u32) {
        self.replicas.set(service, replicas);
    }

    pub(super) fn forget_replicas(&mut self, service: &ServiceId) {
        self.replicas.forget(service);
    }
}

/// Replicas of the fleet, as last seen.
#[derive(Debug, Default)]
struct Totals {
    of: BTreeMap<ServiceId, u32>,
    sum: u32,
}

impl Totals {
    fn set(&mut self, service: &ServiceId, replicas: u32) {
        let before = match self.of.get_mut(service) {
            Some(known) => std::mem::replace(known, replicas),
            None => self.of.insert(service.clone(), replicas).unwrap_or(0),
        };
        self.sum = self.sum.saturating_sub(before).saturating_add(replicas);
    }

    fn forget(&mut self, service: &ServiceId) {
        self.sum = self.sum.saturating_sub(self.of.remove(service).unwrap_or(0));
    }
}

//! The state of the gate. It changes under one lock, so that a new term sees it consistent.

use std::collections::{BTreeMap, btree_map};
use std::time::Duration;

use crate::guard::{FleetBudget, FleetLimits};
use crate::model::{ChangeId, ChangeSet, Epoch, Intent, LANDS_WITHIN, Now, ServiceId, TargetRef, WRITE_MARGIN};

/// What the gate knows about the writes of this process and of earlier ones.
#[derive(Debug)]
pub(super) struct State {
    /// The term for which its predecessor's state is known.
    taken_over: Option<Epoch>,
    budget: FleetBudget,
    replicas: Totals,
    /// Targets with a write in flight, and which.
    busy: BTreeMap<TargetRef, ChangeId>,
    /// Unsettled changes of earlier runs.
    pub(super) unsettled: Vec<ChangeSet>,
    /// When everything that earlier runs sent has landed, or never will (monotonic).
    pub(super) landed: Duration,
}

impl State {
    /// Returns the state of a gate without a predecessor.
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

    /// Continues in the term `epoch` with the spent budgets and the `open` intents. Those that this process had in
    /// flight itself (`own`) at the time of the read it settles on its own.
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
        // A former leader sent nothing in the last seconds of its lease, which has expired: less is left to land.
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

    /// Claims the target for a change, unless another change holds it, or an earlier write to it is unsettled.
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

    /// Frees the target of a change, if that change holds it.
    pub(super) fn release(&mut self, change: &ChangeSet) {
        if self.busy.get(&change.target) == Some(&change.id) {
            self.busy.remove(&change.target);
        }
    }

    /// Returns whether the budgets of namespace and fleet permit a change, without charging it.
    pub(super) fn affords(&self, change: &ChangeSet, now: Now) -> Result<(), String> {
        self.budget.affords(change, self.replicas.sum, now)
    }

    /// Charges a change to the budgets of namespace and fleet.
    pub(super) fn charge(&mut self, change: &ChangeSet, now: Now) -> Result<(), String> {
        self.budget.charge(change, self.replicas.sum, now)
    }

    /// Refunds what a change was charged.
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

//! The act stage: a verdict that permits becomes one absolute, conditional, expiring write.
//!
//! Nothing here writes. [`plan`] says what to write, [`recheck`] is the last check before the write gate sends it,
//! [`settle`] determines from a read the outcome of a write whose answer was lost. Whether an action has a lever is
//! decided here, once: [`kinds`] plans only for those that have one.

pub mod kinds;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::kinds::Values;
use crate::model::{
    ChangeId, ChangeSet, DecisionId, Epoch, Evidence, Features, FloorOf, Now, Proposal, ServiceSpec, TraceId, Verdict,
    WriteOutcome, WriteTrace,
};

/// How long after its decision a write may still be sent (INV-03).
pub const VALID_FOR: Duration = Duration::from_secs(30);

/// The decision that a change follows from.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// Which.
    pub decision: &'a DecisionId,
    /// Its trace.
    pub trace: TraceId,
    /// The term it is made in.
    pub epoch: Epoch,
    /// When.
    pub at: Now,
}

/// What follows from a verdict.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// A write.
    Write(ChangeSet),
    /// Nothing: nothing is permitted, nothing would change, or the target is unknown.
    NothingToDo,
    /// Nothing: the knob's value is not read.
    NoLever,
}

/// Plans the write of one decision.
///
/// **Invariants**: INV-01 (the permitted value is written as is), INV-03, INV-22. The same decision gives the same
/// change, id included (INV-29).
pub fn plan(made: Made<'_>, spec: &ServiceSpec, features: &Features, proposal: &Proposal, verdict: &Verdict) -> Plan {
    let Made { decision, trace, epoch, at } = made;
    let Some((action, backed_by_arrivals)) = proposal.choice.asked() else { return Plan::NothingToDo };
    let Some(target) = features.target.known().filter(|_| verdict.kind.permits()) else { return Plan::NothingToDo };
    let (from, to) = match kinds::values(action, target, verdict.permitted) {
        Values::Turn { from, to } if from != to => (from, to),
        Values::Turn { .. } | Values::Rest => return Plan::NothingToDo,
        Values::NoLever => return Plan::NoLever,
    };
    let lever = target.lever();
    let floor = target.autoscaler().map(|one| FloorOf { autoscaler: one.name.clone(), baseline: one.baseline });
    let evidence = Evidence::of(action, Some(lever.asked), backed_by_arrivals);
    Plan::Write(ChangeSet {
        id: ChangeId::derive(lever.uid, lever.knob, decision, from, to),
        decision: decision.clone(),
        trace,
        cause: proposal.choice.rule().unwrap_or_default().into(),
        revision: proposal.revision.clone(),
        target: spec.target.clone(),
        uid: lever.uid.to_owned(),
        knob: lever.knob,
        floor,
        class: action.class(),
        from,
        to,
        backed_by_arrivals,
        decided: at,
        valid_for: VALID_FOR,
        // What is not fresh now will not be fresh at the write either.
        fresh_for: evidence.fresh_for(spec, features).unwrap_or_default(),
        epoch,
    })
}

/// Checks against a live read, right before the write, whether `change` may still be sent.
///
/// **Invariants**: INV-02 and INV-03, by both clocks; what is too old by either is decided again.
///
/// # Errors
/// How the change ends unsent: `Expired`, `Stale`, `AlreadyThere`, or `Superseded` when the object was recreated or has
/// another value than the one decided on.
pub fn recheck(change: &ChangeSet, live_uid: &str, live_value: u32, now: Now) -> Result<(), WriteOutcome> {
    if change.expired(now) {
        return Err(WriteOutcome::Expired);
    }
    let (age, fresh_for) = (change.age(now), change.fresh_for);
    if age > fresh_for {
        return Err(WriteOutcome::Stale { fresh_for, age });
    }
    if live_uid != change.uid {
        return Err(WriteOutcome::Superseded { found: recreated(change, live_uid) });
    }
    if live_value == change.to {
        return Err(WriteOutcome::AlreadyThere);
    }
    if live_value != change.from {
        return Err(WriteOutcome::Superseded { found: format!("{live_value}, expected {}", change.from) });
    }
    Ok(())
}

/// Returns the outcome of a write whose answer was never seen, from a live read (uid, value); `None` when the object is
/// gone. Settled by reading, never by sending again (INV-12). Before the write can no longer land, the result is
/// provisional.
pub fn settle(change: &ChangeSet, live: Option<(&str, u32)>) -> WriteOutcome {
    let (reason, trace) = match live {
        Some((uid, value)) if uid == change.uid && value == change.to => return WriteOutcome::Applied,
        Some((uid, value)) if uid == change.uid => {
            let trace = if value == change.from { WriteTrace::Nothing } else { WriteTrace::MayHave };
            (format!("found {value}, expected {}", change.to), trace)
        }
        Some((uid, _)) => (recreated(change, uid), WriteTrace::MayHave),
        None => (format!("{} no longer exists", carrier(change)), WriteTrace::MayHave),
    };
    WriteOutcome::Abandoned { reason, trace }
}

fn recreated(change: &ChangeSet, live_uid: &str) -> String {
    format!("{} was recreated: uid {live_uid}, not {}", carrier(change), change.uid)
}

/// Returns the object that carries the lever.
fn carrier(change: &ChangeSet) -> String {
    match &change.floor {
        Some(floor) => format!("HPA {} on {}", floor.autoscaler, change.target),
        None => change.target.to_string(),
    }
}

//! The guard stage: turns a proposal and the known past into a verdict.
//!
//! Rules propose, guards dispose. A guard is a plain function from one [`Case`] to one [`Answer`]; it reads, remembers
//! nothing and changes nothing. Every proposal goes to all guards and all answers are recorded; the first that stops
//! decides. A guard that limits the replica count states which counts it permits, and the chain intersects these
//! ranges: each guard receives the value as clamped so far, and an empty range holds. A clamp never turns a raise into
//! a lowering or vice versa.
//!
//! | file | duty |
//! |---|---|
//! | `case` | the input of a guard, its possible answers |
//! | `memory`, `window`, `owner` | what one service remembers between cycles |
//! | `denials` | writes that failed at the API server, and the pause after them |
//! | `fleet` | budgets of namespaces and the fleet, for the write gate |
//! | one file per guard | see [`chain`] |
//!
//! A new guard is a file here, a [`GuardName`] and a line in [`chain`]; it brings a property with its INV number
//! in `docs/safety.md`.

mod bounds;
mod budget;
mod case;
mod confirmation;
mod convergence;
mod cooldown;
mod denials;
mod fleet;
mod forecast_floor;
mod freshness;
mod in_flight;
mod kill_switch;
mod leader_fence;
mod memory;
mod mode;
mod owner;
mod ownership;
mod policy_limit;
mod stabilisation;
mod step_limit;
#[cfg(test)]
mod tests;
mod window;

pub use case::{Answer, Case, Context, Motion};
pub use denials::Denials;
pub use fleet::{FleetBudget, FleetLimits};
pub use memory::Memory;

use std::time::Duration;

use crate::model::{Finding, GuardFinding, GuardName, Verdict, VerdictKind};

/// Two reverts within this time make the loop stand down; budgets cover the same time.
const HOUR: Duration = Duration::from_hours(1);
/// The shorter time over which writes and removed replicas are counted.
const TEN_MINUTES: Duration = Duration::from_mins(10);

/// A guard: a function from question to answer, without memory or side effects.
pub type Guard = fn(&Case<'_>) -> Answer;

/// Returns the guards in the order in which they decide.
///
/// The order goes from who may act to what may be done. First a person (the switch), then the owner (the mode): neither
/// needs to know anything else. Then whether anything can be known at all (freshness), whether the target is ours to
/// move (in flight, convergence, ownership), whether it is time (confirmation, cooldown, stabilisation). Only then how
/// far: the step first, because it is relative to what runs; the owner's bounds and the limits of the policies narrow
/// the range, and the forecast's floor narrows it last, so that no later limit can undo either. The budget comes after
/// all of them, since it pays for what they leave. Whether this process is the writer comes last: a follower's records
/// show what would have been done.
pub fn chain() -> [(GuardName, Guard); 15] {
    [
        (GuardName::KillSwitch, kill_switch::guard),
        (GuardName::Mode, mode::guard),
        (GuardName::Freshness, freshness::guard),
        (GuardName::InFlight, in_flight::guard),
        (GuardName::Convergence, convergence::guard),
        (GuardName::Ownership, ownership::guard),
        (GuardName::Confirmation, confirmation::guard),
        (GuardName::Cooldown, cooldown::guard),
        (GuardName::Stabilisation, stabilisation::guard),
        (GuardName::StepLimit, step_limit::guard),
        (GuardName::Bounds, bounds::guard),
        (GuardName::PolicyLimit, policy_limit::guard),
        (GuardName::ForecastFloor, forecast_floor::guard),
        (GuardName::Budget, budget::guard),
        (GuardName::LeaderFence, leader_fence::guard),
    ]
}

/// Judges one proposal and updates `memory` with the cycle. Called once per cycle, even if nothing is proposed: the
/// stabilisation window and the detection of foreign edits need every cycle.
///
/// **Invariants**: INV-01, INV-06, INV-07, INV-09, INV-21, INV-22, INV-27, INV-31 hold for every permitting verdict.
pub fn judge(memory: &mut Memory, ctx: &Context<'_>) -> Verdict {
    memory.observe(ctx);
    let Some((action, backed_by_arrivals)) = ctx.proposal.choice.asked() else { return Verdict::idle() };
    let mut case = Case::new(ctx, memory, action, backed_by_arrivals);
    let wanted = case.wanted();
    let findings: Vec<GuardFinding> = chain()
        .into_iter()
        .map(|(name, guard)| {
            let (finding, why) = case.admit(guard(&case));
            GuardFinding { guard: name, finding, why }
        })
        .collect();
    sum_up(wanted, case.wanted(), findings)
}

/// Returns the verdict: the first guard that stops decides, else the last that clamped.
fn sum_up(wanted: Option<u32>, clamped: Option<u32>, findings: Vec<GuardFinding>) -> Verdict {
    let stops = |found: &&GuardFinding| matches!(found.finding, Finding::Hold | Finding::Reject);
    let first_stop = findings.iter().find(stops);
    let last_clamp = findings.iter().rfind(|found| matches!(found.finding, Finding::Clamp { .. }));
    let kind = match (first_stop.map(|found| &found.finding), last_clamp) {
        (Some(Finding::Reject), _) => VerdictKind::Reject,
        (Some(_), _) => VerdictKind::Hold,
        (None, Some(_)) => VerdictKind::Clamp,
        (None, None) => VerdictKind::Pass,
    };
    let decided_by = first_stop.or(last_clamp).map(|found| found.guard);
    // A dry run and a follower show what they would do: mode and lease stop the write, not the display.
    let shows = |found: &GuardFinding| matches!(found.guard, GuardName::Mode | GuardName::LeaderFence);
    let shown = kind != VerdictKind::Reject && findings.iter().filter(stops).all(shows);
    Verdict { kind, decided_by, wanted, permitted: clamped.filter(|_| shown), findings }
}

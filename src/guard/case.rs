//! The input of a guard, and its possible answers.

use super::memory::Memory;
pub use crate::model::Motion;
use crate::model::{
    Action, Choice, Features, Finding, GuardParams, KillState, Lead, Now, Outlook, Proposal, ServiceSpec, TargetState,
};

/// Everything known in one cycle.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The service as declared.
    pub spec: &'a ServiceSpec,
    /// What was observed.
    pub features: &'a Features,
    /// The forecast.
    pub outlook: &'a Outlook,
    /// What the policies want.
    pub proposal: &'a Proposal,
    /// The kill switch as last read.
    pub kill: &'a KillState,
    /// The lease state of this process.
    pub lead: &'a Lead,
    /// Why the limits of services are unknown, if they are.
    pub unbounded: Option<&'a str>,
    /// The time of the cycle.
    pub now: Now,
}

/// The answer of one guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// No objection.
    Pass(String),
    /// Only these replica counts, both inclusive.
    Within {
        /// At least.
        low: u32,
        /// At most.
        high: u32,
        /// Why, with its numbers.
        why: String,
    },
    /// Not now.
    Hold(String),
    /// Not at all.
    Reject(String),
}

/// One proposed action on its way through the chain.
#[derive(Debug)]
pub struct Case<'a> {
    /// Everything known in this cycle.
    pub ctx: &'a Context<'a>,
    /// The past of this service.
    pub memory: &'a Memory,
    /// Times and limits.
    pub params: &'a GuardParams,
    /// What is proposed.
    pub action: &'a Action,
    /// What it does to the replicas.
    pub motion: Motion,
    /// Whether the wanted count follows from the arrival rate, measured or forecast.
    pub backed_by_arrivals: bool,
    /// For a raise that the confirmed arrival rate needs now: the replicas it needs.
    pub needed_now: Option<u32>,
    wanted: Option<u32>,
    low: u32,
    high: u32,
}

impl<'a> Case<'a> {
    /// Returns the case of `action` before any guard has spoken.
    pub fn new(ctx: &'a Context<'a>, memory: &'a Memory, action: &'a Action, backed_by_arrivals: bool) -> Self {
        let target = ctx.features.target.last();
        let motion = Motion::of(action, target);
        let wanted = match motion {
            Motion::Other => None,
            _ => target.and_then(|target| action.wanted_replicas(target.asked())),
        };
        let (low, high) = match motion {
            Motion::Raise { from } => (from.saturating_add(1), u32::MAX),
            Motion::Lower { from } => (0, from.saturating_sub(1)),
            Motion::Still | Motion::Other | Motion::Unknown => (0, u32::MAX),
        };
        let needed_now = match motion {
            Motion::Raise { from } if backed_by_arrivals => {
                // What an autoscaler runs above its floor also carries arrivals.
                let runs = target.map_or(from, TargetState::asked).max(from);
                needed_now(ctx.outlook).filter(|needed| *needed > runs)
            }
            _ => None,
        };
        let params = &ctx.spec.guards;
        Self { ctx, memory, params, action, motion, backed_by_arrivals, needed_now, wanted, low, high }
    }

    /// Returns whether it reverts a harmful change.
    pub fn is_undo(&self) -> bool {
        matches!(self.ctx.proposal.choice, Choice::Undo { .. })
    }

    /// Returns the replicas wanted, as clamped so far; `None` if the action sets none or they are unknown.
    pub fn wanted(&self) -> Option<u32> {
        self.wanted
    }

    /// Returns the answer of a replica-count guard to an action that does not change the count; `None` if it does.
    pub fn unless_moved(&self) -> Option<Answer> {
        match self.motion {
            Motion::Raise { .. } | Motion::Lower { .. } => None,
            Motion::Other => Some(Answer::not_replicas()),
            Motion::Still => Some(Answer::still()),
            Motion::Unknown => Some(Answer::unknown()),
        }
    }

    /// Returns the answer of a lowering guard to an action that lowers nothing; `None` if it does.
    pub fn unless_lowered(&self) -> Option<Answer> {
        let raises = matches!(self.motion, Motion::Raise { .. });
        raises.then(|| Answer::Pass("applies to lowering only".to_owned())).or_else(|| self.unless_moved())
    }

    /// Applies the answer of a guard and returns what is recorded of it.
    pub fn admit(&mut self, answer: Answer) -> (Finding, String) {
        match answer {
            Answer::Pass(why) => (Finding::Pass, why),
            Answer::Hold(why) => (Finding::Hold, why),
            Answer::Reject(why) => (Finding::Reject, why),
            Answer::Within { low, high, why } => self.narrow(low, high, why),
        }
    }

    fn narrow(&mut self, low: u32, high: u32, why: String) -> (Finding, String) {
        let (low, high) = (self.low.max(low), self.high.min(high));
        if low > high {
            return (Finding::Hold, format!("{why}; no permitted replica count remains"));
        }
        (self.low, self.high) = (low, high);
        let Some(from) = self.wanted else { return (Finding::Pass, why) };
        let to = from.clamp(low, high);
        self.wanted = Some(to);
        (if to == from { Finding::Pass } else { Finding::Clamp { from, to } }, why)
    }
}

/// Returns the replicas that the confirmed arrival rate needs now.
pub fn needed_now(outlook: &Outlook) -> Option<u32> {
    outlook.capacity.as_ref().and_then(|capacity| capacity.needed_now)
}

impl Answer {
    /// Returns the answer of a replica-count guard to an action that sets no count.
    pub fn not_replicas() -> Self {
        Self::Pass("not about replicas".to_owned())
    }

    /// Returns the answer to an action that requests the present count.
    pub fn still() -> Self {
        Self::Pass("no change".to_owned())
    }

    /// Returns the answer when the present count is unknown.
    pub fn unknown() -> Self {
        Self::Hold("the current replica count is unknown".to_owned())
    }
}

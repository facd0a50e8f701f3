//! One decision: every rule called by itself, every condition traced, one proposal.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{Array, Position};

use crate::decide::api::action::Refused;
use crate::decide::api::clause::Clauses;
use crate::decide::api::params::Params;
use crate::decide::api::signal::Service;
use crate::decide::api::tick::Tick;
use crate::decide::compile::{PolicySet, Rule};
use crate::decide::engine::{Deadline, MeteredEngine, RUN_OPERATIONS};
use crate::decide::fault::{Failure, PolicyFault, explain};
use crate::decide::held::HeldStates;
use crate::decide::mute::Mutes;
use crate::decide::select::select;
use crate::model::{
    ConditionTrace, Features, Now, Outlook, Proposal, RuleOutcome, RuleTrace, ServiceSpec, TargetReading, Truth,
};

/// State of the decide stage for one service: how long conditions have held, and which rules are muted.
/// Starts empty, which only delays actions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decider {
    held: HeldStates,
    mutes: Mutes,
}

impl Decider {
    /// Returns the state of a service that was never decided about.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Evaluates every rule of `set` for one service and chooses at most one action.
///
/// Never fails: what goes wrong inside a rule is that rule's outcome. `expired` ends the evaluation when it
/// answers true; it is asked between rules and every 64 operations.
pub fn decide(
    state: &mut Decider,
    set: &PolicySet,
    spec: &ServiceSpec,
    features: &Features,
    outlook: &Outlook,
    now: Now,
    expired: &Deadline,
) -> Proposal {
    let service = Service(Arc::new(Tick::new(spec, features, outlook, now, &set.texts)));
    let params = Params::bind(&set.parameters, spec);
    state.mutes.begin(set.revision());
    let rules: Vec<RuleTrace> = set.pool.with(expired, |engine| {
        let mut evaluation = Evaluation { state, set, engine, service: &service, params: &params, now, expired };
        set.rules.iter().map(|rule| evaluation.rule(rule)).collect()
    });
    state.held.prune(now);
    let choice = select(&rules, replicas(&features.target), &set.otherwise);
    Proposal { revision: Some(set.revision().clone()), rules, choice }
}

fn replicas(target: &TargetReading) -> Option<u32> {
    target.known().map(|target| target.replicas)
}

/// What the rules of one decision share.
struct Evaluation<'a> {
    state: &'a mut Decider,
    set: &'a PolicySet,
    engine: &'a MeteredEngine,
    service: &'a Service,
    params: &'a Params,
    now: Now,
    expired: &'a Deadline,
}

impl Evaluation<'_> {
    fn rule(&mut self, rule: &Rule) -> RuleTrace {
        if self.state.mutes.is_muted(&rule.name, self.now) {
            return empty_trace(rule, RuleOutcome::Muted);
        }
        if (self.expired)() {
            // Not this rule's failure: it was not reached, so it is not counted against it.
            return empty_trace(rule, RuleOutcome::Error { message: Failure::Deadline.to_string() });
        }
        let trace = match call(self.engine, self.set, rule, self.service, self.params) {
            Ok(clauses) => self.trace(rule, clauses),
            Err((failure, position)) => empty_trace(rule, self.error(rule, &failure, position)),
        };
        if matches!(trace.outcome, RuleOutcome::Error { .. }) {
            self.state.mutes.failed(&rule.name, self.now);
        } else {
            self.state.mutes.worked(&rule.name);
        }
        trace
    }

    fn trace(&mut self, rule: &Rule, clauses: Clauses) -> RuleTrace {
        let mut trace = empty_trace(rule, RuleOutcome::NotMatched);
        trace.notes = clauses.notes;
        trace.conditions.reserve_exact(clauses.conditions.len());
        let mut all = Truth::True;
        for (position, (condition, negated)) in clauses.conditions.into_iter().enumerate() {
            let (holds, held_for) = self.state.held.apply(&rule.name, position, &condition, self.now);
            let holds = if negated { holds.negated() } else { holds };
            all = all.and(holds);
            trace.conditions.push(ConditionTrace { negated, held_for, holds, ..condition.trace });
        }
        let Some(wanted) = clauses.action else { return trace };
        trace.backed_by_arrivals = wanted.backed_by_arrivals;
        trace.outcome = match (all, &wanted.action) {
            (Truth::False, _) => RuleOutcome::NotMatched,
            (Truth::Unknown, _) => RuleOutcome::Unknown,
            (Truth::True, Ok(_)) => RuleOutcome::Matched,
            (Truth::True, Err(Refused::Unknown(why))) => {
                trace.notes.push(Arc::clone(why));
                RuleOutcome::Unknown
            }
            (Truth::True, Err(Refused::Invalid(why))) => {
                self.error(rule, &Failure::InvalidAction(why.clone()), wanted.position)
            }
        };
        trace.action = wanted.action.ok();
        trace
    }

    fn error(&self, rule: &Rule, failure: &Failure, position: Position) -> RuleOutcome {
        let path = self.set.files.get(rule.file).map_or("", |file| file.path.as_str());
        let position = if position.is_none() { rule.position } else { position };
        RuleOutcome::Error {
            message: PolicyFault::at(path, position, Some(&*rule.name), failure.to_string()).to_string(),
        }
    }
}

fn empty_trace(rule: &Rule, outcome: RuleOutcome) -> RuleTrace {
    RuleTrace {
        rule: Arc::clone(&rule.name),
        priority: rule.priority,
        goal: rule.goal,
        outcome,
        conditions: Vec::new(),
        action: None,
        backed_by_arrivals: false,
        notes: Vec::new(),
    }
}

/// Calls one rule in the environment of its own file.
///
/// # Errors
/// What stopped it, and where.
pub(super) fn call(
    engine: &MeteredEngine,
    set: &PolicySet,
    rule: &Rule,
    service: &Service,
    params: &Params,
) -> Result<Clauses, (Failure, Position)> {
    let Some(file) = set.files.get(rule.file) else {
        return Err((Failure::Script("its file is gone".to_owned()), Position::NONE));
    };
    let engine = engine.fresh();
    // The engine is immutable during a call, so a panic inside it leaves nothing half done.
    let call = AssertUnwindSafe(|| rule.body.call::<Array>(engine, &file.ast, (service.clone(), params.clone())));
    match catch_unwind(call) {
        Ok(Ok(list)) => Clauses::read(list).map_err(|message| (Failure::Script(message), Position::NONE)),
        Ok(Err(error)) => Err(explain(&error, RUN_OPERATIONS)),
        Err(_) => Err((Failure::Panic, Position::NONE)),
    }
}

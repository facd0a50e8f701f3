//! From matched rules to one action, and from no action to its reason.
//!
//! Higher priority wins; between equals, the rule that protects; between those on one knob and in one direction, the
//! smaller step. Opposite directions on one knob are a conflict, and a conflict does nothing: the author of both rules
//! has to say which one counts. On different knobs the first of the set wins. A set that says `conflicts("error")` does
//! nothing whenever two rules match that want different things, as Rego does.
//!
//! Before all that, an active veto removes the rules that want what it forbids, whatever their priority: the next best
//! one may act. Actions that nothing can carry out rank below those that something can, except in a set with Rego
//! semantics: a rule that won every cycle and never had an effect would block all others.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::decide::compile::PolicySet;
use crate::model::{
    Action, Choice, Direction, Idle, Motion, Obstacle, RuleOutcome, RuleTrace, TargetState, Truth, UNSEEN_PAST,
};

/// Chooses at most one action among a set's rules; `target` is what they would change.
pub(super) fn select(rules: &[RuleTrace], target: Option<&TargetState>, set: &PolicySet) -> Choice {
    let otherwise = &set.otherwise;
    let wants = |rule: &&RuleTrace| rule.limit.is_none() && rule.outcome == RuleOutcome::Matched;
    let matched = || rules.iter().filter(wants).filter(|rule| veto(rule, rules, target).is_none());
    let differ = || matched().zip(matched().skip(1)).any(|(one, next)| one.action != next.action);
    if set.conflict_is_error && differ() {
        let names: Vec<_> = matched().map(|rule| &*rule.rule).collect();
        let reason = format!("conflict: {} match at the same time and want different actions", names.join(", "));
        return Choice::Nothing(Idle::conflict(reason));
    }
    let able = |rule: &RuleTrace| rule.action.as_ref().is_some_and(|action| action.has_lever(target));
    let rank = |rule: &RuleTrace| (set.conflict_is_error || able(rule), rule.priority, rule.goal);
    let Some(best) = matched().map(rank).max() else {
        let vetoed = rules.iter().filter(wants).find_map(|rule| Some((rule, veto(rule, rules, target)?)));
        let obstacle = match vetoed {
            Some((rule, by)) => Some(stopped(rule, format!("vetoed by {}", by.rule))),
            None => obstacle(rules),
        };
        return Choice::Nothing(Idle { obstacle, ..Arc::clone(otherwise).into() });
    };
    let mut tied = matched().filter(|rule| rank(rule) == best);
    let mut winner = tied.next();
    for rival in tied {
        let (Some(first), Some(action)) = (winner, &rival.action) else { continue };
        let Some(chosen) = first.action.as_ref().filter(|chosen| is_one_knob(chosen, action, target)) else { continue };
        let (chosen, action) = (step(chosen, target), step(action, target));
        if chosen.direction != action.direction {
            return conflict(first, rival);
        }
        if action.size < chosen.size {
            winner = Some(rival);
        }
    }
    match winner {
        Some(RuleTrace { rule, action: Some(action), backed_by_arrivals, .. }) => {
            Choice::Act { rule: Arc::clone(rule), action: action.clone(), backed_by_arrivals: *backed_by_arrivals }
        }
        _ => Choice::Nothing(Arc::clone(otherwise).into()),
    }
}

/// Returns the active limit that forbids what a rule wants, if any.
fn veto<'a>(rule: &RuleTrace, rules: &'a [RuleTrace], target: Option<&TargetState>) -> Option<&'a RuleTrace> {
    let action = rule.action.as_ref()?;
    rules.iter().find(|limit| limit.standing().is_some_and(|limit| limit.vetoes(action, target)))
}

fn conflict(first: &RuleTrace, second: &RuleTrace) -> Choice {
    let (left, right) = (&first.rule, &second.rule);
    let reason =
        format!("conflict: {left} and {right} want opposite actions at equal priority; raise the priority of one");
    Choice::Nothing(Idle::conflict(reason))
}

/// Returns whether two actions turn the same knob: if an autoscaler scales the target, its floor is the only knob that
/// sets a count.
fn is_one_knob(one: &Action, other: &Action, target: Option<&TargetState>) -> bool {
    let both_count = one.knob().sets_count() && other.knob().sets_count();
    one.knob() == other.knob() || (both_count && target.and_then(TargetState::autoscaler).is_some())
}

/// Direction and size of an action.
struct Step {
    direction: Direction,
    size: f64,
}

/// Returns the step of an action; actions on one knob are comparable.
fn step(action: &Action, target: Option<&TargetState>) -> Step {
    let wanted = action.wanted_replicas(target.map_or(0, TargetState::asked)).unwrap_or(0);
    let by = |direction, from: u32| Step { direction, size: f64::from(wanted.abs_diff(from)) };
    match Motion::of(action, target) {
        Motion::Raise { from } => by(Direction::Raise, from),
        Motion::Lower { from } => by(Direction::Lower, from),
        Motion::Still => Step { direction: Direction::Lateral, size: 0.0 },
        Motion::Unknown | Motion::Other => by_itself(action),
    }
}

/// Returns the step of an action that is not about replicas, or about an unknown count: then the wanted count serves as
/// its size.
fn by_itself(action: &Action) -> Step {
    let lateral = |size| Step { direction: Direction::Lateral, size };
    match action {
        Action::ScaleBy { factor } => Step {
            direction: if *factor < 1.0 { Direction::Lower } else { Direction::Raise },
            size: (factor - 1.0).abs(),
        },
        Action::ScaleTo { replicas } | Action::SetAutoscalerFloor { replicas } => {
            Step { direction: Direction::Raise, size: f64::from(*replicas) }
        }
        Action::ShiftTraffic { step, .. } => lateral(*step),
        Action::Throttle { to, .. } => Step { direction: Direction::Lower, size: 1.0 - to },
        Action::Resize { cpu, memory } => Step {
            direction: if cpu * memory < 1.0 { Direction::Lower } else { Direction::Raise },
            size: (cpu - 1.0).abs() + (memory - 1.0).abs(),
        },
        // Promoting is one direction, rolling back the other.
        Action::PromoteRollout => Step { direction: Direction::Raise, size: 1.0 },
        Action::Rollback | Action::AbortRollout => Step { direction: Direction::Lower, size: 1.0 },
        Action::Restart | Action::Webhook { .. } => lateral(1.0),
    }
}

/// Returns what came closest to happening, and what stopped it.
fn obstacle(rules: &[RuleTrace]) -> Option<Obstacle> {
    let asking = || rules.iter().filter(|rule| rule.limit.is_none());
    let failed = asking().find(|rule| matches!(rule.outcome, RuleOutcome::Error { .. }));
    if let Some(rule) = failed {
        return Some(stopped(rule, "failed"));
    }
    let nearest = asking().filter(|rule| !rule.conditions.is_empty()).min_by_key(|rule| {
        (rule.conditions.iter().filter(|condition| condition.holds != Truth::True).count(), Reverse(rule.priority))
    });
    let rule = nearest?;
    let blocking = rule.conditions.iter().find(|condition| condition.holds == Truth::False);
    let unknown = || rule.conditions.iter().find(|condition| condition.holds == Truth::Unknown);
    let Some(condition) = blocking.or_else(unknown) else {
        let note = rule.notes.last().cloned().unwrap_or_else(|| "its action is unknown".into());
        return Some(stopped(rule, note));
    };
    let state = match (condition.holds, condition.negated) {
        (Truth::Unknown, _) if condition.note.as_deref() == Some(UNSEEN_PAST) => "may not have held long enough",
        (Truth::Unknown, _) => "is unknown",
        (_, true) => "prevents it",
        (_, false) if condition.held_for.is_some_and(|held| !held.so_far.is_zero()) => "has not held long enough",
        (_, false) => "does not hold",
    };
    Some(stopped(rule, format!("{} {state}", condition.text)))
}

fn stopped(rule: &RuleTrace, why: impl Into<Arc<str>>) -> Obstacle {
    Obstacle { rule: Arc::clone(&rule.rule), why: why.into() }
}
